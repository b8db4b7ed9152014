/* What becomes of slabs: on one CPU and between several, each call at a time. */
#include "../../mm/heap/shared.h"
#include "heap_rig.h"

#define SLAB_OF(p) page_map_find(page_map_offset(p))

static void *take(size_t bytes)
{
    void *p = kmalloc(bytes);
    assert_non_null(p);
    return p;
}

/* --- Misuse --------------------------------------------------------------------------------- */

/* Refused with these words, and nothing has changed. */
static void expect_refused(void *p, const char *words)
{
    uint64_t live = totals().all.live;
    kfree(p);
    assert_misuse(words);
    assert_int_equal(live, totals().all.live);
    assert_true(heap_validate());
}

static void freeing_twice_is_refused(void **state)
{
    (void)state;
    static const size_t sizes[] = {16, 48, 64, 80, 1000, 4096, 32768};
    for (unsigned i = 0; i < COUNT(sizes); i++) {
        void *keep = take(sizes[i]), *p = take(sizes[i]);
        kfree(p);
        expect_refused(p, "double free");
        be(1); /* seen from elsewhere */
        expect_refused(p, "double free");
        be(0);
        void *q = take(sizes[i]); /* and it has not been given out twice */
        void *r = take(sizes[i]);
        assert_true(q != r && q != keep && r != keep);
        be(1); /* freed elsewhere, not yet seen by its owner */
        kfree(q);
        expect_refused(q, "double free");
        be(0);
        expect_refused(q, "double free");
        kfree(r);
        kfree(keep);
    }
}

static void what_is_no_start_of_an_object_is_refused(void **state)
{
    (void)state;
    char local;
    static const size_t sizes[] = {16, 48, 64, 80, 1000, 4096, 32768};
    for (unsigned i = 0; i < COUNT(sizes); i++) {
        char *p = take(sizes[i]);
        expect_refused(p + 1, "inside an object");
        expect_refused(p + 8, "inside an object");
        expect_refused(p + sizes[i] - 1, "inside an object");
        be(2);
        expect_refused(p + 1, "inside an object");
        be(0);
        assert_ptr_equal(p, (kfree(p), kmalloc(sizes[i]))); /* nothing wrong is kept in mind */
        kfree(p);
    }
    /* Behind the last object of a slab, where another would begin if there were room. */
    char *p = take(80);
    const struct slab *slab = SLAB_OF(p);
    expect_refused((char *)slab->base + (size_t)slab->objects * 80, "inside an object");
    kfree(p);
    expect_refused(&local, "not from this heap");
    paddr_t frame;
    assert_int_equal(MM_OK, pmm_alloc_frame(&frame));
    expect_refused(phys_to_virt(frame), "not from this heap");
    assert_int_equal(MM_OK, pmm_free_frame(frame));
    kfree(NULL);
}

static void what_was_freed_last_is_taken_first_whatever_its_slab(void **state)
{
    (void)state;
    void *p[300];
    for (unsigned i = 0; i < COUNT(p); i++)
        p[i] = take(64);
    assert_ptr_not_equal(SLAB_OF(p[10]), SLAB_OF(p[150]));
    kfree(p[10]);
    kfree(p[150]);
    kfree(p[290]);
    assert_ptr_equal(p[290], kmalloc(64));
    assert_ptr_equal(p[150], kmalloc(64));
    assert_ptr_equal(p[10], kmalloc(64));
    /* Nothing is taken of slabs that are given back, though their objects were freed last. */
    for (unsigned i = 0; i < COUNT(p); i++)
        kfree(p[i]);
    heap_shrink();
    struct heap_place place;
    void *again = take(64);
    assert_true(heap_find(again, &place) && place.live && place.object == again);
    assert_int_equal(1, totals().all.live);
    kfree(again);
}

static void free_and_shrink(void **objects, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        kfree(objects[i]);
    heap_shrink();
}

static void a_destroyed_list_ends_in_a_panic(void **state)
{
    (void)state;
    void *objects[4 * 64];
    for (unsigned i = 0; i < COUNT(objects); i++)
        objects[i] = take(64);
    struct slab *slab = SLAB_OF(objects[0]);
    assert_int_equal(SLAB_FULL, slab->state);
    struct slab *next = slab->next;
    slab->next = (struct slab *)((uintptr_t)next ^ 0x4000);
    /* The lock stays taken: nothing of this heap can be used any more. */
    assert_panics(free_and_shrink(objects, 64), "list links of the slab");
    assert_message("class 64");
    machine_stop();
}

/* --- One CPU ---------------------------------------------------------------------------------- */

static void the_object_freed_last_comes_first(void **state)
{
    (void)state;
    static const size_t sizes[] = {8, 40, 64, 200, 1000, 2000};
    for (unsigned i = 0; i < COUNT(sizes); i++) {
        void *p = take(sizes[i]), *q = take(sizes[i]);
        assert_ptr_equal(SLAB_OF(p), SLAB_OF(q));
        kfree(p);
        assert_ptr_equal(p, take(sizes[i]));
        kfree(q);
        kfree(p);
        assert_ptr_equal(p, take(sizes[i]));
        kfree(p);
    }
}

/* Each of them, if all are taken, is somewhere else. */
static void no_two_objects_overlap(void **state)
{
    (void)state;
    enum { N = 700 };
    static unsigned char *p[N];
    for (unsigned class = 0; class < CLASS_SIZES; class ++) {
        size_t bytes = heap_class_bytes(class);
        unsigned n = bytes * N > 4 * MIB ? (unsigned)(4 * MIB / bytes) : N;
        for (unsigned i = 0; i < n; i++) {
            p[i] = take(bytes);
            fill(p[i], bytes, i);
        }
        for (unsigned i = 0; i < n; i++) {
            expect_fill(p[i], bytes, i);
            kfree(p[i]);
        }
    }
}

/* The reserve and what is in hand apart, memory for one class is an eighth more than the objects, or the
 * first slabs. */
static void little_is_wasted(void **state)
{
    (void)state;
    enum { N = 4096 };
    static void *p[N];
    for (unsigned class = 0; class < CLASS_SIZES; class ++) {
        size_t bytes = heap_class_bytes(class);
        unsigned n = bytes * N > 8 * MIB ? (unsigned)(8 * MIB / bytes) : N;
        for (unsigned i = 0; i < n; i++)
            p[i] = take(bytes);
        struct heap_stats s = stats_of(class, HEAP_ALL);
        assert_int_equal(n, s.live);
        assert_int_equal(n * bytes, s.live_bytes);
        uint64_t slab = class_shape(&heap_classes[class], SHAPE_LEVELS - 1).pages * FRAME_BYTES;
        assert_true(s.slab_bytes <= n * bytes * 9 / 8 + slab);
        for (unsigned i = 0; i < n; i++)
            kfree(p[i]);
    }
}

static void empty_slabs_go_back_beyond_the_reserve(void **state)
{
    (void)state;
    enum { N = 8000 };
    static void *p[N];
    struct heap_tuning before, small;
    heap_get_tuning(&before);
    small = before;
    small.reserve_pages = 16;
    small.cache_depth = 16;
    assert_int_equal(MM_OK, heap_tune(&small));
    for (unsigned i = 0; i < N; i++)
        p[i] = take(1024);
    uint64_t low = machine_free_frames();
    for (unsigned i = 0; i < N; i++)
        kfree(p[i]);
    assert_in_range(totals().reserve_bytes, 0, 16 * FRAME_BYTES);
    assert_true(machine_free_frames() - low >= N / 4 - 64);
    assert_int_equal(MM_OK, heap_tune(&before));
}

/* Kept, so that who frees all and allocates again need not go to the pmm. */
static void the_reserve_serves_again(void **state)
{
    (void)state;
    void *p[256];
    for (unsigned round = 0; round < 10; round++) {
        for (unsigned i = 0; i < COUNT(p); i++)
            p[i] = take(4096 - round);
        uint64_t frames = machine_free_frames();
        for (unsigned i = 0; i < COUNT(p); i++)
            kfree(p[i]);
        assert_true(round == 0 || machine_free_frames() <= frames + 32);
    }
}

/* --- Several CPUs ------------------------------------------------------------------------------- */

static void what_others_free_comes_back(void **state)
{
    (void)state;
    static const size_t sizes[] = {16, 48, 64, 1000, 8192};
    enum { N = 600 };
    static void *p[N];
    for (unsigned k = 0; k < COUNT(sizes); k++) {
        unsigned class = class_of(sizes[k]);
        for (unsigned i = 0; i < N; i++)
            p[i] = take(sizes[k]);
        uint64_t slabs = stats_of(class, 0).slabs;
        be(1);
        for (unsigned i = 0; i < N; i++)
            kfree(p[i]);
        assert_int_equal(0, stats_of(class, HEAP_ALL).live);
        assert_int_equal(N, stats_of(class, 0).remote_frees);
        assert_int_equal(0, stats_of(class, 1).slabs);
        be(0);
        for (unsigned i = 0; i < N; i++)
            p[i] = take(sizes[k]);
        assert_true(stats_of(class, 0).slabs <= slabs + 1);
        for (unsigned i = 0; i < N; i++)
            kfree(p[i]);
    }
}

static void who_leaves_leaves_his_slabs_to_all(void **state)
{
    (void)state;
    enum { N = 500 };
    static void *p[N];
    be(3);
    for (unsigned i = 0; i < N; i++)
        p[i] = take(64);
    for (unsigned i = 0; i < N; i += 2)
        kfree(p[i]);
    heap_leave_cpu();
    assert_int_equal(0, stats_of(HEAP_ALL, 3).slabs);
    assert_int_equal(0, stats_of(HEAP_ALL, 3).live);
    assert_int_equal(N / 2, totals().all.live);
    assert_true(heap_validate());
    be(0);
    uint64_t slabs = totals().all.slabs;
    for (unsigned i = 0; i < N; i += 2)
        p[i] = take(64); /* from what was left */
    assert_in_range(totals().all.slabs, 1, slabs + 1);
    be(3); /* it may go on */
    for (unsigned i = 0; i < N; i++)
        kfree(p[i]);
    kfree(take(64));
    assert_int_equal(0, totals().all.live);
}

static void the_last_free_of_a_shared_slab_takes_it_away(void **state)
{
    (void)state;
    void *p[64];
    be(2);
    for (unsigned i = 0; i < COUNT(p); i++)
        p[i] = take(64);
    heap_leave_cpu();
    uint64_t slabs = totals().all.slabs;
    assert_true(slabs >= 1);
    be(1);
    for (unsigned i = 0; i < COUNT(p); i++)
        kfree(p[i]);
    assert_int_equal(0, totals().all.slabs);
    assert_true(heap_validate());
}

static void too_many_partial_slabs_are_shared(void **state)
{
    (void)state;
    enum { N = 64 * 40 };
    static void *p[N];
    struct heap_tuning before, few;
    heap_get_tuning(&before);
    few = before;
    few.cache_depth = 4;
    assert_int_equal(MM_OK, heap_tune(&few));
    be(1);
    kfree(take(64)); /* there is somebody to share with */
    be(0);
    for (unsigned i = 0; i < N; i++)
        p[i] = take(64);
    for (unsigned i = 0; i < N; i++)
        if (i % 64 < 32)
            kfree(p[i]);
    assert_in_range(stats_of(class_of(64), 0).slabs, 1, 4 + 2);
    assert_true(totals().all.slabs >= 40);
    be(1);
    for (unsigned i = 0; i < N; i++)
        if (i % 64 < 32)
            p[i] = take(64);
    assert_in_range(totals().all.slabs, 40, 44);
    for (unsigned i = 0; i < N; i++)
        kfree(p[i]);
    assert_int_equal(MM_OK, heap_tune(&before));
}

static void set_depth(uint32_t slabs)
{
    struct heap_tuning tuning;
    heap_get_tuning(&tuning);
    tuning.cache_depth = slabs;
    assert_int_equal(MM_OK, heap_tune(&tuning));
}

#define SHARING 400 /* objects of 4096 bytes */

static struct slab *slab_of(const void *p)
{
    return page_map_find(page_map_offset(p));
}

/* Free objects of the slab until it is in that state, or all that are left of it. */
static void free_until(void **list, struct slab *slab, enum slab_state state)
{
    for (unsigned i = 0; i < SHARING && slab->state != state; i++)
        if (list[i] != NULL && slab_of(list[i]) == slab) {
            kfree(list[i]);
            list[i] = NULL;
        }
}

static void free_one(void **list, const struct slab *slab)
{
    unsigned i = 0;
    while (list[i] == NULL || slab_of(list[i]) != slab)
        i++;
    kfree(list[i]);
    list[i] = NULL;
}

static unsigned free_rest(void **list)
{
    unsigned n = 0;
    for (unsigned i = 0; i < SHARING; i++) {
        n += list[i] != NULL;
        kfree(list[i]);
    }
    return n;
}

/* The own CPU's free collects what another has freed there; then the slab is one too many. */
static void a_free_that_gives_its_own_slab_away_counts(void **state)
{
    (void)state;
    static void *p[SHARING];
    be(1);
    kfree(take(16));
    be(0);
    set_depth(2);
    for (unsigned i = 0; i < SHARING; i++)
        p[i] = take(4096);
    struct slab *oldest = slab_of(p[100]), *other = slab_of(p[200]);
    free_until(p, oldest, SLAB_PARTIAL);
    free_until(p, other, SLAB_PARTIAL);
    SLAB_SET(heap_tuning.cache_depth, 1); /* and nobody looks whether there are more */
    be(1);
    free_one(p, oldest);
    be(0);
    free_one(p, oldest);
    assert_int_equal(SLAB_SHARED, oldest->state);
    uint64_t live = stats_of(class_of(4096), HEAP_ALL).live;
    assert_true(heap_validate());
    assert_int_equal(free_rest(p), live);
    set_depth(CONFIG_HEAP_CACHE_DEPTH);
}

/* Else its next owner would not be told of frees. */
static void what_is_given_away_is_in_no_pending_list(void **state)
{
    (void)state;
    static void *p[SHARING];
    be(1);
    kfree(take(16));
    be(0);
    set_depth(1);
    for (unsigned i = 0; i < SHARING; i++)
        p[i] = take(4096);
    struct slab *oldest = slab_of(p[100]), *other = slab_of(p[200]);
    free_until(p, oldest, SLAB_PARTIAL);
    be(1);
    free_one(p, oldest);
    assert_non_null(oldest->pending);
    be(0);
    free_until(p, other, SLAB_PARTIAL);
    assert_int_equal(SLAB_SHARED, oldest->state);
    assert_null(oldest->pending);
    free_rest(p);
    set_depth(CONFIG_HEAP_CACHE_DEPTH);
}

static void who_only_frees_what_others_had_has_no_peak(void **state)
{
    (void)state;
    enum { N = 200 };
    static void *p[N];
    for (unsigned i = 0; i < N; i++)
        p[i] = take(512);
    heap_leave_cpu();
    be(1);
    kfree(p[0]);
    p[0] = take(512);
    for (unsigned i = 0; i < N; i++)
        kfree(p[i]);
    heap_shrink();
    for (unsigned i = 0; i < N / 2; i++)
        p[i] = take(512);
    for (unsigned i = 0; i < N / 2; i++)
        kfree(p[i]);
    heap_shrink();
    assert_in_range(stats_of(class_of(512), 1).peak, N / 2 - 64, N + 64);
    be(0);
}

/* Of two CPUs that free an object at the same time, one may come when the slab is empty already, in the
 * reserve or a spare. */
static void a_double_free_that_comes_late_is_said_and_not_counted(void **state)
{
    (void)state;
    enum { N = 150 };
    static void *p[N];
    set_depth(1); /* what is free is in its slab */
    for (unsigned spare = 0; spare <= 1; spare++) {
        for (unsigned i = 0; i < N; i++)
            p[i] = take(4096);
        struct slab *slab = slab_of(p[N / 2]);
        for (unsigned i = 0; i < N; i++)
            kfree(p[i]);
        kfree(take(4096));
        assert_int_equal(SLAB_EMPTY, slab->state);
        if (spare)
            heap_shrink();
        assert_true(free_remote(slab, 1));
        for (unsigned i = 0; i < N; i++)
            p[i] = take(4096);
        assert_misuse("a double free");
        assert_int_equal(N, stats_of(class_of(4096), HEAP_ALL).live);
        for (unsigned i = 0; i < N; i++)
            kfree(p[i]);
    }
    set_depth(CONFIG_HEAP_CACHE_DEPTH);
}

static void runs_of_others_do_not_hide_what_a_cpu_has(void **state)
{
    (void)state;
    void *run = take(100000);
    be(1);
    void *p = take(64);
    kfree(run);
    struct heap_stats s = stats_of(HEAP_ALL, 1);
    assert_int_equal(1, s.live);
    assert_int_equal(64, s.live_bytes);
    assert_int_equal(1, s.slabs);
    kfree(p);
    be(0);
}

/* --- No memory ------------------------------------------------------------------------------------ */

/* Take all there is, of objects of so many bytes. Returns the list of them, through their first words. */
static void **take_all(size_t bytes, uint64_t *count)
{
    void **list = NULL, **p;
    for (*count = 0; (p = kmalloc(bytes)) != NULL; ++*count) {
        *p = list;
        list = p;
    }
    return list;
}

static void free_all(void **list)
{
    while (list != NULL) {
        void **next = *list;
        kfree(list);
        list = next;
    }
}

static void every_free_object_is_found_when_there_is_no_memory(void **state)
{
    (void)state;
    static const size_t sizes[] = {16, 64, 256, 4096, 20000};
    for (unsigned k = 0; k < COUNT(sizes); k++) {
        uint64_t count;
        void **list = take_all(sizes[k], &count);
        assert_true(count * sizes[k] > 24 * MIB);
        void **next = *list, **behind = *next;
        kfree(next); /* of a slab that has been full for long */
        *list = behind;
        void **again = kmalloc(sizes[k]);
        assert_ptr_equal(next, again);
        *again = list;
        assert_null(kmalloc(sizes[k]));
        free_all(again);
        assert_true(stats_of(class_of(sizes[k]), HEAP_ALL).failures >= 2);
    }
}

static void the_reserves_of_others_are_taken_before_there_is_none(void **state)
{
    (void)state;
    enum { N = 200 };
    static void *p[N];
    set_depth(10); /* what another CPU has at hand it keeps */
    be(1);
    for (unsigned i = 0; i < N; i++)
        p[i] = take(4096);
    for (unsigned i = 0; i < N; i++)
        kfree(p[i]);
    assert_true(totals().reserve_bytes > N / 2 * 4096);
    be(0);
    uint64_t count;
    void **list = take_all(4096, &count);
    assert_int_equal(0, totals().reserve_bytes);
    free_all(list);
    set_depth(CONFIG_HEAP_CACHE_DEPTH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(freeing_twice_is_refused),
        TEST(what_is_no_start_of_an_object_is_refused),
        TEST(what_was_freed_last_is_taken_first_whatever_its_slab),
        TEST(the_object_freed_last_comes_first),
        TEST(no_two_objects_overlap),
        TEST(little_is_wasted),
        TEST(empty_slabs_go_back_beyond_the_reserve),
        TEST(the_reserve_serves_again),
        TEST(what_others_free_comes_back),
        TEST(who_leaves_leaves_his_slabs_to_all),
        TEST(the_last_free_of_a_shared_slab_takes_it_away),
        TEST(too_many_partial_slabs_are_shared),
        TEST(a_free_that_gives_its_own_slab_away_counts),
        TEST(what_is_given_away_is_in_no_pending_list),
        TEST(who_only_frees_what_others_had_has_no_peak),
        TEST(a_double_free_that_comes_late_is_said_and_not_counted),
        TEST(runs_of_others_do_not_hide_what_a_cpu_has),
        TEST(every_free_object_is_found_when_there_is_no_memory),
        TEST(the_reserves_of_others_are_taken_before_there_is_none),
        cmocka_unit_test_setup(a_destroyed_list_ends_in_a_panic, start),
    };
    return cmocka_run_group_tests_name("slabs of the heap", tests, NULL, NULL);
}
