/* Page runs that a CPU has freed and keeps: who gets them, who is told, and how many they are. */
#include "../../mm/heap/kept.h"
#include "heap_rig.h"

#define RUN_OF(p) page_map_find(page_map_offset(p))
#define BYTES     (100 * KIB)

static void *take(size_t bytes)
{
    void *p = kmalloc(bytes);
    assert_non_null(p);
    return p;
}

static struct share *share_of_cpu(unsigned cpu)
{
    return &rig_shares[cpu]->heap;
}

static void tune_reserve(uint32_t pages)
{
    struct heap_tuning tuning;
    heap_get_tuning(&tuning);
    tuning.reserve_pages = pages;
    assert_int_equal(MM_OK, heap_tune(&tuning));
}

/* --- Coming and going ------------------------------------------------------------------------ */

static void a_run_that_was_freed_is_taken_again_without_a_lock(void **state)
{
    (void)state;
    for (size_t bytes = HEAP_CLASS_BYTES + 1; bytes <= 256 * KIB; bytes += 4093) {
        void *p = take(bytes), *q = take(bytes);
        uint64_t frames = machine_free_frames();
        irq_state_t irq = spin_lock(&share_of_cpu(0)->lock); /* who takes it again panics */
        kfree(p);
        kfree(q);
        assert_ptr_equal(q, kmalloc(bytes));
        assert_ptr_equal(p, kmalloc(bytes));
        kfree(q);
        spin_unlock(&share_of_cpu(0)->lock, irq);
        assert_true(heap_validate());
        assert_int_equal(frames, machine_free_frames());
        kfree(p);
        heap_shrink();
    }
}

static void all_ways_to_allocate_take_what_is_kept(void **state)
{
    (void)state;
    const struct heap_want zeroed = {.flags = HEAP_ZERO | HEAP_NOWAIT};
    unsigned char *p = take(BYTES);
    memset(p, 0xff, BYTES);
    kfree(p);
    assert_ptr_equal(p, kcalloc(1, BYTES));
    expect_zeros(p, BYTES);
    memset(p, 0xff, BYTES);
    kfree_sized(p, BYTES);
    assert_ptr_equal(p, kmalloc_want(BYTES, &zeroed));
    expect_zeros(p, BYTES);
    kfree(p);
    assert_ptr_equal(p, kaligned_alloc(PAGE_BYTES, BYTES));
    kfree(p);
    unsigned char *aligned = kaligned_alloc(HUGE_2M, BYTES); /* not just any */
    assert_int_equal(0, (uintptr_t)aligned % HUGE_2M);
    kfree(aligned);
}

static bool count_runs(const struct heap_object *object, void *argument)
{
    *(unsigned *)argument += object->class == CLASS_RUNS;
    return true;
}

static void what_is_kept_is_free_to_all_who_look(void **state)
{
    (void)state;
    void *p[5];
    unsigned seen = 0;
    struct heap_place place;
    for (unsigned i = 0; i < COUNT(p); i++)
        p[i] = take(BYTES);
    size_t bytes = kmalloc_size(p[0]);
    for (unsigned i = 1; i < COUNT(p); i++)
        kfree(p[i]);
    struct heap_stats s = stats_of(CLASS_RUNS, HEAP_ALL);
    assert_int_equal(1, s.live);
    assert_int_equal(1, s.slabs);
    assert_int_equal(bytes, s.live_bytes);
    assert_int_equal(5, s.peak);
    assert_int_equal(5, s.allocations);
    assert_int_equal(4, s.frees);
    assert_int_equal(4 * bytes, totals().reserve_bytes);
    heap_walk(count_runs, &seen);
    assert_int_equal(1, seen);
    assert_true(!heap_find((char *)p[1] + 5000, &place) || !place.live);
    assert_true(heap_find((char *)p[0] + 5000, &place) && place.live);
    kfree(p[0]);
}

/* A run that has changed its length is kept as what it is. */
static void a_run_that_was_resized_is_not_taken_for_longer(void **state)
{
    (void)state;
    static const size_t sizes[] = {40 * KIB, 68 * KIB, 72 * KIB, 100 * KIB, 104 * KIB, 256 * KIB};
    for (size_t from = 0; from < COUNT(sizes); from++)
        for (size_t to = 0; to < COUNT(sizes); to++) {
            unsigned char *p = krealloc(take(sizes[from]), sizes[to]), *q[COUNT(sizes)];
            assert_non_null(p);
            kfree(p);
            assert_true(heap_validate());
            for (size_t i = 0; i < COUNT(sizes); i++) {
                q[i] = take(sizes[i]);
                assert_true(kmalloc_size(q[i]) >= sizes[i]);
                fill(q[i], sizes[i], (unsigned)i);
            }
            for (size_t i = 0; i < COUNT(sizes); i++) {
                expect_fill(q[i], sizes[i], (unsigned)i);
                kfree(q[i]);
            }
        }
}

static void every_failure_of_the_pmm_is_survived(void **state)
{
    (void)state;
    bool hit = true;
    for (unsigned k = 1; hit; k++) {
        void *p[12];
        heap_shrink();
        machine_fail_allocation(k);
        for (unsigned round = 0; round < 3; round++) {
            for (unsigned i = 0; i < COUNT(p); i++)
                p[i] = kmalloc(BYTES + i % 3 * 8 * KIB);
            for (unsigned i = 0; i < COUNT(p); i++)
                kfree(p[i]);
        }
        hit = machine_failed();
        assert_true(heap_validate());
        assert_true(k > COUNT(p) || hit);
    }
}

/* --- How many they are ---------------------------------------------------------------------------- */

static uint64_t kept_at_most(size_t bytes, unsigned n)
{
    static void *p[2000];
    uint64_t most = 0;
    assert_true(n <= COUNT(p));
    for (unsigned i = 0; i < n; i++)
        p[i] = take(bytes);
    for (unsigned i = 0; i < n; i++) {
        kfree(p[i]);
        uint64_t kept = totals().reserve_bytes / FRAME_BYTES;
        most = kept > most ? kept : most;
    }
    return most;
}

static void the_reserve_is_the_limit_for_slabs_and_runs_together(void **state)
{
    (void)state;
    static const uint32_t limits[] = {0, 1, 20, 64, 100, 256};
    for (unsigned i = 0; i < COUNT(limits); i++) {
        tune_reserve(limits[i]);
        heap_shrink();
        for (unsigned round = 0; round < 3; round++) {
            assert_in_range(kept_at_most(32 * KIB, 100), 0, limits[i]);
            assert_in_range(kept_at_most(200 * KIB, 40), 0, limits[i]);
            assert_in_range(kept_at_most(40 * KIB, 100), 0, limits[i]);
            assert_in_range(kept_at_most(4 * KIB, 2000), 0, limits[i]);
        }
        assert_true(heap_validate());
    }
    assert_true(kept_at_most(40 * KIB, 100) > 200); /* it is made use of */
    tune_reserve(CONFIG_HEAP_RESERVE_PAGES);
}

static void what_is_kept_makes_room_for_other_lengths(void **state)
{
    (void)state;
    (void)kept_at_most(256 * KIB, 4); /* all that may be */
    assert_int_equal(CONFIG_HEAP_RESERVE_PAGES, totals().reserve_bytes / FRAME_BYTES);
    void *p = take(40 * KIB);
    kfree(p);
    uint64_t frames = machine_free_frames();
    assert_ptr_equal(p, kmalloc(40 * KIB));
    assert_int_equal(frames, machine_free_frames());
    kfree(p);
}

/* --- Others ------------------------------------------------------------------------------------------ */

static void what_another_cpu_frees_that_one_keeps(void **state)
{
    (void)state;
    void *p = take(BYTES);
    be(1);
    kfree(p);
    be(0);
    void *q = take(BYTES);
    assert_ptr_not_equal(p, q);
    be(1);
    for (unsigned i = 0; i < 3; i++) {
        assert_ptr_equal(p, kmalloc(BYTES));
        kfree(p);
    }
    be(0);
    kfree(q);
    assert_true(heap_validate());
}

static void another_cpu_that_needs_memory_gets_it(void **state)
{
    (void)state;
    static void *p[6], *all[64];
    for (unsigned i = 0; i < COUNT(p); i++)
        p[i] = take(BYTES);
    uint64_t frames = machine_free_frames(), pages = kmalloc_size(p[0]) / FRAME_BYTES;
    for (unsigned i = 0; i < COUNT(p); i++)
        kfree(p[i]);
    assert_int_equal(frames, machine_free_frames());
    be(1);
    assert_int_equal(6 * pages, heap_shrink());
    assert_int_equal(frames + 6 * pages, machine_free_frames());
    be(0);
    kfree(p[0]);
    assert_misuse("double free");
    for (unsigned i = 0; i < COUNT(p); i++)
        p[i] = take(BYTES);
    for (unsigned i = 0; i < COUNT(p); i++) /* the short way is open again */
        kfree(p[i]);
    assert_int_equal(6 * pages, share_of_cpu(0)->kept_pages);
    be(1); /* without asking for it */
    unsigned n = 0;
    while (n < COUNT(all) && (all[n] = kmalloc(900 * KIB)) != NULL)
        n++;
    assert_int_equal(0, totals().reserve_bytes);
    while (n > 0)
        kfree(all[--n]);
    be(0);
}

static void a_cpu_that_leaves_keeps_nothing(void **state)
{
    (void)state;
    void *live = take(BYTES);
    kfree(take(BYTES));
    kfree(take(50 * KIB));
    heap_leave_cpu();
    assert_int_equal(0, totals().reserve_bytes);
    be(1);
    kfree(live);
    be(0);
    assert_true(heap_validate());
}

static void whoever_holds_all_locks_has_stopped_the_short_ways(void **state)
{
    (void)state;
    void *p = take(BYTES);
    heap_lock_all();
    for (unsigned cpu = 0; cpu < RIG_CPUS; cpu++)
        assert_int_equal(1, share_of_cpu(cpu)->stopped);
    assert_null(kept_take(BYTES));
    assert_false(kept_put(RUN_OF(p), p));
    heap_unlock_all();
    assert_true(kept_put(RUN_OF(p), p));
    assert_ptr_equal(p, kept_take(BYTES));
    kfree(p);
    assert_true(heap_validate());
}

/* --- Misuse ------------------------------------------------------------------------------------------- */

static void expect_refused(void *p, const char *words)
{
    uint64_t live = totals().all.live;
    kfree(p);
    assert_misuse(words);
    kfree_sized(p, BYTES);
    assert_misuse(words);
    assert_null(krealloc(p, 2 * BYTES));
    assert_misuse(words);
    assert_int_equal(0, kmalloc_size(p));
    assert_misuse(words);
    assert_int_equal(live, totals().all.live);
    assert_true(heap_validate());
}

static void freeing_twice_is_refused_by_any_cpu(void **state)
{
    (void)state;
    char *p = take(BYTES), *q = take(BYTES);
    kfree(p);
    for (unsigned cpu = 0; cpu < 3; cpu++) {
        be(cpu);
        expect_refused(p, "double free");
        expect_refused(p + PAGE_BYTES, "double free");
    }
    be(0);
    assert_ptr_equal(p, kmalloc(BYTES));
    char *r = take(BYTES);
    assert_true(r != p && r != q);
    expect_refused(p + 16, "inside an object");
    kfree(p);
    kfree(q);
    kfree(r);
    heap_shrink();
    expect_refused(p, "double free");
}

/* Both were at it before either had done anything that the other could have seen. */
static void of_two_who_free_at_the_same_time_one_is_told_later(void **state)
{
    (void)state;
    for (unsigned how = 0; how < 3; how++) {
        void *p = take(BYTES);
        struct slab *run = RUN_OF(p);
        kfree(p);
        run->kept = false; /* as the other one has seen it */
        be(1);
        kfree(p);
        void *other = how == 1 ? NULL : kmalloc(BYTES);
        be(0);
        void *q = how == 2 ? NULL : kmalloc(BYTES);
        if (how == 2)
            heap_shrink();
        assert_misuse("freed twice");
        assert_true(q == NULL || q != other);
        assert_int_equal((q != NULL) + (other != NULL), totals().all.live);
        kfree(q);
        kfree(other);
        assert_true(heap_validate());
        heap_shrink();
    }
}

/* As a fork may find another thread; the others would wait for it for good. */
static void a_copy_of_a_cpu_in_the_middle_of_a_short_way_is_not_in_it(void **state)
{
    (void)state;
    struct share *s = share_of_cpu(0);
    void *p = take(BYTES);
    kfree(p);
    s->busy = 1;
    share_recover(s);
    assert_int_equal(0, s->busy);
    assert_ptr_equal(p, kmalloc(BYTES));
    kfree(p);
    be(1);
    assert_true(heap_shrink() * FRAME_BYTES >= BYTES);
    be(0);
    assert_int_equal(0, totals().reserve_bytes);
}

/* --- Descriptors --------------------------------------------------------------------------------- */

/* Who frees has ever more that he does not need, who allocates none. */
static void descriptors_go_back_to_who_allocates(void **state)
{
    (void)state;
    enum { ROUNDS = 100000, FIRST = 1000 };
    uint64_t descriptors = 0;
    for (unsigned i = 0; i < ROUNDS; i++) {
        void *p = take(40 * KIB);
        be(1);
        kfree(p);
        be(0);
        if (i == FIRST)
            descriptors = totals().descriptor_bytes;
    }
    assert_true(descriptors > 0);
    assert_in_range(totals().descriptor_bytes, 1, descriptors + 8 * FRAME_BYTES);
}

/* Each CPU has its runs elsewhere, for which the page map wants a leaf of a frame for each 2 MiB. */
static void descriptors_of_a_cpu_that_leaves_are_for_all(void **state)
{
    (void)state;
    enum { LEAVES = 3 };
    void *p[60];
    uint64_t first = 0;
    for (unsigned cpu = 0; cpu < RIG_CPUS; cpu++) {
        be(cpu);
        for (unsigned i = 0; i < COUNT(p); i++)
            p[i] = take(40 * KIB);
        for (unsigned i = 0; i < COUNT(p); i++)
            kfree(p[i]);
        heap_leave_cpu();
        uint64_t bytes = totals().descriptor_bytes;
        first = cpu == 0 ? bytes : first;
        assert_in_range(bytes, first, first + (uint64_t)cpu * LEAVES * FRAME_BYTES);
    }
    be(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_run_that_was_freed_is_taken_again_without_a_lock),
        TEST(all_ways_to_allocate_take_what_is_kept),
        TEST(what_is_kept_is_free_to_all_who_look),
        TEST(a_run_that_was_resized_is_not_taken_for_longer),
        TEST(every_failure_of_the_pmm_is_survived),
        TEST(the_reserve_is_the_limit_for_slabs_and_runs_together),
        TEST(what_is_kept_makes_room_for_other_lengths),
        TEST(what_another_cpu_frees_that_one_keeps),
        TEST(another_cpu_that_needs_memory_gets_it),
        TEST(a_cpu_that_leaves_keeps_nothing),
        TEST(whoever_holds_all_locks_has_stopped_the_short_ways),
        TEST(freeing_twice_is_refused_by_any_cpu),
        TEST(of_two_who_free_at_the_same_time_one_is_told_later),
        TEST(a_copy_of_a_cpu_in_the_middle_of_a_short_way_is_not_in_it),
        TEST(descriptors_go_back_to_who_allocates),
        TEST(descriptors_of_a_cpu_that_leaves_are_for_all),
    };
    return cmocka_run_group_tests_name("runs that are kept", tests, NULL, NULL);
}
