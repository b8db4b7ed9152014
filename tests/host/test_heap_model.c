/* Random use of the whole interface of the heap against a table of live objects, each full of a
 * pattern of its own. QL_SEED repeats a run; QL_STEPS makes it longer. */
#include "heap_model.h"

#include "mm/hhdm.h"
#include "mm/pmm.h"

#define RAM (64 * MIB)

static int start(void **state)
{
    (void)state;
    static const struct mem_node nodes[] = {{PA(RAM_BASE), RAM / 2, 0},
                                            {PA(RAM_BASE + RAM / 2), RAM / 2, 1}};
    machine_start_simple(RAM);
    assert_int_equal(MM_OK, pmm_set_nodes(nodes, COUNT(nodes)));
    assert_int_equal(MM_OK, heap_init());
    objects_start();
    return 0;
}

static int stop(void **state)
{
    (void)state;
    objects_stop();
    assert_true(pmm_validate());
    machine_stop();
    return 0;
}

static uint64_t steps(uint64_t usual)
{
    const char *given = getenv("QL_STEPS");
    return given != NULL ? strtoull(given, NULL, 0) : usual;
}

/* Mostly small, all orders of magnitude; one in so many up to 4 MiB. */
static struct model_op random_op(struct rng *rng, unsigned one_big_in)
{
    struct model_op op = {
        .call = (enum model_call)rng_below(rng, CALLS),
        .slot = (unsigned)rng_below(rng, MODEL_SLOTS),
        .bytes = rng_size(rng, rng_below(rng, one_big_in) == 0 ? 4 * MIB : 16 * KIB) - 1,
        .align = rng_below(rng, 3) == 0 ? 0 : 1ull << rng_below(rng, 14),
        .flags = (unsigned)rng_below(rng, 16),
        .cpu = (unsigned)rng_below(rng, 16),
    };
    if (op.call >= CALL_SHRINK && rng_below(rng, 8) != 0) /* seldom */
        op.call = CALL_FREE;
    if (rng_below(rng, 200) == 0)
        op.align = 1ull << rng_between(rng, 14, 22);
    return op;
}

static void random_use_keeps_every_object_intact(void **state)
{
    (void)state;
    struct rng rng = rng_start();
    uint64_t done = 0, all = steps(30000);
    for (uint64_t i = 1; i <= all; i++) {
        struct model_op op = random_op(&rng, 60);
        done += objects_do(&op);
        if (i % 512 == 0)
            objects_check();
    }
    print_message("             %lu of %lu calls could be done\n", done, all);
    assert_true(done > all / 2);
}

/* Memory is short most of the time. */
static void random_use_of_large_objects_keeps_them_intact(void **state)
{
    (void)state;
    struct rng rng = rng_start();
    uint64_t done = 0, all = steps(2500);
    for (uint64_t i = 1; i <= all; i++) {
        struct model_op op = random_op(&rng, 2);
        done += objects_do(&op);
        if (i % 256 == 0)
            objects_check();
    }
    assert_true(done > all / 2);
}

/* The same call with its first, second, .. allocation failing, alone or with all behind it, until none
 * is left to fail. */
static void every_failing_allocation_changes_nothing(void **state)
{
    (void)state;
    struct rng rng = rng_start();
    unsigned failed = 0, refused = 0;
    uint64_t all = steps(1500);
    for (uint64_t i = 1; i <= all; i++) {
        struct model_op op = random_op(&rng, 4);
        for (unsigned k = 1;; k++) {
            uint64_t live = objects_live();
            uint64_t frames = machine_free_frames() + objects_metadata_frames();
            if (rng_below(&rng, 3) == 0)
                machine_fail_allocation(k);
            else
                machine_fail_allocations_from(k);
            bool done = objects_do(&op);
            bool hit = machine_failed();
            failed += hit;
            assert_true(heap_validate());
            if (done || !hit)
                break;
            refused++;
            if (op.call == CALL_REALLOC || op.call == CALL_REALLOC_ARRAY)
                assert_int_equal(live, objects_live());
            assert_true(machine_free_frames() + objects_metadata_frames() >= frames);
        }
        if (i % 256 == 0)
            objects_check();
    }
    print_message("             %u allocations failed, %u calls with them\n", failed, refused);
    assert_true(failed > 100 && refused > 50);
}

static void the_start_needs_memory(void **state)
{
    (void)state;
    for (unsigned k = 1;; k++) {
        machine_start_simple(MIB);
        uint64_t before = machine_free_frames();
        machine_fail_allocations_from(k);
        mm_status_t status = heap_init();
        bool hit = machine_failed();
        assert_int_equal(hit ? MM_NOMEM : MM_OK, status);
        if (hit)
            assert_int_equal(before, machine_free_frames());
        else
            assert_true(heap_validate());
        machine_stop();
        if (!hit) {
            assert_true(k > 1);
            break;
        }
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(random_use_keeps_every_object_intact),
        TEST(random_use_of_large_objects_keeps_them_intact),
        TEST(every_failing_allocation_changes_nothing),
        cmocka_unit_test(the_start_needs_memory),
    };
    return cmocka_run_group_tests_name("heap model", tests, NULL, NULL);
}
