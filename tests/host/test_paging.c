/* Page tables, read by a walker that shares nothing with paging.c. */
#include "paging_rig.h"

/* --- Single properties ---------------------------------------------------- */

static void a_new_space_maps_nothing(void **state)
{
    (void)state;
    assert_int_equal(1, space.ntables);
    assert_false(look(0).present);
    assert_false(look(HIGH).present);
    vaddr_t cursor = VA(0);
    struct mapping m;
    assert_int_equal(MM_NOTFOUND, paging_next(&space, &cursor, &m));
}

static void protections_become_what_the_cpu_checks(void **state)
{
    (void)state;
    for (prot_t prot = 1; prot < 32; prot++) {
        if ((prot & PROT_WRITE) != 0 && (prot & PROT_EXEC) != 0)
            continue;
        map(0x1000, 0x5000, 1, prot);
        struct walk w = look(0x1234);
        assert_true(w.present);
        assert_int_equal(0x5234, w.pa);
        assert_int_equal((prot & PROT_WRITE) != 0, w.write);
        assert_int_equal((prot & PROT_EXEC) != 0, w.exec);
        assert_int_equal((prot & PROT_USER) != 0, w.user);
        assert_int_equal((prot & PROT_GLOBAL) != 0, w.global);
        unmap(0x1000, 1);
    }
}

static void memory_types_select_their_pat_entry_at_each_page_size(void **state)
{
    (void)state;
    static const unsigned shifts[] = {12, 21, 30};
    for (size_t i = 0; i < COUNT(shifts); i++)
        for (cache_t cache = CACHE_WB; cache <= CACHE_WC; cache++) {
            uint64_t bytes = 1ull << shifts[i], npages = bytes / PAGE_BYTES;
            assert_int_equal(MM_OK, paging_map(&space, VA(bytes), PA(bytes), npages, RW, cache));
            struct walk w = look(bytes + 0x123);
            assert_int_equal(shifts[i], w.shift);
            assert_int_equal(cache, w.pat);
            assert_int_equal(bytes + 0x123, w.pa);
            struct mapping m;
            assert_int_equal(MM_OK, paging_query(&space, VA(bytes), &m));
            assert_int_equal(cache, m.cache);
            assert_int_equal(MM_OK, paging_protect(&space, VA(bytes), 1, PROT_READ, cache));
            assert_int_equal(cache, look(bytes).pat); /* moved to another bit by the split */
            assert_int_equal(cache, look(2 * bytes - 1).pat);
            unmap(bytes, npages);
        }
}

static void nothing_is_user_accessible_through_the_kernel_half(void **state)
{
    (void)state;
    assert_int_equal(MM_DENIED, paging_map(&space, VA(HIGH), PA(0), 1, PROT_USER, CACHE_WB));
    map(HIGH, 0, 1, RW);
    uint64_t *root = phys_to_virt(space.root);
    assert_int_equal(0, root[256] & 4);
    map(0x1000, 0, 1, RW | PROT_USER);
    assert_int_equal(4, root[0] & 4);
}

static void features_that_the_cpu_lacks_are_not_used(void **state)
{
    (void)state;
    machine.cpu = (struct port_cpu){.phys_bits = 36, .levels = machine.cpu.levels};
    map(GIB, GIB, GIB / PAGE_BYTES, RW | PROT_GLOBAL); /* the walker fails on a reserved bit */
    struct walk w = look(GIB);
    assert_int_equal(21, w.shift);
    assert_false(w.global);
    assert_true(w.exec);
    struct mapping m;
    assert_int_equal(MM_OK, paging_query(&space, VA(GIB), &m));
    assert_int_equal(PROT_READ | PROT_WRITE | PROT_EXEC, m.prot);
}

static void write_and_execute_together_are_denied(void **state)
{
    (void)state;
    prot_t wx = PROT_READ | PROT_WRITE | PROT_EXEC;
    assert_int_equal(MM_DENIED, paging_map(&space, VA(0x1000), PA(0), 1, wx, CACHE_WB));
    map(0x1000, 0, 1, RX);
    assert_int_equal(MM_DENIED, paging_protect(&space, VA(0x1000), 1, wx, CACHE_WB));
    assert_false(look(0x1000).write);
    space.allow_wx = true;
    protect(0x1000, 1, wx);
    assert_true(look(0x1000).write && look(0x1000).exec);
}

static void malformed_arguments_are_refused(void **state)
{
    (void)state;
    const struct {
        uint64_t va, pa, npages;
        prot_t prot;
        unsigned cache;
        mm_status_t want;
    } cases[] = {
        {0x1001, 0, 1, RW, 0, MM_INVAL},
        {0x1000, 8, 1, RW, 0, MM_INVAL},
        {0x1000, 0, 0, RW, 0, MM_INVAL},
        {0x1000, 0, 1, 0, 0, MM_INVAL},
        {0x1000, 0, 1, 0x20, 0, MM_INVAL},
        {0x1000, 0, 1, RW, 6, MM_INVAL},
        {0x1000, 0, 1, RW, -1u, MM_INVAL},
        {LOW_END, 0, 1, RW, 0, MM_RANGE},
        {HIGH - PAGE_BYTES, 0, 1, RW, 0, MM_RANGE},
        {LOW_END - PAGE_BYTES, 0, 2, RW, 0, MM_RANGE},
        {-PAGE_BYTES, 0, 2, RW, 0, MM_RANGE},
        {0, 0, UINT64_MAX, RW, 0, MM_RANGE},
        {0, 1ull << 46, 1, RW, 0, MM_RANGE},
        {0, (1ull << 46) - PAGE_BYTES, 2, RW, 0, MM_RANGE},
        {0, -PAGE_BYTES, 2, RW, 0, MM_RANGE},
    };
    uint64_t before = snapshot();
    for (size_t i = 0; i < COUNT(cases); i++) {
        mm_status_t got = paging_map(&space, VA(cases[i].va), PA(cases[i].pa), cases[i].npages,
                                     cases[i].prot, (cache_t)cases[i].cache);
        if (got != cases[i].want)
            fail_msg("case %zu: %s", i, mm_status_name(got));
    }
    struct mapping m;
    assert_int_equal(MM_RANGE, paging_query(&space, VA(LOW_END), &m));
    assert_int_equal(MM_RANGE, paging_unmap(&space, VA(LOW_END), 1));
    assert_int_equal(MM_INVAL, paging_unmap(&space, VA(0x1000), 0));
    assert_int_equal(MM_INVAL, paging_protect(&space, VA(0x1000), 1, 0, CACHE_WB));
    assert_int_equal(before, snapshot());
}

static void both_ends_of_both_halves_can_be_mapped(void **state)
{
    (void)state;
    map(0, 0, 1, RW);
    map(LOW_END - PAGE_BYTES, PAGE_BYTES, 1, RW);
    map(HIGH, 2 * PAGE_BYTES, 1, RW);
    map(-PAGE_BYTES, (1ull << 46) - PAGE_BYTES, 1, RW);
    assert_int_equal((1ull << 46) - 1, look(UINT64_MAX).pa);
    assert_int_equal(2 * PAGE_BYTES - 1, look(LOW_END - 1).pa);
    unmap(-PAGE_BYTES, 1);
    unmap(LOW_END - PAGE_BYTES, 1);
}

static void the_largest_page_that_fits_both_addresses_is_used(void **state)
{
    (void)state;
    const struct {
        uint64_t va, pa, bytes;
        unsigned shift;
    } cases[] = {
        {GIB, 2 * GIB, GIB, 30},
        {GIB, 2 * GIB, GIB - PAGE_BYTES, 21},
        {GIB, 2 * GIB + HUGE_2M, GIB, 21},
        {GIB + HUGE_2M, 2 * GIB + HUGE_2M, GIB, 21},
        {GIB, 2 * GIB + PAGE_BYTES, GIB, 12},
        {HUGE_2M, HUGE_2M, HUGE_2M, 21},
        {HUGE_2M, HUGE_2M, HUGE_2M - PAGE_BYTES, 12},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        map(cases[i].va, cases[i].pa, cases[i].bytes / PAGE_BYTES, RW);
        assert_int_equal(cases[i].shift, look(cases[i].va).shift);
        assert_int_equal(cases[i].pa + cases[i].bytes - 1,
                         look(cases[i].va + cases[i].bytes - 1).pa);
        unmap(cases[i].va, cases[i].bytes / PAGE_BYTES);
    }
    machine.cpu.page_1g = false;
    map(GIB, 2 * GIB, GIB / PAGE_BYTES, RW);
    assert_int_equal(21, look(GIB).shift);
}

static void sizes_change_inside_one_range(void **state)
{
    (void)state;
    uint64_t va = GIB - HUGE_2M - PAGE_BYTES,
             npages = (GIB + 2 * HUGE_2M + 2 * PAGE_BYTES) / PAGE_BYTES;
    map(va, va, npages, RW);
    assert_int_equal(12, look(GIB - HUGE_2M - PAGE_BYTES).shift);
    assert_int_equal(21, look(GIB - HUGE_2M).shift);
    assert_int_equal(30, look(GIB).shift);
    assert_int_equal(21, look(2 * GIB).shift);
    assert_int_equal(12, look(2 * GIB + HUGE_2M).shift);
    assert_false(look(2 * GIB + HUGE_2M + PAGE_BYTES).present);
    assert_int_equal(LEVELS - 3 + 1 + 2 + 2, space.ntables); /* PML4, PDPT, two PDs, two PTs */
}

static void mapping_over_a_mapped_page_changes_nothing(void **state)
{
    (void)state;
    map(HUGE_2M + 5 * PAGE_BYTES, 0, 1, RW);
    map(GIB, 0, GIB / PAGE_BYTES, RW);
    uint64_t before = snapshot();
    assert_int_equal(MM_EXISTS, paging_map(&space, VA(0), PA(0), 1024, RW, CACHE_WB));
    assert_int_equal(MM_EXISTS, paging_map(&space, VA(HUGE_2M), PA(0), 512, RW, CACHE_WB));
    assert_int_equal(MM_EXISTS, paging_map(&space, VA(GIB + HUGE_2M), PA(0), 1, RW, CACHE_WB));
    assert_int_equal(MM_EXISTS,
                     paging_map(&space, VA(0), PA(0), GIB / PAGE_BYTES + 1, RW, CACHE_WB));
    assert_int_equal(before, snapshot());
}

static void unmap_frees_empty_tables(void **state)
{
    (void)state;
    map(0x1000, 0, 1, RW);
    map(0x3000, 0, 1, RW);
    assert_int_equal(LEVELS, space.ntables);
    unmap(0x1000, 1);
    assert_int_equal(LEVELS, space.ntables);
    unmap(0x3000, 1);
    assert_int_equal(1, space.ntables);

    map(GIB - PAGE_BYTES, GIB - PAGE_BYTES, 2 + 5 * 512, RW);
    assert_true(space.ntables > LEVELS);
    unmap(GIB - PAGE_BYTES, 2 + 5 * 512);
    assert_int_equal(1, space.ntables);
    assert_int_equal(frames_at_start - 1, machine_free_frames());
}

static void a_hole_in_the_range_refuses_unmap_and_protect(void **state)
{
    (void)state;
    map(0x1000, 0, 4, RW);
    map(0x6000, 0, 4, RW);
    map(HUGE_2M, HUGE_2M, 512, RW);
    uint64_t before = snapshot();
    assert_int_equal(MM_NOTFOUND, paging_unmap(&space, VA(0x1000), 9));
    assert_int_equal(MM_NOTFOUND, paging_unmap(&space, VA(0), 2));
    assert_int_equal(MM_NOTFOUND, paging_unmap(&space, VA(HUGE_2M + PAGE_BYTES), 512));
    assert_int_equal(MM_NOTFOUND, paging_protect(&space, VA(0x1000), 9, PROT_READ, CACHE_WB));
    assert_int_equal(MM_NOTFOUND, paging_unmap(&space, VA(HIGH), 1));
    assert_int_equal(before, snapshot());
}

static void partial_changes_split_only_what_they_must(void **state)
{
    (void)state;
    map(GIB, GIB, GIB / PAGE_BYTES, RW | PROT_GLOBAL);
    assert_int_equal(LEVELS - 2, space.ntables);
    unmap(GIB + 3 * HUGE_2M, 512); /* the 1 GiB page becomes 2 MiB pages, no further */
    assert_int_equal(LEVELS - 1, space.ntables);
    assert_int_equal(21, look(GIB).shift);
    assert_false(look(GIB + 3 * HUGE_2M).present);
    assert_true(look(GIB + 4 * HUGE_2M).present);

    protect(GIB + PAGE_BYTES, 1, RX);
    assert_int_equal(LEVELS, space.ntables);
    struct walk w = look(GIB + PAGE_BYTES), beside = look(GIB + 2 * PAGE_BYTES);
    assert_true(w.exec && !w.write && !w.global);
    assert_true(beside.write && !beside.exec && beside.global);
    assert_int_equal(GIB + 2 * PAGE_BYTES, beside.pa);
    assert_int_equal(21, look(GIB + HUGE_2M).shift);
}

static void protecting_whole_large_pages_keeps_them(void **state)
{
    (void)state;
    map(GIB, GIB, 2 * GIB / PAGE_BYTES, RW);
    protect(GIB, GIB / PAGE_BYTES, PROT_READ);
    assert_int_equal(30, look(GIB).shift);
    assert_false(look(GIB).write);
    assert_true(look(2 * GIB).write);
    assert_int_equal(LEVELS - 2, space.ntables);
}

static void query_describes_the_whole_entry(void **state)
{
    (void)state;
    map(HUGE_2M, 3 * HUGE_2M, 512, RX | PROT_GLOBAL);
    struct mapping m = {.bytes = 77};
    assert_int_equal(MM_NOTFOUND, paging_query(&space, VA(0x1000), &m));
    assert_int_equal(77, m.bytes);
    assert_int_equal(MM_OK, paging_query(&space, VA(HUGE_2M + 0x12345), &m));
    assert_int_equal(HUGE_2M, m.va.v);
    assert_int_equal(3 * HUGE_2M, m.pa.v);
    assert_int_equal(HUGE_2M, m.bytes);
    assert_int_equal(HUGE_2M, m.page_bytes);
    assert_int_equal(RX | PROT_GLOBAL, m.prot);
    assert_int_equal(CACHE_WB, m.cache);
}

struct run {
    uint64_t va, pa, npages, page_bytes;
    prot_t prot;
};

static void expect_runs(uint64_t from, const struct run *runs, size_t n)
{
    vaddr_t cursor = VA(from);
    struct mapping m;
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(MM_OK, paging_next(&space, &cursor, &m));
        assert_int_equal(runs[i].va, m.va.v);
        assert_int_equal(runs[i].pa, m.pa.v);
        assert_int_equal(runs[i].npages * PAGE_BYTES, m.bytes);
        assert_int_equal(runs[i].page_bytes, m.page_bytes);
        assert_int_equal(runs[i].prot, m.prot);
    }
    vaddr_t before = cursor;
    assert_int_equal(MM_NOTFOUND, paging_next(&space, &cursor, &m));
    assert_int_equal(before.v, cursor.v);
}

static void iteration_gives_maximal_runs_in_order_and_ends(void **state)
{
    (void)state;
    map(0, 0x2000, 3, RW);
    map(0x3000, 0x3000, 2, RX);                       /* another protection */
    map(0x5000, 0x9000, 2, RX);                       /* not contiguous behind */
    map(HUGE_2M - 0x2000, HUGE_2M - 0x2000, 514, RX); /* a small run, then a large page */
    map(2 * HUGE_2M, 2 * HUGE_2M, 1024, RX);          /* continues the large one */
    map(LOW_END - PAGE_BYTES, 0, 1, RW);
    map(HIGH, PAGE_BYTES, 1, RW);
    map(-2 * PAGE_BYTES, 0, 2, RW); /* its memory continues at address 0, its addresses do not */
    const struct run runs[] = {
        {0, 0x2000, 3, PAGE_BYTES, RW},
        {0x3000, 0x3000, 2, PAGE_BYTES, RX},
        {0x5000, 0x9000, 2, PAGE_BYTES, RX},
        {HUGE_2M - 0x2000, HUGE_2M - 0x2000, 2, PAGE_BYTES, RX},
        {HUGE_2M, HUGE_2M, 3 * 512, HUGE_2M, RX},
        {LOW_END - PAGE_BYTES, 0, 1, PAGE_BYTES, RW},
        {HIGH, PAGE_BYTES, 1, PAGE_BYTES, RW},
        {-2 * PAGE_BYTES, 0, 2, PAGE_BYTES, RW},
    };
    expect_runs(0, runs, COUNT(runs));
}

static void iteration_may_begin_anywhere(void **state)
{
    (void)state;
    map(0x1000, 0x1000, 4, RW);
    map(HUGE_2M, HUGE_2M, 512, RX);
    map(-PAGE_BYTES, 0, 1, RW);
    const struct run inside[] = {
        {0x3000, 0x3000, 2, PAGE_BYTES, RW},
        {HUGE_2M, HUGE_2M, 512, HUGE_2M, RX},
        {-PAGE_BYTES, 0, 1, PAGE_BYTES, RW},
    };
    expect_runs(0x3000, inside, 3);
    expect_runs(0x2001, inside, 3);
    expect_runs(0x4001, inside + 1, 2);
    expect_runs(HUGE_2M + PAGE_BYTES, inside + 2, 1);
    expect_runs(LOW_END + 12345, inside + 2, 1);
    expect_runs(HIGH - 1, inside + 2, 1);
    expect_runs(-PAGE_BYTES, inside + 2, 1);
    expect_runs(-PAGE_BYTES + 1, NULL, 0);
}

static void switching_loads_the_root_and_forgets_everything(void **state)
{
    (void)state;
    paging_switch(&space);
    assert_int_equal(space.root.v, port_get_root().v);
    assert_int_equal(1, cpus_get_counts().whole_flushes);
    assert_panics(paging_destroy(&space), "cpu_set_is_empty");
}

static void creation_without_memory_fails_cleanly(void **state)
{
    (void)state;
    struct space other = {.ntables = 42};
    machine_fail_allocation(1);
    assert_int_equal(MM_NOMEM, paging_create(&other));
    assert_true(machine_failed());
    assert_int_equal(42, other.ntables);
}

/* --- Validation can fail -------------------------------------------------- */

static uint64_t *slot_of(uint64_t va, unsigned shift)
{
    uint64_t table = space.root.v;
    for (unsigned s = LEVELS * 9 + 3;; s -= 9) {
        uint64_t *slot = (uint64_t *)phys_to_virt(PA(table)) + (va >> s & 511);
        if (s == shift)
            return slot;
        table = *slot & 0xffffffffff000;
    }
}

static void validation_sees_each_kind_of_damage(void **state)
{
    (void)state;
    map(0x1000, 0x1000, 1, RW);
    map(HUGE_2M, HUGE_2M, 512, RW);
    map(GIB, GIB, GIB / PAGE_BYTES, RW);
    const struct {
        uint64_t va;
        unsigned shift;
        uint64_t flip;
    } damage[] = {
        {0x1000, 12, 1ull << 50},            /* beyond the physical width */
        {HUGE_2M, 21, 1ull << 13},           /* reserved in a large page */
        {GIB, 30, 1ull << 21},               /* likewise */
        {0, 39, 1ull << 7},                  /* no pages at this level */
        {0x1000, 12, 1},                     /* an empty table */
        {HIGH, LEVELS * 9 + 3, 0x200000001}, /* a table in a frame that is free */
        {0x1000, 12, 0x1001},                /* a state of no kind */
        {0x1000, 21, 1ull << 52},            /* a wrong count */
        {0x1000, 21, 1ull << 62},            /* a lock that nobody holds */
        {0x1000, 21, 1ull << 5},             /* a table that was not accessed */
    };
    for (size_t i = 0; i < COUNT(damage); i++) {
        uint64_t *slot = slot_of(damage[i].va, damage[i].shift);
        *slot ^= damage[i].flip;
        if (paging_validate(&space))
            fail_msg("damage %zu passed", i);
        *slot ^= damage[i].flip;
        assert_true(paging_validate(&space));
    }
    uint64_t *again = slot_of(2 * GIB, 30); /* one table, two parents */
    *again = *slot_of(0, 30);
    assert_false(paging_validate(&space));
    *again = 0;
    machine.cpu.nx = false;
    assert_false(paging_validate(&space));
    machine.cpu.nx = true;
    machine.cpu.page_1g = false;
    assert_false(paging_validate(&space));
    machine.cpu.page_1g = true;
}

/* --- Failure of each allocation ------------------------------------------- */

static mm_status_t map_far(void)
{
    /* Small, large and huge pages, over the border of a PML4 entry; tables on both sides. */
    uint64_t va = 512 * GIB - HUGE_2M - PAGE_BYTES;
    return paging_map(&space, VA(va), PA(va), (2 * HUGE_2M + GIB + 2 * PAGE_BYTES) / PAGE_BYTES, RW,
                      CACHE_WB);
}

static mm_status_t unmap_in_huge_page(void)
{
    return paging_unmap(&space, VA(GIB + HUGE_2M - PAGE_BYTES), 514);
}

static mm_status_t unmap_across_huge_pages(void)
{
    return paging_unmap(&space, VA(2 * GIB - PAGE_BYTES), 2);
}

static mm_status_t protect_in_huge_page(void)
{
    return paging_protect(&space, VA(3 * GIB - 3 * PAGE_BYTES), 2, PROT_READ, CACHE_WC);
}

static mm_status_t map_many(void)
{
    uint64_t va = 700 * GIB - HUGE_2M;
    return paging_map(&space, VA(va), PA(PAGE_BYTES), 513 * 512, RW, CACHE_WB);
}

static void every_failing_allocation_changes_nothing(void **state)
{
    (void)state;
    const struct {
        mm_status_t (*operation)(void);
        unsigned tables;
    } cases[] = {
        {map_far, 5},            /* PD and PT in front; PDPT, PD and PT behind */
        {unmap_in_huge_page, 3}, /* one PD, two PTs */
        {unmap_across_huge_pages, 4},
        {protect_in_huge_page, 2},
        {map_many, 516}, /* more than one directory of frames; PDPT and two PDs */
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        map(GIB, GIB, 2 * GIB / PAGE_BYTES, RW);
        uint64_t before = snapshot(), tables = space.ntables;
        unsigned k = 1;
        for (;; k++) {
            machine_fail_allocation(k);
            mm_status_t status = cases[i].operation();
            if (!machine_failed()) {
                assert_int_equal(MM_OK, status);
                break;
            }
            assert_int_equal(MM_NOMEM, status);
            assert_int_equal(before, snapshot());
            assert_true(paging_validate(&space));
        }
        assert_true(k > 1);
        assert_int_equal(cases[i].tables, space.ntables - tables);
        assert_true(paging_validate(&space));
        paging_destroy(&space);
        assert_int_equal(MM_OK, paging_create(&space));
    }
}

/* Not a call that fails, but memory that ends in the middle of one. */
static void memory_that_runs_out_anywhere_changes_nothing(void **state)
{
    (void)state;
    static paddr_t frames[16 * MIB / PAGE_BYTES];
    const struct {
        mm_status_t (*operation)(void);
        unsigned tables;
    } cases[] = {{map_far, 5}, {unmap_in_huge_page, 3}, {map_many, 516}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        map(GIB, GIB, 2 * GIB / PAGE_BYTES, RW);
        const unsigned tables = cases[i].tables, step = tables < 20 ? 1 : 43;
        for (unsigned left = 0; left <= tables;
             left = left + step > tables ? left + 1 : left + step) {
            uint64_t taken = machine_free_frames() - left;
            assert_int_equal(MM_OK, pmm_alloc_batch(taken, NULL, frames));
            uint64_t before = snapshot();
            mm_status_t status = cases[i].operation();
            assert_int_equal(left < tables ? MM_NOMEM : MM_OK, status);
            if (left < tables)
                assert_int_equal(before, snapshot());
            assert_true(paging_validate(&space));
            assert_int_equal(MM_OK, pmm_free_batch(frames, taken));
        }
        paging_destroy(&space);
        assert_int_equal(MM_OK, paging_create(&space));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_new_space_maps_nothing),
        TEST(protections_become_what_the_cpu_checks),
        TEST(memory_types_select_their_pat_entry_at_each_page_size),
        TEST(nothing_is_user_accessible_through_the_kernel_half),
        TEST(features_that_the_cpu_lacks_are_not_used),
        TEST(write_and_execute_together_are_denied),
        TEST(malformed_arguments_are_refused),
        TEST(both_ends_of_both_halves_can_be_mapped),
        TEST(the_largest_page_that_fits_both_addresses_is_used),
        TEST(sizes_change_inside_one_range),
        TEST(mapping_over_a_mapped_page_changes_nothing),
        TEST(unmap_frees_empty_tables),
        TEST(a_hole_in_the_range_refuses_unmap_and_protect),
        TEST(partial_changes_split_only_what_they_must),
        TEST(protecting_whole_large_pages_keeps_them),
        TEST(query_describes_the_whole_entry),
        TEST(iteration_gives_maximal_runs_in_order_and_ends),
        TEST(iteration_may_begin_anywhere),
        TEST(switching_loads_the_root_and_forgets_everything),
        TEST(creation_without_memory_fails_cleanly),
        TEST(validation_sees_each_kind_of_damage),
        TEST(every_failing_allocation_changes_nothing),
        TEST(memory_that_runs_out_anywhere_changes_nothing),
    };
    return cmocka_run_group_tests_name("paging", tests, NULL, NULL);
}
