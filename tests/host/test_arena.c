/* Arenas against a stack of objects that are all filled with a pattern of their own. */
#include "machine.h"
#include "mm/arena.h"
#include "mm/heap_stats.h"
#include "mm/hhdm.h"
#include "mm/pmm.h"
#include "test.h"

static uint64_t live_chunks(void)
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
    return 0;
}

static int stop(void **state)
{
    (void)state;
    assert_int_equal(0, live_chunks());
    assert_true(heap_validate());
    machine_stop();
    return 0;
}

static void objects_lie_one_behind_the_other(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 0);
    assert_int_equal(0, live_chunks());
    char *first = arena_alloc(&arena, 24, 8), *second = arena_alloc(&arena, 100, 8),
         *third = arena_alloc(&arena, 1, 1), *fourth = arena_alloc(&arena, 1, 1);
    assert_int_equal(1, live_chunks());
    assert_ptr_equal(first + 24, second);
    assert_ptr_equal(second + 104 - 4, third);
    assert_ptr_equal(third + 1, fourth);
    arena_reset(&arena);
    assert_int_equal(0, live_chunks());
    assert_non_null(arena_alloc(&arena, 1, 0));
    arena_reset(&arena);
    arena_reset(&arena);
}

static void every_alignment_is_honoured_and_no_other(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 4096);
    for (size_t align = 1; align <= 256 * KIB; align *= 2)
        for (size_t bytes = 0; bytes < 40; bytes += 13) {
            uintptr_t p = (uintptr_t)arena_alloc(&arena, bytes, align);
            assert_true(p != 0 && p % align == 0);
        }
    assert_int_equal(0, (uintptr_t)arena_alloc(&arena, 1, 0) % HEAP_ALIGN);
    assert_null(arena_alloc(&arena, 16, 3));
    assert_null(arena_alloc(&arena, 16, 48));
    arena_reset(&arena);
}

static void absurd_sizes_fail_and_change_nothing(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 4096);
    char *before = arena_alloc(&arena, 16, 0);
    assert_null(arena_alloc(&arena, SIZE_MAX, 1));
    assert_null(arena_alloc(&arena, SIZE_MAX - 15, 16));
    assert_null(arena_alloc(&arena, SIZE_MAX / 2, SIZE_MAX / 2 + 1));
    assert_null(arena_alloc(&arena, 1, SIZE_MAX / 2 + 1));
    assert_null(arena_alloc(&arena, SIZE_MAX / 4, 1));
    assert_int_equal(1, live_chunks());
    assert_ptr_equal(before + 16, arena_alloc(&arena, 16, 0));
    arena_reset(&arena);
}

static void empty_objects_are_unique(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 0);
    void *p = arena_alloc(&arena, 0, 1), *q = arena_alloc(&arena, 0, 1);
    assert_true(p != NULL && q != NULL && p != q);
    arena_reset(&arena);
}

/* --- Marks ---------------------------------------------------------------------------------------- */

static void a_mark_can_be_released_until_an_older_one_is(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 1024);
    struct arena_mark empty = arena_mark(&arena);
    assert_non_null(arena_alloc(&arena, 100, 0));
    struct arena_mark outer = arena_mark(&arena);
    void *p = arena_alloc(&arena, 100, 0);
    for (unsigned i = 0; i < 3; i++) { /* with and without more chunks behind it */
        assert_non_null(arena_alloc(&arena, i * 3000, 0));
        arena_release(&arena, outer);
        assert_int_equal(1, live_chunks());
        assert_ptr_equal(p, arena_alloc(&arena, 100, 0));
    }
    struct arena_mark inner = arena_mark(&arena);
    arena_release(&arena, outer);
    struct arena_mark behind = arena_mark(&arena); /* nothing in between: the same */
    arena_release(&arena, behind);
    arena_release(&arena, outer);
    arena_release(&arena, inner);
    assert_misuse("passed");
    /* Another mark is where the old one was. */
    assert_ptr_equal(p, arena_alloc(&arena, 100, 0));
    struct arena_mark again = arena_mark(&arena);
    assert_ptr_equal(inner.record, again.record);
    arena_release(&arena, inner);
    assert_misuse("passed");
    arena_release(&arena, again);
    arena_release(&arena, empty);
    assert_int_equal(0, live_chunks());
    arena_release(&arena, again);
    assert_misuse("passed");
    arena_release(&arena, empty);
}

static void a_mark_of_another_arena_is_misuse(void **state)
{
    (void)state;
    struct arena one, other;
    arena_init(&one, 0);
    arena_init(&other, 0);
    char *p = arena_alloc(&one, 16, 0);
    assert_non_null(arena_alloc(&other, 16, 0));
    arena_release(&one, arena_mark(&other));
    assert_misuse("passed");
    assert_ptr_equal(p + 16, arena_alloc(&one, 16, 0));
    arena_reset(&one);
    arena_reset(&other);
}

/* However full the chunk is, without a call of the heap. */
static void marking_never_fails(void **state)
{
    (void)state;
    for (size_t bytes = 1; bytes < 300; bytes++) {
        struct arena arena;
        arena_init(&arena, 256);
        char *p = arena_alloc(&arena, bytes, 1);
        memset(p, 0xa5, bytes);
        machine_fail_allocation(1);
        struct arena_mark mark = arena_mark(&arena);
        assert_false(machine_failed());
        char *q = arena_alloc(&arena, 1, 1);
        *q = 1;
        arena_release(&arena, mark);
        for (size_t i = 0; i < bytes; i++)
            assert_int_equal(0xa5, (unsigned char)p[i]);
        arena_reset(&arena);
    }
}

/* --- The model ------------------------------------------------------------------------------------ */

#define OBJECTS 400
#define MARKS   12

struct model {
    struct arena arena;
    struct {
        unsigned char *p;
        size_t bytes;
    } objects[OBJECTS];
    struct {
        struct arena_mark mark;
        unsigned nobjects; /* that were there */
    } marks[MARKS];
    unsigned nobjects, nmarks;
};

static void check_contents(const struct model *m)
{
    for (unsigned i = 0; i < m->nobjects; i++)
        for (size_t k = 0; k < m->objects[i].bytes; k++)
            if (m->objects[i].p[k] != (unsigned char)(i * 37 + k))
                fail_msg("byte %zu of object %u has changed", k, i);
}

static void add_object(struct model *m, unsigned char *p, size_t bytes)
{
    for (unsigned i = 0; i < m->nobjects; i++)
        assert_true(p + bytes <= m->objects[i].p || m->objects[i].p + m->objects[i].bytes <= p);
    for (size_t k = 0; k < bytes; k++)
        p[k] = (unsigned char)(m->nobjects * 37 + k);
    m->objects[m->nobjects].p = p;
    m->objects[m->nobjects++].bytes = bytes;
}

/* One call; false if it returned NULL, when nothing may have changed. */
static bool act(struct rng *rng, struct model *m)
{
    unsigned what = (unsigned)rng_below(rng, 100);
    if (what < 12 && m->nmarks < MARKS) {
        m->marks[m->nmarks].mark = arena_mark(&m->arena);
        m->marks[m->nmarks++].nobjects = m->nobjects;
    } else if (m->nmarks > 0 && (what < 18 || m->nobjects == OBJECTS)) {
        m->nmarks = 1 + (unsigned)rng_below(rng, m->nmarks); /* it stays valid */
        m->nobjects = m->marks[m->nmarks - 1].nobjects;
        check_contents(m);
        arena_release(&m->arena, m->marks[m->nmarks - 1].mark);
        m->nmarks -= rng_below(rng, 2) != 0;
    } else if (what == 99 || m->nobjects == OBJECTS) {
        check_contents(m);
        arena_reset(&m->arena);
        m->nobjects = m->nmarks = 0;
    } else {
        size_t bytes = rng_size(rng, 9000), align = 1ull << rng_below(rng, 10);
        unsigned char *p = arena_alloc(&m->arena, bytes, align);
        if (p == NULL)
            return false;
        assert_int_equal(0, (uintptr_t)p % align);
        add_object(m, p, bytes);
    }
    check_contents(m);
    return true;
}

static void random_use_keeps_every_object_intact(void **state)
{
    (void)state;
    struct rng rng = rng_start();
    for (unsigned round = 0; round < 8; round++) {
        static struct model m;
        m = (struct model){0};
        arena_init(&m.arena, rng_size(&rng, 20000));
        for (unsigned step = 0; step < 1500; step++)
            assert_true(act(&rng, &m));
        arena_reset(&m.arena);
    }
}

static void every_failing_allocation_changes_nothing(void **state)
{
    (void)state;
    struct rng rng = rng_start();
    static struct model m;
    m = (struct model){0};
    arena_init(&m.arena, 200 * KIB); /* each chunk takes frames */
    unsigned failed = 0;
    for (unsigned step = 0; step < 4000; step++)
        for (unsigned k = 1;; k++) {
            struct rng same = rng;
            uint64_t chunks = live_chunks();
            heap_shrink(); /* or the heap has what is wanted */
            machine_fail_allocation(k);
            bool done = act(&same, &m), hit = machine_failed();
            failed += hit;
            if (done) {
                rng = same;
                break;
            }
            assert_true(hit);
            assert_int_equal(chunks, live_chunks());
            check_contents(&m);
        }
    print_message("             %u allocations failed\n", (unsigned)failed);
    assert_true(failed > 20);
    arena_reset(&m.arena);
}

static void without_memory_it_stays_as_it_is(void **state)
{
    (void)state;
    static struct model m;
    m = (struct model){0};
    arena_init(&m.arena, 64 * KIB);
    struct rng rng = rng_start();
    while (m.nobjects < 20)
        assert_true(act(&rng, &m));
    struct arena hog;
    arena_init(&hog, 0);
    for (size_t bytes = MIB / 2; bytes >= 64; bytes /= 2)
        while (arena_alloc(&hog, bytes, 0) != NULL)
            continue;
    unsigned refused = 0;
    while (refused < 20 && m.nobjects < OBJECTS) {
        size_t bytes = rng_size(&rng, 9000);
        unsigned char *p = arena_alloc(&m.arena, bytes, 0);
        if (p != NULL)
            add_object(&m, p, bytes);
        refused += p == NULL;
    }
    assert_int_equal(20, refused);
    check_contents(&m);
    arena_reset(&hog);
    add_object(&m, arena_alloc(&m.arena, 9000, 0), 9000);
    check_contents(&m);
    arena_reset(&m.arena);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(objects_lie_one_behind_the_other),
        TEST(every_alignment_is_honoured_and_no_other),
        TEST(absurd_sizes_fail_and_change_nothing),
        TEST(empty_objects_are_unique),
        TEST(a_mark_can_be_released_until_an_older_one_is),
        TEST(a_mark_of_another_arena_is_misuse),
        TEST(marking_never_fails),
        TEST(random_use_keeps_every_object_intact),
        TEST(every_failing_allocation_changes_nothing),
        TEST(without_memory_it_stays_as_it_is),
    };
    return cmocka_run_group_tests_name("arena", tests, NULL, NULL);
}
