/* Page tables: what page faults do to them, and changes of protection and notes over all that a range
 * has. */
#include "paging_owner.h"

#define ACCESSED 0x20ull
#define DIRTY    0x40ull
#define USER_RW  (RW | PROT_USER)

static struct tlb_batch last;
static unsigned shootdowns;

static void remember(const struct tlb_batch *batch)
{
    last = *batch;
    shootdowns++;
}

static int start_watching(void **state)
{
    start_owned(state);
    paging_switch(&space);
    machine.on_shootdown = remember;
    shootdowns = 0;
    return 0;
}

static int start_watching_5_levels(void **state)
{
    start_owned_5_levels(state);
    paging_switch(&space);
    machine.on_shootdown = remember;
    shootdowns = 0;
    return 0;
}

static uint64_t *entry_of(uint64_t va)
{
    struct walk w = look(va);
    return (uint64_t *)phys_to_virt(PA(w.table)) + (va >> w.shift & 511);
}

/* --- One page ------------------------------------------------------------- */

static mm_status_t exchange(uint64_t va, uint64_t bytes, const struct mapping *expected,
                            uint64_t pa, prot_t prot)
{
    mm_status_t status =
        paging_exchange(&space, VA(va), bytes, expected, PA(pa), prot, CACHE_WB, NULL, NULL);
    assert_true(paging_validate(&space));
    return status;
}

static void a_state_becomes_a_page(void **state)
{
    (void)state;
    set(GIB, GIB / PAGE_BYTES, EMPTY, &lazy);
    struct mapping was = look_at(GIB + 3 * HUGE_2M + 5 * PAGE_BYTES);
    assert_int_equal(GIB, was.bytes);
    uint64_t small = owner_take(1).v, large = owner_take(512).v;
    assert_int_equal(MM_OK, exchange(GIB + 3 * HUGE_2M + 5 * PAGE_BYTES, PAGE_BYTES, &was, small,
                                     USER_RW | PROT_OWNED));
    assert_int_equal(LEVELS, space.ntables); /* split twice */
    assert_int_equal(small, look(GIB + 3 * HUGE_2M + 5 * PAGE_BYTES).pa);
    expect_state(GIB + 3 * HUGE_2M, &lazy);
    expect_state(GIB + 3 * HUGE_2M + 6 * PAGE_BYTES, &lazy);
    expect_state(2 * GIB - 1, &lazy);
    assert_int_equal(MM_OK, exchange(GIB + HUGE_2M, HUGE_2M, &was, large, USER_RW | PROT_OWNED));
    assert_int_equal(21, look(GIB + HUGE_2M).shift);
    assert_int_equal(LEVELS, space.ntables);
    assert_int_equal(0, shootdowns); /* nobody had anything cached */
    assert_int_equal(MM_NOTFOUND, exchange(GIB + 3 * HUGE_2M, HUGE_2M, &was, large, USER_RW));
    set(GIB, GIB / PAGE_BYTES, KINDS_ALL, &nothing);
    assert_int_equal(513, owner.released);
}

static void only_what_is_expected_is_replaced(void **state)
{
    (void)state;
    set(GIB, 1, EMPTY, &lazy);
    map(GIB + HUGE_2M, 4 * HUGE_2M, 512, RW | PROT_COPY);
    uint64_t before = snapshot(), page = GIB + HUGE_2M + 7 * PAGE_BYTES;
    const struct mapping ok = look_at(GIB), ok_page = look_at(page);
    for (unsigned i = 0; i < 5; i++) {
        struct mapping x = ok;
        x.kind = i == 0 ? 3 : i == 1 ? ENTRY_PAGE : x.kind;
        x.value += i == 2;
        x.prot ^= i == 3 ? PROT_WRITE : 0;
        x.cache = i == 4 ? CACHE_WC : x.cache;
        assert_int_equal(MM_NOTFOUND, exchange(GIB, PAGE_BYTES, &x, 0, RW));
    }
    for (unsigned i = 0; i < 4; i++) {
        struct mapping x = ok_page;
        x.kind = i == 0 ? 2 : x.kind;
        x.pa.v += i == 1 ? PAGE_BYTES : 0;
        x.va.v += i == 2 ? PAGE_BYTES : 0;
        x.prot ^= i == 3 ? PROT_COPY : 0;
        assert_int_equal(MM_NOTFOUND, exchange(page, PAGE_BYTES, &x, 0, RW));
    }
    assert_int_equal(MM_NOTFOUND, exchange(GIB + PAGE_BYTES, PAGE_BYTES, &ok, 0, RW));
    assert_int_equal(MM_NOTFOUND, exchange(2 * GIB, PAGE_BYTES, &ok, 0, RW));
    assert_int_equal(MM_INVAL, exchange(GIB, PAGE_BYTES, &(struct mapping){0}, 0, RW));
    assert_int_equal(MM_INVAL, exchange(GIB, GIB, &ok, 0, RW));
    assert_int_equal(MM_INVAL, exchange(GIB + PAGE_BYTES, HUGE_2M, &ok, 0, RW));
    assert_int_equal(MM_INVAL, exchange(GIB, HUGE_2M, &ok, PAGE_BYTES, RW));
    assert_int_equal(MM_RANGE, exchange(LOW_END, PAGE_BYTES, &ok, 0, RW));
    assert_int_equal(MM_RANGE, exchange(GIB, PAGE_BYTES, &ok, 1ull << 46, RW));
    assert_int_equal(MM_DENIED, exchange(GIB, PAGE_BYTES, &ok, 0, RW | PROT_EXEC));
    assert_int_equal(before, snapshot());
    assert_int_equal(MM_OK, exchange(GIB, PAGE_BYTES, &ok, 0x7000, RX));
    assert_int_equal(MM_OK, exchange(page, PAGE_BYTES, &ok_page, 0x9000, RW));
    assert_int_equal(0x9000, look(page).pa);
    assert_true(look(page).write);
    assert_int_equal(4 * HUGE_2M, look(GIB + HUGE_2M).pa);
    assert_false(look(GIB + HUGE_2M).write);
}

static bool asked_answer;
static unsigned asked;

static bool ask(void *argument)
{
    assert_ptr_equal(&asked, argument);
    asked++;
    return asked_answer;
}

static void who_asks_has_the_last_word(void **state)
{
    (void)state;
    set(GIB, 512, EMPTY, &lazy);
    const struct mapping was = look_at(GIB);
    uint64_t before = snapshot();
    asked = 0;
    asked_answer = false;
    struct mapping other = was;
    other.value++;
    assert_int_equal(MM_NOTFOUND, paging_exchange(&space, VA(GIB), PAGE_BYTES, &other, PA(0), RW,
                                                  CACHE_WB, ask, &asked));
    assert_int_equal(0, asked);
    machine_fail_allocation(1);
    assert_int_equal(MM_NOMEM, paging_exchange(&space, VA(GIB), PAGE_BYTES, &was, PA(0), RW,
                                               CACHE_WB, ask, &asked));
    assert_true(machine_failed());
    assert_int_equal(0, asked);
    assert_int_equal(MM_NOTFOUND, paging_exchange(&space, VA(GIB), PAGE_BYTES, &was, PA(0), RW,
                                                  CACHE_WB, ask, &asked));
    assert_int_equal(1, asked);
    assert_int_equal(before, snapshot());
    asked_answer = true;
    assert_int_equal(MM_OK, paging_exchange(&space, VA(GIB), PAGE_BYTES, &was, PA(0), RW, CACHE_WB,
                                            ask, &asked));
    assert_int_equal(2, asked);
    assert_true(look(GIB).present);
}

static void only_what_cpus_may_have_wrong_is_flushed(void **state)
{
    (void)state;
    map(GIB, 0x5000, 1, USER_RW | PROT_COPY);
    *entry_of(GIB) |= ACCESSED | DIRTY;
    struct mapping was = look_at(GIB);
    assert_int_equal(MM_OK, exchange(GIB, PAGE_BYTES, &was, 0x5000, USER_RW)); /* the last sharer */
    assert_int_equal(0, shootdowns);
    assert_true(look(GIB).write);
    assert_int_equal(USED_ACCESSED | USED_DIRTY, look_at(GIB).used);
    was = look_at(GIB);
    assert_int_equal(MM_OK, exchange(GIB, PAGE_BYTES, &was, 0x5000, USER_RW | PROT_COPY));
    assert_int_equal(1, shootdowns);
    was = look_at(GIB);
    assert_int_equal(MM_OK, exchange(GIB, PAGE_BYTES, &was, 0x6000, USER_RW));
    assert_int_equal(2, shootdowns);
    assert_int_equal(0, look_at(GIB).used); /* another frame */
    assert_int_equal(1, last.pages);
    assert_int_equal(GIB, last.ranges[0].va.v);
    was = look_at(GIB);
    assert_int_equal(MM_OK, exchange(GIB, PAGE_BYTES, &was, 0x6000, PROT_READ | PROT_EXEC));
    assert_int_equal(3, shootdowns);
}

static void a_piece_of_a_large_owned_page_is_replaced(void **state)
{
    (void)state;
    take_and_map(GIB, 512);
    struct mapping was = look_at(GIB + 9 * PAGE_BYTES);
    paddr_t copy = owner_take(1);
    shootdowns = 0;
    assert_int_equal(MM_OK, exchange(GIB + 9 * PAGE_BYTES, PAGE_BYTES, &was, copy.v, OWNED));
    assert_int_equal(PAGE_BYTES, look_at(GIB + 8 * PAGE_BYTES).page_bytes);
    assert_int_equal(0, owner.released); /* the caller's */
    assert_int_equal(1, shootdowns);
    assert_true(last.whole);
    owner_release(pa_add(was.pa, 9 * PAGE_BYTES), 1);
    unmap(GIB, 512);
    assert_int_equal(513, owner.released);
}

/* --- Several -------------------------------------------------------------- */

static void states_of_one_kind_are_filled(void **state)
{
    (void)state;
    paddr_t frames[512];
    for (unsigned i = 0; i < 20; i++)
        frames[i] = owner_take(1);
    set(GIB, 10, EMPTY, &lazy);
    set(GIB + 3 * PAGE_BYTES, 2, KIND(2), &guard);
    set(GIB + 6 * PAGE_BYTES, 1, KIND(2), &nothing);
    set(GIB + 8 * PAGE_BYTES, 1, KIND(2), &nothing);
    map(GIB + 8 * PAGE_BYTES, 0, 1, RW);
    uint64_t used = 77;
    assert_int_equal(MM_OK, paging_fill(&space, VA(GIB), 12, 2, PROT_OWNED, frames, &used));
    assert_true(paging_validate(&space));
    assert_int_equal(6, used);
    const unsigned filled[] = {0, 1, 2, 5, 7, 9};
    for (unsigned i = 0; i < 6; i++) {
        struct mapping m = look_at(GIB + filled[i] * PAGE_BYTES);
        assert_int_equal(frames[i].v, m.pa.v);
        assert_int_equal(USER_RW | PROT_OWNED, m.prot);
    }
    expect_state(GIB + 3 * PAGE_BYTES, &guard);
    assert_int_equal(ENTRY_EMPTY, look_at(GIB + 6 * PAGE_BYTES).kind);
    assert_int_equal(0, look(GIB + 8 * PAGE_BYTES).pa);
    assert_int_equal(MM_OK, paging_fill(&space, VA(GIB), 12, 2, PROT_OWNED, frames, &used));
    assert_int_equal(0, used);
    assert_int_equal(0, shootdowns);
    set(GIB, 12, KINDS_ALL, &nothing);
    assert_int_equal(6, owner.released);
    for (unsigned i = 6; i < 20; i++)
        owner_release(frames[i], 1);
}

static void a_large_state_is_filled_with_small_pages(void **state)
{
    (void)state;
    paddr_t frames[512];
    for (unsigned i = 0; i < 512; i++)
        frames[i] = PA((i * 7 % 512 + 1) * PAGE_BYTES);
    set(GIB, 2 * GIB / PAGE_BYTES, EMPTY, &lazy);
    uint64_t used = 77, before = snapshot();
    machine_fail_allocation(1);
    assert_int_equal(MM_NOMEM, paging_fill(&space, VA(GIB), 512, 2, 0, frames, &used));
    assert_true(machine_failed());
    assert_int_equal(MM_OK, paging_fill(&space, VA(GIB), 512, 1, 0, frames, &used));
    assert_int_equal(0, used);
    assert_int_equal(MM_INVAL, paging_fill(&space, VA(GIB + PAGE_BYTES), 512, 2, 0, frames, &used));
    assert_int_equal(MM_INVAL, paging_fill(&space, VA(GIB), 1, 0, 0, frames, &used));
    assert_int_equal(MM_INVAL, paging_fill(&space, VA(GIB), 1, 8, 0, frames, &used));
    assert_int_equal(MM_INVAL, paging_fill(&space, VA(GIB), 1, 2, RW, frames, &used));
    assert_int_equal(MM_RANGE, paging_fill(&space, VA(LOW_END), 1, 2, 0, frames, &used));
    assert_int_equal(MM_INVAL, paging_fill(&space, VA(GIB), 1, 2, 0, &PA(5), &used));
    assert_int_equal(before, snapshot());
    assert_int_equal(0, used);
    assert_int_equal(MM_OK, paging_fill(&space, VA(GIB), 512, 2, PROT_LOCKED, frames, &used));
    assert_int_equal(512, used);
    assert_true(paging_validate(&space));
    for (unsigned i = 0; i < 512; i++)
        assert_int_equal(frames[i].v, look(GIB + i * PAGE_BYTES).pa);
    assert_int_equal(USER_RW | PROT_LOCKED, look_at(GIB).prot);
    expect_state(GIB + HUGE_2M, &lazy);
    assert_int_equal(MM_OK, paging_fill(&space, VA(2 * GIB + PAGE_BYTES), 3, 2, 0, frames, &used));
    assert_int_equal(3, used);
    expect_state(2 * GIB, &lazy);
    expect_state(2 * GIB + 4 * PAGE_BYTES, &lazy);
    assert_true(paging_validate(&space));
}

/* --- Protection and notes over all that a range has ------------------------- */

static void protection_of_pages_and_of_those_to_come(void **state)
{
    (void)state;
    const struct page_state noted = {
        .kind = 3, .value = 9, .prot = RW | PROT_LOCKED, .cache = CACHE_WT};
    set(GIB, 512, EMPTY, &noted);
    assert_int_equal(
        MM_OK, paging_map(&space, VA(GIB + HUGE_2M), PA(HUGE_2M), 512, RW | PROT_COPY, CACHE_WC));
    uint64_t before = snapshot();
    assert_int_equal(MM_EXISTS, paging_set_prot(&space, VA(GIB), 1024, KIND(3), PROT_READ));
    assert_int_equal(MM_EXISTS, paging_set_prot(&space, VA(GIB), 1024, PAGES, PROT_READ));
    assert_int_equal(MM_EXISTS, paging_set_prot(&space, VA(GIB), 1025, PAGES | KIND(3), PROT_READ));
    assert_int_equal(MM_DENIED, paging_set_prot(&space, VA(GIB), 1, KIND(3), RW | PROT_EXEC));
    assert_int_equal(MM_INVAL, paging_set_prot(&space, VA(GIB), 1, KIND(3), RW | PROT_LOCKED));
    assert_int_equal(before, snapshot());
    assert_int_equal(MM_OK, paging_set_prot(&space, VA(GIB + 256 * PAGE_BYTES), 512,
                                            PAGES | KIND(3), PROT_READ));
    assert_true(paging_validate(&space));
    expect_state(GIB, &noted);
    struct page_state changed = noted;
    changed.prot = PROT_READ | PROT_LOCKED;
    expect_state(GIB + HUGE_2M - PAGE_BYTES, &changed);
    struct mapping m = look_at(GIB + HUGE_2M);
    assert_int_equal(PROT_READ | PROT_COPY, m.prot);
    assert_int_equal(CACHE_WC, m.cache);
    assert_int_equal(RW | PROT_COPY, look_at(GIB + 2 * HUGE_2M - 1).prot);
    assert_int_equal(CACHE_WC, look(GIB + 2 * HUGE_2M - 1).pat);
    assert_int_equal(MM_OK, paging_set_prot(&space, VA(GIB), 2048, KINDS_ALL, RW)); /* with holes */
    assert_int_equal(RW | PROT_COPY, look_at(GIB + HUGE_2M).prot);
    assert_false(look(GIB + HUGE_2M).write);
    expect_state(GIB + HUGE_2M - PAGE_BYTES, &noted);
    assert_int_equal(ENTRY_EMPTY, look_at(GIB + 2 * HUGE_2M).kind);
    assert_true(paging_validate(&space));
}

static void note(uint64_t va, uint64_t npages, unsigned in, prot_t on, prot_t off)
{
    assert_int_equal(MM_OK, paging_note(&space, VA(va), npages, in, on, off));
    assert_true(paging_validate(&space));
}

static void notes_are_set_and_cleared_where_they_are_wanted(void **state)
{
    (void)state;
    set(GIB, 512, EMPTY, &lazy);
    set(GIB + HUGE_2M, 512, EMPTY, &guard);
    map(GIB + 2 * HUGE_2M, 2 * HUGE_2M, 512, RW);
    *entry_of(GIB + 2 * HUGE_2M) |= DIRTY;
    shootdowns = 0;
    note(GIB + PAGE_BYTES, 1024 + 5, KIND(2) | PAGES, PROT_LOCKED, 0);
    expect_state(GIB, &lazy);
    struct page_state locked = lazy;
    locked.prot |= PROT_LOCKED;
    expect_state(GIB + PAGE_BYTES, &locked);
    expect_state(GIB + HUGE_2M, &guard);
    assert_int_equal(HUGE_2M, look_at(GIB + HUGE_2M).bytes); /* not split for nothing */
    assert_int_equal(RW | PROT_LOCKED, look_at(GIB + 2 * HUGE_2M).prot);
    assert_int_equal(RW | PROT_LOCKED, look_at(GIB + 2 * HUGE_2M + 5 * PAGE_BYTES).prot);
    assert_int_equal(RW, look_at(GIB + 2 * HUGE_2M + 6 * PAGE_BYTES).prot);
    assert_int_equal(1, shootdowns); /* for the split */
    assert_int_equal(USED_DIRTY, look_at(GIB + 2 * HUGE_2M).used);
    shootdowns = 0;
    note(GIB, 3 * 512, KINDS_ALL, 0, PROT_LOCKED);
    expect_state(GIB + PAGE_BYTES, &lazy);
    assert_int_equal(RW, look_at(GIB + 2 * HUGE_2M).prot);
    assert_int_equal(0, shootdowns); /* the CPU does not see such notes */
    note(GIB + 2 * HUGE_2M, 1, PAGES, PROT_COPY, 0);
    assert_int_equal(1, shootdowns);
    assert_int_equal(RW | PROT_COPY, look_at(GIB + 2 * HUGE_2M).prot);
    assert_false(look(GIB + 2 * HUGE_2M).write);
    note(GIB + 2 * HUGE_2M, 1, PAGES, 0, PROT_COPY);
    assert_true(look(GIB + 2 * HUGE_2M).write);
    assert_int_equal(MM_INVAL, paging_note(&space, VA(GIB), 1, PAGES, PROT_READ, 0));
    assert_int_equal(MM_RANGE, paging_note(&space, VA(LOW_END), 1, PAGES, PROT_COPY, 0));
}

static void frames_can_become_owned(void **state)
{
    (void)state;
    paddr_t run = owner_take(20);
    map(GIB - 10 * PAGE_BYTES, run.v, 20, RW);
    note(GIB - 10 * PAGE_BYTES, 20, PAGES, PROT_OWNED, 0);
    note(GIB + 9 * PAGE_BYTES, 1, PAGES, 0, PROT_OWNED);
    unmap(GIB - 10 * PAGE_BYTES, 20);
    assert_int_equal(19, owner.released);
    owner_release(pa_add(run, 19 * PAGE_BYTES), 1);
}

#define WATCHING(name) TEST_ON_4_AND_5_LEVELS(name, start_watching, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WATCHING(a_state_becomes_a_page),
        WATCHING(only_what_is_expected_is_replaced),
        WATCHING(who_asks_has_the_last_word),
        WATCHING(only_what_cpus_may_have_wrong_is_flushed),
        WATCHING(a_piece_of_a_large_owned_page_is_replaced),
        WATCHING(states_of_one_kind_are_filled),
        WATCHING(a_large_state_is_filled_with_small_pages),
        WATCHING(protection_of_pages_and_of_those_to_come),
        WATCHING(notes_are_set_and_cleared_where_they_are_wanted),
        WATCHING(frames_can_become_owned),
    };
    return cmocka_run_group_tests_name("paging: exchange", tests, NULL, NULL);
}
