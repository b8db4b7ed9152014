/* Several CPUs on a heap that samples as often as it can, and, in a debug build, watches every object:
 * nothing is told of who does nothing wrong, and nothing is lost. Built both ways. */
#include "config.h"
#include "heap_level.h"
#include "mm/heap_debug.h"
#include "smp_rig.h"

#define STEPS 6000
#define SLOTS 30
#define MAIL  16

struct object {
    size_t bytes;
    unsigned tag;
    unsigned char payload[];
};

static struct object *mail[MAIL]; /* from CPU to CPU */

static unsigned char byte_of(const struct object *o, size_t i)
{
    return (unsigned char)(o->tag * 31 + i * 7);
}

static void fill(struct object *o, size_t bytes, unsigned tag)
{
    o->bytes = bytes;
    o->tag = tag;
    for (size_t i = 0; i < bytes; i++)
        o->payload[i] = byte_of(o, i);
}

static struct object *make(struct rng *rng, unsigned tag)
{
    size_t bytes = rng_size(rng, rng_below(rng, 30) == 0 ? 100 * KIB : 3 * KIB);
    struct object *o = rng_below(rng, 3) == 0
                           ? kaligned_alloc(16ull << rng_below(rng, 9), sizeof *o + bytes)
                           : kmalloc(sizeof *o + bytes);
    if (o != NULL)
        fill(o, bytes, tag);
    return o;
}

static void check(const struct object *o)
{
    for (size_t i = 0; i < o->bytes; i++)
        CPU_CHECK(o->payload[i] == byte_of(o, i));
}

static struct object *resize(struct rng *rng, struct object *o)
{
    size_t bytes = rng_size(rng, 5 * KIB);
    struct object *moved = krealloc(o, sizeof *o + bytes);
    if (moved == NULL)
        return o;
    moved->bytes = bytes < moved->bytes ? bytes : moved->bytes;
    check(moved);
    fill(moved, bytes, moved->tag);
    return moved;
}

static bool look(const struct heap_leak *leak, void *argument)
{
    *(uint64_t *)argument += leak->objects;
    return true;
}

/* While the others go on. */
static void look_around(void)
{
    uint64_t objects = 0;
    struct heap_totals totals;
    heap_get_totals(&totals);
    (void)heap_visit_leaks(0, look, &objects);
}

static void work(unsigned cpu)
{
    struct rng *rng = &rngs[cpu];
    struct object *slots[SLOTS] = {NULL};
    for (unsigned i = 0; i < STEPS; i++) {
        struct object **slot = &slots[rng_below(rng, SLOTS)];
        if (*slot == NULL) {
            *slot = make(rng, i * NCPUS + cpu);
        } else if (rng_below(rng, 5) == 0) {
            *slot = resize(rng, *slot);
        } else if (rng_below(rng, 4) == 0) {
            *slot = __atomic_exchange_n(&mail[rng_below(rng, MAIL)], *slot, __ATOMIC_ACQ_REL);
        } else {
            check(*slot);
            kfree(*slot);
            *slot = NULL;
        }
        if (i % 2000 == cpu)
            look_around();
        if (i % 500 == cpu)
            (void)heap_drain_delayed();
    }
    for (unsigned i = 0; i < SLOTS; i++)
        kfree(slots[i]);
}

static void start(unsigned level)
{
    machine_start_simple(64 * MIB);
    assert_int_equal(MM_OK, heap_init());
    heap_level(level);
    struct heap_tuning tuning;
    heap_get_tuning(&tuning);
    tuning.sample_rate = 16;
    assert_int_equal(MM_OK, heap_tune(&tuning));
}

static void run(unsigned level)
{
    start(level);
    start_rngs();
    cpus_run(NCPUS, work);
    for (unsigned i = 0; i < MAIL; i++) {
        kfree(mail[i]);
        mail[i] = NULL;
    }
    uint64_t left = 0;
    (void)heap_visit_leaks(0, look, &left);
    assert_int_equal(0, left);
    assert_int_equal(0, heap_check_zones());
    (void)heap_drain_delayed();
    assert_true(heap_validate());
    struct heap_totals totals;
    heap_get_totals(&totals);
    assert_int_equal(0, totals.all.live);
    assert_int_equal(0, totals.samples_live);
    assert_true(totals.samples > 100);
    print_message("             %lu samples\n", totals.samples);
    machine_stop();
}

static void correct_use_is_not_told_of(void **state)
{
    (void)state;
    for (unsigned level = 0; level <= 3; level++)
        run(level);
}

#ifdef QL_DEBUG_MEMORY

/* All try to free the same objects: one of them does, the others are told. */
static void *victims[400];

static void free_all(unsigned cpu)
{
    (void)cpu;
    for (unsigned i = 0; i < COUNT(victims); i++)
        kfree(victims[i]);
}

static void of_many_who_free_an_object_one_does(void **state)
{
    (void)state;
    start(2);
    for (unsigned i = 0; i < COUNT(victims); i++)
        victims[i] = kmalloc(200);
    (void)heap_class_name(0); /* names are made when they are asked for first */
    cpus_run(NCPUS, free_all);
    (void)heap_shrink(); /* looks at what others have freed, and at what is delayed */
    assert_int_equal((NCPUS - 1) * COUNT(victims), machine.misuses);
    machine.misuses = 0;
    assert_true(heap_validate());
    struct heap_totals totals;
    heap_get_totals(&totals);
    assert_int_equal(0, totals.all.live);
    machine_stop();
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(correct_use_is_not_told_of),
#ifdef QL_DEBUG_MEMORY
        cmocka_unit_test(of_many_who_free_an_object_one_does),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
