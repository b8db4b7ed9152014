/* What the tests of the frame allocator share: a machine of two banks. */
#ifndef PMM_RIG_H
#define PMM_RIG_H

#include "machine.h"
#include "maps/maps.h"
#include "mm/hhdm.h"
#include "mm/pmm.h"
#include "test.h"

static inline struct mem_region region(uint64_t base, uint64_t bytes, enum mem_type type)
{
    return (struct mem_region){PA(base), bytes, type};
}

/* Two banks with a hole between; the upper one has reclaimable memory
 * in its middle and at its end. */
static const struct mem_region banks[] = {
    {PA(0), 16 * PAGE_BYTES, MEM_USABLE},
    {PA(16 * PAGE_BYTES), 8 * PAGE_BYTES, MEM_RESERVED},
    {PA(RAM_BASE), 300 * PAGE_BYTES, MEM_USABLE},
    {PA(RAM_BASE + 300 * PAGE_BYTES), 100 * PAGE_BYTES, MEM_BOOTLOADER_RECLAIMABLE},
    {PA(RAM_BASE + 400 * PAGE_BYTES), 200 * PAGE_BYTES, MEM_USABLE},
    {PA(RAM_BASE + 600 * PAGE_BYTES), 70 * PAGE_BYTES, MEM_BOOTLOADER_RECLAIMABLE},
};

static inline void start(const struct mem_region *map, size_t n)
{
    machine_start(map, n);
    assert_int_equal(MM_OK, pmm_init(map, n));
    assert_true(pmm_validate());
}

static inline void start_map(const struct test_map *map)
{
    start(map->regions, map->n);
}

static inline int start_banks(void **state)
{
    (void)state;
    start(banks, COUNT(banks));
    return 0;
}

static inline int stop(void **state)
{
    (void)state;
    machine_stop();
    return 0;
}

static inline uint64_t metadata_frames(void)
{
    struct pmm_stats stats;
    pmm_get_stats(&stats);
    return stats.metadata_kib * 1024 / FRAME_BYTES;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start_banks, stop)

#endif
