/* No call's cost grows with the heap: basic blocks that the worst call runs through, as the compiler
 * counts them, among 1000 and among a million live objects. */
#include "heap_rig.h"

#define LIVE_MAX 1000000
#define CALLS    3000 /* of each sort, at each size of the heap */

static void *live[LIVE_MAX];
static size_t nlive;
static struct rng rng;

/* --- Counting ------------------------------------------------------------------------ */

static uint64_t steps;

/* Every basic block calls it. */
void __sanitizer_cov_trace_pc_guard(uint32_t *guard);
void __sanitizer_cov_trace_pc_guard_init(uint32_t *start, uint32_t *end);

void __sanitizer_cov_trace_pc_guard(uint32_t *guard)
{
    (void)guard;
    steps++;
}

void __sanitizer_cov_trace_pc_guard_init(uint32_t *start, uint32_t *end)
{
    (void)start, (void)end;
}

static uint64_t blocks_of(void (*call)(void))
{
    steps = 0;
    call();
    return steps;
}

/* --- The calls ------------------------------------------------------------------------- */

static size_t bytes_wanted;
static void *object;

static void do_alloc(void)
{
    object = kmalloc(bytes_wanted);
}

static void do_free(void)
{
    kfree(object);
}

static void do_resize(void)
{
    object = krealloc(object, bytes_wanted);
}

static void do_size(void)
{
    bytes_wanted = kmalloc_size(object);
}

static void do_find(void)
{
    struct heap_place place;
    (void)heap_find(object, &place);
}

static uint64_t worst(uint64_t had, uint64_t now)
{
    return now > had ? now : had;
}

/* The worst of each sort of call. */
struct costs {
    uint64_t take, give, pair, large, resize, size, find;
};

/* A random live object goes, another comes: that is what the slow ways are for. */
static void exchange_one(struct costs *c)
{
    size_t i = rng_below(&rng, nlive);
    object = live[i];
    c->size = worst(c->size, blocks_of(do_size));
    c->find = worst(c->find, blocks_of(do_find));
    c->give = worst(c->give, blocks_of(do_free));
    bytes_wanted = 16 + rng_below(&rng, 120);
    c->take = worst(c->take, blocks_of(do_alloc));
    live[i] = object;
}

static void use_one(struct costs *c)
{
    bytes_wanted = rng_size(&rng, 30000);
    uint64_t n = blocks_of(do_alloc);
    c->pair = worst(c->pair, n + blocks_of(do_free));
    bytes_wanted = 33000 + rng_below(&rng, 900000);
    n = blocks_of(do_alloc);
    c->large = worst(c->large, n + blocks_of(do_free));
    bytes_wanted = 64;
    do_alloc();
    bytes_wanted = 80; /* a copy of little */
    c->resize = worst(c->resize, blocks_of(do_resize));
    do_free();
}

static struct costs measure(size_t objects)
{
    struct costs c = {0};
    while (nlive < objects) {
        live[nlive] = kmalloc(16 + rng_below(&rng, 120));
        assert_non_null(live[nlive]);
        nlive++;
    }
    for (unsigned i = 0; i < CALLS; i++) {
        exchange_one(&c);
        use_one(&c);
    }
    print_message(
        "             %7zu live: worst kmalloc %lu, kfree %lu, both %lu, of a run %lu, krealloc "
        "%lu, kmalloc_size %lu, heap_find %lu blocks\n",
        objects, c.take, c.give, c.pair, c.large, c.resize, c.size, c.find);
    return c;
}

/* What happens seldom may not have happened among few; blocks it may take, as it takes as many whenever
 * it does. */
#define SELDOM 1000

static void expect_flat(const char *what, uint64_t small, uint64_t large)
{
    if (large > 2 * small + SELDOM)
        fail_msg("%s: %lu basic blocks among few objects, %lu among many", what, small, large);
}

static void no_call_costs_more_among_many_objects(void **state)
{
    (void)state;
    static const size_t sizes[] = {100, 1000, 10000, 100000, LIVE_MAX};
    rng = rng_start();
    (void)measure(sizes[0]); /* too few for what happens seldom */
    struct costs first = measure(sizes[1]), c = first;
    for (size_t i = 2; i < COUNT(sizes); i++) {
        c = measure(sizes[i]);
        expect_flat("kmalloc", first.take, c.take);
        expect_flat("kfree", first.give, c.give);
        expect_flat("a pair", first.pair, c.pair);
        expect_flat("a run", first.large, c.large);
        expect_flat("krealloc", first.resize, c.resize);
        expect_flat("kmalloc_size", first.size, c.size);
        expect_flat("heap_find", first.find, c.find);
    }
    assert_true(c.take > 10 && c.give > 2 && c.size > 2); /* they are counted */
    while (nlive > 0)
        kfree(live[--nlive]);
}

static int start_large(void **state)
{
    (void)state;
    return start_with(512 * MIB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_call_costs_more_among_many_objects, start_large, stop),
    };
    return cmocka_run_group_tests_name("growth of the heap", tests, NULL, NULL);
}
