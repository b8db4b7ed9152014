/* Page tables: states in the place of pages, notes in pages, and frames that belong to a space. */
#include "paging_owner.h"

/* --- States --------------------------------------------------------------- */

static void a_state_keeps_all_that_it_says(void **state)
{
    (void)state;
    machine.cpu.pkeys = true;
    static const prot_t prots[] = {0, PROT_READ, RX | PROT_GLOBAL | PROT_KEY(9),
                                   RW | PROT_USER | PROT_KEY(15) | PROT_NOTES,
                                   PROT_READ | PROT_COPY};
    for (unsigned kind = 1; kind <= ENTRY_STATES; kind++)
        for (size_t i = 0; i < COUNT(prots); i++)
            for (unsigned bit = 0; bit < 41; bit++) {
                struct page_state s = {kind, (1ull << bit) - 1, prots[i], bit % 6};
                set(GIB, 1, KINDS_ALL, &s);
                expect_state(GIB, &s);
                uint64_t raw = look(GIB).raw; /* what L1TF would show is beyond all RAM */
                assert_true(bit == 40 || (raw & 0x8000000000000) != 0);
                assert_int_equal(0, raw & 1);
            }
    const struct page_state bad[] = {
        {8, 0, 0, 0}, {1, 1ull << 40, 0, 0}, {1, 0, 0x20, 0}, {1, 0, 0, 6},
        {0, 1, 0, 0}, {0, 0, RW, 0},         {0, 0, 0, 1},
    };
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(MM_INVAL, paging_set(&space, VA(0), 1, KINDS_ALL, &bad[i]));
}

static void a_state_is_put_over_only_what_it_may(void **state)
{
    (void)state;
    map(GIB + HUGE_2M, 0, 3, RW);
    set(GIB + 2 * HUGE_2M, 512, EMPTY, &lazy);
    set(GIB + 3 * HUGE_2M + PAGE_BYTES, 2, EMPTY, &guard);
    uint64_t before = snapshot();
    const unsigned kinds[] = {EMPTY, PAGES, KIND(2), KIND(5)};
    for (unsigned over = 0; over < 16; over++) {
        unsigned set_of_kinds = 0;
        for (unsigned i = 0; i < 4; i++)
            set_of_kinds |= (over >> i & 1) != 0 ? kinds[i] : 0;
        if (over == 15)
            break;
        assert_int_equal(MM_EXISTS, paging_set(&space, VA(GIB), 4 * 512, set_of_kinds, &guard));
        assert_int_equal(before, snapshot());
    }
    set(GIB, 4 * 512, EMPTY | PAGES | KIND(2) | KIND(5), &guard);
    assert_int_equal(LEVELS - 1, space.ntables); /* four entries, all tables below are gone */
    expect_state(GIB + 3 * HUGE_2M, &guard);
    set(GIB, 4 * 512, KIND(5), &nothing);
    assert_int_equal(1, space.ntables);
}

static void a_state_is_at_the_highest_level_that_it_covers(void **state)
{
    (void)state;
    uint64_t va = GIB - HUGE_2M - PAGE_BYTES;
    map(GIB + 5 * PAGE_BYTES, 0, 1, RW);
    set(va, (HUGE_2M + GIB + 3 * PAGE_BYTES) / PAGE_BYTES, KINDS_ALL, &lazy);
    assert_int_equal(PAGE_BYTES, look_at(va).bytes);
    assert_int_equal(HUGE_2M, look_at(GIB - HUGE_2M).bytes);
    assert_int_equal(GIB, look_at(GIB + 5 * PAGE_BYTES).bytes);
    assert_int_equal(PAGE_BYTES, look_at(2 * GIB).bytes);
    assert_int_equal(ENTRY_EMPTY, look_at(2 * GIB + 2 * PAGE_BYTES).kind);
    assert_int_equal(PAGE_BYTES, look_at(2 * GIB + 2 * PAGE_BYTES).bytes);
    assert_int_equal(GIB, look_at(3 * GIB).bytes);
    struct mapping m;
    vaddr_t cursor = VA(0);
    assert_int_equal(MM_OK, paging_next_of(&space, KINDS_STATE, &cursor, &m)); /* yet one run */
    assert_int_equal(va, m.va.v);
    assert_int_equal(HUGE_2M + GIB + 3 * PAGE_BYTES, m.bytes);
    assert_int_equal(MM_NOTFOUND, paging_next_of(&space, KINDS_ALL, &cursor, &m));
    set(GIB + HUGE_2M + PAGE_BYTES, 1, KIND(2), &guard); /* splits twice */
    expect_state(GIB + HUGE_2M, &lazy);
    expect_state(GIB + HUGE_2M + PAGE_BYTES, &guard);
    assert_int_equal(HUGE_2M, look_at(GIB + 2 * HUGE_2M).bytes);
    expect_state(2 * GIB - PAGE_BYTES, &lazy);
}

static void a_state_takes_the_place_of_a_table(void **state)
{
    (void)state;
    map(GIB, 0, 3, RW);
    map(GIB - PAGE_BYTES, 0, 1, RW); /* beside it */
    uint64_t tables = space.ntables;
    set(GIB, 512, EMPTY | PAGES, &lazy);
    assert_int_equal(HUGE_2M, look_at(GIB).bytes);
    assert_int_equal(tables - 1, space.ntables);
    set(GIB + HUGE_2M, GIB / PAGE_BYTES - 512, EMPTY, &lazy);
    set(GIB, GIB / PAGE_BYTES, KIND(2), &guard);
    assert_int_equal(GIB, look_at(GIB).bytes);
    assert_int_equal(tables - 2, space.ntables);
}

static void runs_are_of_one_kind(void **state)
{
    (void)state;
    set(0x1000, 3, EMPTY, &lazy);
    set(0x4000, 2, EMPTY, &guard);
    map(0x6000, 0x6000, 2, RW);
    map(0x8000, 0x8000, 2, RW | PROT_LOCKED);
    set(LOW_END - PAGE_BYTES, 1, EMPTY, &guard);
    set(HIGH, 1, EMPTY, &guard);
    set(-PAGE_BYTES, 1, EMPTY, &guard);
    const struct {
        uint64_t va, npages;
        unsigned kind;
    } runs[] = {{0x1000, 3, 2}, {0x4000, 2, 5},         {0x6000, 2, ENTRY_PAGE},
                {0x8000, 2, 8}, {LOW_END - 4096, 1, 5}, {HIGH, 1, 5},
                {-4096, 1, 5}};
    for (unsigned kinds = 0; kinds <= KINDS_ALL; kinds++) {
        vaddr_t cursor = VA(0);
        struct mapping m;
        for (size_t i = 0; i < COUNT(runs); i++) {
            if ((KIND(runs[i].kind) & kinds) == 0)
                continue;
            assert_int_equal(MM_OK, paging_next_of(&space, kinds, &cursor, &m));
            assert_int_equal(runs[i].va, m.va.v);
            assert_int_equal(runs[i].npages * PAGE_BYTES, m.bytes);
            assert_int_equal(runs[i].kind, m.kind);
        }
        assert_int_equal(MM_NOTFOUND, paging_next_of(&space, kinds, &cursor, &m));
    }
}

/* --- Finding what is empty ------------------------------------------------ */

static uint64_t find(uint64_t from, uint64_t limit, uint64_t npages, uint64_t align)
{
    vaddr_t va = VA(77);
    mm_status_t status = paging_find_empty(&space, VA(from), VA(limit), npages, align, &va);
    assert_true(status == MM_OK || va.v == 77);
    return status == MM_OK ? va.v : status == MM_NOTFOUND ? 0 : 1;
}

static void empty_ranges_are_found_in_order(void **state)
{
    (void)state;
    map(GIB, 0, 3, RW);
    set(GIB + 0x5000, 1, EMPTY, &guard);
    set(GIB + HUGE_2M, 512, EMPTY, &lazy);
    set(2 * GIB, GIB / PAGE_BYTES, EMPTY, &lazy);
    assert_int_equal(GIB + 0x3000, find(GIB, 4 * GIB, 1, 1));
    assert_int_equal(GIB + 0x3000, find(GIB, 4 * GIB, 2, 1));
    assert_int_equal(GIB + 0x6000, find(GIB, 4 * GIB, 3, 1));
    assert_int_equal(GIB + 0x4000, find(GIB, 4 * GIB, 1, 4));
    assert_int_equal(GIB + 0x8000, find(GIB, 4 * GIB, 2, 4));
    assert_int_equal(GIB + 2 * HUGE_2M, find(GIB, 4 * GIB, 512, 1));
    assert_int_equal(GIB + 2 * HUGE_2M, find(GIB, 4 * GIB, 512, 512));
    assert_int_equal(3 * GIB, find(GIB, 4 * GIB, GIB / PAGE_BYTES, 1));
    assert_int_equal(3 * GIB, find(GIB + 5, 4 * GIB, GIB / PAGE_BYTES, 512 * 512));
    assert_int_equal(0, find(GIB + 5, 4 * GIB - 1, GIB / PAGE_BYTES, 1));
    assert_int_equal(0, find(2 * GIB, 3 * GIB, 1, 1));
    assert_int_equal(0, find(GIB, 4 * GIB, UINT64_MAX / 2, 1));
    assert_int_equal(GIB - 5 * PAGE_BYTES, find(GIB - 5 * PAGE_BYTES, GIB, 5, 1));
    assert_int_equal(LOW_END - PAGE_BYTES, find(LOW_END - PAGE_BYTES, LOW_END, 1, 1));
    assert_int_equal(HIGH, find(HIGH, -PAGE_BYTES, 1, 512));
    map(-2 * PAGE_BYTES, 0, 1, RW);
    assert_int_equal(0, find(-3 * PAGE_BYTES, -PAGE_BYTES, 2, 1));
    assert_int_equal(0, find(-2 * PAGE_BYTES, -1, 1, 1));
    assert_int_equal(0, find(-2 * PAGE_BYTES, -1, 1, 1024));
    assert_int_equal(1, find(GIB, LOW_END + 1, 1, 1));
    assert_int_equal(1, find(GIB, HIGH + 1, 1, 1));
    assert_int_equal(1, find(GIB, GIB, 1, 1));
    assert_int_equal(1, find(GIB, 2 * GIB, 0, 1));
    assert_int_equal(1, find(GIB, 2 * GIB, 1, 3));
}

/* --- Notes ---------------------------------------------------------------- */

static void notes_are_part_of_a_mapping(void **state)
{
    (void)state;
    const prot_t notes = PROT_COPY | PROT_LOCKED;
    map(GIB, GIB, GIB / PAGE_BYTES, RW | notes);
    struct walk w = look(GIB);
    assert_true(w.present && !w.write);
    assert_int_equal(RW | notes, look_at(GIB).prot);
    protect(GIB + PAGE_BYTES, 1, PROT_READ); /* splits twice */
    assert_int_equal(RW | notes, look_at(GIB).prot);
    assert_int_equal(PROT_READ | notes, look_at(GIB + PAGE_BYTES).prot);
    assert_int_equal(RW | notes, look_at(2 * GIB - 1).prot);
    protect(GIB + PAGE_BYTES, 1, RW);
    assert_int_equal(RW | notes, look_at(GIB + PAGE_BYTES).prot);
    assert_false(look(GIB + PAGE_BYTES).write);
    assert_int_equal(MM_INVAL, paging_protect(&space, VA(GIB), 1, RW | PROT_LOCKED, CACHE_WB));
    uint64_t freed = 77;
    assert_int_equal(MM_OK, paging_merge(&space, VA(GIB), GIB / PAGE_BYTES, &freed));
    assert_int_equal(0, freed); /* shared pages stay single */
}

static void nobody_owns_frames_without_hooks(void **state)
{
    (void)state;
    assert_int_equal(MM_INVAL, paging_map(&space, VA(GIB), PA(GIB), 1, OWNED, CACHE_WB));
    assert_int_equal(MM_INVAL, paging_set(&space, VA(GIB), 1, EMPTY,
                                          &(struct page_state){.kind = 1, .prot = OWNED}));
}

/* --- Owned frames --------------------------------------------------------- */

static void owned_frames_go_with_their_pages(void **state)
{
    (void)state;
    uint64_t before = machine_free_frames();
    take_and_map(GIB - 0x2000, 8); /* in two tables */
    take_and_map(GIB + HUGE_2M, 512);
    unmap(GIB, 6);
    assert_int_equal(6, owner.released);
    assert_int_equal(1, owner.calls); /* as one run */
    set(GIB - 0x2000, 1, PAGES, &lazy);
    assert_int_equal(7, owner.released);
    expect_state(GIB - 0x2000, &lazy);
    set(GIB + HUGE_2M, 512, PAGES, &lazy);
    assert_int_equal(7 + 512, owner.released);
    expect_state(GIB + HUGE_2M, &lazy);
    set(0, 2 * GIB / PAGE_BYTES, KINDS_ALL, &nothing);
    assert_int_equal(8 + 512, owner.released);
    assert_int_equal(1, space.ntables);
    assert_int_equal(before, machine_free_frames());
}

static void a_large_owned_page_is_split_with_its_owner(void **state)
{
    (void)state;
    take_and_map(GIB, 512);
    unmap(GIB + 5 * PAGE_BYTES, 2);
    assert_int_equal(PAGE_BYTES, look_at(GIB).page_bytes);
    assert_int_equal(2, owner.released);
    protect(GIB, 1, PROT_READ);
    assert_int_equal(OWNED, look_at(GIB + 0x1000).prot);
    set(GIB, 512, PAGES | EMPTY, &guard);
    assert_int_equal(512, owner.released);
    assert_int_equal(3, owner.calls);
    expect_state(GIB, &guard);
}

static void a_run_is_never_taken_for_a_large_page(void **state)
{
    (void)state;
    const struct pmm_limits limits = {.align_frames = 512};
    paddr_t base;
    assert_int_equal(MM_OK, pmm_alloc_frames(512, &limits, &base));
    for (uint64_t i = 0; i < 512; i++) {
        owner_add(pa_add(base, i * FRAME_BYTES), 1, 1);
        map(GIB + i * PAGE_BYTES, base.v + i * FRAME_BYTES, 1, OWNED);
    }
    uint64_t freed = 77;
    assert_int_equal(MM_OK, paging_merge(&space, VA(GIB), 512, &freed));
    assert_int_equal(0, freed);
    unmap(GIB, 512);
    assert_int_equal(512, owner.released);
    assert_int_equal(2, owner.calls);
}

static void destroying_a_space_releases_what_it_owns(void **state)
{
    (void)state;
    take_and_map(GIB - 0x2000, 8);
    take_and_map(GIB + HUGE_2M, 512);
    take_and_map(HIGH, 3);
    map(2 * GIB, 0, 700, RW); /* others' */
    set(3 * GIB, 700, EMPTY, &lazy);
    paging_destroy(&space);
    assert_int_equal(8 + 512 + 3, owner.released);
    assert_int_equal(MM_OK, paging_create(&space));
}

static uint64_t released_at_flush, flushes;

static void note_flush(const struct tlb_batch *batch)
{
    (void)batch;
    released_at_flush = owner.released;
    flushes++;
}

static void frames_are_released_when_all_have_forgotten_them(void **state)
{
    (void)state;
    paging_switch(&space);
    machine.on_shootdown = note_flush;
    const uint64_t sizes[] = {1, 8, 512, 700};
    for (size_t i = 0; i < COUNT(sizes); i++)
        for (unsigned how = 0; how < 3; how++) {
            uint64_t va = GIB + 3 * PAGE_BYTES, before = owner.released;
            for (uint64_t page = 0; page < sizes[i]; page++)
                take_and_map(va + page * PAGE_BYTES, 1);
            flushes = 0;
            if (how == 0)
                unmap(va, sizes[i]);
            else
                set(va, sizes[i], PAGES, how == 1 ? &nothing : &lazy);
            assert_int_equal(1, flushes);
            assert_int_equal(before, released_at_flush);
            assert_int_equal(before + sizes[i], owner.released);
            set(va, sizes[i], KINDS_ALL, &nothing);
        }
    machine.on_shootdown = NULL;
}

static uint64_t leaving_pages;

/* In the middle of an operation: all pages from GIB - 2 on are still there, as they were. */
static void see_what_leaves(const struct tlb_batch *batch)
{
    (void)batch;
    struct mapping m;
    uint64_t found = 0, va = GIB - 2 * PAGE_BYTES;
    vaddr_t cursor = VA(va);
    for (uint64_t i = 0; i < leaving_pages; i++) {
        m = look_at(va + i * PAGE_BYTES);
        assert_int_equal(ENTRY_PAGE, m.kind);
        assert_int_equal(OWNED, m.prot);
    }
    while (paging_next_of(&space, KINDS_ALL, &cursor, &m) == MM_OK) {
        assert_int_equal(ENTRY_PAGE, m.kind);
        found += m.bytes / PAGE_BYTES;
    }
    assert_int_equal(leaving_pages, found);
    cursor = VA(va);
    assert_int_equal(MM_NOTFOUND, paging_next_of(&space, KINDS_STATE, &cursor, &m));
    assert_int_equal(
        MM_NOTFOUND,
        paging_find_empty(&space, VA(va), VA(va + leaving_pages * PAGE_BYTES), 1, 1, &cursor));
    flushes++;
}

static void what_leaves_is_there_until_all_have_forgotten_it(void **state)
{
    (void)state;
    paging_switch(&space);
    set(GIB - 10 * PAGE_BYTES, 1, EMPTY, &lazy); /* this table stays */
    const uint64_t sizes[] = {3, 40, 2 + 512, 2 + 512 + 7};
    for (size_t i = 0; i < COUNT(sizes); i++)
        for (unsigned how = 0; how < 3; how++) {
            leaving_pages = sizes[i];
            for (uint64_t page = 0; page < sizes[i]; page++)
                take_and_map(GIB + page * PAGE_BYTES - 2 * PAGE_BYTES, 1);
            flushes = 0;
            machine.on_shootdown = see_what_leaves;
            if (how == 0)
                unmap(GIB - 2 * PAGE_BYTES, sizes[i]);
            else
                set(GIB - 2 * PAGE_BYTES, sizes[i], PAGES, how == 1 ? &nothing : &guard);
            machine.on_shootdown = NULL;
            assert_int_equal(1, flushes);
            set(GIB - 2 * PAGE_BYTES, sizes[i], KINDS_ALL, &nothing);
        }
}

/* --- Validation can fail -------------------------------------------------- */

static void validation_sees_damaged_notes_and_states(void **state)
{
    (void)state;
    map(GIB, 0, 1, RW);
    map(GIB + PAGE_BYTES, 0, 1, RW | PROT_COPY);
    set(GIB + 2 * PAGE_BYTES, 1, EMPTY, &lazy);
    const struct {
        uint64_t va, flip;
    } damage[] = {
        {GIB, 0x200},                      /* owned, but the table's entry does not say so */
        {GIB, 1ull << 52},                 /* meant to be written, beside being so */
        {GIB + PAGE_BYTES, 2},             /* shared and writable */
        {GIB + PAGE_BYTES, 0x400},         /* not shared, but only meant to be written */
        {GIB + 2 * PAGE_BYTES, 0x100},     /* leaving, with nobody there */
        {GIB + 2 * PAGE_BYTES, 0x10},      /* a bit that means nothing */
        {GIB + 2 * PAGE_BYTES, 2ull << 9}, /* of no kind */
    };
    for (size_t i = 0; i < COUNT(damage); i++) {
        struct walk w = look(damage[i].va);
        uint64_t *slot = (uint64_t *)phys_to_virt(PA(w.table)) + (damage[i].va >> 12 & 511);
        *slot ^= damage[i].flip;
        if (paging_validate(&space))
            fail_msg("damage %zu passed", i);
        *slot ^= damage[i].flip;
        assert_true(paging_validate(&space));
    }
}

/* --- Failure of each allocation ------------------------------------------- */

static mm_status_t set_in_nothing(void)
{
    return paging_set(&space, VA(512 * GIB - PAGE_BYTES), 2, EMPTY, &lazy);
}

static mm_status_t set_in_large_state(void)
{
    return paging_set(&space, VA(2 * GIB + HUGE_2M + PAGE_BYTES), GIB / PAGE_BYTES, KIND(2),
                      &guard);
}

static mm_status_t clear_in_large_state(void)
{
    return paging_set(&space, VA(3 * GIB), 1, KIND(2), &nothing);
}

static mm_status_t set_in_owned_page(void)
{
    return paging_set(&space, VA(GIB + PAGE_BYTES), 1, PAGES, &lazy);
}

static void every_failing_allocation_changes_nothing(void **state)
{
    (void)state;
    const struct {
        mm_status_t (*operation)(void);
        unsigned tables;
    } cases[] = {{set_in_nothing, 5},
                 {set_in_large_state, 4},
                 {clear_in_large_state, 2},
                 {set_in_owned_page, 1}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        take_and_map(GIB, 512);
        set(2 * GIB, 2 * GIB / PAGE_BYTES, EMPTY, &lazy);
        uint64_t before = snapshot(), tables = space.ntables, released = owner.released;
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
            assert_int_equal(released, owner.released);
            assert_true(paging_validate(&space));
        }
        assert_true(k > 1);
        assert_int_equal(cases[i].tables, space.ntables - tables);
        assert_true(paging_validate(&space));
        paging_destroy(&space);
        assert_int_equal(MM_OK, paging_create(&space));
        space.hooks = &owner_hooks;
    }
}

/* Pages of two sizes and a state; each can be the one that is unlike. */
static void a_state_is_put_over_only_what_is_like_it(void **state)
{
    (void)state;
    static const prot_t notes = PROT_COPY | PROT_LOCKED;
    const struct page_state there = {1, 7, RW | PROT_LOCKED, CACHE_WT}, like = {3, 9, RW, CACHE_WT};
    const unsigned kinds = PAGES | KIND(1) | KINDS_ALIKE;
    const uint64_t all = HUGE_1G / PAGE_BYTES + 3 * 512;
    for (unsigned old = 0; old < 2; old++) {
        machine.cpu.nx = old == 0;
        assert_int_equal(MM_OK, paging_map(&space, VA(GIB), PA(GIB), all - 512, RW, CACHE_WT));
        set(2 * GIB + 2 * HUGE_2M, 512, EMPTY, &there);
        assert_int_equal(MM_OK, paging_note(&space, VA(GIB + HUGE_2M), 520, PAGES, notes, 0));
        const struct page_state unlike[] = {{3, 9, PROT_READ, CACHE_WT}, {3, 9, RW, CACHE_WC}};
        for (unsigned i = 0; i < COUNT(unlike); i++)
            assert_int_equal(MM_EXISTS, paging_set(&space, VA(GIB), all, kinds, &unlike[i]));
        const uint64_t where[] = {GIB + HUGE_2M, GIB + 2 * HUGE_2M + 7 * PAGE_BYTES,
                                  GIB + 9 * HUGE_2M, 2 * GIB, 2 * GIB + 2 * HUGE_2M};
        for (unsigned i = 0; i < COUNT(where); i++) {
            assert_int_equal(MM_OK,
                             paging_set_prot(&space, VA(where[i]), 1, PAGES | KIND(1), PROT_READ));
            uint64_t before = snapshot();
            assert_int_equal(MM_EXISTS, paging_set(&space, VA(GIB), all, kinds, &like));
            assert_int_equal(before, snapshot());
            assert_int_equal(MM_OK, paging_set_prot(&space, VA(where[i]), 1, PAGES | KIND(1), RW));
        }
        set(GIB, all, kinds, &like);
        expect_state(2 * GIB + 3 * HUGE_2M - 1, &like);
        set(GIB, all, KIND(3) | KINDS_ALIKE, &like);
        assert_int_equal(MM_EXISTS,
                         paging_set(&space, VA(GIB), all, KIND(3) | KINDS_ALIKE, &unlike[0]));
        set(GIB, all, KIND(3), &nothing);
    }
    machine.cpu.nx = true;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        OWNED_TEST(a_state_keeps_all_that_it_says),
        TEST(a_state_is_put_over_only_what_it_may),
        TEST(a_state_is_put_over_only_what_is_like_it),
        TEST(a_state_is_at_the_highest_level_that_it_covers),
        TEST(a_state_takes_the_place_of_a_table),
        TEST(runs_are_of_one_kind),
        TEST(empty_ranges_are_found_in_order),
        TEST(notes_are_part_of_a_mapping),
        TEST(nobody_owns_frames_without_hooks),
        OWNED_TEST(owned_frames_go_with_their_pages),
        OWNED_TEST(a_large_owned_page_is_split_with_its_owner),
        OWNED_TEST(a_run_is_never_taken_for_a_large_page),
        OWNED_TEST(destroying_a_space_releases_what_it_owns),
        OWNED_TEST(frames_are_released_when_all_have_forgotten_them),
        OWNED_TEST(what_leaves_is_there_until_all_have_forgotten_it),
        TEST(validation_sees_damaged_notes_and_states),
        OWNED_TEST(every_failing_allocation_changes_nothing),
    };
    return cmocka_run_group_tests_name("paging: states", tests, NULL, NULL);
}
