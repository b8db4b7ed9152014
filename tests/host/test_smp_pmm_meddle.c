/* The frame allocator where one CPU meddles with what another is at: frees into its blocks, empties
 * its cache, frees the same frame, retires and marks frames, brings up more CPUs. */
#include "smp_pmm_rig.h"

/* --- Blocks that change hands ---------------------------------------------------------- */

/* Frames of any block, freed by any CPU: the blocks change hands with the frames still out. */
static void use_any_block(unsigned cpu)
{
    struct rng *rng = &rngs[cpu];
    struct run run;
    for (uint64_t step = 0; step < steps; step++) {
        paddr_t block = PA(RAM_BASE + rng_below(rng, 70) * HUGE_2M);
        struct pmm_limits limits = {.min_addr = block, .max_addr = pa_add(block, HUGE_2M)};
        run.nframes = 1ull << rng_below(rng, 7);
        if (pmm_alloc_frames(run.nframes, &limits, &run.base) == MM_OK) {
            own(cpu, &run);
            CPU_CHECK(pmm_is_used(run.base));
            while (!swap(rng, &run, BOX_EMPTY, BOX_FULL)) {
                struct run other;
                if (swap(rng, &other, BOX_FULL, BOX_EMPTY))
                    release(rng, &other);
            }
        } else {
            __atomic_fetch_add(&nfailed, 1, __ATOMIC_RELAXED);
        }
    }
}

static void blocks_change_hands_with_frames_out(void **state)
{
    (void)state;
    memset(boxes, 0, sizeof boxes);
    cpus_run(NCPUS, use_any_block);
    for (unsigned i = 0; i < COUNT(boxes); i++)
        if (boxes[i].state == BOX_FULL)
            release(&rngs[0], &boxes[i].run);
    assert_int_equal(0, nfailed); /* there was room in each block at any time */
}

/* One CPU allocates, the others free in the same order, some blocks behind: the blocks that it gives
 * up to keep others are those that frames come back to. */
static struct {
    uint64_t frames[16384]; /* addresses; all atomic */
    uint64_t written, read, depth;
} queue;

static void produce_or_consume(unsigned cpu)
{
    uint64_t n = MANY * steps;
    paddr_t frame;
    for (uint64_t i = 0; cpu == 0 && i < n; i++) {
        while (i - load(&queue.read) >= queue.depth)
            port_relax();
        CPU_CHECK(pmm_alloc_frame(&frame) == MM_OK);
        store(&queue.frames[i % COUNT(queue.frames)], frame.v);
        store(&queue.written, i + 1);
        if (i % 8192 == 0)
            queue.depth = 15 * 512 + rng_below(&rngs[0], 1500);
    }
    while (cpu != 0) {
        uint64_t i = load(&queue.read);
        while (i < n && i >= load(&queue.written))
            port_relax();
        if (i == n)
            break;
        frame = PA(load(&queue.frames[i % COUNT(queue.frames)]));
        if (__atomic_compare_exchange_n(&queue.read, &i, i + 1, false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_RELAXED))
            CPU_CHECK(pmm_is_used(frame) && pmm_free_frame(frame) == MM_OK);
    }
}

static void what_one_allocates_others_free(void **state)
{
    (void)state;
    queue.written = queue.read = 0;
    queue.depth = 8192;
    cpus_run(NCPUS / 2, produce_or_consume);
}

/* The others empty the cache of a CPU that uses it all the time. */
static uint64_t finished;

static void empty_or_use(unsigned cpu)
{
    struct rng *rng = &rngs[cpu];
    struct run run = {.nframes = 1};
    static const struct pmm_limits slowly = {.kind = PMM_LONG};
    for (uint64_t step = 0; cpu == 0 && step < MANY * steps; step++) {
        run.nframes = step % 2 == 0 ? 1 : 1 + rng_below(rng, 5);
        CPU_CHECK(pmm_alloc_frames(run.nframes, step % 8 == 0 ? NULL : &slowly, &run.base) ==
                  MM_OK);
        own(cpu, &run);
        disown(&run);
        CPU_CHECK(pmm_free_frames(run.base, run.nframes) == MM_OK);
    }
    if (cpu == 0)
        store(&finished, 1);
    while (cpu != 0 && load(&finished) == 0) {
        run.nframes = 1; /* the same frame, as CPU 0's is the only cache that has any */
        if (cpu % 2 != 0 && pmm_alloc_order(PMM_ORDER_GIB, NULL, &run.base) == MM_NOMEM)
            pmm_drain();
        if (cpu % 2 == 0 && pmm_alloc_frame(&run.base) == MM_OK) {
            own(cpu, &run);
            release(rng, &run);
        }
    }
}

static void a_cache_is_emptied_under_its_owners_hands(void **state)
{
    (void)state;
    for (unsigned n = 2; n < 4; n++) {
        store(&finished, 0);
        cpus_run(n, empty_or_use);
        assert_true(pmm_validate());
    }
}

/* CPU 0 gives up the block that the frames are of, as a request that cannot be met makes it. */
static void free_or_give_up(unsigned cpu)
{
    paddr_t never;
    unsigned n = 64;
    for (uint64_t step = 0; step < steps / 4; step++) {
        if (cpu == 0)
            CPU_CHECK(pmm_alloc_batch(n, NULL, everything[0]) == MM_OK);
        cpus_meet();
        for (unsigned i = 0; cpu == 1 && i < n; i++)
            CPU_CHECK(pmm_free_frame(everything[0][i]) == MM_OK);
        if (cpu == 0)
            CPU_CHECK(pmm_alloc_order(PMM_ORDER_GIB, NULL, &never) == MM_NOMEM);
        cpus_meet();
        if (cpu == 0)
            CPU_CHECK(pmm_validate());
    }
}

static void what_is_freed_while_a_block_is_given_up_is_not_lost(void **state)
{
    (void)state;
    cpus_run(2, free_or_give_up);
}

/* --- Misuse, marks, new CPUs ---------------------------------------------------------- */

/* All CPUs free the same frame. One may; a second one may come through unseen, and is then reported
 * when the caches are emptied. */
static paddr_t victim;
static uint64_t freed, taken;

static void free_the_same(unsigned cpu)
{
    for (unsigned i = 0; i < 300; i++) {
        if (cpu == 0)
            CPU_CHECK(pmm_alloc_frame(&victim) == MM_OK);
        cpus_meet();
        if (pmm_free_frame(victim) == MM_OK)
            __atomic_fetch_add(&freed, 1, __ATOMIC_RELAXED);
        cpus_meet();
        if (cpu == 0)
            pmm_drain();
        cpus_meet();
    }
}

static void of_two_frees_one_is_misuse(void **state)
{
    (void)state;
    freed = 0;
    cpus_run(NCPUS, free_the_same);
    assert_in_range(freed, 300, 2 * 300);
    assert_int_equal(300 * (NCPUS - 1), machine.misuses);
    machine.misuses = 0;
}

static void mark_the_same(unsigned cpu)
{
    for (uint64_t i = 0; i < 300; i++) {
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

/* Frames go bad, CPUs come up, and the others allocate, free and stop everybody meanwhile. */
static void change_the_machine(unsigned cpu)
{
    struct rng *rng = &rngs[cpu];
    struct mm_cpu *share;
    struct pmm_stats stats;
    paddr_t frames[8];
    for (unsigned i = 0; i < 200; i++) {
        CPU_CHECK(pmm_alloc_batch(COUNT(frames), NULL, frames) == MM_OK);
        if (cpu == 0 && i >= NCPUS && i < CONFIG_CPUS_MAX)
            CPU_CHECK(mm_cpu_create(i, &share) == MM_OK);
        else if (cpu % 3 == 1)
            CPU_CHECK(pmm_retire_frame(frames[rng_below(rng, 8)]) == MM_OK);
        else
            pmm_drain();
        CPU_CHECK(pmm_free_batch(frames, COUNT(frames)) == MM_OK);
        if (i % 16 == cpu)
            CPU_CHECK(pmm_validate());
        pmm_get_stats(&stats);
        CPU_CHECK(stats.total_kib == stats.used_kib + stats.free_kib);
    }
}

static void cpus_come_up_and_frames_go_bad_meanwhile(void **state)
{
    (void)state;
    cpus_run(NCPUS, change_the_machine);
    struct pmm_stats stats;
    struct mm_cpu *share;
    pmm_get_stats(&stats);
    assert_int_equal(3 * 200 * 4, stats.retired_kib); /* by the CPUs 1, 4 and 7 */
    assert_int_equal(MM_OK, mm_cpu_create(NCPUS, &share));
    assert_true(machine_free_frames() <= free_at_start - 600 - (200 - NCPUS));
    free_at_start = machine_free_frames();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(blocks_change_hands_with_frames_out, wide),
        TEST(what_one_allocates_others_free, wide),
        TEST(a_cache_is_emptied_under_its_owners_hands, wide),
        TEST(what_is_freed_while_a_block_is_given_up_is_not_lost, small),
        TEST(of_two_frees_one_is_misuse, small),
        TEST(marking_is_all_or_none_between_cpus, small),
        TEST(cpus_come_up_and_frames_go_bad_meanwhile, wide),
    };
    return cmocka_run_group_tests_name("frames and other CPUs' hands", tests, NULL, NULL);
}
