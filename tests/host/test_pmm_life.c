/* The frame allocator from the first frame to the last and back, for a single thread that poses as
 * several CPUs; bad frames, added memory, and who writes to what is free. */
#include "mm/cpu.h"
#include "pmm_rig.h"

#define CPUS 5

static struct mm_cpu *shares[CPUS];
static struct rng rng;

/* Be any of the CPUs. */
static void turn(void)
{
    port_set_mm_cpu(shares[rng_below(&rng, CPUS)]);
}

static void make_shares(void)
{
    rng = rng_start();
    for (unsigned i = 0; i < CPUS; i++)
        assert_int_equal(MM_OK, mm_cpu_create(i, &shares[i]));
}

static const struct mem_region ragged[] = {
    {PA(0), 600 * KIB, MEM_USABLE},
    {PA(MIB), 23 * MIB + 12 * KIB, MEM_USABLE},
    {PA(4 * GIB - 3 * MIB), 20 * MIB, MEM_USABLE},
    {PA(TIB + 36 * KIB), 12 * MIB, MEM_USABLE},
};

/* --- To the last frame ---------------------------------------------------------- */

static void shuffle(paddr_t *frames, uint64_t n)
{
    for (uint64_t i = n; i > 1; i--) {
        uint64_t k = rng_below(&rng, i);
        paddr_t frame = frames[i - 1];
        frames[i - 1] = frames[k];
        frames[k] = frame;
    }
}

static void check_orders(const uint64_t *before)
{
    uint64_t after[PMM_ORDER_BLOCK + 1];
    pmm_get_order_stats(PMM_ALL_NODES, after);
    assert_memory_equal(before, after, sizeof after);
    assert_true(pmm_validate());
}

static void frames_to_the_last_become_whole_blocks_again(void **state)
{
    (void)state;
    uint64_t orders[PMM_ORDER_BLOCK + 1], expected, n = 0;
    make_shares();
    pmm_get_order_stats(PMM_ALL_NODES, orders);
    expected = machine_free_frames();
    paddr_t pa, *frames = calloc(expected, sizeof *frames);
    for (turn(); pmm_alloc_frame(&pa) == MM_OK; turn()) {
        assert_true(n < expected);
        frames[n++] = pa;
    }
    assert_int_equal(expected, n);
    for (unsigned i = 0; i < CPUS; i++) {
        port_set_mm_cpu(shares[i]);
        assert_int_equal(MM_NOMEM, pmm_alloc_frame(&pa));
    }
    shuffle(frames, n);
    while (n > 0) {
        turn();
        assert_int_equal(MM_OK, pmm_free_frame(frames[--n]));
        turn();
        assert_int_equal(MM_OK, pmm_alloc_frame(&pa)); /* that one again, wherever it went */
        turn();
        assert_int_equal(MM_OK, pmm_free_frame(pa));
    }
    check_orders(orders);
    free(frames);
}

/* Each size as long as there is one; what is left serves the smaller ones. */
static void runs_of_all_orders_fill_memory_to_the_last_frame(void **state)
{
    (void)state;
    uint64_t orders[PMM_ORDER_BLOCK + 1], expected, n = 0;
    static paddr_t runs[PMM_ORDER_BLOCK + 1][20000];
    uint64_t counts[PMM_ORDER_BLOCK + 1] = {0};
    make_shares();
    pmm_get_order_stats(PMM_ALL_NODES, orders);
    expected = machine_free_frames();
    for (unsigned order = PMM_ORDER_BLOCK + 1; order-- > 0;) {
        for (turn(); pmm_alloc_order(order, NULL, &runs[order][counts[order]]) == MM_OK; turn())
            counts[order]++;
        assert_int_equal(orders[order], counts[order]);
        n += counts[order] << order;
    }
    assert_int_equal(expected, n);
    for (unsigned order = 0; order <= PMM_ORDER_BLOCK; order++) {
        shuffle(runs[order], counts[order]);
        for (uint64_t i = 0; i < counts[order]; i++, turn())
            assert_int_equal(MM_OK, pmm_free_order(runs[order][i], order));
    }
    check_orders(orders);
}

/* The frame that is free is found by each of the others, in whatever cache it lies. */
static void the_last_frame_is_found_in_any_cpus_cache(void **state)
{
    (void)state;
    make_shares();
    paddr_t pa, all[600];
    size_t n = 0;
    while (pmm_alloc_frames(512, NULL, &pa) == MM_OK)
        n++;
    assert_true(n > 20);
    for (n = 0; pmm_alloc_frame(&pa) == MM_OK; n++)
        if (n < COUNT(all))
            all[n] = pa;
    assert_true(n >= COUNT(all));
    for (unsigned i = 0; i < 4000; i++) {
        turn();
        assert_int_equal(MM_OK, pmm_free_frame(all[i % COUNT(all)]));
        turn();
        struct pmm_limits limits = {.kind = (enum pmm_kind)rng_below(&rng, 2)};
        limits.min_addr = PA(rng_below(&rng, 2) * all[i % COUNT(all)].v);
        if (rng_below(&rng, 2) != 0)
            assert_int_equal(MM_OK, pmm_alloc_frames(1, &limits, &pa));
        else
            assert_int_equal(MM_OK, pmm_alloc_batch(1, &limits, &pa));
        assert_true(pa_eq(pa, all[i % COUNT(all)]));
        assert_int_equal(MM_NOMEM, pmm_alloc_batch(1, NULL, &pa));
    }
    assert_true(pmm_validate());
}

static void who_leaves_keeps_nothing_and_may_come_again(void **state)
{
    (void)state;
    paddr_t frames[CPUS], again;
    struct pmm_stats stats;
    make_shares();
    for (unsigned i = 0; i < CPUS; i++) {
        port_set_mm_cpu(shares[i]);
        assert_int_equal(MM_OK, pmm_alloc_frame(&frames[i]));
    }
    for (unsigned i = 0; i < CPUS; i++) {
        pmm_get_stats(&stats);
        assert_int_not_equal(0, stats.cached_kib);
        port_set_mm_cpu(shares[i]);
        pmm_leave();
    }
    pmm_get_stats(&stats);
    assert_int_equal(0, stats.cached_kib);
    assert_true(pmm_validate());
    assert_int_equal(MM_OK, pmm_alloc_frame(&again));
    assert_int_equal(MM_OK, pmm_free_frame(again));
    for (unsigned i = 0; i < CPUS; i++)
        assert_int_equal(MM_OK, pmm_free_frame(frames[i]));
}

/* A share in memory of the caller's, as hosts make them. */
static void a_share_can_be_placed(void **state)
{
    (void)state;
    paddr_t frame;
    make_shares();
    static _Alignas(128) uint8_t memory[1 << 18];
    assert_true(mm_cpu_bytes() <= sizeof memory);
    struct mm_cpu *share = (struct mm_cpu *)(void *)memory; /* aligned as it has to be */
    mm_cpu_place(CPUS, share);
    port_set_mm_cpu(share);
    assert_int_equal(MM_OK, pmm_alloc_frame(&frame));
    assert_int_equal(MM_OK, pmm_free_frame(frame));
    assert_true(pmm_validate());
    pmm_leave();
}

static void long_runs_lie_across_16_mib_and_4_gib(void **state)
{
    (void)state;
    paddr_t pa;
    struct pmm_limits low = {.max_addr = PA(GIB)}, middle = {.max_addr = PA(5 * GIB)};
    assert_int_equal(MM_OK, pmm_alloc_frames(18 * MIB / PAGE_BYTES, &low, &pa));
    assert_in_range(pa.v, 2 * MIB, 6 * MIB);
    middle.min_addr = PA(GIB);
    assert_int_equal(MM_OK, pmm_alloc_frames(18 * MIB / PAGE_BYTES, &middle, &pa));
    assert_true(pa.v < 4 * GIB && pa.v + 18 * MIB > 4 * GIB);
    assert_true(pmm_validate());
}

/* --- When there is none ------------------------------------------------------------ */

static void what_fails_for_want_of_a_frame_changes_nothing(void **state)
{
    (void)state;
    const struct mem_node nodes[] = {{PA(0), GIB, 1}, {PA(TIB), GIB, 2}};
    struct mm_cpu *share = NULL;
    uint64_t before = machine_free_frames();
    machine_fail_allocation(1);
    assert_int_equal(MM_NOMEM, mm_cpu_create(3, &share));
    assert_true(machine_failed());
    assert_null(share);
    machine_fail_allocation(1);
    assert_int_equal(MM_NOMEM, pmm_set_nodes(nodes, COUNT(nodes)));
    assert_true(machine_failed());
    machine_fail_allocation(1);
    assert_int_equal(MM_NOMEM, pmm_retire_frame(PA(2 * MIB)));
    assert_true(machine_failed());
    assert_int_equal(before, machine_free_frames());
    assert_false(pmm_is_used(PA(2 * MIB)));
    assert_true(pmm_validate());
    assert_int_equal(MM_OK, mm_cpu_create(3, &share));
    assert_int_equal(MM_OK, pmm_set_nodes(nodes, COUNT(nodes)));
    assert_int_equal(MM_OK, pmm_retire_frame(PA(2 * MIB)));
}

static void the_kth_allocation_fails_whatever_the_function(void **state)
{
    (void)state;
    paddr_t pa[4];
    machine_fail_allocation(3);
    assert_int_equal(MM_OK, pmm_alloc_order(3, NULL, pa));
    assert_int_equal(MM_OK, pmm_alloc_batch(4, NULL, pa));
    assert_int_equal(MM_NOMEM, pmm_alloc_order(0, NULL, pa));
    assert_true(machine_failed());
    machine_fail_allocation(1);
    assert_int_equal(MM_NOMEM, pmm_alloc_batch(1, NULL, pa));
    assert_true(machine_failed());
}

static void a_cpu_without_a_share_is_told_so(void **state)
{
    (void)state;
    paddr_t pa;
    struct mm_cpu *own = port_mm_cpu(), *share;
    assert_int_equal(MM_RANGE, mm_cpu_create(CONFIG_CPUS_MAX, &share));
    assert_int_equal(MM_OK, mm_cpu_create(0, &share));
    assert_ptr_equal(own, share);
    port_set_mm_cpu(&mm_cpu_none);
    assert_panics((void)(pmm_alloc_frame(&pa) == MM_OK), "no share of the memory manager");
    assert_panics(pmm_free_frame(PA(2 * MIB)), "no share of the memory manager");
    port_set_mm_cpu(own);
}

/* --- Bad frames, more memory ---------------------------------------------------------- */

static uint64_t retired_frames(void)
{
    struct pmm_stats stats;
    pmm_get_stats(&stats);
    return stats.retired_kib * KIB / PAGE_BYTES;
}

static void a_retired_frame_is_never_given_again(void **state)
{
    (void)state;
    paddr_t pa, bad = PA(4 * MIB), used;
    assert_int_equal(MM_OK, pmm_alloc_frames(8, NULL, &used));
    assert_int_equal(MM_OK, pmm_retire_frame(bad));
    assert_int_equal(MM_OK, pmm_retire_frame(used));
    assert_int_equal(MM_EXISTS, pmm_retire_frame(bad));
    assert_int_equal(MM_EXISTS, pmm_retire_frame(used));
    assert_int_equal(MM_INVAL, pmm_retire_frame(pa_add(bad, 1)));
    assert_int_equal(MM_NOTFOUND, pmm_retire_frame(PA(700 * KIB)));
    assert_int_equal(1, retired_frames());
    assert_int_equal(MM_OK, pmm_free_frames(used, 8)); /* as if nothing had happened */
    assert_int_equal(2, retired_frames());
    assert_int_equal(MM_INVAL, pmm_free_frame(used));
    assert_misuse("retired");
    assert_int_equal(MM_INVAL, pmm_free_frame(bad));
    assert_misuse("retired");
    assert_int_equal(MM_EXISTS, pmm_mark_used(bad, 1));
    while (pmm_alloc_frame(&pa) == MM_OK)
        assert_false(pa_eq(pa, bad) || pa_eq(pa, used));
    assert_true(pmm_validate());
}

static void a_frame_that_goes_bad_before_it_is_reclaimed_stays_out(void **state)
{
    (void)state;
    machine_stop();
    start(banks, COUNT(banks));
    paddr_t bad = PA(RAM_BASE + 333 * PAGE_BYTES);
    assert_int_equal(MM_OK, pmm_retire_frame(bad));
    assert_int_equal(0, retired_frames());
    assert_int_equal(169, pmm_reclaim());
    assert_int_equal(1, retired_frames());
    assert_true(pmm_is_used(bad));
    assert_int_equal(MM_INVAL, pmm_free_frame(bad));
    assert_misuse("retired");
    assert_true(pmm_validate());
}

/* The list of bad frames moves when it grows. */
static void thousands_of_frames_can_go_bad(void **state)
{
    (void)state;
    uint64_t before = machine_free_frames();
    for (uint64_t i = 0; i < 3000; i++)
        assert_int_equal(MM_OK, pmm_retire_frame(PA(2 * MIB + i * PAGE_BYTES)));
    assert_int_equal(3000, retired_frames());
    assert_int_equal(before - 3000 - 16, machine_free_frames()); /* 4096 entries of 16 bytes */
    assert_true(pmm_validate());
}

static void added_memory_is_used_like_all_other(void **state)
{
    (void)state;
    const struct mem_region bank = region(GIB, 64 * MIB, MEM_USABLE);
    machine_stop();
    machine_start(ragged, COUNT(ragged));
    assert_int_equal(MM_OK, pmm_init(&ragged[3], 1)); /* the rest comes later */
    assert_int_equal(MM_EXISTS, pmm_add_range(ragged[3].base, 1));
    assert_int_equal(MM_OK, pmm_add_range(ragged[1].base, ragged[1].bytes / PAGE_BYTES));
    assert_int_equal(MM_EXISTS, pmm_add_range(PA(23 * MIB), 1));
    assert_int_equal(MM_OK, pmm_add_range(ragged[2].base, ragged[2].bytes / PAGE_BYTES));
    assert_int_equal(MM_RANGE, pmm_add_range(PA(2 * TIB), 16)); /* beyond the direct map */
    assert_int_equal(MM_RANGE, pmm_add_range(PA(PADDR_LIMIT - PAGE_BYTES), 2));
    assert_int_equal(MM_INVAL, pmm_add_range(bank.base, 0));
    assert_int_equal(MM_INVAL, pmm_add_range(PA(GIB + 1), 10));
    uint64_t total = ragged[1].bytes + ragged[2].bytes + ragged[3].bytes;
    struct pmm_stats stats;
    pmm_get_stats(&stats);
    assert_int_equal(total / KIB, stats.total_kib);
    assert_int_equal(stats.total_kib - stats.metadata_kib, stats.free_kib);
    frames_to_the_last_become_whole_blocks_again(state);
}

/* --- Writers --------------------------------------------------------------------------- */

#ifdef QL_DEBUG
static void write_after_free(uint64_t offset, bool drain)
{
    paddr_t pa, again;
    assert_int_equal(MM_OK, pmm_alloc_frame(&pa));
    uint64_t *words = phys_to_virt(pa);
    assert_int_equal(MM_OK, pmm_free_frame(pa));
    words[offset / sizeof *words] = 0x600d;
    if (drain)
        pmm_drain();
    struct pmm_limits there = {.min_addr = pa, .max_addr = pa_add(pa, PAGE_BYTES)};
    assert_panics((void)(pmm_alloc_frames(1, &there, &again) == MM_OK),
                  "was written to after it was freed: 0x600d");
}

/* Each on a machine of its own, as after a panic nothing goes on. */
static void who_writes_to_a_frame_after_freeing_it_is_found(void **state)
{
    (void)state;
    static const uint64_t offsets[] = {0, 8, 64, 2048, PAGE_BYTES - 64, PAGE_BYTES - 8};
    for (size_t i = 0; i < 2 * COUNT(offsets); i++) {
        write_after_free(offsets[i / 2], i % 2 != 0);
        machine_stop();
        start(ragged, COUNT(ragged));
    }
}

static void a_run_with_one_frame_written_to_is_found(void **state)
{
    (void)state;
    paddr_t pa;
    assert_int_equal(MM_OK, pmm_alloc_frames(512, NULL, &pa));
    assert_int_equal(MM_OK, pmm_free_frames(pa, 512));
    memset((char *)phys_to_virt(pa_add(pa, 300 * PAGE_BYTES)) + 100, 0x55, 3);
    struct pmm_limits there = {.min_addr = pa, .max_addr = pa_add(pa, HUGE_2M)};
    assert_panics((void)(pmm_alloc_frames(512, &there, &pa) == MM_OK),
                  "was written to after it was freed");
}

static void what_is_written_while_a_frame_is_used_does_no_harm(void **state)
{
    (void)state;
    paddr_t pa;
    for (unsigned i = 0; i < 2000; i++) {
        assert_int_equal(MM_OK, pmm_alloc_frame(&pa));
        memset((char *)phys_to_virt(pa) + rng_below(&rng, PAGE_BYTES), 0x6b, 1);
        memset(phys_to_virt(pa), (int)i, i % 3 * 100);
        assert_int_equal(MM_OK, pmm_free_frame(pa));
    }
}
#endif

static int start_ragged(void **state)
{
    (void)state;
    start(ragged, COUNT(ragged));
    return 0;
}

#define LIFE(name) cmocka_unit_test_setup_teardown(name, start_ragged, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LIFE(frames_to_the_last_become_whole_blocks_again),
        LIFE(runs_of_all_orders_fill_memory_to_the_last_frame),
        LIFE(the_last_frame_is_found_in_any_cpus_cache),
        LIFE(who_leaves_keeps_nothing_and_may_come_again),
        LIFE(a_share_can_be_placed),
        LIFE(long_runs_lie_across_16_mib_and_4_gib),
        LIFE(what_fails_for_want_of_a_frame_changes_nothing),
        LIFE(the_kth_allocation_fails_whatever_the_function),
        LIFE(a_cpu_without_a_share_is_told_so),
        LIFE(a_retired_frame_is_never_given_again),
        LIFE(a_frame_that_goes_bad_before_it_is_reclaimed_stays_out),
        LIFE(thousands_of_frames_can_go_bad),
        LIFE(added_memory_is_used_like_all_other),
#ifdef QL_DEBUG
        LIFE(who_writes_to_a_frame_after_freeing_it_is_found),
        LIFE(a_run_with_one_frame_written_to_is_found),
        LIFE(what_is_written_while_a_frame_is_used_does_no_harm),
#endif
    };
    return cmocka_run_group_tests_name("pmm life", tests, NULL, NULL);
}
