/* krealloc: contents are kept, objects move only where they must, and arrays do not overflow. */
#include "heap_rig.h"

static size_t size_of(const void *p)
{
    return kmalloc_size(p);
}

static int start_64_mib(void **state)
{
    (void)state;
    return start_with(64 * MIB);
}

/* --- Contents --------------------------------------------------------------------- */

static void contents_are_kept_up_to_the_smaller_size(void **state)
{
    (void)state;
    struct rng rng = rng_start();
    unsigned char *p = krealloc(NULL, 100);
    size_t bytes = 100;
    fill(p, bytes, 1);
    for (unsigned i = 1; i < 600; i++) {
        size_t next = rng_size(&rng, i % 8 == 0 ? 3 * MIB : 256 * KIB);
        void *between = kmalloc(rng_size(&rng, 100 * KIB));
        p = krealloc(p, next);
        assert_non_null(p);
        assert_true(size_of(p) >= next);
        expect_fill(p, next < bytes ? next : bytes, i);
        bytes = next;
        fill(p, bytes, i + 1);
        kfree(between);
    }
    p = krealloc(p, 0);
    assert_non_null(p);
    assert_in_range(size_of(p), 1, 16);
    kfree(p);
}

/* From every kind of object to every other: class, run, block, range. */
static void every_way_between_sizes_keeps_the_contents(void **state)
{
    (void)state;
    static const size_t sizes[] = {0,       1,       16,          17,           200,
                                   4096,    8000,    32 * KIB,    32 * KIB + 1, 100 * KIB,
                                   MIB - 1, MIB,     MIB + 1,     15 * MIB / 8, 2 * MIB,
                                   5 * MIB, 6 * MIB, 7 * MIB + 5, 8 * MIB};
    for (size_t from = 0; from < COUNT(sizes); from++)
        for (size_t to = 0; to < COUNT(sizes); to++) {
            unsigned char *p = kmalloc(sizes[from]);
            assert_non_null(p);
            fill(p, sizes[from], (unsigned)from);
            p = krealloc(p, sizes[to]);
            assert_non_null(p);
            assert_true(size_of(p) >= sizes[to]);
            expect_fill(p, sizes[from] < sizes[to] ? sizes[from] : sizes[to], (unsigned)from);
            memset(p, 0xcc, size_of(p));
            kfree(p);
        }
}

/* --- In place ------------------------------------------------------------------------- */

static void within_its_class_an_object_stays(void **state)
{
    (void)state;
    unsigned char *p = kmalloc(1000);
    size_t size = size_of(p);
    assert_ptr_equal(p, krealloc(p, size));
    assert_ptr_equal(p, krealloc(p, size / 2 + 1));
    assert_int_equal(size, size_of(p));
    kfree_sized(p, size / 2 + 1);
    p = kmalloc(1000);
    unsigned char *small = krealloc(p, size / 2); /* keeping half of it free would be waste */
    assert_true(size_of(small) <= size / 2);
    kfree(small);
    p = kmalloc(1);
    assert_ptr_equal(p, krealloc(p, 0));
    kfree(p);
}

static void a_run_gives_its_end_back_and_takes_it_again(void **state)
{
    (void)state;
    unsigned char *p = kmalloc(600 * KIB);
    uint64_t before = machine_free_frames();
    fill(p, 600 * KIB, 3);
    assert_ptr_equal(p, krealloc(p, 100 * KIB));
    assert_int_equal(before + 125, machine_free_frames());
    assert_int_equal(100 * KIB, size_of(p));
    assert_ptr_equal(p, krealloc(p, 600 * KIB));
    assert_int_equal(before, machine_free_frames());
    expect_fill(p, 100 * KIB, 3);
    kfree(p);
}

static void a_run_moves_only_if_the_frames_behind_it_are_used(void **state)
{
    (void)state;
    unsigned char *p = kmalloc(100 * KIB), *behind[40];
    fill(p, 100 * KIB, 4);
    for (size_t i = 0; i < COUNT(behind); i++) /* all around it */
        behind[i] = kmalloc(100 * KIB);
    unsigned char *moved = krealloc(p, 200 * KIB);
    assert_ptr_not_equal(p, moved);
    expect_fill(moved, 100 * KIB, 4);
    for (size_t i = 0; i < COUNT(behind); i++)
        kfree(behind[i]);
    kfree(moved);
}

/* Of 2 MiB each the page map has a leaf: the frames behind the last are free, but of the next. */
static void a_run_does_not_grow_over_a_border_of_2_mib(void **state)
{
    (void)state;
    enum { N = 1024, PAGES = 16, BYTES = PAGES * FRAME_BYTES };
    static paddr_t frames[N];
    unsigned n = 0, last = 0, next = 0;
    while (n < N && pmm_alloc_frames(PAGES, NULL, &frames[n]) == MM_OK)
        n++;
    for (; last < n; last++) {
        paddr_t end = pa_add(frames[last], BYTES);
        for (next = 0; next < n && !pa_eq(frames[next], end); next++)
            ;
        if (next < n && pa_aligned(end, HUGE_2M))
            break;
    }
    assert_in_range(last, 0, n - 1);
    unsigned other = 0; /* for leaf and descriptor */
    while (other == last || other == next)
        other++;
    pmm_free_frames(frames[other], 4);
    pmm_free_frames(frames[last], PAGES);
    unsigned char *p = kmalloc(BYTES);
    assert_non_null(p);
    assert_true(pa_eq(frames[last], virt_to_phys(p)));
    pmm_free_frames(frames[next], PAGES);
    assert_null(krealloc(p, BYTES + 1));
    assert_true(heap_validate());
    kfree(p);
    pmm_free_frames(pa_add(frames[other], 4 * FRAME_BYTES), PAGES - 4);
    for (unsigned i = 0; i < n; i++)
        if (i != last && i != next && i != other)
            pmm_free_frames(frames[i], PAGES);
}

static void a_range_grows_without_a_copy(void **state)
{
    (void)state;
    unsigned char *p = kmalloc(3 * MIB);
    fill(p, 3 * MIB, 5);
    for (size_t bytes = 3 * MIB; bytes < 20 * MIB; bytes += MIB) {
        p = krealloc(p, bytes);
        assert_in_range(size_of(p), bytes, bytes + bytes / 8 + PAGE_BYTES);
        expect_fill(p, 3 * MIB, 5);
    }
    p = krealloc(p, MIB + 1);
    assert_int_equal(MIB + PAGE_BYTES, size_of(p));
    expect_fill(p, MIB + 1, 5);
    kfree(p);
}

static void a_range_grows_by_what_is_needed_if_there_is_no_more(void **state)
{
    (void)state;
    void *p = kmalloc(3 * MIB);
    machine_fail_allocation(1);
    p = krealloc(p, 3 * MIB + 1);
    assert_true(machine_failed());
    assert_int_equal(3 * MIB + PAGE_BYTES, size_of(p));
    kfree(p);
}

/* Moves are as many as the logarithm of the size, whatever the step. */
static void growth_in_small_steps_moves_seldom(void **state)
{
    (void)state;
    static const size_t steps[] = {16, 100, 4096, 10000};
    for (size_t k = 0; k < COUNT(steps); k++) {
        unsigned moves = 0;
        unsigned char *p = kmalloc(16), *stoppers[512];
        size_t bytes = 16, n = 0;
        for (; bytes < 300 * KIB || (steps[k] > 100 && bytes < 3 * MIB); bytes += steps[k]) {
            unsigned char *now = krealloc(p, bytes + steps[k]);
            assert_non_null(now);
            if (now != p && n < COUNT(stoppers))
                stoppers[n++] = kmalloc(bytes); /* where it may want to grow */
            moves += now != p;
            p = now;
        }
        print_message("             steps of %zu bytes: %u moves to %zu\n", steps[k], moves, bytes);
        assert_in_range(moves, 2, 110);
        while (n > 0)
            kfree(stoppers[--n]);
        kfree(p);
    }
}

/* --- Failure ------------------------------------------------------------------------- */

static void a_failed_growth_leaves_the_object(void **state)
{
    (void)state;
    static const size_t from[] = {100, 30 * KIB, 500 * KIB, 2 * MIB, 3 * MIB};
    for (size_t i = 0; i < COUNT(from); i++) {
        unsigned char *p = kmalloc(from[i]);
        fill(p, from[i], 6);
        uint64_t live = totals().all.live, bytes = totals().all.live_bytes;
        unsigned char *q = p;
        for (unsigned k = 1; q == p; k++) {
            machine_fail_allocations_from(k);
            q = krealloc(p, 40 * MIB);
            bool hit = machine_failed();
            if (q != NULL)
                break;
            assert_true(hit);
            assert_int_equal(live, totals().all.live);
            assert_int_equal(bytes, totals().all.live_bytes);
            expect_fill(p, from[i], 6);
            q = p;
        }
        expect_fill(q, from[i], 6);
        assert_null(krealloc(q, SIZE_MAX));
        assert_null(krealloc(q, SIZE_MAX / 2));
        assert_null(krealloc(q, 1ull << 48));
        expect_fill(q, from[i], 6);
        kfree(q);
    }
}

/* What is a power of two of bytes is aligned to it, also when it was more before. */
static void what_shrinks_to_a_power_of_two_is_aligned(void **state)
{
    (void)state;
    for (size_t bytes = 16; bytes <= PAGE_BYTES; bytes *= 2)
        for (size_t before = bytes; before <= 3 * bytes; before += 8) {
            void *p[5];
            for (size_t i = 0; i < COUNT(p); i++) {
                p[i] = krealloc(kmalloc(before), bytes);
                assert_int_equal(0, (uintptr_t)p[i] % bytes);
            }
            for (size_t i = 0; i < COUNT(p); i++)
                kfree_sized(p[i], bytes);
        }
}

/* What grows gets more than was asked for only if who frees it by its size need not know. */
static void what_grows_to_a_size_is_freed_by_it(void **state)
{
    (void)state;
    static const size_t sizes[][2] = {{3840, PAGE_BYTES}, {30 * KIB, 32 * KIB}};
    for (size_t k = 0; k < COUNT(sizes); k++) {
        size_t bytes = sizes[k][1];
        unsigned char *p[8];
        for (size_t i = 0; i < COUNT(p); i++) {
            p[i] = kmalloc(sizes[k][0]);
            fill(p[i], sizes[k][0], (unsigned)i);
            p[i] = krealloc(p[i], bytes);
            assert_non_null(p[i]);
            assert_true(size_of(p[i]) >= bytes);
            assert_int_equal(0, (uintptr_t)p[i] % PAGE_BYTES);
        }
        for (size_t i = 0; i < COUNT(p); i++) {
            expect_fill(p[i], sizes[k][0], (unsigned)i);
            kfree_sized(p[i], bytes); /* or it is misuse */
        }
        assert_int_equal(0, totals().all.live);
    }
}

/* There is no memory for a smaller object either: then it keeps what it has. */
static void shrinking_never_fails(void **state)
{
    (void)state;
    static const size_t from[] = {32 * KIB, 500 * KIB, 2 * MIB, 5 * MIB};
    static const size_t to[] = {0, 10, 5000, 40 * KIB, 300 * KIB};
    for (size_t i = 0; i < COUNT(from); i++)
        for (size_t j = 0; j < COUNT(to) && to[j] < from[i]; j++) {
            unsigned char *p = kmalloc(from[i]);
            fill(p, from[i], 7);
            heap_shrink();
            machine_fail_allocations_from(1);
            p = krealloc(p, to[j]);
            (void)machine_failed();
            assert_non_null(p);
            expect_fill(p, to[j], 7);
            kfree_sized(p, to[j]);
        }
}

static void a_sampled_object_has_the_size_that_was_asked_for(void **state)
{
    (void)state;
    struct heap_tuning before, often;
    heap_get_tuning(&before);
    often = before;
    often.sample_rate = HEAP_SAMPLE_RATE_MIN;
    assert_int_equal(MM_OK, heap_tune(&often));
    for (unsigned i = 0; i < 3000; i++)
        kfree_sized(krealloc(kmalloc(32), 33), 33); /* or it is misuse */
    assert_true(totals().samples > 10);
    assert_int_equal(MM_OK, heap_tune(&before));
}

static void arrays_do_not_overflow(void **state)
{
    (void)state;
    assert_null(kcalloc(SIZE_MAX / 8 + 2, 8)); /* the product would be 8 */
    assert_null(kcalloc(1ull << 32, 1ull << 32));
    assert_null(kmalloc_array(SIZE_MAX / 16 + 2, 16));
    unsigned char *p = kmalloc_array(10, 10);
    fill(p, 100, 8);
    assert_null(krealloc_array(p, SIZE_MAX / 10 + 2, 10));
    expect_fill(p, 100, 8);
    p = krealloc_array(p, 1000, 10);
    assert_true(size_of(p) >= 10000);
    expect_fill(p, 100, 8);
    kfree(p);
    assert_null(kmalloc(SIZE_MAX));
    assert_null(kaligned_alloc(16, SIZE_MAX - 4095));
    p = krealloc_array(NULL, 3, 5);
    assert_non_null(p);
    kfree(p);
}

static void misuse_of_krealloc_is_said(void **state)
{
    (void)state;
    unsigned char *p = kmalloc(100), *run = kmalloc(50 * KIB), *range = kmalloc(3 * MIB);
    unsigned char *bad[] = {p + 1, p + 8, run + 16, run + 5000, range + 1, range + 2 * MIB};
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_null(krealloc(bad[i], 1000));
        assert_misuse("inside an object");
    }
    kfree(p);
    kfree(run);
    kfree(range);
    assert_null(krealloc(p, 1000));
    assert_misuse("double free");
    assert_null(krealloc(run, 1000));
    assert_misuse("krealloc");
    assert_null(krealloc(range, 1000));
    assert_misuse("krealloc");
}

#undef TEST
#define TEST(name) cmocka_unit_test_setup_teardown(name, start_64_mib, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(contents_are_kept_up_to_the_smaller_size),
        TEST(every_way_between_sizes_keeps_the_contents),
        TEST(within_its_class_an_object_stays),
        TEST(a_run_gives_its_end_back_and_takes_it_again),
        TEST(a_run_moves_only_if_the_frames_behind_it_are_used),
        TEST(a_run_does_not_grow_over_a_border_of_2_mib),
        TEST(a_range_grows_without_a_copy),
        TEST(a_range_grows_by_what_is_needed_if_there_is_no_more),
        TEST(growth_in_small_steps_moves_seldom),
        TEST(a_failed_growth_leaves_the_object),
        TEST(what_shrinks_to_a_power_of_two_is_aligned),
        TEST(what_grows_to_a_size_is_freed_by_it),
        TEST(shrinking_never_fails),
        TEST(a_sampled_object_has_the_size_that_was_asked_for),
        TEST(arrays_do_not_overflow),
        TEST(misuse_of_krealloc_is_said),
    };
    return cmocka_run_group_tests_name("krealloc", tests, NULL, NULL);
}
