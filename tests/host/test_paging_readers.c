/* Page tables: readers without a lock that meet a table which goes. What they are is compiled once more
 * here, with a turn of another CPU between two reads of entries. */
#include "../../mm/paging/range.h"

static unsigned reads_left; /* before the other CPU's turn; 0: it had it */
static void (*turn)(void);

static pte_t read_with_turns(const pte_t *slot)
{
    pte_t e = pte_read(slot);
    if (reads_left > 0 && --reads_left == 0)
        turn();
    return e;
}

#define pte_read          read_with_turns
#define paging_look       look_in_turns
#define paging_query      query_in_turns
#define paging_translate  translate_in_turns
#define paging_next_of    next_of_in_turns
#define paging_look_back  look_back_in_turns
#define paging_next       next_in_turns
#define paging_find_empty find_empty_in_turns
#define paging_walk       walk_in_turns
#include "../../mm/paging/query.c"
#undef pte_read
#undef paging_look
#include "paging_rig.h"

#define WINDOW 0xffffc00000000000ull

static const struct page_state nothing = {.kind = ENTRY_EMPTY};

static struct space user;

static int start_user(void **state)
{
    start(state);
    space.kernel = true;
    assert_int_equal(MM_OK, paging_seal(&space, VA(WINDOW), GIB / PAGE_BYTES));
    assert_int_equal(MM_OK, paging_create_user(&user, &space));
    return 0;
}

static int stop_user(void **state)
{
    paging_destroy(&user);
    return stop(state);
}

/* The tables of the window go, and their frames are filled with what looks like pages. */
static void free_tables(void)
{
    paddr_t frames[8];
    assert_int_equal(MM_OK, paging_set(&space, VA(WINDOW), GIB / PAGE_BYTES, KINDS_ALL, &nothing));
    for (unsigned i = 0; i < COUNT(frames); i++) {
        assert_int_equal(MM_OK, pmm_alloc_frame(&frames[i]));
        for (unsigned j = 0; j < TABLE_SLOTS; j++)
            table_at(frames[i])[j].raw = 0x123000 | PTE_PRESENT | PTE_LARGE;
    }
    for (unsigned i = 0; i < COUNT(frames); i++)
        assert_int_equal(MM_OK, pmm_free_frame(frames[i]));
}

static void a_walk_of_a_user_starts_again_when_a_table_of_the_kernel_goes(void **state)
{
    (void)state;
    for (unsigned reads = 1; reads <= LEVELS; reads++) {
        struct paging_step steps[PAGING_STEPS];
        map(WINDOW, 0x5000, 3, RW | PROT_GLOBAL);
        turn = free_tables;
        reads_left = reads;
        unsigned n = walk_in_turns(&user, VA(WINDOW + PAGE_BYTES), steps);
        assert_int_equal(0, reads_left);
        uint64_t last = steps[n - 1].raw;
        assert_true(last == 0 || (last & PTE_ADDRESS) == 0x6000);
    }
}

static void a_look_back_of_a_user_starts_again_when_a_table_of_the_kernel_goes(void **state)
{
    (void)state;
    for (unsigned reads = 1; reads <= LEVELS + 3; reads++) {
        struct mapping m = {.pa = PA(0x5000)};
        map(WINDOW, 0x5000, 1, RW | PROT_GLOBAL);
        map(WINDOW + 9 * PAGE_BYTES, 0x6000, 1, RW | PROT_GLOBAL);
        user.changes = space.changes; /* as it may be by chance */
        turn = free_tables;
        reads_left = reads;
        mm_status_t status =
            look_back_in_turns(&user, KIND(ENTRY_PAGE), VA(WINDOW + 0x8000), VA(WINDOW), &m);
        assert_int_equal(0, reads_left);
        assert_true(status == MM_NOTFOUND || (status == MM_OK && m.pa.v == 0x5000));
    }
}

int main(void)
{
#define HERE(test) cmocka_unit_test_setup_teardown(test, start_user, stop_user)
    const struct CMUnitTest tests[] = {
        HERE(a_walk_of_a_user_starts_again_when_a_table_of_the_kernel_goes),
        HERE(a_look_back_of_a_user_starts_again_when_a_table_of_the_kernel_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
