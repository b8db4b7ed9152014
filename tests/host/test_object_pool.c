/* Pools: what is set aside can be had when there is no other memory, and misuse is seen. */
#include "machine.h"
#include "mm/heap_stats.h"
#include "mm/hhdm.h"
#include "mm/pmm.h"
#include "mm/object_pool.h"
#include "test.h"

#define OBJECTS 20
#define BYTES   100

static struct object_pool pool;

static uint64_t live_objects(void)
{
    struct heap_totals totals;
    heap_get_totals(&totals);
    return totals.all.live;
}

static int start(void **state)
{
    (void)state;
    machine_start_simple(32 * MIB);
    assert_int_equal(MM_OK, heap_init());
    assert_int_equal(MM_OK, object_pool_create(&pool, "test", BYTES, OBJECTS));
    return 0;
}

static int stop(void **state)
{
    (void)state;
    assert_int_equal(0, object_pool_destroy(&pool));
    assert_int_equal(0, live_objects());
    assert_true(heap_validate());
    machine_stop();
    return 0;
}

/* Take all memory that the heap can give; returns a list to be freed by give_back. */
static void **take_all_memory(void)
{
    void **list = NULL;
    for (size_t bytes = MIB / 2; bytes >= 16; bytes /= 2)
        for (void **p; (p = kmalloc(bytes)) != NULL; list = p)
            *p = list;
    for (void **p; (p = kmalloc(BYTES)) != NULL; list = p)
        *p = list;
    return list;
}

static void give_back(void **list)
{
    while (list != NULL) {
        void **next = *list;
        kfree(list);
        list = next;
    }
}

static void what_was_set_aside_can_be_had_without_other_memory(void **state)
{
    (void)state;
    void *outside[3], *objects[OBJECTS];
    for (unsigned i = 0; i < OBJECTS; i++)
        assert_non_null(objects[i] = object_pool_alloc(&pool));
    for (unsigned i = 0; i < COUNT(outside); i++) /* from the heap */
        assert_non_null(outside[i] = object_pool_alloc(&pool));
    assert_int_equal(OBJECTS + 3, pool.live);
    for (unsigned i = 0; i < OBJECTS; i++) {
        memset(objects[i], (int)i, BYTES);
        object_pool_free(&pool, objects[i]);
    }
    for (unsigned i = 0; i < COUNT(outside); i++)
        object_pool_free(&pool, outside[i]);

    void **memory = take_all_memory();
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < OBJECTS; i++) {
            assert_non_null(objects[i] = object_pool_alloc(&pool));
            memset(objects[i], 0, BYTES);
            for (unsigned k = 0; k < i; k++)
                assert_ptr_not_equal(objects[k], objects[i]);
        }
        assert_null(object_pool_alloc(&pool));
        assert_int_equal(OBJECTS, pool.live);
        for (unsigned i = 0; i < OBJECTS; i++)
            object_pool_free(&pool, objects[i]);
    }
    give_back(memory);
}

static void creating_fails_whole(void **state)
{
    (void)state;
    struct object_pool other = {.name = "untouched"};
    assert_int_equal(MM_INVAL, object_pool_create(&other, "none", 0, 1));
    assert_int_equal(MM_INVAL, object_pool_create(&other, "none", 1, 0));
    assert_int_equal(MM_INVAL, object_pool_create(&other, "none", HEAP_RANGE_BYTES, 1));
    uint64_t before = live_objects();
    unsigned failed = 0;
    for (unsigned k = 1;; k++) {
        heap_shrink(); /* or the heap has what is wanted */
        machine_fail_allocation(k);
        mm_status_t status = object_pool_create(&other, "large", 60 * KIB, OBJECTS);
        if (!machine_failed()) {
            assert_int_equal(MM_OK, status);
            break;
        }
        failed++;
        if (status == MM_OK) {
            assert_int_equal(0, object_pool_destroy(&other));
            other.name = "untouched";
        } else {
            assert_int_equal(MM_NOMEM, status);
            assert_string_equal("untouched", other.name);
        }
        assert_int_equal(before, live_objects());
    }
    print_message("             %u allocations failed\n", (unsigned)failed);
    assert_true(failed > 5);
    assert_int_equal(0, object_pool_destroy(&other));
}

static void double_frees_are_caught(void **state)
{
    (void)state;
    unsigned char *p = object_pool_alloc(&pool), *q = object_pool_alloc(&pool);
    object_pool_free(&pool, NULL);
    object_pool_free(&pool, p);
    object_pool_free(&pool, p);
    assert_misuse("free already (pool test)");
    assert_int_equal(1, pool.live);
    object_pool_free(&pool, q);
}

/* The bytes that a free object begins with may be found in one that is not. */
static void what_is_left_in_memory_from_an_earlier_pool_does_no_harm(void **state)
{
    (void)state;
    struct object_pool other;
    assert_int_equal(MM_OK, object_pool_create(&other, "other", BYTES, OBJECTS));
    assert_int_equal(0, object_pool_destroy(&other));
    void *objects[3 * OBJECTS];
    for (unsigned i = 0; i < COUNT(objects); i++)
        assert_non_null(objects[i] = object_pool_alloc(&pool));
    for (unsigned i = 0; i < COUNT(objects); i++)
        object_pool_free(&pool, objects[i]);
}

static void what_is_none_of_its_objects_is_caught(void **state)
{
    (void)state;
    char *p = object_pool_alloc(&pool);
    void *small = kmalloc(16);
    int local = 0;
    object_pool_free(&pool, small);
    assert_misuse("none of its objects (pool test)");
    object_pool_free(&pool, p + 16);
    assert_int_equal(1, machine.misuses);
    machine.misuses = 0;
    object_pool_free(&pool, &local);
    assert_int_equal(1, machine.misuses);
    machine.misuses = 0;
    object_pool_free(&pool, p);
    void *large = kmalloc(BYTES);
    object_pool_free(&pool, large); /* more than were given out */
    assert_misuse("none of its objects");
    kfree(large);
    kfree(small);
}

static void a_write_after_free_is_found_at_the_next_allocation(void **state)
{
    (void)state;
    unsigned char *p = object_pool_alloc(&pool);
    object_pool_free(&pool, p);
    p[3] ^= 1;
    assert_ptr_equal(p, object_pool_alloc(&pool));
    assert_misuse("was written to while it was free");
    object_pool_free(&pool, p);
}

static void destroying_reports_what_was_not_freed(void **state)
{
    (void)state;
    struct object_pool other;
    assert_int_equal(MM_OK, object_pool_create(&other, "leaky", 64, 4));
    char *p = object_pool_alloc(&other), *q = object_pool_alloc(&other);
    memset(p, 1, 64);
    assert_int_equal(2, object_pool_destroy(&other));
    assert_message("pool leaky: 2 objects of 64 bytes");
    memset(q, 2, 64); /* still there */
    assert_int_equal(1, p[63]);
    kfree(p);
    kfree(q);
}

/* Sampled: then not even a byte behind an object may be written to. */
static void tiny_objects_have_room_for_what_marks_them_free(void **state)
{
    (void)state;
    struct object_pool tiny;
    struct heap_tuning before, often;
    heap_get_tuning(&before);
    often = before;
    often.sample_rate = HEAP_SAMPLE_RATE_MIN;
    assert_int_equal(MM_OK, heap_tune(&often));
    for (unsigned i = 0; i < 50; i++) {
        assert_int_equal(MM_OK, object_pool_create(&tiny, "tiny", 4, 60));
        assert_int_equal(0, object_pool_destroy(&tiny)); /* or it is misuse */
    }
    assert_int_equal(MM_OK, heap_tune(&before));
}

static void random_use_keeps_every_object_intact(void **state)
{
    (void)state;
    struct rng rng = rng_start();
    unsigned char *objects[3 * OBJECTS] = {0};
    uint64_t live = 0;
    for (unsigned step = 0; step < 20000; step++) {
        unsigned i = (unsigned)rng_below(&rng, COUNT(objects));
        if (objects[i] == NULL) {
            machine_fail_allocation(rng_below(&rng, 2) != 0);
            objects[i] = object_pool_alloc(&pool);
            assert_true(objects[i] != NULL || live >= OBJECTS);
            (void)machine_failed();
            if (objects[i] != NULL)
                memset(objects[i], (int)i + 1, BYTES);
            live += objects[i] != NULL;
        } else {
            for (unsigned k = 0; k < BYTES; k++)
                assert_int_equal(i + 1, objects[i][k]);
            object_pool_free(&pool, objects[i]);
            objects[i] = NULL;
            live--;
        }
        assert_int_equal(live, pool.live);
    }
    for (unsigned i = 0; i < COUNT(objects); i++)
        object_pool_free(&pool, objects[i]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_was_set_aside_can_be_had_without_other_memory),
        TEST(creating_fails_whole),
        TEST(double_frees_are_caught),
        TEST(what_is_left_in_memory_from_an_earlier_pool_does_no_harm),
        TEST(what_is_none_of_its_objects_is_caught),
        TEST(a_write_after_free_is_found_at_the_next_allocation),
        TEST(destroying_reports_what_was_not_freed),
        TEST(tiny_objects_have_room_for_what_marks_them_free),
        TEST(random_use_keeps_every_object_intact),
    };
    return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
