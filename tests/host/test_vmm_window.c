/* The addresses of a window: what is given out, against a plain model. */
#include "../../mm/vmm/window.h"
#include "machine.h"
#include "mm/pmm.h"
#include "mm/vmm.h"
#include "test.h"

#define BASE VMM_WINDOW_BASE
#define PAGE PAGE_BYTES

static int start(void **state)
{
    (void)state;
    machine_start_simple(16 * MIB);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    assert_true(pmm_validate());
    machine_stop();
    return 0;
}

static uint64_t window_frames(void)
{
    struct window_stats stats;
    window_get_stats(&stats);
    return stats.frames;
}

static uint64_t window_used(void)
{
    struct window_stats stats;
    window_get_stats(&stats);
    return stats.npages;
}

static uint64_t give_out(uint64_t npages, uint64_t align, uint64_t lead)
{
    vaddr_t va;
    assert_int_equal(MM_OK, window_alloc(npages, align, lead, &va));
    assert_int_equal(0, va_add(va, lead * PAGE).v % (align * PAGE));
    return va.v;
}

static void take_back(uint64_t va, uint64_t npages)
{
    assert_int_equal(MM_OK, window_free(VA(va), npages));
}

static void start_window(uint64_t npages)
{
    assert_int_equal(MM_OK, window_init(VA(BASE), npages));
    assert_true(window_validate());
}

static void an_empty_window_takes_no_frame_and_few_ranges_take_three(void **state)
{
    (void)state;
    uint64_t before = machine_free_frames();
    start_window(WINDOW_PAGES_MAX);
    assert_int_equal(before, machine_free_frames());
    uint64_t va[40];
    for (unsigned i = 0; i < COUNT(va); i++)
        va[i] = give_out(5, 1, 1);
    assert_true(window_validate());
    assert_int_equal(3, before - machine_free_frames());
    assert_int_equal(3, window_frames());
    for (unsigned i = 0; i < COUNT(va); i++)
        take_back(va[i], 5);
    assert_true(window_validate());
    assert_int_equal(0, window_frames());
    assert_int_equal(before, machine_free_frames());
}

static void ranges_are_low_and_close_together(void **state)
{
    (void)state;
    start_window(WINDOW_PAGES_MAX);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(BASE + i * 5 * PAGE, give_out(5, 1, 1));
    assert_int_equal(BASE + 512 * PAGE, give_out(512, 512, 0)); /* the next piece */
    take_back(BASE + 10 * PAGE, 5);
    assert_int_equal(BASE + 10 * PAGE, give_out(5, 1, 1));

    start_window(WINDOW_PAGES_MAX); /* also where no power of two is free that would do */
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(BASE + i * 100 * PAGE, give_out(100, 1, 0));
}

static void a_range_of_512_pages_never_lies_across_a_piece(void **state)
{
    (void)state;
    struct rng rng = rng_start();
    start_window(1 << 20);
    for (unsigned i = 0; i < 400; i++) {
        uint64_t n = rng_between(&rng, 1, 512), va = give_out(n, 1, 0);
        assert_int_equal(va / HUGE_2M, (va + n * PAGE - 1) / HUGE_2M);
    }
    assert_true(window_validate());
}

static void what_is_behind_the_lead_is_aligned(void **state)
{
    (void)state;
    static const uint64_t aligns[] = {1, 2, 16, 512, 1024, 1 << 18, 1 << 20, 1 << 27};
    start_window(WINDOW_PAGES_MAX);
    for (unsigned i = 0; i < COUNT(aligns); i++)
        for (uint64_t lead = 0; lead < 4; lead++) {
            give_out(lead + 1, aligns[i], lead);
            give_out(lead + aligns[i], aligns[i], lead);
            give_out(lead + 3 * aligns[i] + 7, aligns[i], lead);
        }
    assert_true(window_validate());
}

static void a_tib_is_given_out_by_a_few_lines(void **state)
{
    (void)state;
    start_window(WINDOW_PAGES_MAX);
    uint64_t before = machine_free_frames();
    uint64_t va = give_out(TIB / PAGE, WINDOW_ALIGN_MAX, 0);
    assert_int_equal(before, machine_free_frames());
    take_back(va, TIB / PAGE);
    va = give_out(TIB / PAGE + 1, WINDOW_ALIGN_MAX, 1); /* with a guard page */
    assert_int_equal(3, before - machine_free_frames());
    assert_true(window_validate());
    take_back(va, TIB / PAGE + 1);
    assert_int_equal(0, window_used());
    assert_true(window_validate());
}

static void all_of_a_window_can_be_given_out(void **state)
{
    (void)state;
    const uint64_t sizes[] = {1, 100, 512, 513, 5000, (1 << 18) + 77, (1 << 19) + 512, 1ull << 33};
    for (unsigned i = 0; i < COUNT(sizes); i++) {
        start_window(sizes[i]);
        vaddr_t va;
        for (uint64_t n = 0; n < sizes[i] && sizes[i] <= 5000; n++)
            give_out(1, 1, 0);
        if (sizes[i] == 1ull << 33)
            give_out(sizes[i], 1, 0);
        if (sizes[i] <= 5000 || sizes[i] == 1ull << 33) {
            assert_int_equal(MM_NOMEM, window_alloc(1, 1, 0, &va));
            assert_int_equal(sizes[i], window_used());
        }
        assert_int_equal(MM_INVAL, window_free(VA(BASE), sizes[i] + 1));
        assert_true(window_validate());
        if (window_used() == sizes[i])
            take_back(BASE, sizes[i]); /* many ranges at once */
        assert_int_equal(0, window_used());
        assert_true(window_validate());
    }
}

static void what_is_wrong_is_refused_and_changes_nothing(void **state)
{
    (void)state;
    vaddr_t va = VA(1);
    assert_int_equal(MM_INVAL, window_init(VA(BASE + PAGE), 100));
    assert_int_equal(MM_INVAL, window_init(VA(BASE), 0));
    assert_int_equal(MM_INVAL, window_init(VA(BASE), WINDOW_PAGES_MAX + 1));
    start_window(10000);
    assert_int_equal(MM_INVAL, window_alloc(0, 1, 0, &va));
    assert_int_equal(MM_INVAL, window_alloc(1, 0, 0, &va));
    assert_int_equal(MM_INVAL, window_alloc(1, 3, 0, &va));
    assert_int_equal(MM_INVAL, window_alloc(1, 1, 1, &va));
    assert_int_equal(MM_INVAL, window_alloc(-1ull, 1, 0, &va));
    assert_int_equal(MM_INVAL, window_alloc(1, WINDOW_ALIGN_MAX * 2, 0, &va));
    assert_int_equal(MM_NOMEM, window_alloc(10001, 1, 0, &va));
    assert_int_equal(1, va.v);
    uint64_t a = give_out(10, 1, 0), b = give_out(600, 1, 0);
    assert_int_equal(MM_NOTFOUND, window_free(VA(a), 11));
    assert_int_equal(MM_NOTFOUND, window_free(VA(b), 601));
    assert_int_equal(MM_NOTFOUND, window_free(VA(BASE), 10000));
    assert_int_equal(MM_NOTFOUND, window_cut(VA(BASE), 10000));
    assert_int_equal(MM_INVAL, window_free(VA(a), 0));
    assert_int_equal(MM_INVAL, window_free(VA(a + 1), 1));
    assert_int_equal(MM_INVAL, window_free(VA(BASE - PAGE), 2));
    assert_int_equal(MM_INVAL, window_free(VA(BASE + 9999 * PAGE), 2));
    assert_int_equal(MM_INVAL, window_free(VA(a), -1ull));
    assert_int_equal(610, window_used());
    take_back(a, 10);
    assert_int_equal(MM_NOTFOUND, window_free(VA(a), 10)); /* a second time */
    assert_true(window_validate());
}

static void a_failing_allocation_changes_nothing(void **state)
{
    (void)state;
    struct {
        uint64_t npages, align, lead;
    } wants[] = {{5, 1, 1},
                 {513, 512, 1},
                 {(1 << 18) + 513, 1 << 18, 1},
                 {(1ull << 27) + 1, 1 << 27, 1},
                 {3, 1 << 27, 1}};
    for (unsigned i = 0; i < COUNT(wants); i++) {
        start_window(WINDOW_PAGES_MAX);
        uint64_t before = machine_free_frames();
        vaddr_t va = VA(1);
        unsigned k = 0;
        for (;;) {
            machine_fail_allocation(++k);
            mm_status_t status = window_alloc(wants[i].npages, wants[i].align, wants[i].lead, &va);
            assert_true(window_validate());
            if (!machine_failed()) {
                assert_int_equal(MM_OK, status);
                break;
            }
            assert_int_equal(MM_NOMEM, status);
            assert_int_equal(1, va.v);
            assert_int_equal(0, window_used());
            assert_int_equal(before, machine_free_frames());
        }
        assert_in_range(k, 4, 7); /* it took 3 frames or more */
        machine_fail_allocation(1);
        take_back(va.v, wants[i].npages); /* takes none */
        assert_false(machine_failed());
    }
}

static void a_part_is_freed_whole_or_not_at_all_and_never_fails_after_a_cut(void **state)
{
    (void)state;
    uint64_t n = 3ull << 27;
    for (unsigned cut_first = 0; cut_first < 2; cut_first++) {
        start_window(WINDOW_PAGES_MAX);
        uint64_t va = give_out(n, WINDOW_ALIGN_MAX, 0), before = machine_free_frames();
        vaddr_t part = VA(va + 5 * PAGE);
        mm_status_t status = MM_NOMEM;
        unsigned k = 0;
        for (; status != MM_OK && k < 20; k++) {
            machine_fail_allocation(k + 1);
            status = cut_first ? window_cut(part, n - 77) : window_free(part, n - 77);
            bool failed = machine_failed();
            assert_int_equal(failed ? MM_NOMEM : MM_OK, status);
            assert_true(window_validate());
            assert_int_equal(status == MM_OK && !cut_first ? 77 : n, window_used());
            if (failed)
                assert_int_equal(before, machine_free_frames());
        }
        assert_in_range(k, 6, 8);
        if (cut_first) {
            machine_fail_allocation(1);
            take_back(part.v, n - 77);
            assert_false(machine_failed());
        }
        take_back(va, 5);
        take_back(va + (n - 72) * PAGE, 72);
        assert_int_equal(0, window_used());
        assert_int_equal(0, window_frames());
        assert_true(window_validate());
    }
}

/* --- Against a model -------------------------------------------------------- */

#define MODEL_PAGES ((2u << 18) + 70000) /* of the window; its end is in the middle of a piece */
#define RANGES      300

static struct {
    bool used[MODEL_PAGES];
    struct {
        uint64_t first, n;
    } ranges[RANGES];
    unsigned count;
    uint64_t npages;
    unsigned nfound, nfailed;
} model;

static void model_mark(uint64_t first, uint64_t n, bool used)
{
    for (uint64_t i = first; i < first + n; i++) {
        assert_int_equal(!used, model.used[i]);
        model.used[i] = used;
    }
    model.npages += used ? n : -n;
}

/* A naturally aligned free run of size pages, a power of two. */
static bool model_has_run(uint64_t size)
{
    for (uint64_t i = 0; i + size <= MODEL_PAGES; i += size)
        if (memchr(&model.used[i], true, size) == NULL)
            return true;
    return false;
}

static void step_alloc(struct rng *rng)
{
    uint64_t n = rng_size(rng, rng_below(rng, 30) == 0 ? MODEL_PAGES : 2000);
    uint64_t align = 1ull << rng_below(rng, rng_below(rng, 10) == 0 ? 19 : 10);
    uint64_t lead = rng_below(rng, 3) == 0 ? rng_below(rng, n) : n > 1;
    vaddr_t va;
    mm_status_t status = window_alloc(n, align, lead, &va);
    if (status == MM_OK) {
        uint64_t first = (va.v - BASE) / PAGE;
        assert_int_equal(0, (va.v / PAGE + lead) % align);
        assert_true(first + n <= MODEL_PAGES);
        model_mark(first, n, true);
        model.ranges[model.count].first = first;
        model.ranges[model.count++].n = n;
        model.nfound++;
        return;
    }
    assert_int_equal(MM_NOMEM, status);
    uint64_t size = 1, total = (-lead & (align - 1)) + n;
    while (size < total || size < align)
        size *= 2;
    assert_false(model_has_run(size));
    model.nfailed++;
}

/* Free a range, or part of it. */
static void step_free(struct rng *rng)
{
    unsigned i = (unsigned)rng_below(rng, model.count);
    uint64_t first = model.ranges[i].first, n = model.ranges[i].n;
    uint64_t skip = 0, some = n;
    if (rng_below(rng, 3) == 0 && model.count < RANGES) {
        skip = rng_below(rng, n);
        some = rng_between(rng, 1, n - skip);
    }
    vaddr_t va = VA(BASE + (first + skip) * PAGE);
    if (rng_below(rng, 2) == 0) {
        assert_int_equal(MM_OK, window_cut(va, some));
        machine_fail_allocation(1);
    } else if (some == n) {
        machine_fail_allocation(1);
    }
    assert_int_equal(MM_OK, window_free(va, some));
    assert_false(machine_failed());
    assert_int_equal(MM_NOTFOUND, window_free(va, some));
    model_mark(first + skip, some, false);
    model.ranges[i] = model.ranges[--model.count];
    if (skip > 0) {
        model.ranges[model.count].first = first;
        model.ranges[model.count++].n = skip;
    }
    if (skip + some < n) {
        model.ranges[model.count].first = first + skip + some;
        model.ranges[model.count++].n = n - skip - some;
    }
}

static void the_window_agrees_with_a_model(void **state)
{
    (void)state;
    struct rng rng = rng_start();
    memset(&model, 0, sizeof model);
    start_window(MODEL_PAGES);
    uint64_t at_start = window_frames();
    for (unsigned step = 0; step < 20000; step++) {
        bool grow = rng_below(&rng, 100) < (step / 1000 % 2 == 0 ? 70 : 35);
        if (model.count == 0 || (grow && model.count < RANGES - 1))
            step_alloc(&rng);
        else
            step_free(&rng);
        assert_int_equal(model.npages, window_used());
        if (step % 50 == 0)
            assert_true(window_validate());
    }
    assert_in_range(model.nfound, 1000, 20000);
    assert_in_range(model.nfailed, 20, 20000);
    while (model.count > 0) {
        model.count--;
        model_mark(model.ranges[model.count].first, model.ranges[model.count].n, false);
        take_back(BASE + model.ranges[model.count].first * PAGE, model.ranges[model.count].n);
    }
    assert_int_equal(0, window_used());
    assert_true(window_validate());
    assert_int_equal(at_start, window_frames());
    give_out(1 << 19, 1 << 19, 0); /* all in one piece again */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_empty_window_takes_no_frame_and_few_ranges_take_three),
        TEST(ranges_are_low_and_close_together),
        TEST(a_range_of_512_pages_never_lies_across_a_piece),
        TEST(what_is_behind_the_lead_is_aligned),
        TEST(a_tib_is_given_out_by_a_few_lines),
        TEST(all_of_a_window_can_be_given_out),
        TEST(what_is_wrong_is_refused_and_changes_nothing),
        TEST(a_failing_allocation_changes_nothing),
        TEST(a_part_is_freed_whole_or_not_at_all_and_never_fails_after_a_cut),
        TEST(the_window_agrees_with_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
