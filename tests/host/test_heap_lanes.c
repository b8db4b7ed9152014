/* What a CPU has at hand: whose it is when its slab goes, that it is found when there is no memory, and
 * that what is taken is counted and sampled. */
#include "../../mm/heap/object_cache.h"
#include "../../mm/heap/sample.h"
#include "../../mm/heap/shared.h"
#include "heap_rig.h"
#include "mm/object_cache.h"

#define SLAB_OF(p) page_map_find(page_map_offset(p))
#define OBJECT     2048u

static void *take(size_t bytes)
{
    void *p = kmalloc(bytes);
    assert_non_null(p);
    return p;
}

static void free_all(void **list, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        kfree(list[i]);
}

static void tune_rate(uint32_t rate)
{
    struct heap_tuning tuning;
    heap_get_tuning(&tuning);
    tuning.sample_rate = rate;
    assert_int_equal(MM_OK, heap_tune(&tuning));
}

/* There is another CPU to share with. */
static void use_cpu_1(void)
{
    be(1);
    kfree(take(64));
    be(0);
}

/* --- Slabs that go ---------------------------------------------------------------------------- */

#define MANY 100u

/* The first objects of full slabs that have some. */
static unsigned find_full(void **list, unsigned *at, unsigned wanted)
{
    unsigned found = 0;
    for (unsigned i = 1; i < MANY && found < wanted; i++) {
        const struct slab *slab = SLAB_OF(list[i]);
        if (slab != SLAB_OF(list[i - 1]) && slab->state == SLAB_FULL && slab->objects >= 4)
            at[found++] = i;
    }
    return found;
}

static unsigned count_of(void *const *list, unsigned n, const void *p)
{
    unsigned count = 0;
    for (unsigned i = 0; i < n; i++)
        count += list[i] == p;
    return count;
}

/* The free that finds no room at hand makes its own slab one too many. */
static void what_is_freed_as_its_slab_goes_is_nobody_elses(void **state)
{
    (void)state;
    void *p[MANY + 1 + MANY];
    unsigned at[3], n = MANY;
    struct heap_tuning before, few;
    use_cpu_1();
    heap_get_tuning(&before);
    few = before;
    few.cache_depth = 2;
    assert_int_equal(MM_OK, heap_tune(&few));
    for (unsigned i = 0; i < MANY; i++)
        p[i] = take(OBJECT);
    assert_int_equal(3, find_full(p, at, 3));
    unsigned order[] = {at[0] + 1, at[0] + 2, at[1], at[2], at[2] + 1, at[0]};
    void *last = p[at[0]];
    struct slab *slab = SLAB_OF(last);
    for (unsigned i = 0; i < COUNT(order); i++) {
        assert_ptr_equal(share_self(), share_of(slab->owner));
        kfree(p[order[i]]);
        p[order[i]] = NULL;
    }
    assert_null(share_of(slab->owner));
    assert_true(heap_validate());
    p[n++] = take(OBJECT);
    assert_ptr_not_equal(last, p[MANY]);
    be(1); /* takes what is nobody's first */
    while (n < COUNT(p))
        p[n++] = take(OBJECT);
    for (unsigned i = 0; i < n; i++)
        assert_true(p[i] == NULL || count_of(p, n, p[i]) == 1);
    assert_int_equal(1, count_of(p, n, last));
    assert_true(heap_validate());
    be(0);
    free_all(p, n);
    assert_int_equal(MM_OK, heap_tune(&before));
}

/* Two CPUs free an object at the same time, and its slab is nobody's when the second comes. */
static void a_double_free_does_not_empty_a_shared_slab(void **state)
{
    (void)state;
    void *p[4];
    unsigned char *live = NULL;
    use_cpu_1();
    for (unsigned i = 0; i < COUNT(p); i++)
        p[i] = take(OBJECT);
    struct slab *slab = SLAB_OF(p[0]);
    for (unsigned i = 0; i < COUNT(p); i++)
        if (i == 0 || SLAB_OF(p[i]) != slab || live != NULL)
            kfree(p[i]);
        else
            live = p[i];
    assert_non_null(live);
    fill(live, OBJECT, 1);
    heap_leave_cpu();
    assert_int_equal(SLAB_SHARED, slab->state);
    be(1);
    assert_true(free_remote(slab, (uint32_t)(((uintptr_t)p[0] - slab->base) / OBJECT)));
    assert_int_equal(SLAB_SHARED, slab->state);
    struct heap_place place;
    assert_true(heap_find(live, &place) && place.live);
    expect_fill(live, OBJECT, 1);
    kfree(live);
    assert_misuse("a double free");
    assert_int_not_equal(SLAB_SHARED, slab->state);
    assert_true(heap_validate());
    be(0);
}

/* --- No memory -------------------------------------------------------------------------------- */

static void **take_all(void **list, size_t bytes)
{
    static const struct heap_want want = {.flags = HEAP_NOWAIT};
    for (void **p; (p = kmalloc_want(bytes, &want)) != NULL; list = p)
        *p = list;
    return list;
}

/* Whole slabs of it, none of which stays with who keeps nothing. */
static void what_is_at_hand_serves_other_classes_when_there_is_no_memory(void **state)
{
    (void)state;
    void *p[9];
    unsigned freed = 0;
    struct heap_tuning before, none;
    heap_get_tuning(&before);
    none = before;
    none.reserve_pages = 0;
    assert_int_equal(MM_OK, heap_tune(&none));
    for (unsigned i = 0; i < COUNT(p); i++)
        p[i] = take(OBJECT);
    const struct slab *first = SLAB_OF(p[0]), *current = SLAB_OF(p[COUNT(p) - 1]);
    assert_ptr_not_equal(first, current);
    void **list = take_all(take_all(NULL, 32 * KIB), 64);
    assert_null(kmalloc(100));
    for (; SLAB_OF(p[freed]) != current; freed++)
        kfree(p[freed]);
    assert_int_equal(SLAB_FULL, first->state); /* they are at hand */
    void *other = kmalloc(100);
    assert_non_null(other);
    kfree(other);
    free_all(p + freed, COUNT(p) - freed);
    while (list != NULL) {
        void **next = *list;
        kfree(list);
        list = next;
    }
    assert_int_equal(MM_OK, heap_tune(&before));
}

/* --- Counting ------------------------------------------------------------------------------------ */

static void as_many_as_a_lane_can_be_armed_for_are_counted(void **state)
{
    (void)state;
    unsigned class = class_of(64);
    struct heap_lane *lane = &share_self()->lanes[class];
    kfree(take(64));
    assert_int_equal(INT32_MAX, lane->armed);
    uint64_t count = stats_of(class, 0).allocations + (uint64_t)lane->until - 1;
    lane->until = 1; /* as if so many had come and gone */
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(count + i, stats_of(class, 0).allocations);
        assert_int_equal(count + i, stats_of(class, 0).frees);
        kfree(take(64));
    }
    assert_int_equal(INT32_MAX, lane->armed);
}

/* --- Sampling ------------------------------------------------------------------------------------ */

#define WAVE 1000u

static void pairs(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        kfree(take(64));
}

static void waves(unsigned n)
{
    void *p[WAVE];
    for (; n >= WAVE; n -= WAVE) {
        for (unsigned i = 0; i < WAVE; i++)
            p[i] = take(64);
        free_all(p, WAVE);
    }
}

static void eight_classes(unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        kfree(take(16 + 16 * (i % 8)));
}

#define SAMPLES 200u

static void expect_one_in(uint32_t rate, void (*use)(unsigned))
{
    uint64_t before = totals().samples;
    use(SAMPLES * rate);
    assert_in_range(totals().samples - before, SAMPLES * 7 / 10, SAMPLES * 14 / 10);
}

static void one_object_in_so_many_is_sampled(void **state)
{
    (void)state;
    static void (*const uses[])(unsigned) = {pairs, waves, eight_classes};
    for (uint32_t rate = 100; rate <= 10000; rate *= 10) {
        tune_rate(rate);
        for (unsigned i = 0; i < COUNT(uses); i++)
            expect_one_in(rate, uses[i]);
    }
    tune_rate(0);
}

/* A lane looks up in time. */
static void the_next_sample_of_a_class_is_not_late(void **state)
{
    (void)state;
    enum { RATE = 1000 };
    unsigned since = 0, latest = 0;
    tune_rate(RATE);
    for (unsigned i = 0; i < SAMPLES * RATE; i++) {
        void *p = take(64);
        since = sample_owns(p) ? 0 : since + 1;
        latest = since > latest ? since : latest;
        kfree(p);
    }
    assert_in_range(latest, RATE, RATE * 17 / 10);
    tune_rate(0);
}

/* Lanes that are counted at the same time, after many objects each, do not make one sample of each. */
static void what_was_not_counted_for_long_is_not_sampled_at_once(void **state)
{
    (void)state;
    enum { RATE = 1000, CLASSES = 16, STEPS = 20 };
    for (unsigned i = 1; i <= CLASSES; i++)
        kfree(take(16 * i));
    tune_rate(RATE);
    for (unsigned i = 1; i <= CLASSES; i++)
        for (unsigned k = 0; k < RATE - STEPS / 2; k++)
            kfree(take(16 * i));
    uint64_t before = totals().samples;
    for (unsigned k = 0; k < STEPS; k++)
        for (unsigned i = 1; i <= CLASSES; i++)
            kfree(take(16 * i));
    assert_in_range(totals().samples - before, 1, CLASSES * 3 / 4);
    tune_rate(0);
}

/* Its lanes are armed for as much as there is; the first long way of each tells it. */
static void another_cpu_samples_at_a_new_rate_once_it_goes_the_long_way(void **state)
{
    (void)state;
    be(1);
    pairs(WAVE);
    be(0);
    tune_rate(100);
    be(1);
    waves(WAVE);
    expect_one_in(100, pairs);
    be(0);
    tune_rate(0);
}

/* Nor do they wait for somebody who has one sampled. */
static void objects_of_caches_are_not_sampled(void **state)
{
    (void)state;
    const struct object_cache_want want = {.name = "unsampled", .bytes = 64};
    struct object_cache *cache;
    assert_int_equal(MM_OK, object_cache_create(&want, &cache));
    tune_rate(16);
    uint64_t before = totals().samples;
    const struct heap_lane *lane = &share_self()->lanes[object_cache_class(cache)];
    unsigned closed = 0;
    for (unsigned i = 0; i < 1000; i++) {
        object_cache_free(cache, object_cache_alloc(cache));
        closed += lane->until <= 0;
    }
    assert_in_range(closed, 0, 1000 / 16);
    assert_int_equal(before, totals().samples);
    tune_rate(0);
    assert_int_equal(0, object_cache_destroy(cache));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_freed_as_its_slab_goes_is_nobody_elses),
        TEST(a_double_free_does_not_empty_a_shared_slab),
        TEST(what_is_at_hand_serves_other_classes_when_there_is_no_memory),
        TEST(as_many_as_a_lane_can_be_armed_for_are_counted),
        TEST(one_object_in_so_many_is_sampled),
        TEST(the_next_sample_of_a_class_is_not_late),
        TEST(what_was_not_counted_for_long_is_not_sampled_at_once),
        TEST(another_cpu_samples_at_a_new_rate_once_it_goes_the_long_way),
        TEST(objects_of_caches_are_not_sampled),
    };
    return cmocka_run_group_tests_name("what is at hand", tests, NULL, NULL);
}
