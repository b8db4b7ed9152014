/* Object caches on several CPUs at once, with the thread sanitizer: objects that others free, caches
 * that are shrunk meanwhile and destroyed afterwards. */
#include "mm/heap_stats.h"
#include "mm/object_cache.h"
#include "smp_rig.h"

#define PLACES 64
#define TURNS  4000
#define CACHES 3

struct object {
    uint64_t constructed; /* its own address, for ever */
    uint64_t cache, mark;
    char more[40];
};

static struct object_cache *caches[CACHES];
static struct object *places[PLACES]; /* atomic */

static void construct(void *p, void *argument)
{
    struct object *object = p;
    object->constructed = (uintptr_t)p;
    object->mark = 0;
    (void)argument;
}

static void create_all(void)
{
    for (unsigned i = 0; i < CACHES; i++) {
        const struct object_cache_want want = {
            .name = "shared", .bytes = sizeof(struct object) + 500 * i, .construct = construct};
        assert_int_equal(MM_OK, object_cache_create(&want, &caches[i]));
    }
}

static struct object *make(struct rng *rng)
{
    uint64_t which = rng_below(rng, CACHES);
    struct object *object = object_cache_alloc(caches[which]);
    CPU_CHECK(object != NULL && object->constructed == (uintptr_t)object && object->mark == 0);
    object->cache = which;
    object->mark = (uintptr_t)object * 3;
    return object;
}

static void destroy(struct object *object)
{
    if (object == NULL)
        return;
    CPU_CHECK(object->constructed == (uintptr_t)object && object->mark == (uintptr_t)object * 3);
    object->mark = 0;
    object_cache_free(caches[object->cache], object);
}

static void pass_on(unsigned cpu)
{
    struct rng *rng = &rngs[cpu];
    for (unsigned turn = 0; turn < TURNS; turn++) {
        struct object *object = rng_below(rng, 3) != 0 ? make(rng) : NULL;
        destroy(__atomic_exchange_n(&places[rng_below(rng, PLACES)], object, __ATOMIC_ACQ_REL));
        if (rng_below(rng, 300) == 0)
            (void)object_cache_shrink(caches[rng_below(rng, CACHES)]);
    }
}

static void objects_that_others_free_stay_constructed(void **state)
{
    (void)state;
    start_rngs();
    for (unsigned round = 0; round < 6; round++) {
        create_all();
        cpus_run(NCPUS, pass_on);
        for (unsigned i = 0; i < PLACES; i++) {
            destroy(places[i]);
            places[i] = NULL;
        }
        for (unsigned i = 0; i < CACHES; i++) {
            struct heap_stats stats;
            assert_int_equal(MM_OK,
                             heap_get_stats(object_cache_class(caches[i]), HEAP_ALL, &stats));
            assert_int_equal(0, stats.live);
            assert_true(stats.remote_frees > 0);
            assert_int_equal(0, object_cache_destroy(caches[i]));
        }
        assert_true(heap_validate());
    }
}

static void leave_a_few(unsigned cpu)
{
    for (unsigned i = 0; i < 100; i++) {
        struct object *object = object_cache_alloc(caches[cpu % CACHES]);
        CPU_CHECK(object != NULL);
        if (i % 25 != 0)
            object_cache_free(caches[cpu % CACHES], object);
    }
    if (cpu % 2 != 0)
        heap_leave_cpu(); /* its slabs are nobody's then */
}

static void destroying_finds_what_any_cpu_has_left(void **state)
{
    (void)state;
    create_all();
    cpus_run(NCPUS, leave_a_few);
    uint64_t left = 0;
    for (unsigned i = 0; i < CACHES; i++)
        left += object_cache_destroy(caches[i]);
    assert_int_equal(NCPUS * 4, left);
    assert_true(heap_validate());
}

/* Caches come and go on every CPU. */
static void live_and_die(unsigned cpu)
{
    for (unsigned round = 0; round < 100; round++) {
        const struct object_cache_want want = {.name = "own", .bytes = 16 + (cpu + round) % 2000};
        struct object_cache *own;
        void *objects[30];
        CPU_CHECK(object_cache_create(&want, &own) == MM_OK);
        for (unsigned i = 0; i < COUNT(objects); i++)
            CPU_CHECK((objects[i] = object_cache_alloc(own)) != NULL);
        for (unsigned i = 0; i < COUNT(objects); i++)
            object_cache_free(own, objects[i]);
        kfree(kmalloc(100));
        CPU_CHECK(object_cache_destroy(own) == 0);
    }
}

static void caches_come_and_go_on_all_cpus(void **state)
{
    (void)state;
    cpus_run(NCPUS, live_and_die);
    assert_true(heap_validate());
}

static int start(void **state)
{
    (void)state;
    machine_start_simple(64 * MIB);
    assert_int_equal(MM_OK, heap_init());
    return 0;
}

static int stop(void **state)
{
    (void)state;
    machine_stop();
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(objects_that_others_free_stay_constructed),
        TEST(destroying_finds_what_any_cpu_has_left),
        TEST(caches_come_and_go_on_all_cpus),
    };
    return cmocka_run_group_tests_name("object cache, several CPUs", tests, NULL, NULL);
}
