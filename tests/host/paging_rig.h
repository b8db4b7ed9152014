/* What the tests of page tables share: a machine with a few MiB, one space, and short names for what
 * is done to it. Every test ends with the space destroyed and no frame lost. */
#ifndef PAGING_RIG_H
#define PAGING_RIG_H

#include "machine.h"
#include "mm/hhdm.h"
#include "mm/paging.h"
#include "mm/pmm.h"
#include "test.h"
#include "walker.h"

#define RW      (PROT_READ | PROT_WRITE)
#define RX      (PROT_READ | PROT_EXEC)
#define LOW_END (machine.cpu.levels == 5 ? 1ull << 56 : 1ull << 47)
#define HIGH    (-LOW_END) /* the first address of the upper half */
#define LEVELS  ((unsigned)machine.cpu.levels)

#ifndef RIG_RAM
#define RIG_RAM (16 * MIB)
#endif

static struct space space;
static uint64_t frames_at_start;

static inline int start_with(unsigned levels)
{
    machine_start_simple(RIG_RAM);
    machine.cpu.levels = (uint8_t)levels;
    frames_at_start = machine_free_frames();
    assert_int_equal(MM_OK, paging_create(&space));
    return 0;
}

static inline int start(void **state)
{
    (void)state;
    return start_with(4);
}

static inline int start_5_levels(void **state)
{
    (void)state;
    return start_with(5);
}

static inline int stop(void **state)
{
    (void)state;
    assert_true(paging_validate(&space));
    port_set_root(PA(0));
    paging_leave();
    paging_destroy(&space);
    assert_int_equal(frames_at_start, machine_free_frames());
    assert_true(pmm_validate());
    machine_stop();
    return 0;
}

static inline void map(uint64_t va, uint64_t pa, uint64_t npages, prot_t prot)
{
    assert_int_equal(MM_OK, paging_map(&space, VA(va), PA(pa), npages, prot, CACHE_WB));
    assert_true(paging_validate(&space));
}

static inline void unmap(uint64_t va, uint64_t npages)
{
    assert_int_equal(MM_OK, paging_unmap(&space, VA(va), npages));
    assert_true(paging_validate(&space));
}

static inline void protect(uint64_t va, uint64_t npages, prot_t prot)
{
    assert_int_equal(MM_OK, paging_protect(&space, VA(va), npages, prot, CACHE_WB));
    assert_true(paging_validate(&space));
}

static inline struct walk look(uint64_t va)
{
    return walk(space.root.v, va);
}

static inline uint64_t snapshot(void)
{
    uint64_t ntables, hash = walk_hash(space.root.v, &ntables);
    assert_int_equal(ntables, space.ntables);
    return hash ^ machine_free_frames();
}

/* Everything is the same with 4 and with 5 levels. */
#define TEST(name) TEST_ON_4_AND_5_LEVELS(name, start, stop)

#endif
