/* What the tests of the heap share: a machine with 32 MiB, and patterns that tell whose memory it
 * is. */
#ifndef HEAP_RIG_H
#define HEAP_RIG_H

#include "config.h"
#include "machine.h"
#include "mm/heap.h"
#include "mm/hhdm.h"
#include "mm/pmm.h"
#include "test.h"

#define HEADER         16
#define RESERVE_FRAMES (CONFIG_HEAP_GROW_BYTES / FRAME_BYTES)

static uint64_t frames_at_start;

static inline int start(void **state)
{
    (void)state;
    machine_start_simple(32 * MIB);
    frames_at_start = machine_free_frames();
    assert_int_equal(MM_OK, heap_init());
    assert_true(heap_validate());
    return 0;
}

/* Every test frees what it has allocated: then the heap has its reserve and the list of runs. */
static inline int stop(void **state)
{
    (void)state;
    struct heap_stats stats;
    heap_get_stats(&stats);
    assert_true(heap_validate());
    assert_int_equal(0, stats.used_bytes);
    assert_int_equal(0, stats.live_blocks);
    assert_int_equal(stats.allocations, stats.frees);
    assert_in_range(frames_at_start - machine_free_frames(), 2, RESERVE_FRAMES + 2);
    assert_true(pmm_validate());
    machine_stop();
    return 0;
}

static inline uint64_t used_bytes(void)
{
    struct heap_stats stats;
    heap_get_stats(&stats);
    return stats.used_bytes;
}

static inline uint64_t failures(void)
{
    struct heap_stats stats;
    heap_get_stats(&stats);
    return stats.failures;
}

static inline void fill(unsigned char *p, size_t bytes, unsigned tag)
{
    for (size_t i = 0; i < bytes; i++)
        p[i] = (unsigned char)(tag * 31 + i * 7);
}

static inline void expect_fill(const unsigned char *p, size_t bytes, unsigned tag)
{
    for (size_t i = 0; i < bytes; i++)
        if (p[i] != (unsigned char)(tag * 31 + i * 7))
            fail_msg("byte %zu of block %u has changed", i, tag);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

#endif
