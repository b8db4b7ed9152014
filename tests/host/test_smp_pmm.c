/* Frames given to several CPUs at once, more than the host has: none twice, none lost, and none
 * refused while one is free. */
#include "smp_pmm_rig.h"

/* --- Anything at random ---------------------------------------------------------- */

static struct pmm_limits random_limits(struct rng *rng)
{
    struct pmm_limits limits = {.kind = (enum pmm_kind)rng_below(rng, 2)};
    limits.align_frames = 1ull << rng_below(rng, 5);
    limits.node_rule = (enum pmm_node_rule)rng_below(rng, 3);
    limits.node = (uint32_t)rng_below(rng, 3);
    if (rng_below(rng, 3) == 0)
        limits.max_addr = PA(RAM_BASE + rng_below(rng, FRAMES) * PAGE_BYTES);
    if (rng_below(rng, 4) == 0)
        limits.min_addr = PA(RAM_BASE + rng_below(rng, FRAMES) * PAGE_BYTES);
    limits.zeroed = rng_below(rng, 16) == 0;
    return limits;
}

static bool allocate_limited(struct rng *rng, struct run *run)
{
    struct pmm_limits limits = random_limits(rng);
    run->nframes = rng_below(rng, 32) == 0 ? 600 : rng_size(rng, 40);
    if (pmm_alloc_frames(run->nframes, &limits, &run->base) != MM_OK)
        return false;
    CPU_CHECK(pa_aligned(run->base, limits.align_frames * PAGE_BYTES));
    paddr_t end = pa_add(run->base, run->nframes * PAGE_BYTES), last = pa_add(end, -PAGE_BYTES);
    CPU_CHECK(pa_le(limits.min_addr, run->base));
    CPU_CHECK(limits.max_addr.v == 0 || pa_le(end, limits.max_addr));
    if (limits.node_rule == PMM_NODE_REQUIRED)
        CPU_CHECK(pmm_node_of(run->base) == limits.node && pmm_node_of(last) == limits.node);
    const uint64_t *word = phys_to_virt(last);
    CPU_CHECK(!limits.zeroed || word[17] == 0);
    return true;
}

static bool allocate(struct rng *rng, struct run *run)
{
    run->nframes = 1;
    switch (rng_below(rng, 8)) {
    case 0:
    case 1:
        return allocate_limited(rng, run);
    case 2: {
        unsigned order = (unsigned)rng_below(rng, PMM_ORDER_BLOCK + 1);
        run->nframes = 1ull << order;
        return pmm_alloc_order(order, NULL, &run->base) == MM_OK;
    }
    case 3:
        return pmm_alloc_batch(1, NULL, &run->base) == MM_OK;
    case 4: {
        uint64_t i = rng_below(rng, FRAMES);
        run->base = PA(RAM_BASE + i * PAGE_BYTES);
        if (rng_below(rng, 8) == 0)
            return pmm_mark_used(run->base, 1) == MM_OK;
        return pmm_try_mark_used(run->base, 1) == MM_OK;
    }
    default:
        return pmm_alloc_frame(&run->base) == MM_OK;
    }
}

static void allocate_and_free(unsigned cpu)
{
    struct rng *rng = &rngs[cpu];
    struct run held[HELD];
    unsigned n = 0;
    for (uint64_t step = 0; step < steps || n > 0; step++) {
        unsigned want = step < steps ? (unsigned)rng_below(rng, HELD) : 0;
        if (n <= want && n < HELD && step < steps) {
            if (allocate(rng, &held[n]))
                own(cpu, &held[n++]);
            else
                __atomic_fetch_add(&nfailed, 1, __ATOMIC_RELAXED);
        } else {
            unsigned i = (unsigned)rng_below(rng, n);
            CPU_CHECK(pmm_is_used(held[i].base));
            if (rng_below(rng, 2) == 0 || !swap(rng, &held[i], BOX_EMPTY, BOX_FULL))
                release(rng, &held[i]);
            held[i] = held[--n];
        }
        if (n < HELD && swap(rng, &held[n], BOX_FULL, BOX_EMPTY))
            release(rng, &held[n]); /* what another CPU allocated */
        if (rng_below(rng, 256) == 0)
            look_around(rng);
    }
}

static void no_frame_is_given_twice(void **state)
{
    (void)state;
    memset(boxes, 0, sizeof boxes);
    cpus_run(NCPUS, allocate_and_free);
    for (unsigned i = 0; i < COUNT(boxes); i++)
        if (boxes[i].state == BOX_FULL)
            release(&rngs[0], &boxes[i].run);
    assert_true(nfailed > 0); /* memory was short at times */
}

/* --- To the last frame ------------------------------------------------------------- */

static uint64_t taken;

/* Frees what the CPU before it took. */
static void take_all_and_free(unsigned cpu)
{
    for (unsigned round = 0; round < 3; round++) {
        uint64_t n = 0;
        while (pmm_alloc_frame(&everything[cpu][n]) == MM_OK) {
            CPU_CHECK(__atomic_exchange_n(owner_of(everything[cpu][n], 0), 1, __ATOMIC_RELAXED) ==
                      0);
            n++;
        }
        everything[cpu][n] = PA(0);
        __atomic_fetch_add(&taken, n, __ATOMIC_RELAXED);
        cpus_meet();
        CPU_CHECK(load(&taken) == free_at_start);
        cpus_meet();
        store(&taken, 0);
        for (paddr_t *frame = everything[(cpu + 1) % NCPUS]; frame->v != 0; frame++) {
            CPU_CHECK(__atomic_exchange_n(owner_of(*frame, 0), 0, __ATOMIC_RELAXED) == 1);
            CPU_CHECK(pmm_free_frame(*frame) == MM_OK);
        }
        cpus_meet();
    }
}

static void all_cpus_at_once_get_every_frame(void **state)
{
    (void)state;
    taken = 0;
    cpus_run(NCPUS, take_all_and_free);
}

/* Each CPU holds at most its part, so one frame is always free, though never the same one. */
static uint64_t part, looks;

static void stay_below(unsigned cpu)
{
    struct rng *rng = &rngs[cpu];
    paddr_t *held = everything[cpu];
    uint64_t n = 0;
    for (uint64_t step = 0; step < steps || n > 0; step++) {
        uint64_t room = part - n, some = room > 4 ? 4 : room;
        unsigned what = (unsigned)rng_below(rng, 16);
        if (step < steps && room > 0 && (what < 11 || n == 0)) {
            struct pmm_limits limits = {.kind = (enum pmm_kind)(what % 2)};
            if (what == 0)
                CPU_CHECK(pmm_alloc_batch(some, &limits, held + n) == MM_OK);
            else if (what < 6)
                CPU_CHECK(pmm_alloc_frames(1, &limits, held + n) == MM_OK);
            else
                CPU_CHECK(pmm_alloc_frame(held + n) == MM_OK);
            for (uint64_t end = n + (what == 0 ? some : 1); n < end; n++)
                CPU_CHECK(__atomic_exchange_n(owner_of(held[n], 0), 1, __ATOMIC_RELAXED) == 0);
        } else if (n > 0) {
            uint64_t i = rng_below(rng, n);
            CPU_CHECK(__atomic_exchange_n(owner_of(held[i], 0), 0, __ATOMIC_RELAXED) == 1);
            CPU_CHECK(pmm_free_frame(held[i]) == MM_OK);
            held[i] = held[--n];
        }
        if (looks != 0 && rng_below(rng, looks) == 0)
            look_around(rng);
    }
}

/* Few frames in all: the rest is held by nobody in particular. */
static void stay_below_with(uint64_t frames_left, uint64_t look_every)
{
    static paddr_t rest[FRAMES];
    uint64_t n = 0;
    pmm_drain();
    while (machine_free_frames() > frames_left)
        assert_int_equal(MM_OK, pmm_alloc_frame(&rest[n++]));
    part = (frames_left - 1) / NCPUS;
    looks = look_every;
    cpus_run(NCPUS, stay_below);
    assert_int_equal(frames_left, machine_free_frames());
    while (n > 0)
        assert_int_equal(MM_OK, pmm_free_frame(rest[--n]));
}

static void none_is_refused_while_a_frame_is_free(void **state)
{
    (void)state;
    static const uint64_t left[] = {NCPUS + 1, 2 * NCPUS + 1, 8 * NCPUS + 1, 100 * NCPUS + 1};
    for (size_t i = 0; i < COUNT(left); i++)
        stay_below_with(left[i], 0);
    steps /= 4;
    stay_below_with(4 * NCPUS + 1, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(no_frame_is_given_twice, small),
        TEST(no_frame_is_given_twice, wide),
        TEST(all_cpus_at_once_get_every_frame, small),
        TEST(all_cpus_at_once_get_every_frame, wide),
        TEST(none_is_refused_while_a_frame_is_free, small),
    };
    return cmocka_run_group_tests_name("frames of several CPUs", tests, NULL, NULL);
}
