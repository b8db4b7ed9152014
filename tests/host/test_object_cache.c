/* Object caches: constructed once, kept apart from each other and from kmalloc, given back whole. */
#include "heap_level.h"
#include "machine.h"
#include "mm/heap_stats.h"
#include "mm/hhdm.h"
#include "mm/object_cache.h"
#include "mm/pmm.h"
#include "test.h"

static uint64_t frames_at_start;

static int start(void **state)
{
    (void)state;
    machine_start_simple(32 * MIB);
    assert_int_equal(MM_OK, heap_init());
    heap_level(0);
    (void)heap_shrink();
    frames_at_start = machine_free_frames();
    return 0;
}

static uint64_t live_objects(void)
{
    struct heap_totals totals;
    heap_get_totals(&totals);
    return totals.all.live;
}

/* What the heap needs to keep account is never given back. */
static uint64_t account_frames(void)
{
    struct heap_totals totals;
    heap_get_totals(&totals);
    return totals.descriptor_bytes / FRAME_BYTES;
}

static int stop(void **state)
{
    (void)state;
    assert_int_equal(0, live_objects());
    assert_true(heap_validate());
    machine_stop();
    return 0;
}

/* --- Objects -------------------------------------------------------------------------------------- */

struct constructed {
    uint64_t number, count;
    char more[100];
};
static uint64_t constructions;

static void construct(void *object, void *argument)
{
    struct constructed *c = object;
    *c = (struct constructed){.number = *(uint64_t *)argument, .count = ++constructions};
}

static struct object_cache *create(const char *name, size_t bytes, size_t align)
{
    const struct object_cache_want want = {.name = name, .bytes = bytes, .align = align};
    struct object_cache *cache;
    assert_int_equal(MM_OK, object_cache_create(&want, &cache));
    return cache;
}

static void an_object_is_constructed_once_and_then_comes_as_it_was_freed(void **state)
{
    (void)state;
    uint64_t number = 77;
    const struct object_cache_want want = {.name = "constructed",
                                           .bytes = sizeof(struct constructed),
                                           .construct = construct,
                                           .argument = &number};
    struct object_cache *cache;
    struct constructed *objects[500];
    constructions = 0;
    assert_int_equal(MM_OK, object_cache_create(&want, &cache));
    assert_int_equal(0, constructions);
    for (unsigned i = 0; i < COUNT(objects); i++) {
        assert_non_null(objects[i] = object_cache_alloc(cache));
        assert_int_equal(77, objects[i]->number);
        objects[i]->number = 1000 + i;
    }
    uint64_t made = constructions;
    assert_in_range(made, COUNT(objects), 2 * COUNT(objects));
    for (unsigned i = 0; i < COUNT(objects); i += 2) /* no slab becomes empty */
        object_cache_free(cache, objects[i]);
    for (unsigned i = 0; i < COUNT(objects); i += 2) {
        struct constructed *c = object_cache_alloc(cache);
        assert_true(c->number == 77 || (c->number >= 1000 && c->number % 2 == 0));
        objects[i] = c;
    }
    assert_int_equal(made, constructions);
    for (unsigned i = 0; i < COUNT(objects); i++)
        object_cache_free(cache, objects[i]);
    assert_int_equal(0, object_cache_destroy(cache));
}

static void every_size_and_alignment_is_honoured(void **state)
{
    (void)state;
    for (size_t bytes = 1; bytes <= HEAP_CLASS_BYTES; bytes += 1 + bytes / 5)
        for (size_t align = 0; align <= 4096; align = align == 0 ? 1 : align * 4) {
            struct object_cache *cache = create("sized", bytes, align);
            char *objects[5];
            for (unsigned i = 0; i < COUNT(objects); i++) {
                assert_non_null(objects[i] = object_cache_alloc(cache));
                assert_int_equal(0, (uintptr_t)objects[i] % HEAP_ALIGN);
                assert_int_equal(0, align != 0 ? (uintptr_t)objects[i] % align : 0);
                assert_true(kmalloc_size(objects[i]) >= bytes);
                memset(objects[i], (int)i, bytes);
            }
            for (unsigned i = 0; i < COUNT(objects); i++) {
                assert_int_equal(i, objects[i][0]);
                assert_int_equal(i, objects[i][bytes - 1]);
                object_cache_free(cache, objects[i]);
            }
            object_cache_free(cache, NULL);
            assert_int_equal(0, object_cache_destroy(cache));
        }
}

static void bad_wishes_are_refused(void **state)
{
    (void)state;
    static const struct object_cache_want bad[] = {
        {.name = "none", .bytes = 0},
        {.name = "large", .bytes = HEAP_CLASS_BYTES + 1},
        {.name = "three", .bytes = 10, .align = 3},
        {.name = "coarse", .bytes = 10, .align = 8192},
        {.name = NULL, .bytes = 10},
    };
    struct object_cache *cache = NULL;
    for (unsigned i = 0; i < COUNT(bad); i++)
        assert_int_equal(MM_INVAL, object_cache_create(&bad[i], &cache));
    assert_null(cache);
}

static void there_are_as_many_as_the_constant_says(void **state)
{
    (void)state;
    struct object_cache *caches[CONFIG_HEAP_CACHES_MAX], *more = NULL;
    void *objects[CONFIG_HEAP_CACHES_MAX];
    const struct object_cache_want want = {.name = "one too many", .bytes = 64};
    for (unsigned i = 0; i < COUNT(caches); i++) {
        caches[i] = create("some", 32 + 16 * i, 0);
        assert_non_null(objects[i] = object_cache_alloc(caches[i]));
        assert_string_equal("some", heap_class_name(object_cache_class(caches[i])));
        assert_int_equal(32 + 16 * i, heap_class_bytes(object_cache_class(caches[i])));
    }
    assert_int_equal(MM_RANGE, object_cache_create(&want, &more));
    assert_null(more);
    object_cache_free(caches[7], objects[7]);
    assert_int_equal(0, object_cache_destroy(caches[7]));
    more = create("again", 5000, 0);
    caches[7] = more;
    assert_non_null(objects[7] = object_cache_alloc(more));
    for (unsigned i = 0; i < COUNT(caches); i++) {
        object_cache_free(caches[i], objects[i]);
        unsigned class = object_cache_class(caches[i]);
        assert_int_equal(0, object_cache_destroy(caches[i]));
        assert_null(heap_class_name(class));
    }
}

/* --- Misuse --------------------------------------------------------------------------------------- */

static void each_frees_only_its_own(void **state)
{
    (void)state;
    struct object_cache *one = create("one", 64, 0), *other = create("other", 64, 0);
    char *a = object_cache_alloc(one), *b = object_cache_alloc(other), *c = kmalloc(64);
    int local = 0;
    kfree(a);
    assert_misuse("one");
    kfree_sized(a, 64);
    assert_misuse("one");
    object_cache_free(other, a);
    assert_misuse("one");
    object_cache_free(one, b);
    assert_misuse("other");
    object_cache_free(one, c);
    assert_misuse("64");
    object_cache_free(one, a + 16);
    assert_misuse("inside");
    object_cache_free(one, &local);
    assert_int_equal(1, machine.misuses);
    machine.misuses = 0;
    char *moved = krealloc(a, 5000); /* the object stays the cache's */
    assert_null(moved);
    assert_misuse("one");
    assert_int_equal(3, live_objects());
    object_cache_free(one, a);
    object_cache_free(one, a);
    assert_misuse("already");
    object_cache_free(other, b);
    kfree(c);
    assert_int_equal(0, object_cache_destroy(one));
    assert_int_equal(0, object_cache_destroy(other));
}

static void destroying_reports_what_was_not_freed_and_leaves_it(void **state)
{
    (void)state;
    uint64_t account = account_frames();
    struct object_cache *cache = create("leaky", 200, 0);
    unsigned char *objects[300];
    for (unsigned i = 0; i < COUNT(objects); i++)
        objects[i] = object_cache_alloc(cache);
    for (unsigned i = 0; i < COUNT(objects); i++)
        if (i % 100 != 50)
            object_cache_free(cache, objects[i]);
        else
            memset(objects[i], (int)i, 200);
    machine.logs = 0;
    assert_int_equal(3, object_cache_destroy(cache));
    assert_message("leaky");
    assert_in_range(machine.logs, 1, 10);
    (void)heap_shrink();
    uint64_t lost = frames_at_start - machine_free_frames() - (account_frames() - account);
    assert_in_range(lost, 1, 3 * 16); /* only slabs with such objects */

    /* Whatever comes afterwards does not get it. */
    struct object_cache *next = create("next", 208, 0);
    unsigned char *fresh[2000];
    for (unsigned i = 0; i < COUNT(fresh); i++) {
        assert_non_null(fresh[i] = i % 2 ? object_cache_alloc(next) : kmalloc(200));
        memset(fresh[i], 0xff, 200);
    }
    for (unsigned i = 50; i < COUNT(objects); i += 100)
        for (unsigned k = 0; k < 200; k++)
            assert_int_equal(i, objects[i][k] + (i > 255 ? i - i % 256 : 0));
    object_cache_free(next, objects[50]);
    assert_int_equal(1, machine.misuses);
    kfree(objects[50]);
    assert_int_equal(2, machine.misuses);
    machine.misuses = 0;
    for (unsigned i = 0; i < COUNT(fresh); i++)
        if (i % 2)
            object_cache_free(next, fresh[i]);
        else
            kfree(fresh[i]);
    assert_int_equal(0, object_cache_destroy(next));
}

/* --- Memory --------------------------------------------------------------------------------------- */

static void shrinking_gives_the_empty_slabs_back(void **state)
{
    (void)state;
    uint64_t account = account_frames();
    struct object_cache *cache = create("shrunk", 1000, 0);
    void *objects[400];
    for (unsigned i = 0; i < COUNT(objects); i++)
        objects[i] = object_cache_alloc(cache);
    uint64_t before = machine_free_frames();
    for (unsigned i = 1; i < COUNT(objects); i++)
        object_cache_free(cache, objects[i]);
    uint64_t given = object_cache_shrink(cache);
    uint64_t room = 4; /* frames for what the lane had at hand */
    assert_true(machine_free_frames() + room >= before + given);
    assert_true(machine_free_frames() > before + 50);
    memset(objects[0], 1, 1000);
    object_cache_free(cache, objects[0]);
    (void)object_cache_shrink(cache);
    assert_int_equal(0, object_cache_destroy(cache));
    (void)heap_shrink();
    assert_int_equal(frames_at_start, machine_free_frames() + account_frames() - account);
}

static void a_thousand_rounds_leave_nothing(void **state)
{
    (void)state;
    uint64_t account = 0, frames = 0;
    for (unsigned round = 0; round < 1000; round++) {
        struct object_cache *cache = create("round", 16 + round * 7 % 3000, 0);
        void *objects[20];
        for (unsigned i = 0; i < COUNT(objects); i++)
            assert_non_null(objects[i] = object_cache_alloc(cache));
        for (unsigned i = 0; i < COUNT(objects); i++)
            object_cache_free(cache, objects[i]);
        assert_int_equal(0, object_cache_destroy(cache));
        (void)heap_shrink();
        if (round == 100) { /* descriptors for all there ever is at a time */
            account = account_frames();
            frames = machine_free_frames();
        }
    }
    assert_int_equal(account, account_frames());
    assert_int_equal(frames, machine_free_frames());
}

static void counts_are_those_of_a_class(void **state)
{
    (void)state;
    struct object_cache *cache = create("counted", 100, 0);
    struct heap_stats stats;
    void *objects[100];
    for (unsigned i = 0; i < COUNT(objects); i++)
        objects[i] = object_cache_alloc(cache);
    for (unsigned i = 0; i < 30; i++)
        object_cache_free(cache, objects[i]);
    assert_int_equal(MM_OK, heap_get_stats(object_cache_class(cache), HEAP_ALL, &stats));
    assert_int_equal(100, stats.allocations);
    assert_int_equal(30, stats.frees);
    assert_int_equal(70, stats.live);
    assert_int_equal(70 * 112, stats.live_bytes);
    assert_int_equal(0, (stats.slab_bytes - stats.waste_bytes) % 112);
    assert_true(stats.slab_bytes - stats.waste_bytes >= 100 * 112 && stats.waste_bytes > 0);
    for (unsigned i = 30; i < COUNT(objects); i++)
        object_cache_free(cache, objects[i]);
    unsigned class = object_cache_class(cache);
    assert_int_equal(0, object_cache_destroy(cache));
    assert_int_equal(MM_NOTFOUND, heap_get_stats(class, HEAP_ALL, &stats));
    /* The next of that number begins at 0. */
    cache = create("fresh", 100, 0);
    assert_int_equal(MM_OK, heap_get_stats(object_cache_class(cache), HEAP_ALL, &stats));
    assert_int_equal(0, stats.allocations + stats.frees + stats.live + stats.peak + stats.slabs);
    assert_int_equal(0, object_cache_destroy(cache));
}

/* --- The model ------------------------------------------------------------------------------------ */

#define CACHES  6
#define OBJECTS 600

static struct {
    struct object_cache *cache;
    size_t bytes;
} caches[CACHES];
static struct {
    unsigned char *p;
    unsigned cache;
} objects[OBJECTS];

static void expect_contents(unsigned i)
{
    for (size_t k = 0; k < caches[objects[i].cache].bytes; k++)
        if (objects[i].p[k] != (unsigned char)(i * 31 + k))
            fail_msg("byte %zu of object %u has changed", k, i);
}

/* One call; false if it failed, when nothing may have changed. */
static bool act(struct rng *rng)
{
    unsigned i = (unsigned)rng_below(rng, OBJECTS), c = (unsigned)rng_below(rng, CACHES);
    if (caches[c].cache == NULL) {
        caches[c].bytes = rng_size(rng, 6000);
        const struct object_cache_want want = {
            .name = "model", .bytes = caches[c].bytes, .align = 1ull << rng_below(rng, 9)};
        return object_cache_create(&want, &caches[c].cache) == MM_OK;
    }
    if (rng_below(rng, 2000) == 0) { /* its objects go first */
        for (unsigned k = 0; k < OBJECTS; k++)
            if (objects[k].p != NULL && objects[k].cache == c) {
                expect_contents(k);
                object_cache_free(caches[c].cache, objects[k].p);
                objects[k].p = NULL;
            }
        assert_int_equal(0, object_cache_destroy(caches[c].cache));
        caches[c].cache = NULL;
    } else if (objects[i].p != NULL) {
        expect_contents(i);
        object_cache_free(caches[objects[i].cache].cache, objects[i].p);
        objects[i].p = NULL;
    } else {
        objects[i].p = object_cache_alloc(caches[c].cache);
        if (objects[i].p == NULL)
            return false;
        objects[i].cache = c;
        for (size_t k = 0; k < caches[c].bytes; k++)
            objects[i].p[k] = (unsigned char)(i * 31 + k);
    }
    if (rng_below(rng, 500) == 0 && caches[c].cache != NULL)
        (void)object_cache_shrink(caches[c].cache);
    return true;
}

static void check_counts(void)
{
    uint64_t live[CACHES] = {0};
    for (unsigned i = 0; i < OBJECTS; i++)
        if (objects[i].p != NULL)
            live[objects[i].cache]++;
    for (unsigned c = 0; c < CACHES; c++) {
        struct heap_stats stats;
        if (caches[c].cache == NULL)
            continue;
        assert_int_equal(MM_OK,
                         heap_get_stats(object_cache_class(caches[c].cache), HEAP_ALL, &stats));
        assert_int_equal(live[c], stats.live);
        assert_int_equal(live[c], stats.allocations - stats.frees);
    }
    assert_true(heap_validate());
}

static void end_model(void)
{
    check_counts();
    for (unsigned i = 0; i < OBJECTS; i++)
        if (objects[i].p != NULL) {
            expect_contents(i);
            object_cache_free(caches[objects[i].cache].cache, objects[i].p);
            objects[i].p = NULL;
        }
    for (unsigned c = 0; c < CACHES; c++)
        if (caches[c].cache != NULL) {
            assert_int_equal(0, object_cache_destroy(caches[c].cache));
            caches[c].cache = NULL;
        }
}

static void random_use_keeps_every_object_intact(void **state)
{
    (void)state;
    struct rng rng = rng_start();
    for (unsigned step = 0; step < 30000; step++) {
        assert_true(act(&rng));
        if (step % 200 == 0)
            check_counts();
    }
    end_model();
}

/* Each call with its first, second, ... allocation of frames failing. */
static void every_failing_allocation_changes_nothing(void **state)
{
    (void)state;
    struct rng rng = rng_start();
    unsigned failed = 0, refused = 0;
    for (unsigned step = 0; step < 6000; step++)
        for (unsigned k = 1;; k++) {
            struct rng same = rng;
            uint64_t live = live_objects();
            machine_fail_allocation(k);
            bool done = act(&same), hit = machine_failed();
            failed += hit;
            if (done) {
                rng = same;
                break;
            }
            refused++;
            assert_true(hit);
            assert_int_equal(live, live_objects());
            assert_true(heap_validate());
        }
    assert_true(failed > 10);
    print_message("             %u failures, %u of them refused\n", failed, refused);
    end_model();
}

static void without_memory_there_is_null(void **state)
{
    (void)state;
    struct object_cache *cache = create("hungry", 3000, 0);
    void **list = NULL;
    for (void **p; (p = object_cache_alloc(cache)) != NULL; list = p)
        *p = list;
    assert_null(object_cache_alloc(cache));
    assert_true(heap_validate());
    struct heap_stats stats;
    assert_int_equal(MM_OK, heap_get_stats(object_cache_class(cache), HEAP_ALL, &stats));
    assert_int_equal(2, stats.failures);
    assert_true(stats.live > 8000);
    for (void **next; list != NULL; list = next) {
        next = *list;
        object_cache_free(cache, list);
    }
    object_cache_free(cache, object_cache_alloc(cache));
    assert_int_equal(0, object_cache_destroy(cache));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_object_is_constructed_once_and_then_comes_as_it_was_freed),
        TEST(every_size_and_alignment_is_honoured),
        TEST(bad_wishes_are_refused),
        TEST(there_are_as_many_as_the_constant_says),
        TEST(each_frees_only_its_own),
        TEST(destroying_reports_what_was_not_freed_and_leaves_it),
        TEST(shrinking_gives_the_empty_slabs_back),
        TEST(a_thousand_rounds_leave_nothing),
        TEST(counts_are_those_of_a_class),
        TEST(random_use_keeps_every_object_intact),
        TEST(every_failing_allocation_changes_nothing),
        TEST(without_memory_there_is_null),
    };
    return cmocka_run_group_tests_name("object cache", tests, NULL, NULL);
}
