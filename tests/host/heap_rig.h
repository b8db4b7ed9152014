/* What the tests of the heap share: a machine with 32 MiB, and patterns that tell whose memory it
 * is. */
#ifndef HEAP_RIG_H
#define HEAP_RIG_H

#include "config.h"
#include "heap_level.h"
#include "machine.h"
#include "mm/cpu.h"
#include "mm/heap_stats.h"
#include "mm/hhdm.h"
#include "mm/pmm.h"
#include "test.h"

#define RIG_CPUS 4u

static struct mm_cpu *rig_shares[RIG_CPUS];
static uint64_t frames_at_start;

/* From now on the test is this CPU. */
static inline void be(unsigned cpu)
{
    port_set_mm_cpu(rig_shares[cpu]);
}

static inline struct heap_totals totals(void)
{
    struct heap_totals t;
    heap_get_totals(&t);
    return t;
}

static inline struct heap_stats stats_of(unsigned class, unsigned cpu)
{
    struct heap_stats s;
    assert_int_equal(MM_OK, heap_get_stats(class, cpu, &s));
    return s;
}

/* What is free, and what the heap keeps for good. */
static inline uint64_t frames_there(void)
{
    return machine_free_frames() + totals().descriptor_bytes / FRAME_BYTES;
}

static inline int start_with(uint64_t bytes)
{
    machine_start_simple(bytes);
    for (unsigned i = 0; i < RIG_CPUS; i++)
        assert_int_equal(MM_OK, mm_cpu_create(i, &rig_shares[i]));
    uint64_t before = machine_free_frames();
    assert_int_equal(MM_OK, heap_init());
    heap_level(0);
    assert_true(heap_validate());
    struct heap_tuning tuning;
    heap_get_tuning(&tuning);
    tuning.sample_rate = 0;
    assert_int_equal(MM_OK, heap_tune(&tuning));
    heap_shrink();
    frames_at_start = frames_there();
    assert_int_equal(before, frames_at_start);
    return 0;
}

static inline int start(void **state)
{
    (void)state;
    return start_with(32 * MIB);
}

/* Every test frees what it has allocated: then all frames come back. */
static inline int stop(void **state)
{
    (void)state;
    assert_true(heap_validate());
    for (unsigned i = 0; i < RIG_CPUS; i++) {
        be(i);
        heap_shrink();
    }
    be(0);
    struct heap_totals t = totals();
    assert_int_equal(0, t.all.live);
    assert_int_equal(0, t.all.live_bytes);
    assert_int_equal(t.all.allocations, t.all.frees);
    assert_true(heap_validate());
    assert_int_equal(frames_at_start, frames_there());
    assert_true(pmm_validate());
    machine_stop();
    return 0;
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
            fail_msg("byte %zu of object %u has changed", i, tag);
}

static inline void expect_zeros(const unsigned char *p, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (p[i] != 0)
            fail_msg("byte %zu of %zu is not zero", i, bytes);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

#endif
