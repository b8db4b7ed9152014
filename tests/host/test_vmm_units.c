/* The names of ranges, and how often frames are shared, against plain models. */
#include "../../mm/vmm/names.h"
#include "../../mm/vmm/shares.h"
#include "lock.h"
#include "machine.h"
#include "mm/pmm.h"
#include "test.h"

static int start(void **state)
{
    (void)state;
    machine_start_simple(16 * MIB);
    names_init();
    shares_init();
    return 0;
}

static int stop(void **state)
{
    (void)state;
    assert_true(pmm_validate());
    machine_stop();
    return 0;
}

/* --- Names ------------------------------------------------------------------- */

static char texts[NAMES_MAX + 10][16];

static void make_texts(void)
{
    for (unsigned i = 0; i < COUNT(texts); i++)
        snprintf(texts[i], sizeof texts[i], "range %u", i);
}

static void equal_names_have_one_number_wherever_they_are(void **state)
{
    (void)state;
    char here[] = "stack", there[] = "stack";
    unsigned number = name_number(here);
    assert_int_not_equal(NAME_UNNAMED, number);
    assert_int_equal(number, name_number(here));
    assert_int_equal(number, name_number(there));
    assert_ptr_equal(here, name_of(number));
    assert_int_not_equal(number, name_number("stacks"));
    assert_int_not_equal(number, name_number(""));
    assert_int_not_equal(name_number("costarring"), name_number("liquid")); /* of one hash */
}

static void what_has_no_number_is_unnamed(void **state)
{
    (void)state;
    assert_string_equal("unnamed", name_of(NAME_UNNAMED));
    assert_string_equal("unnamed", name_of(1));
    assert_string_equal("unnamed", name_of(-1u));
    assert_int_equal(NAME_UNNAMED, name_number(NULL));
}

static void there_is_room_for_2047_names_in_eight_frames(void **state)
{
    (void)state;
    make_texts();
    uint64_t before = machine_free_frames();
    for (unsigned i = 1; i < NAMES_MAX; i++)
        assert_int_equal(i, name_number(texts[i]));
    assert_int_equal(8, before - machine_free_frames());
    assert_int_equal(NAME_UNNAMED, name_number(texts[NAMES_MAX]));
    for (unsigned i = 1; i < NAMES_MAX; i++) {
        assert_int_equal(i, name_number(texts[i]));
        assert_ptr_equal(texts[i], name_of(i));
    }
    assert_string_equal("unnamed", name_of(NAMES_MAX));
}

static void a_name_without_memory_is_unnamed_until_there_is_some(void **state)
{
    (void)state;
    make_texts();
    unsigned nfailed = 0;
    for (unsigned i = 1; i < NAMES_MAX; i++) {
        machine_fail_allocation(1);
        unsigned number = name_number(texts[i]);
        if (machine_failed()) {
            nfailed++;
            assert_int_equal(NAME_UNNAMED, number);
            number = name_number(texts[i]);
        }
        assert_int_equal(i, number);
    }
    assert_int_equal(8, nfailed);
}

static void reading_names_takes_no_lock(void **state)
{
    (void)state;
    unsigned number = name_number("heap");
    struct spinlock other = SPINLOCK_INIT(LOCK_NAMES, "other");
    irq_state_t irq = spin_lock(&other); /* another of the class: a panic in a debug build */
    assert_string_equal("heap", name_of(number));
    assert_int_equal(number, name_number("heap"));
    spin_unlock(&other, irq);
}

/* --- Shares ------------------------------------------------------------------ */

#define BLOCKS 3u
#define FRAMES (BLOCKS * 512u)

static uint64_t mappings[FRAMES]; /* of each frame; 0: it is free */
static paddr_t first_frame;

static paddr_t frame_at(uint64_t i)
{
    return pa_add(first_frame, i * FRAME_BYTES);
}

static void take_frames(void)
{
    assert_int_equal(MM_OK, pmm_alloc_frames(FRAMES, NULL, &first_frame));
    for (unsigned i = 0; i < FRAMES; i++)
        mappings[i] = 1;
}

static void share(uint64_t first, uint64_t n)
{
    assert_int_equal(MM_OK, shares_add(frame_at(first), n));
    for (uint64_t i = first; i < first + n; i++)
        mappings[i]++;
}

static void release(uint64_t first, uint64_t n)
{
    shares_release(frame_at(first), n);
    for (uint64_t i = first; i < first + n; i++)
        mappings[i]--;
}

static void assert_shares(void)
{
    for (unsigned i = 0; i < FRAMES; i++) {
        assert_int_equal(mappings[i] > 0, pmm_is_used(frame_at(i)));
        assert_int_equal(mappings[i] > 0 ? mappings[i] : 1, shares_of(frame_at(i)));
        assert_int_equal(mappings[i] <= 1, shares_exclusive(frame_at(i), 1));
    }
    for (unsigned i = 0; i < FRAMES; i += 512) {
        bool alone = true;
        for (unsigned j = i; j < i + 512; j++)
            alone = alone && mappings[j] <= 1;
        assert_int_equal(alone, shares_exclusive(frame_at(i), 512));
    }
}

static void frames_that_were_never_shared_take_no_record_and_no_lock(void **state)
{
    (void)state;
    uint64_t before = machine_free_frames();
    take_frames();
    struct spinlock other = SPINLOCK_INIT(LOCK_SHARES, "other");
    irq_state_t irq = spin_lock(&other); /* another of the class: a panic in a debug build */
    assert_shares();
    release(1, 1);
    release(100, 700);
    release(1024, 512);
    spin_unlock(&other, irq);
    assert_shares();
    release(0, 1);
    release(2, 98);
    release(800, 224);
    assert_int_equal(0, shares_frames());
    assert_int_equal(before, machine_free_frames());
}

static void a_frame_is_freed_with_its_last_mapping(void **state)
{
    (void)state;
    take_frames();
    share(7, 1);
    share(7, 1);
    assert_int_equal(4, shares_frames()); /* three on the way, and the record */
    assert_shares();
    for (unsigned i = 0; i < 3; i++) {
        assert_true(pmm_is_used(frame_at(7)));
        release(7, 1);
        assert_shares();
    }
    assert_false(pmm_is_used(frame_at(7)));
}

static void large_and_small_pages_may_be_mixed(void **state)
{
    (void)state;
    take_frames();
    share(0, 512);
    release(3, 1); /* one of the two is made of small pages now, which go one by one */
    assert_shares();
    share(0, 512); /* the other, still large */
    share(3, 2);
    release(0, 512);
    release(3, 509);
    assert_shares();
    release(0, 512);
    assert_int_equal(0, mappings[3]);
    assert_int_equal(1, mappings[4]);
    assert_shares();
    release(4, 1);
    release(0, 3);
    share(512, 1024);
    release(512, 1024);
    assert_true(shares_exclusive(frame_at(512), 1024));
    release(512, 1024);
    assert_shares();
}

static void a_page_of_1_gib_is_shared_by_512_records(void **state)
{
    (void)state;
    paddr_t base;
    machine_stop();
    machine_start_simple(2 * GIB + 16 * MIB);
    shares_init();
    assert_int_equal(MM_OK, pmm_alloc_order(PMM_ORDER_GIB, NULL, &base));
    assert_int_equal(MM_OK, shares_add(base, 512 * 512));
    assert_in_range(shares_frames(), 512 + 3, 512 + 4);
    assert_false(shares_exclusive(base, 512 * 512));
    shares_release(base, 512 * 512);
    assert_true(shares_exclusive(base, 512 * 512));
    assert_true(pmm_is_used(base));
}

static void sharing_without_memory_shares_nothing(void **state)
{
    (void)state;
    take_frames();
    uint64_t before = machine_free_frames();
    unsigned k = 0;
    for (mm_status_t status = MM_NOMEM; status != MM_OK;) {
        machine_fail_allocation(1 + k % 3);
        status = shares_add(frame_at(200), 1000);
        if (machine_failed()) {
            assert_int_equal(MM_NOMEM, status);
            k++;
        }
        assert_int_equal(before, machine_free_frames() + shares_frames());
        assert_int_equal(status == MM_OK ? 2 : 1, shares_of(frame_at(200)));
    }
    assert_in_range(k, 3, 6);
    for (unsigned i = 200; i < 1200; i++)
        mappings[i]++;
    assert_shares();
}

/* A run of frames that are all in use, by chance often of whole blocks; n = 0 if there is none. */
static void choose(struct rng *rng, uint64_t *first, uint64_t *n)
{
    *first = rng_below(rng, FRAMES);
    if (rng_below(rng, 2) == 0)
        *first &= ~511ull;
    while (*first < FRAMES && mappings[*first] == 0)
        ++*first;
    *n = *first == FRAMES ? 0 : rng_size(rng, FRAMES - *first);
    if (*first % 512 == 0 && *first < FRAMES)
        *n = 512 * rng_between(rng, 1, BLOCKS - *first / 512);
    for (uint64_t i = 0; i < *n; i++)
        if (mappings[*first + i] == 0)
            *n = i;
}

static void shares_agree_with_a_model(void **state)
{
    (void)state;
    struct rng rng = rng_start();
    uint64_t before = machine_free_frames(), nshared = 0, nreleased = 0;
    for (unsigned life = 0; life < 12; life++) {
        take_frames();
        for (uint64_t i = 0; i < FRAMES; i += 512) { /* later, a record might take a freed frame */
            share(i, 1);
            release(i, 1);
        }
        for (unsigned step = 0; step < 400; step++) {
            uint64_t first, n;
            choose(&rng, &first, &n);
            if (n == 0)
                continue;
            if (rng_below(&rng, 100) < (step < 200 ? 65 : 40)) {
                share(first, n);
                nshared++;
            } else {
                release(first, n);
                nreleased++;
            }
            if (step % 10 == 0)
                assert_shares();
        }
        for (uint64_t i = 0; i < FRAMES; i++)
            while (mappings[i] > 0)
                release(i, 1);
        assert_shares();
        assert_int_equal(before, machine_free_frames() + shares_frames());
    }
    assert_in_range(nshared, 300, 12 * 400);
    assert_in_range(nreleased, 300, 12 * 400);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(equal_names_have_one_number_wherever_they_are),
        TEST(what_has_no_number_is_unnamed),
        TEST(there_is_room_for_2047_names_in_eight_frames),
        TEST(a_name_without_memory_is_unnamed_until_there_is_some),
        TEST(reading_names_takes_no_lock),
        TEST(frames_that_were_never_shared_take_no_record_and_no_lock),
        TEST(a_frame_is_freed_with_its_last_mapping),
        TEST(large_and_small_pages_may_be_mixed),
        TEST(a_page_of_1_gib_is_shared_by_512_records),
        TEST(sharing_without_memory_shares_nothing),
        TEST(shares_agree_with_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
