/* The frame allocator against a plain array: one byte per frame. */
#include "pmm_rig.h"

enum { HOLE, FREE, USED };

/* The frames of the banks, in two windows: low from 0, high from RAM_BASE. */
#define WINDOW 700

struct model {
    unsigned char low[WINDOW];
    unsigned char high[WINDOW];
};

static unsigned char *model_at(struct model *m, uint64_t pa)
{
    if (pa / PAGE_BYTES < WINDOW)
        return &m->low[pa / PAGE_BYTES];
    if (pa >= RAM_BASE && (pa - RAM_BASE) / PAGE_BYTES < WINDOW)
        return &m->high[(pa - RAM_BASE) / PAGE_BYTES];
    return NULL;
}

static bool model_all(struct model *m, uint64_t pa, uint64_t nframes, int what)
{
    for (uint64_t i = 0; i < nframes; i++) {
        const unsigned char *frame = model_at(m, pa + i * PAGE_BYTES);
        if (frame == NULL || *frame != what)
            return false;
    }
    return true;
}

static void model_set(struct model *m, uint64_t pa, uint64_t nframes, int what)
{
    for (uint64_t i = 0; i < nframes; i++)
        *model_at(m, pa + i * PAGE_BYTES) = (unsigned char)what;
}

/* What the allocator must believe right after pmm_init; where the
 * metadata is is its own business. */
static void model_start(struct model *m)
{
    memset(m, HOLE, sizeof *m);
    for (size_t i = 0; i < COUNT(banks); i++)
        if (banks[i].type == MEM_USABLE || banks[i].type == MEM_BOOTLOADER_RECLAIMABLE)
            model_set(m, banks[i].base.v, banks[i].bytes / PAGE_BYTES,
                      banks[i].type == MEM_USABLE ? FREE : USED);
    m->low[0] = USED;
    uint64_t metadata = 0;
    for (uint64_t i = 0; i < WINDOW; i++)
        if (m->high[i] == FREE && pmm_is_used(PA(RAM_BASE + i * PAGE_BYTES))) {
            m->high[i] = USED;
            metadata++;
        }
    assert_int_equal(metadata_frames(), metadata);
}

static void compare(struct model *m)
{
    uint64_t total = 0, nfree = 0;
    for (uint64_t i = 0; i < 2 * WINDOW; i++) {
        uint64_t pa = i < WINDOW ? i * PAGE_BYTES : RAM_BASE + (i - WINDOW) * PAGE_BYTES;
        int frame = *model_at(m, pa);
        assert_int_equal(frame == USED, pmm_is_used(PA(pa)));
        total += frame != HOLE;
        nfree += frame == FREE;
    }
    struct pmm_stats stats;
    pmm_get_stats(&stats);
    assert_int_equal(total * 4, stats.total_kib);
    assert_int_equal(nfree * 4, stats.free_kib);
    assert_int_equal((total - nfree) * 4, stats.used_kib);
}

/* True if the run satisfies the limits and is all free. */
static bool run_fits(struct model *m, uint64_t pa, uint64_t nframes, const struct pmm_limits *l)
{
    uint64_t end = pa + nframes * PAGE_BYTES;
    if (l->align_frames > 1 && pa % (l->align_frames * PAGE_BYTES) != 0)
        return false;
    if (pa < l->min_addr.v || (l->max_addr.v != 0 && end > l->max_addr.v))
        return false;
    return model_all(m, pa, nframes, FREE);
}

static bool some_run_fits(struct model *m, uint64_t nframes, const struct pmm_limits *l)
{
    for (uint64_t i = 0; i < WINDOW; i++)
        if (run_fits(m, i * PAGE_BYTES, nframes, l) ||
            run_fits(m, RAM_BASE + i * PAGE_BYTES, nframes, l))
            return true;
    return false;
}

static struct pmm_limits random_limits(struct rng *rng)
{
    struct pmm_limits l = {0};
    uint64_t bank = rng_below(rng, 2) != 0 ? RAM_BASE : 0;
    uint64_t reach = (bank != 0 ? WINDOW : 20) * PAGE_BYTES; /* the low bank is small */
    if (rng_below(rng, 3) == 0)
        l.align_frames = 1ull << rng_below(rng, 8);
    if (rng_below(rng, 4) == 0)
        l.min_addr = PA(bank + rng_below(rng, reach));
    if (rng_below(rng, 4) == 0)
        l.max_addr = PA(bank + rng_below(rng, reach));
    return l;
}

/* An allocation succeeds exactly when the model has a place for it, and gets such a place. */
static void step_alloc(struct rng *rng, struct model *m)
{
    const struct pmm_limits none = {0};
    struct pmm_limits limits = random_limits(rng);
    uint64_t nframes = rng_below(rng, 2) != 0 ? 1 : rng_size(rng, 320);
    bool plain = rng_below(rng, 3) == 0;
    bool possible = some_run_fits(m, nframes, plain ? &none : &limits);
    paddr_t pa = PA(0xdead);
    mm_status_t status = plain && nframes == 1
                             ? pmm_alloc_frame(&pa)
                             : pmm_alloc_frames(nframes, plain ? NULL : &limits, &pa);
    assert_int_equal(possible ? MM_OK : MM_NOMEM, status);
    if (!possible) {
        assert_int_equal(0xdead, pa.v);
        return;
    }
    assert_true(run_fits(m, pa.v, nframes, plain ? &none : &limits));
    model_set(m, pa.v, nframes, USED);
}

static uint64_t random_frame(struct rng *rng)
{
    uint64_t bank = rng_below(rng, 4) != 0 ? RAM_BASE : 0;
    return bank + rng_below(rng, WINDOW) * PAGE_BYTES;
}

/* Free what may be freed, a part of runs at times; anything else is misuse and changes nothing. */
static void step_free(struct rng *rng, struct model *m, const struct model *never)
{
    uint64_t pa = random_frame(rng), nframes = rng_size(rng, 64);
    bool allowed = model_all(m, pa, nframes, USED);
    for (uint64_t i = 0; allowed && i < nframes; i++)
        allowed = *model_at((struct model *)never, pa + i * PAGE_BYTES) == FREE;
    mm_status_t status;
    if (nframes == 1)
        status = pmm_free_frame(PA(pa));
    else
        status = rng_below(rng, 2) != 0 ? pmm_free_frames(PA(pa), nframes)
                                        : pmm_mark_free(PA(pa), nframes);
    assert_int_equal(allowed ? MM_OK : MM_INVAL, status);
    if (allowed)
        model_set(m, pa, nframes, FREE);
    else
        assert_misuse("bad free");
}

static void step_mark_used(struct rng *rng, struct model *m)
{
    uint64_t pa = random_frame(rng), nframes = rng_size(rng, 16);
    mm_status_t want = MM_OK;
    for (uint64_t i = 0; i < nframes; i++) {
        const unsigned char *frame = model_at(m, pa + i * PAGE_BYTES);
        if (frame == NULL || *frame == HOLE)
            want = MM_NOTFOUND;
        else if (*frame == USED && want == MM_OK)
            want = MM_EXISTS;
    }
    assert_int_equal(want, pmm_mark_used(PA(pa), nframes));
    if (want == MM_OK)
        model_set(m, pa, nframes, USED);
}

static void random_use_matches_an_array(void **state)
{
    (void)state;
    struct rng rng = rng_start();
    struct model model, never; /* never: what is used from the start and may not be freed */
    model_start(&model);
    never = model;
    for (int step = 0; step < 20000; step++) {
        if (step == 4000) {
            assert_int_equal(170, pmm_reclaim());
            model_set(&model, RAM_BASE + 300 * PAGE_BYTES, 100, FREE);
            model_set(&model, RAM_BASE + 600 * PAGE_BYTES, 70, FREE);
            model_set(&never, RAM_BASE + 300 * PAGE_BYTES, 100, FREE);
            model_set(&never, RAM_BASE + 600 * PAGE_BYTES, 70, FREE);
        }
        /* Waves, so that memory is nearly full and nearly empty at times. */
        uint64_t action = rng_below(&rng, 10), wave = step / 1000 % 2 != 0 ? 6 : 2;
        if (action < wave)
            step_free(&rng, &model, &never);
        else if (action < 9)
            step_alloc(&rng, &model);
        else
            step_mark_used(&rng, &model);
        assert_true(pmm_validate());
        if (step % 16 == 0)
            compare(&model);
    }
    compare(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(random_use_matches_an_array),
    };
    return cmocka_run_group_tests_name("pmm model", tests, NULL, NULL);
}
