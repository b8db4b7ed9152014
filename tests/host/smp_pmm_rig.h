/* What the tests of the frame allocator on several CPUs share: two machines, an owner for each frame,
 * and boxes in which runs go from one CPU to another. QL_STEPS makes the tests longer. */
#ifndef SMP_PMM_RIG_H
#define SMP_PMM_RIG_H

#define NCPUS 8 /* more than the host has */
#include "lock.h"
#include "mm/cpu.h"
#include "smp_rig.h"

#ifdef QL_DEBUG
#define STEPS 6000
#define MANY  3 /* times as many steps where each is short */
#else
#define STEPS 60000
#define MANY  20
#endif
#define HELD   48
#define FRAMES (80 * 512)

static uint64_t owners[FRAMES]; /* of each frame: 0, or the CPU's number + 1; atomic */
static uint64_t free_at_start, nfailed, steps;

/* Far fewer frames than all CPUs would like; and many blocks, that change hands all the time, more
 * than a word of a tree has bits. */
static const struct mem_region small[] = {
    {PA(RAM_BASE), 1000 * PAGE_BYTES, MEM_USABLE},
    {PA(RAM_BASE + 1000 * PAGE_BYTES), 48 * PAGE_BYTES, MEM_RESERVED},
    {PA(RAM_BASE + 1048 * PAGE_BYTES), 1000 * PAGE_BYTES, MEM_USABLE},
};
static const struct mem_region wide[] = {
    {PA(RAM_BASE), 36000 * PAGE_BYTES, MEM_USABLE},
    {PA(RAM_BASE + 36100 * PAGE_BYTES), 4000 * PAGE_BYTES, MEM_USABLE},
};
static const struct mem_node nodes[] = {
    {PA(RAM_BASE), 700 * PAGE_BYTES, 1},
    {PA(RAM_BASE + 700 * PAGE_BYTES), 700 * PAGE_BYTES, 0},
    {PA(RAM_BASE + 1400 * PAGE_BYTES), 700 * PAGE_BYTES, 2},
};

static inline void start_map(const struct mem_region *map, size_t n)
{
    machine_start(map, n);
    assert_int_equal(MM_OK, pmm_init(map, n));
    assert_int_equal(MM_OK, pmm_set_nodes(nodes, COUNT(nodes)));
    cpus_make_shares(NCPUS);
    free_at_start = machine_free_frames();
    memset(owners, 0, sizeof owners);
    nfailed = 0;
    const char *given = getenv("QL_STEPS");
    steps = given != NULL ? strtoull(given, NULL, 0) : STEPS;
    start_rngs();
}

static inline int start_small(void **state)
{
    (void)state;
    start_map(small, COUNT(small));
    return 0;
}

static inline int start_wide(void **state)
{
    (void)state;
    start_map(wide, COUNT(wide));
    return 0;
}

static inline int stop(void **state)
{
    (void)state;
    assert_int_equal(free_at_start, machine_free_frames());
    assert_true(pmm_validate());
    machine_stop();
    return 0;
}

/* --- Owning ------------------------------------------------------------------- */

struct run {
    paddr_t base;
    uint64_t nframes;
    uint64_t tag; /* of the CPU that allocated it */
};

static inline uint64_t *owner_of(paddr_t pa, uint64_t i)
{
    return &owners[pa_diff(PA(RAM_BASE), pa) / PAGE_BYTES + i];
}

/* The frames were nobody's, and are filled with what only this CPU writes. */
static inline void own(unsigned cpu, struct run *run)
{
    run->tag = cpu + 1;
    for (uint64_t i = 0; i < run->nframes; i++) {
        uint64_t *frame = phys_to_virt(pa_add(run->base, i * PAGE_BYTES));
        CPU_CHECK(__atomic_exchange_n(owner_of(run->base, i), run->tag, __ATOMIC_RELAXED) == 0);
        frame[0] = frame[511] = run->tag * 1000003 + pa_number(run->base) + i;
    }
}

static inline void disown(const struct run *run)
{
    for (uint64_t i = 0; i < run->nframes; i++) {
        const uint64_t *frame = phys_to_virt(pa_add(run->base, i * PAGE_BYTES));
        CPU_CHECK(frame[0] == run->tag * 1000003 + pa_number(run->base) + i &&
                  frame[511] == frame[0]);
        CPU_CHECK(__atomic_exchange_n(owner_of(run->base, i), 0, __ATOMIC_RELAXED) == run->tag);
    }
}

/* Runs on their way from one CPU to another. */
static struct {
    uint64_t state; /* atomic */
    struct run run;
} boxes[16];
enum { BOX_EMPTY, BOX_BUSY, BOX_FULL };

/* Put the run into a box, or get the one that is there; false if somebody else is at it. */
static inline bool swap(struct rng *rng, struct run *run, uint64_t from, uint64_t to)
{
    unsigned i = (unsigned)rng_below(rng, COUNT(boxes));
    if (!__atomic_compare_exchange_n(&boxes[i].state, &from, BOX_BUSY, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_RELAXED))
        return false;
    if (to == BOX_FULL)
        boxes[i].run = *run;
    else
        *run = boxes[i].run;
    store(&boxes[i].state, to);
    return true;
}

static paddr_t everything[NCPUS][FRAMES]; /* that each CPU has, for tests that hold much */

static inline void release(struct rng *rng, const struct run *run)
{
    disown(run);
    uint64_t part = rng_below(rng, run->nframes + 1); /* in two parts, at times */
    if (part > 0)
        CPU_CHECK(pmm_free_frames(run->base, part) == MM_OK);
    paddr_t rest = pa_add(run->base, part * PAGE_BYTES);
    if (run->nframes - part == 1)
        CPU_CHECK(pmm_free_frame(rest) == MM_OK);
    else if (part < run->nframes)
        CPU_CHECK(pmm_free_frames(rest, run->nframes - part) == MM_OK);
}

static inline bool look_at(paddr_t base, uint64_t nframes, void *argument)
{
    uint64_t *sum = argument;
    *sum += nframes;
    return pa_le(PA(RAM_BASE), base);
}

static inline void look_around(struct rng *rng)
{
    struct pmm_stats stats;
    struct pmm_node_stats node;
    uint64_t orders[PMM_ORDER_BLOCK + 1], sum = 0;
    switch (rng_below(rng, 6)) {
    case 0:
        CPU_CHECK(pmm_validate());
        break;
    case 1:
        pmm_drain();
        break;
    case 2:
        pmm_get_order_stats(PMM_ALL_NODES, orders);
        break;
    case 3:
        pmm_walk_free(look_at, &sum);
        CPU_CHECK(sum <= free_at_start);
        break;
    case 4:
        pmm_get_node_stats(1, &node);
        CPU_CHECK(node.total_kib == 700 * 4 && node.total_kib == node.used_kib + node.free_kib);
        break;
    default:
        pmm_get_stats(&stats);
        CPU_CHECK(stats.total_kib == stats.used_kib + stats.free_kib);
    }
}

#define TEST(name, machine) cmocka_unit_test_setup_teardown(name, start_##machine, stop)

#endif
