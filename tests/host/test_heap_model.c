/* Random use of the heap against a table of live blocks, each filled with a pattern of its own. */
#include "heap_rig.h"

#define SLOTS 300

static struct slot {
    unsigned char *p;
    size_t bytes;
    unsigned tag;
} slots[SLOTS];

static bool overlaps_another(const struct slot *s)
{
    for (size_t i = 0; i < SLOTS; i++)
        if (&slots[i] != s && slots[i].p != NULL && slots[i].p < s->p + s->bytes &&
            s->p < slots[i].p + slots[i].bytes)
            return true;
    return false;
}

static void fill_slot(struct slot *s, unsigned char *p, size_t bytes, unsigned tag)
{
    *s = (struct slot){p, bytes, tag};
    assert_int_equal(0, (uintptr_t)p % HEAP_ALIGN);
    assert_true(kmalloc_size(p) >= bytes);
    assert_false(overlaps_another(s));
    fill(p, bytes, tag);
}

/* One call on a slot; false if it returned NULL, when nothing may have changed. */
static bool act(struct rng *rng, struct slot *s, unsigned tag, unsigned one_big_in)
{
    size_t bytes = rng_size(rng, rng_below(rng, one_big_in) == 0 ? 600 * KIB : 4 * KIB);
    unsigned char *p;
    if (s->p != NULL && rng_below(rng, 3) == 0) {
        p = krealloc(s->p, bytes);
        expect_fill(p != NULL ? p : s->p, p == NULL || s->bytes < bytes ? s->bytes : bytes, s->tag);
    } else if (s->p != NULL) {
        expect_fill(s->p, s->bytes, s->tag);
        kfree(s->p);
        *s = (struct slot){0};
        return true;
    } else if (rng_below(rng, 4) == 0) {
        size_t align = 1ull << rng_below(rng, 14);
        p = kaligned_alloc(align, bytes);
        assert_int_equal(0, (uintptr_t)p % align);
    } else {
        p = rng_below(rng, 2) != 0 ? kmalloc(bytes) : kcalloc(1, bytes);
    }
    if (p == NULL)
        return false;
    fill_slot(s, p, bytes, tag);
    return true;
}

static void check_totals(void)
{
    struct heap_stats stats;
    heap_get_stats(&stats);
    uint64_t live = 0, bytes = 0;
    for (size_t i = 0; i < SLOTS; i++) {
        live += slots[i].p != NULL;
        bytes += slots[i].p != NULL ? kmalloc_size(slots[i].p) + HEADER : 0;
    }
    assert_int_equal(live, stats.live_blocks);
    assert_int_equal(bytes, stats.used_bytes);
}

static void free_all(void)
{
    for (size_t i = 0; i < SLOTS; i++) {
        if (slots[i].p != NULL)
            expect_fill(slots[i].p, slots[i].bytes, slots[i].tag);
        kfree(slots[i].p);
        slots[i].p = NULL;
    }
}

static void random_use_keeps_every_block_intact(void **state)
{
    (void)state;
    struct rng rng = rng_start();
    memset(slots, 0, sizeof slots);
    for (unsigned step = 1; step <= 30000; step++) {
        act(&rng, &slots[rng_below(&rng, SLOTS)], step, 20);
        if (step % 8 == 0)
            assert_true(heap_validate());
        if (step % 64 == 0)
            check_totals();
    }
    free_all();
}

/* Each call with its first, second, ... allocation of frames
 * failing, until none is left to fail. */
static void every_failing_allocation_changes_nothing(void **state)
{
    (void)state;
    struct rng rng = rng_start();
    memset(slots, 0, sizeof slots);
    unsigned failed = 0, refused = 0;
    for (unsigned step = 1; step <= 4000; step++) {
        struct slot *s = &slots[rng_below(&rng, SLOTS)];
        for (unsigned k = 1;; k++) {
            struct rng same = rng; /* the same call again */
            uint64_t frames = machine_free_frames(), used = used_bytes();
            machine_fail_allocation(k);
            bool done = act(&same, s, step, 3);
            bool hit = machine_failed();
            failed += hit;
            assert_true(heap_validate());
            if (done || !hit) {
                rng = same;
                break;
            }
            refused++;
            assert_int_equal(frames, machine_free_frames());
            assert_int_equal(used, used_bytes());
        }
    }
    assert_true(failed > 20 && refused > 10);
    free_all();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(random_use_keeps_every_block_intact),
        TEST(every_failing_allocation_changes_nothing),
    };
    return cmocka_run_group_tests_name("heap model", tests, NULL, NULL);
}
