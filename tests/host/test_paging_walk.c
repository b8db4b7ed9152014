/* Page tables: the way to an address, entry by entry; and iterating where most is empty. */
#include "paging_owner.h"

#define WINDOW 0xffffc00000000000ull

/* What each step must be, from the root down; the last is what the test's own walker ends at. */
static unsigned expect_way(uint64_t va)
{
    struct paging_step steps[PAGING_STEPS];
    struct walk last = look(va);
    unsigned n = paging_walk(&space, VA(va), steps);
    uint64_t table = space.root.v;
    assert_in_range(n, 1, LEVELS);
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(table, steps[i].table.v);
        assert_int_equal(LEVELS - i, steps[i].level);
        assert_int_equal(va >> (12 + 9 * (steps[i].level - 1)) & 511, steps[i].slot);
        assert_int_equal(((uint64_t *)phys_to_virt(PA(table)))[steps[i].slot], steps[i].raw);
        assert_int_equal(i + 1 < n, steps[i].is_table);
        assert_false(steps[i].locked);
        table = steps[i].raw & 0xffffffffff000;
    }
    assert_int_equal(last.table, steps[n - 1].table.v);
    assert_int_equal(last.raw, steps[n - 1].raw);
    return n;
}

static void a_walk_shows_every_entry(void **state)
{
    (void)state;
    struct paging_step steps[PAGING_STEPS];
    map(GIB, GIB, 3, RW);
    map(2 * GIB, 0, 512, RX);
    set(3 * GIB, 5, EMPTY, &lazy);
    set(8 * GIB, GIB / PAGE_BYTES, EMPTY, &guard);
    assert_int_equal(LEVELS, expect_way(GIB + 2 * PAGE_BYTES + 123));
    assert_int_equal(LEVELS, expect_way(GIB + 3 * PAGE_BYTES));
    assert_int_equal(LEVELS - 1, expect_way(2 * GIB + 12345));
    assert_int_equal(LEVELS, expect_way(3 * GIB + 4 * PAGE_BYTES));
    assert_int_equal(LEVELS - 2, expect_way(8 * GIB + 4 * HUGE_2M));
    assert_int_equal(1, expect_way(-PAGE_BYTES));

    assert_int_equal(LEVELS, paging_walk(&space, VA(GIB), steps));
    assert_int_equal(4, steps[LEVELS - 4].entries); /* the four GiB */
    assert_int_equal(1, steps[LEVELS - 3].entries);
    assert_int_equal(3, steps[LEVELS - 2].entries);
    assert_false(steps[LEVELS - 2].has_states || steps[LEVELS - 2].stays);
    assert_int_equal(LEVELS, paging_walk(&space, VA(3 * GIB), steps));
    assert_true(steps[LEVELS - 2].has_states);
    assert_int_equal(0, paging_walk(&space, VA(LOW_END), steps));
    assert_int_equal(0, paging_walk(&space, VA(HIGH - 1), steps));
}

static void a_walk_shows_tables_that_stay(void **state)
{
    (void)state;
    struct paging_step steps[PAGING_STEPS];
    space.kernel = true;
    assert_int_equal(MM_OK, paging_seal(&space, VA(WINDOW), 4 * TIB / PAGE_BYTES));
    assert_int_equal(2, expect_way(WINDOW + 3 * TIB));
    assert_int_equal(2, paging_walk(&space, VA(WINDOW + 3 * TIB), steps));
    assert_true(steps[0].stays);
    assert_int_equal(0, steps[1].raw);
    map(WINDOW + 3 * TIB, 0, 1, RW);
    assert_int_equal(LEVELS, expect_way(WINDOW + 3 * TIB));
    unmap(WINDOW + 3 * TIB, 1);
    assert_int_equal(2, expect_way(WINDOW + 3 * TIB));
}

/* Single pages where a table, a half of one or a row of empty ones begins or ends: iterating finds each,
 * and nothing else; also through tables that are empty and stay. */
static void iterating_passes_over_what_is_empty_only(void **state)
{
    (void)state;
    static const unsigned slots[] = {0, 1, 2, 254, 255, 256, 257, 510, 511};
    const uint64_t bases[] = {0,
                              GIB,
                              TIB + 511 * GIB + 510 * HUGE_2M,
                              LOW_END - HUGE_2M,
                              HIGH,
                              WINDOW + TIB,
                              WINDOW + 3 * TIB + 255 * GIB + 511 * HUGE_2M,
                              WINDOW + 4 * TIB + 256 * GIB + 255 * HUGE_2M,
                              0ull - HUGE_2M};
    space.kernel = true;
    map(HIGH, 0, 1, RW); /* in use before the root is sealed */
    map(-PAGE_BYTES, 0, 1, RW);
    assert_int_equal(MM_OK, paging_seal(&space, VA(WINDOW), 6 * TIB / PAGE_BYTES));
    unmap(HIGH, 1);
    unmap(-PAGE_BYTES, 1);
    for (unsigned chosen = 0; chosen < 1u << COUNT(slots); chosen++) {
        uint64_t expected[COUNT(bases) * COUNT(slots)];
        size_t n = 0, found = 0;
        for (size_t i = 0; i < COUNT(bases); i++)
            for (unsigned j = 0; j < COUNT(slots); j++)
                if (chosen * (2 * i + 1) >> j & 1) { /* other ones in each table */
                    uint64_t va = bases[i] + slots[j] * PAGE_BYTES;
                    prot_t prot = slots[j] % 2 ? RW : PROT_READ; /* no two are one run */
                    assert_int_equal(MM_OK,
                                     paging_map(&space, VA(va), PA(0x5000), 1, prot, CACHE_WB));
                    expected[n++] = va;
                }
        struct mapping m;
        for (vaddr_t at = VA(0); paging_next(&space, &at, &m) == MM_OK;) {
            assert_true(found < n);
            assert_int_equal(expected[found++], m.va.v);
            assert_int_equal(PAGE_BYTES, m.bytes);
        }
        assert_int_equal(n, found);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(MM_OK, paging_unmap(&space, VA(expected[i]), 1));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_walk_shows_every_entry),
        TEST(a_walk_shows_tables_that_stay),
        TEST(iterating_passes_over_what_is_empty_only),
    };
    return cmocka_run_group_tests_name("paging: ways", tests, NULL, NULL);
}
