/* Page tables: what CPUs note in entries, merging, protection keys, states in entries that are not
 * present, and that what others hold is waited for. */
#include "paging_rig.h"

#define ACCESSED 0x20ull
#define DIRTY    0x40ull

/* The entry that translates va, as a CPU would change it. */
static uint64_t *entry_of(uint64_t va)
{
    struct walk w = look(va);
    assert_true(w.present);
    return (uint64_t *)phys_to_virt(PA(w.table)) + (va >> w.shift & 511);
}

static unsigned used_at(uint64_t va)
{
    struct mapping m;
    assert_int_equal(MM_OK, paging_query(&space, VA(va), &m));
    return m.used;
}

static unsigned clear_used(uint64_t va, uint64_t npages, unsigned which)
{
    unsigned found = 77;
    assert_int_equal(MM_OK, paging_clear_used(&space, VA(va), npages, which, &found));
    return found;
}

static uint64_t merge(uint64_t va, uint64_t npages)
{
    uint64_t freed = 77;
    assert_int_equal(MM_OK, paging_merge(&space, VA(va), npages, &freed));
    assert_true(paging_validate(&space));
    return freed;
}

/* --- What CPUs note ------------------------------------------------------- */

static void notes_are_kept_by_protect_and_by_splitting(void **state)
{
    (void)state;
    map(GIB, GIB, GIB / PAGE_BYTES, RW);
    *entry_of(GIB) |= ACCESSED | DIRTY;
    protect(GIB + PAGE_BYTES, 1, PROT_READ); /* splits twice */
    assert_int_equal(USED_ACCESSED | USED_DIRTY, used_at(GIB));
    assert_int_equal(USED_ACCESSED | USED_DIRTY, used_at(GIB + PAGE_BYTES));
    assert_int_equal(USED_ACCESSED | USED_DIRTY, used_at(2 * GIB - 1));
    map(0x1000, 0x1000, 2, RW);
    *entry_of(0x1000) |= DIRTY;
    protect(0x1000, 2, PROT_READ);
    assert_int_equal(USED_DIRTY, used_at(0x1000));
    assert_int_equal(0, used_at(0x2000));
}

static void notes_are_read_and_cleared(void **state)
{
    (void)state;
    map(GIB, 0x1000, 8, RW);
    map(GIB + HUGE_2M, HUGE_2M, 512, RW);
    assert_int_equal(0,
                     clear_used(GIB, 1024, USED_ACCESSED | USED_DIRTY)); /* holes are passed over */
    *entry_of(GIB + PAGE_BYTES) |= ACCESSED;
    *entry_of(GIB + 7 * PAGE_BYTES) |= ACCESSED | DIRTY;
    *entry_of(GIB + HUGE_2M) |= ACCESSED;
    assert_int_equal(USED_ACCESSED, clear_used(GIB, 7, USED_ACCESSED | USED_DIRTY));
    assert_int_equal(0, used_at(GIB + PAGE_BYTES));
    assert_int_equal(USED_DIRTY, clear_used(GIB, 8, USED_DIRTY));
    assert_int_equal(USED_ACCESSED, used_at(GIB + 7 * PAGE_BYTES));
    assert_int_equal(USED_ACCESSED, clear_used(GIB + HUGE_2M + 5 * PAGE_BYTES, 1, USED_ACCESSED));
    assert_int_equal(21, look(GIB + HUGE_2M).shift); /* not split for that */
    unsigned found = 77;
    assert_int_equal(MM_INVAL, paging_clear_used(&space, VA(GIB), 1, 0, &found));
    assert_int_equal(MM_INVAL, paging_clear_used(&space, VA(GIB), 1, 4, &found));
    assert_int_equal(MM_RANGE, paging_clear_used(&space, VA(LOW_END), 1, 1, &found));
    assert_int_equal(77, found);
    assert_true(paging_validate(&space));
}

static unsigned shootdowns;
static struct tlb_batch last;

static void remember(const struct tlb_batch *batch)
{
    shootdowns++;
    last = *batch;
}

static void clearing_notes_flushes_what_had_them(void **state)
{
    (void)state;
    machine.on_shootdown = remember;
    paging_switch(&space);
    map(GIB, 0x1000, 8, RW);
    shootdowns = 0;
    assert_int_equal(0, clear_used(GIB, 8, USED_ACCESSED));
    assert_int_equal(0, shootdowns);
    *entry_of(GIB + 3 * PAGE_BYTES) |= ACCESSED;
    assert_int_equal(USED_ACCESSED, clear_used(GIB, 8, USED_ACCESSED));
    assert_int_equal(1, shootdowns);
    assert_int_equal(1, last.pages);
    assert_int_equal(GIB + 3 * PAGE_BYTES, last.ranges[0].va.v);
}

static void a_run_has_the_notes_of_its_pages(void **state)
{
    (void)state;
    map(GIB - 4 * PAGE_BYTES, 0x5000, 700, RW);
    *entry_of(GIB + 600 * PAGE_BYTES) |= DIRTY; /* does not end the run */
    *entry_of(GIB) |= ACCESSED;
    vaddr_t cursor = VA(0);
    struct mapping m;
    assert_int_equal(MM_OK, paging_next(&space, &cursor, &m));
    assert_int_equal(700 * PAGE_BYTES, m.bytes);
    assert_int_equal(USED_ACCESSED | USED_DIRTY, m.used);
    assert_int_equal(MM_NOTFOUND, paging_next(&space, &cursor, &m));
}

/* --- Merging -------------------------------------------------------------- */

static void alike_pages_are_merged(void **state)
{
    (void)state;
    map(GIB, GIB, GIB / PAGE_BYTES, RX);
    protect(GIB + 5 * PAGE_BYTES, 1, PROT_READ);
    assert_int_equal(LEVELS, space.ntables);
    assert_int_equal(0, merge(GIB, GIB / PAGE_BYTES)); /* one page is different */
    protect(GIB + 5 * PAGE_BYTES, 1, RX);
    *entry_of(GIB + 7 * PAGE_BYTES) |= DIRTY;
    assert_int_equal(0, merge(GIB + PAGE_BYTES, GIB / PAGE_BYTES - 1)); /* not all in the range */
    assert_int_equal(1, merge(GIB, 512));
    assert_int_equal(21, look(GIB).shift);
    assert_int_equal(USED_DIRTY, used_at(GIB));
    assert_int_equal(1, merge(0, 4 * GIB / PAGE_BYTES)); /* the rest of the range is empty */
    assert_int_equal(30, look(GIB).shift);
    assert_int_equal(USED_DIRTY, used_at(GIB));
    assert_true(look(GIB).exec && !look(GIB).write);
    assert_int_equal(2 * GIB - 1, look(2 * GIB - 1).pa);
    assert_int_equal(LEVELS - 2, space.ntables);
}

static void many_tables_are_merged_at_once(void **state)
{
    (void)state;
    for (uint64_t va = GIB; va < 2 * GIB; va += HUGE_2M) /* 512 tables: nothing fits at first */
        for (uint64_t half = 0; half < HUGE_2M; half += HUGE_2M / 2)
            assert_int_equal(MM_OK,
                             paging_map(&space, VA(va + half), PA(va + half), 256, RW, CACHE_WC));
    assert_int_equal(LEVELS - 1 + 512, space.ntables);
    assert_int_equal(513, merge(GIB, GIB / PAGE_BYTES));
    struct walk w = look(GIB + 12345);
    assert_int_equal(30, w.shift);
    assert_int_equal(CACHE_WC, w.pat);
    assert_int_equal(GIB + 12345, w.pa);
    assert_int_equal(0, merge(GIB, GIB / PAGE_BYTES));
}

static void what_cannot_be_one_page_is_not_merged(void **state)
{
    (void)state;
    map(GIB, PAGE_BYTES, 512, RW); /* misaligned memory */
    assert_int_equal(0, merge(0, 2 * GIB / PAGE_BYTES));
    unmap(GIB, 512);
    map(GIB, HUGE_2M, 256, RW);
    map(GIB + 256 * PAGE_BYTES, HUGE_2M, 256, RW); /* not contiguous */
    assert_int_equal(0, merge(0, 2 * GIB / PAGE_BYTES));
    unmap(GIB + 256 * PAGE_BYTES, 256);
    map(GIB + 257 * PAGE_BYTES, HUGE_2M + 257 * PAGE_BYTES, 255, RW); /* a hole */
    assert_int_equal(0, merge(0, 2 * GIB / PAGE_BYTES));
    machine.cpu.page_1g = false;
    map(4 * GIB, 4 * GIB, GIB / PAGE_BYTES, RW);
    assert_int_equal(0, merge(4 * GIB, GIB / PAGE_BYTES)); /* the CPU has no such pages */
    assert_int_equal(21, look(4 * GIB).shift);
}

static uint64_t *old_entry;

/* A CPU that still knows the table notes something in it, in the last moment. */
static void note_late(const struct tlb_batch *batch)
{
    assert_true(batch->whole);
    *old_entry |= DIRTY;
}

static void what_is_noted_while_merging_is_kept(void **state)
{
    (void)state;
    paging_switch(&space);
    map(GIB, GIB, 512, RW);
    protect(GIB, 1, PROT_READ);
    protect(GIB, 1, RW);
    old_entry = entry_of(GIB + 300 * PAGE_BYTES);
    machine.on_shootdown = note_late;
    assert_int_equal(1, merge(GIB, 512));
    assert_int_equal(USED_DIRTY, used_at(GIB));
    machine.on_shootdown = NULL;
}

/* --- Protection keys ------------------------------------------------------ */

static void keys_need_a_cpu_that_has_them(void **state)
{
    (void)state;
    prot_t prot = RW | PROT_USER | PROT_KEY(9);
    assert_int_equal(MM_INVAL, paging_map(&space, VA(GIB), PA(GIB), 512, prot, CACHE_WB));
    machine.cpu.pkeys = true;
    map(GIB, GIB, 512, prot);
    struct mapping m;
    assert_int_equal(MM_OK, paging_query(&space, VA(GIB), &m));
    assert_int_equal(9, PROT_KEY_OF(m.prot));
    protect(GIB, 1, PROT_READ | PROT_USER | PROT_KEY(15));
    assert_int_equal(15, look(GIB).raw >> 59 & 15);
    assert_int_equal(9, look(GIB + PAGE_BYTES).raw >> 59 & 15);
    machine.cpu.pkeys = false;
    assert_false(paging_validate(&space));
    machine.cpu.pkeys = true;
}

/* --- States --------------------------------------------------------------- */

#define EMPTY KIND(ENTRY_EMPTY)

static void reserve(uint64_t va, uint64_t npages, const struct page_state *s)
{
    assert_int_equal(MM_OK, paging_set(&space, VA(va), npages, EMPTY, s));
    assert_true(paging_validate(&space));
}

static void a_reserved_range_is_neither_mapped_nor_free(void **state)
{
    (void)state;
    const struct page_state guard = {.kind = 3, .value = 0x12345};
    reserve(GIB, 4, &guard);
    uint64_t before = snapshot();
    struct mapping m;
    assert_int_equal(MM_OK, paging_look(&space, VA(GIB + 3 * PAGE_BYTES), &m));
    assert_int_equal(3, m.kind);
    assert_int_equal(0x12345, m.value);
    assert_int_equal(MM_OK, paging_look(&space, VA(GIB + 4 * PAGE_BYTES), &m));
    assert_int_equal(ENTRY_EMPTY, m.kind);
    assert_false(look(GIB).present);
    assert_int_equal(MM_NOTFOUND, paging_query(&space, VA(GIB), &m));
    assert_int_equal(MM_NOTFOUND, paging_unmap(&space, VA(GIB), 1));
    assert_int_equal(MM_NOTFOUND, paging_protect(&space, VA(GIB), 1, RW, CACHE_WB));
    assert_int_equal(MM_EXISTS, paging_map(&space, VA(GIB + PAGE_BYTES), PA(0), 1, RW, CACHE_WB));
    assert_int_equal(MM_EXISTS, paging_map(&space, VA(0), PA(0), GIB / 2048, RW, CACHE_WB));
    assert_int_equal(MM_EXISTS, paging_set(&space, VA(GIB), 1, EMPTY, &guard));
    assert_int_equal(before, snapshot());
    vaddr_t cursor = VA(0);
    assert_int_equal(MM_NOTFOUND, paging_next(&space, &cursor, &m));
    map(GIB + 4 * PAGE_BYTES, 0, 508, RW); /* a table that is full, but not of pages */
    assert_int_equal(MM_NOTFOUND, paging_unmap(&space, VA(GIB), 512));
    assert_int_equal(0, merge(GIB, 512));
    unmap(GIB + 4 * PAGE_BYTES, 508);
    assert_int_equal(before, snapshot());
}

static void a_large_reservation_takes_few_entries(void **state)
{
    (void)state;
    reserve(TIB, TIB / PAGE_BYTES, &(struct page_state){.kind = 1}); /* two entries of the PML4 */
    assert_int_equal(LEVELS - 3, space.ntables);
    struct mapping m;
    assert_int_equal(MM_OK, paging_look(&space, VA(2 * TIB - 1), &m));
    assert_int_equal(1, m.kind);
    assert_int_equal(MM_EXISTS, paging_map(&space, VA(TIB + GIB), PA(0), 1, RW, CACHE_WB));
    map(TIB - PAGE_BYTES, 0, 1, RW);
    unmap(TIB - PAGE_BYTES, 1);
    assert_int_equal(LEVELS - 3, space.ntables);
}

static void translation_is_query_in_short(void **state)
{
    (void)state;
    map(GIB, GIB, GIB / PAGE_BYTES, RW);
    map(HUGE_2M, 4 * HUGE_2M, 512, RW);
    map(0x1000, 0x7000, 1, RW);
    paddr_t pa = PA(77);
    assert_int_equal(MM_NOTFOUND, paging_translate(&space, VA(0), &pa));
    assert_int_equal(MM_RANGE, paging_translate(&space, VA(LOW_END), &pa));
    assert_int_equal(77, pa.v);
    for (uint64_t va = 0x1000; va < 2 * GIB; va = va * 3 / 2 + 17) {
        struct walk w = look(va);
        assert_int_equal(w.present ? MM_OK : MM_NOTFOUND, paging_translate(&space, VA(va), &pa));
        if (w.present)
            assert_int_equal(w.pa, pa.v);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(notes_are_kept_by_protect_and_by_splitting),
        TEST(notes_are_read_and_cleared),
        TEST(clearing_notes_flushes_what_had_them),
        TEST(a_run_has_the_notes_of_its_pages),
        TEST(alike_pages_are_merged),
        TEST(many_tables_are_merged_at_once),
        TEST(what_cannot_be_one_page_is_not_merged),
        TEST(what_is_noted_while_merging_is_kept),
        TEST(keys_need_a_cpu_that_has_them),
        TEST(a_reserved_range_is_neither_mapped_nor_free),
        TEST(a_large_reservation_takes_few_entries),
        TEST(translation_is_query_in_short),
    };
    return cmocka_run_group_tests_name("paging: more", tests, NULL, NULL);
}
