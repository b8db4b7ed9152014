/* What an operation on page tables makes CPUs forget: enough, no more, and once. And the sets of
 * CPUs that are asked. */
#include "cpu_set.h"
#include "paging_rig.h"

static struct tlb_batch last;
static unsigned shootdowns;

static void remember(const struct tlb_batch *batch)
{
    last = *batch;
    shootdowns++;
}

static int start_loaded(void **state)
{
    (void)state;
    start_with(4);
    machine.on_shootdown = remember;
    paging_switch(&space);
    shootdowns = 0;
    return 0;
}

static void expect_range(unsigned i, uint64_t va, uint64_t count, uint64_t page_bytes)
{
    assert_false(last.whole);
    assert_true(i < last.count);
    assert_int_equal(va, last.ranges[i].va.v);
    assert_int_equal(count, last.ranges[i].count);
    assert_int_equal(page_bytes, last.ranges[i].page_bytes);
}

static void one_operation_is_one_shootdown(void **state)
{
    (void)state;
    map(GIB - 8 * PAGE_BYTES, 0x5000, 16, RW); /* in two tables */
    assert_int_equal(0, shootdowns);           /* nobody can have cached what was not there */
    protect(GIB - 8 * PAGE_BYTES, 16, PROT_READ);
    assert_int_equal(1, shootdowns);
    assert_int_equal(1, last.count);
    assert_int_equal(space.root.v, last.root.v);
    expect_range(0, GIB - 8 * PAGE_BYTES, 16, PAGE_BYTES);
    unmap(GIB - 6 * PAGE_BYTES, 3);
    assert_int_equal(2, shootdowns);
    expect_range(0, GIB - 6 * PAGE_BYTES, 3, PAGE_BYTES);
    unmap(GIB - 8 * PAGE_BYTES, 2);
    unmap(GIB - 3 * PAGE_BYTES, 11);
    assert_int_equal(4, shootdowns);
}

static void what_stays_as_it_is_is_not_flushed(void **state)
{
    (void)state;
    map(GIB, 0x5000, 8, RW);
    protect(GIB, 8, RW);
    assert_int_equal(0, shootdowns);
    protect(GIB + 2 * PAGE_BYTES, 2, PROT_READ);
    protect(GIB, 8, PROT_READ);
    assert_int_equal(2, shootdowns);
    assert_int_equal(2, last.count);
    expect_range(0, GIB, 2, PAGE_BYTES);
    expect_range(1, GIB + 4 * PAGE_BYTES, 4, PAGE_BYTES);
    assert_int_equal(MM_NOTFOUND, paging_unmap(&space, VA(GIB), 9));
    assert_int_equal(2, shootdowns);
    unmap(GIB, 8);
}

static void above_the_threshold_all_is_flushed(void **state)
{
    (void)state;
    map(GIB + PAGE_BYTES, 0x5000, 2 * CONFIG_TLB_FLUSH_PAGES + 1, RW);
    unmap(GIB + PAGE_BYTES, CONFIG_TLB_FLUSH_PAGES);
    expect_range(0, GIB + PAGE_BYTES, CONFIG_TLB_FLUSH_PAGES, PAGE_BYTES);
    unmap(GIB + (1 + CONFIG_TLB_FLUSH_PAGES) * PAGE_BYTES, CONFIG_TLB_FLUSH_PAGES + 1);
    assert_true(last.whole);
}

static void a_large_page_is_one_translation(void **state)
{
    (void)state;
    map(4 * GIB - HUGE_2M, 4 * GIB - HUGE_2M, (2 * HUGE_2M + HUGE_1G) / PAGE_BYTES, RW);
    unmap(4 * GIB - HUGE_2M, (2 * HUGE_2M + HUGE_1G) / PAGE_BYTES);
    assert_int_equal(3, last.count);
    expect_range(0, 4 * GIB - HUGE_2M, 1, HUGE_2M);
    expect_range(1, 4 * GIB, 1, HUGE_1G);
    expect_range(2, 5 * GIB, 1, HUGE_2M);
}

static void after_a_split_all_is_flushed(void **state)
{
    (void)state;
    map(GIB, GIB, 512, RW);
    unmap(GIB + PAGE_BYTES, 1);
    assert_int_equal(1, shootdowns);
    assert_true(last.whole);
    unmap(GIB, 1);
    expect_range(0, GIB, 1, PAGE_BYTES);
    unmap(GIB + 2 * PAGE_BYTES, 510);
}

/* It gets its frames before it maps anything: nobody can have cached what it has not done. */
static void a_failed_operation_flushes_nothing(void **state)
{
    (void)state;
    machine_fail_allocation(1);
    mm_status_t status = paging_map(&space, VA(GIB - PAGE_BYTES), PA(0), 2, RW, CACHE_WB);
    assert_true(machine_failed());
    assert_int_equal(MM_NOMEM, status);
    map(GIB, GIB, 512, RW);
    machine_fail_allocation(1);
    assert_int_equal(MM_NOMEM, paging_unmap(&space, VA(GIB), 1));
    assert_true(machine_failed());
    assert_int_equal(0, shootdowns);
    unmap(GIB, 512);
}

static void a_space_that_no_cpu_has_is_not_flushed(void **state)
{
    (void)state;
    map(GIB, 0x5000, 8, RW);
    paging_leave();
    unmap(GIB, 8);
    assert_int_equal(0, shootdowns);
}

/* --- Batches and sets ----------------------------------------------------- */

static void a_batch_overflows_into_a_whole_flush(void **state)
{
    (void)state;
    struct tlb_batch batch = {0};
    assert_true(tlb_batch_is_empty(&batch));
    for (unsigned i = 0; i < TLB_BATCH_RANGES; i++)
        tlb_batch_add(&batch, VA(i * 2 * PAGE_BYTES), PAGE_BYTES);
    assert_int_equal(TLB_BATCH_RANGES, batch.count);
    tlb_batch_add(&batch, VA((2 * TLB_BATCH_RANGES - 1) * PAGE_BYTES), PAGE_BYTES);
    assert_false(batch.whole);
    tlb_batch_add(&batch, VA(2 * TLB_BATCH_RANGES * PAGE_BYTES),
                  HUGE_2M); /* follows in size only */
    assert_true(batch.whole);
    tlb_batch_add(&batch, VA(0), PAGE_BYTES);
    assert_true(batch.whole && !tlb_batch_is_empty(&batch));
}

static void sets_hold_what_was_added(void **state)
{
    (void)state;
    struct rng rng = rng_start();
    struct cpu_set set = {{0}};
    bool model[CONFIG_CPUS_MAX] = {0};
    assert_int_equal(CONFIG_CPUS_MAX, cpu_set_next(&set, 0));
    for (unsigned step = 0; step < 4000; step++) {
        unsigned cpu = (unsigned)rng_below(&rng, CONFIG_CPUS_MAX), seen = 0, total = 0;
        model[cpu] = rng_below(&rng, 2) == 0;
        (model[cpu] ? cpu_set_add : cpu_set_remove)(&set, cpu);
        for_each_cpu(i, &set)
        {
            assert_true(i < CONFIG_CPUS_MAX && model[i] && cpu_set_has(&set, i));
            seen++;
        }
        for (unsigned i = 0; i < CONFIG_CPUS_MAX; i++)
            total += model[i];
        assert_int_equal(total, seen);
        assert_int_equal(total, cpu_set_count(&set));
        struct cpu_set copy = cpu_set_copy(&set);
        assert_memory_equal(&set, &copy, sizeof set);
        assert_int_equal(total == 0, cpu_set_is_empty(&set));
    }
}

#define LOADED(name) cmocka_unit_test_setup_teardown(name, start_loaded, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOADED(one_operation_is_one_shootdown),
        LOADED(what_stays_as_it_is_is_not_flushed),
        LOADED(above_the_threshold_all_is_flushed),
        LOADED(a_large_page_is_one_translation),
        LOADED(after_a_split_all_is_flushed),
        LOADED(a_failed_operation_flushes_nothing),
        LOADED(a_space_that_no_cpu_has_is_not_flushed),
        cmocka_unit_test(a_batch_overflows_into_a_whole_flush),
        cmocka_unit_test(sets_hold_what_was_added),
    };
    return cmocka_run_group_tests_name("tlb", tests, NULL, NULL);
}
