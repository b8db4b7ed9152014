/* Frames given to several CPUs at once: none twice, none lost. */
#include "lock.h"
#include "smp_rig.h"

#define STEPS  60000
#define HELD   64
#define FRAMES 2048 /* of the machine; far fewer than all CPUs would like */

static uint64_t owners[FRAMES]; /* of each frame: 0, or the CPU's number + 1 */
static uint64_t free_at_start, nfailed;

static const struct mem_region map[] = {
    {PA(RAM_BASE), 1000 * PAGE_BYTES, MEM_USABLE},
    {PA(RAM_BASE + 1000 * PAGE_BYTES), 48 * PAGE_BYTES, MEM_RESERVED},
    {PA(RAM_BASE + 1048 * PAGE_BYTES), 1000 * PAGE_BYTES, MEM_USABLE},
};
static const struct mem_node nodes[] = {
    {PA(RAM_BASE), 700 * PAGE_BYTES, 1},
    {PA(RAM_BASE + 700 * PAGE_BYTES), 700 * PAGE_BYTES, 0},
    {PA(RAM_BASE + 1400 * PAGE_BYTES), 700 * PAGE_BYTES, 2},
};

static int start(void **state)
{
    (void)state;
    machine_start(map, COUNT(map));
    assert_int_equal(MM_OK, pmm_init(map, COUNT(map)));
    assert_int_equal(MM_OK, pmm_set_nodes(nodes, COUNT(nodes)));
    free_at_start = machine_free_frames();
    memset(owners, 0, sizeof owners);
    nfailed = 0;
    return 0;
}

static int stop(void **state)
{
    (void)state;
    assert_int_equal(free_at_start, machine_free_frames());
    assert_true(pmm_validate());
    machine_stop();
    return 0;
}

struct run {
    paddr_t base;
    uint64_t nframes;
};

static uint64_t *owner_of(paddr_t pa, uint64_t i)
{
    return &owners[(pa.v - RAM_BASE) / PAGE_BYTES + i];
}

/* The frames were nobody's, and are filled with what only this CPU writes. */
static void own(unsigned cpu, const struct run *run)
{
    for (uint64_t i = 0; i < run->nframes; i++) {
        uint64_t *frame = phys_to_virt(pa_add(run->base, i * PAGE_BYTES));
        CPU_CHECK(__atomic_exchange_n(owner_of(run->base, i), cpu + 1, __ATOMIC_RELAXED) == 0);
        frame[0] = frame[511] = cpu * 1000003 + run->base.v + i;
    }
}

static void disown(unsigned cpu, const struct run *run)
{
    for (uint64_t i = 0; i < run->nframes; i++) {
        const uint64_t *frame = phys_to_virt(pa_add(run->base, i * PAGE_BYTES));
        CPU_CHECK(frame[0] == cpu * 1000003 + run->base.v + i && frame[511] == frame[0]);
        CPU_CHECK(__atomic_exchange_n(owner_of(run->base, i), 0, __ATOMIC_RELAXED) == cpu + 1);
    }
}

static struct pmm_limits random_limits(struct rng *rng)
{
    struct pmm_limits limits = {0};
    limits.align_frames = 1ull << rng_below(rng, 5);
    limits.node_rule = (enum pmm_node_rule)rng_below(rng, 3);
    limits.node = (uint32_t)rng_below(rng, 3);
    if (rng_below(rng, 4) == 0)
        limits.max_addr = PA(RAM_BASE + rng_below(rng, FRAMES) * PAGE_BYTES);
    return limits;
}

static bool allocate(struct rng *rng, struct run *run)
{
    run->nframes = 1;
    if (rng_below(rng, 2) == 0)
        return pmm_alloc_frame(&run->base) == MM_OK;
    struct pmm_limits limits = random_limits(rng);
    run->nframes = rng_size(rng, 40);
    if (pmm_alloc_frames(run->nframes, &limits, &run->base) != MM_OK)
        return false;
    CPU_CHECK(pa_aligned(run->base, limits.align_frames * PAGE_BYTES));
    uint64_t last = run->base.v + (run->nframes - 1) * PAGE_BYTES;
    if (limits.node_rule == PMM_NODE_REQUIRED)
        CPU_CHECK(pmm_node_of(run->base) == limits.node && pmm_node_of(PA(last)) == limits.node);
    return true;
}

static void look_around(void)
{
    struct pmm_stats stats;
    pmm_get_stats(&stats);
    CPU_CHECK(stats.total_kib == stats.used_kib + stats.free_kib);
    struct pmm_node_stats node;
    pmm_get_node_stats(1, &node);
    CPU_CHECK(node.total_kib == 700 * 4 && node.total_kib == node.used_kib + node.free_kib);
}

static void allocate_and_free(unsigned cpu)
{
    struct rng *rng = &rngs[cpu];
    struct run held[HELD];
    unsigned n = 0;
    for (unsigned step = 0; step < STEPS || n > 0; step++) {
        unsigned want = step < STEPS ? (unsigned)rng_below(rng, HELD) : 0;
        if (n <= want && n < HELD && step < STEPS) {
            if (allocate(rng, &held[n]))
                own(cpu, &held[n++]);
            else
                __atomic_fetch_add(&nfailed, 1, __ATOMIC_RELAXED);
        } else {
            unsigned i = (unsigned)rng_below(rng, n);
            struct run run = held[i];
            disown(cpu, &run);
            uint64_t part = rng_below(rng, run.nframes + 1); /* in two parts, at times */
            if (part > 0)
                CPU_CHECK(pmm_free_frames(run.base, part) == MM_OK);
            if (part < run.nframes)
                CPU_CHECK(pmm_free_frames(pa_add(run.base, part * PAGE_BYTES),
                                          run.nframes - part) == MM_OK);
            held[i] = held[--n];
        }
        if (step % 64 == cpu)
            CPU_CHECK(pmm_validate());
        if (step % 16 == cpu)
            look_around();
    }
}

static void no_frame_is_given_twice(void **state)
{
    (void)state;
    start_rngs();
    cpus_run(NCPUS, allocate_and_free);
    assert_true(nfailed > 0); /* memory was short at times */
}

/* All CPUs free the same frame: one may. */
static paddr_t victim;
static uint64_t freed;

static void free_the_same(unsigned cpu)
{
    for (unsigned i = 0; i < 500; i++) {
        if (cpu == 0)
            CPU_CHECK(pmm_alloc_frame(&victim) == MM_OK);
        cpus_meet();
        if (pmm_free_frame(victim) == MM_OK)
            __atomic_fetch_add(&freed, 1, __ATOMIC_RELAXED);
        cpus_meet();
    }
}

static void of_two_frees_one_is_misuse(void **state)
{
    (void)state;
    freed = 0;
    cpus_run(NCPUS, free_the_same);
    assert_int_equal(500, freed);
    assert_int_equal(500 * (NCPUS - 1), machine.misuses);
    assert_message("a double free");
    machine.misuses = 0;
}

static uint64_t taken;

static void mark_the_same(unsigned cpu)
{
    for (uint64_t i = 0; i < 600; i++) {
        mm_status_t status = pmm_mark_used(PA(RAM_BASE + i * PAGE_BYTES), 2);
        CPU_CHECK(status == MM_OK || status == MM_EXISTS);
        if (status != MM_OK)
            continue;
        __atomic_fetch_add(&taken, 2, __ATOMIC_RELAXED);
        CPU_CHECK(__atomic_exchange_n(&owners[i], cpu + 1, __ATOMIC_RELAXED) == 0);
        CPU_CHECK(__atomic_exchange_n(&owners[i + 1], cpu + 1, __ATOMIC_RELAXED) == 0);
    }
}

static void marking_is_all_or_none_between_cpus(void **state)
{
    (void)state;
    taken = 0;
    cpus_run(NCPUS, mark_the_same);
    assert_int_equal(taken, free_at_start - machine_free_frames());
    for (uint64_t i = 0; i < FRAMES; i++)
        if (owners[i] != 0)
            assert_int_equal(MM_OK, pmm_mark_free(PA(RAM_BASE + i * PAGE_BYTES), 1));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(no_frame_is_given_twice),
        TEST(of_two_frees_one_is_misuse),
        TEST(marking_is_all_or_none_between_cpus),
    };
    return cmocka_run_group_tests_name("frames of several CPUs", tests, NULL, NULL);
}
