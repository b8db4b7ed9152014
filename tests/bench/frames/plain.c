/* Workloads in memory much of which is free. */
#include "worker.h"

#define PAIRS        400000u
#define MIXED_OPS    100000u
#define SEQUENCE     4096u /* choices of a mixed workload, made beforehand */
#define ROUNDS_OPS   60000u
#define QUOTA_MARGIN 2048u

/* Everything for one CPU; for several, equal parts, so that none goes on alone, a little less than
 * all. */
static uint64_t quota(const struct worker *w)
{
    uint64_t nframes = w->ram_bytes / FRAME_BYTES;
    return w->cpus == 1 ? nframes : nframes / w->cpus - QUOTA_MARGIN;
}

static void take_all(struct worker *w, uint64_t n)
{
    mm_status_t (*alloc)(paddr_t *) = w->a->alloc_frame;
    paddr_t *slots = w->slots;
    uint64_t i = 0;
    while (i < n && alloc(&slots[i]) == MM_OK)
        i++;
    w->nslots = i;
}

static void give_all(struct worker *w)
{
    mm_status_t (*give)(paddr_t) = w->a->free_frame;
    const paddr_t *slots = w->slots;
    uint64_t n = w->nslots;
    for (uint64_t i = 0; i < n; i++)
        (void)give(slots[i]);
}

void fill(struct worker *w, uint64_t nframes)
{
    while (w->nslots < nframes && w->a->alloc_frame(&w->slots[w->nslots]) == MM_OK)
        w->nslots++;
}

void shuffle(struct worker *w)
{
    for (uint64_t i = w->nslots; i > 1; i--) {
        uint64_t j = random_below(w, i);
        paddr_t swapped = w->slots[i - 1];
        w->slots[i - 1] = w->slots[j];
        w->slots[j] = swapped;
    }
}

void bulk(struct worker *w)
{
    section_begin(w);
    take_all(w, quota(w));
    section_end(w, 0, w->nslots);
    section_begin(w);
    give_all(w);
    section_end(w, 1, w->nslots);
}

void bulk_free_random(struct worker *w)
{
    take_all(w, quota(w));
    shuffle(w);
    section_begin(w);
    give_all(w);
    section_end(w, 0, w->nslots);
}

void bulk_free_other(struct worker *w)
{
    take_all(w, quota(w));
    struct worker *other = worker_of((w->cpu + 1) % w->cpus);
    mm_status_t (*give)(paddr_t) = w->a->free_frame;
    section_begin(w);
    for (uint64_t i = 0; i < other->nslots; i++)
        (void)give(other->slots[i]);
    section_end(w, 0, other->nslots);
}

void pairs(struct worker *w)
{
    mm_status_t (*alloc)(paddr_t *) = w->a->alloc_frame;
    mm_status_t (*give)(paddr_t) = w->a->free_frame;
    unsigned failed = 0;
    section_begin(w);
    for (unsigned i = 0; i < PAIRS; i++) {
        paddr_t frame = PA(0);
        failed += alloc(&frame) != MM_OK;
        (void)give(frame);
    }
    section_end(w, 0, PAIRS);
    if (failed > 0)
        w->broken = "out of memory";
}

void pairs_below(struct worker *w)
{
    const struct pmm_limits limits = {.max_addr = PA(current->argument)};
    mm_status_t (*alloc)(uint64_t, const struct pmm_limits *, paddr_t *) = w->a->alloc_frames;
    mm_status_t (*give)(paddr_t) = w->a->free_frame;
    bool wrong = false;
    section_begin(w);
    for (unsigned i = 0; i < PAIRS; i++) {
        paddr_t frame = PA(0);
        wrong |= alloc(1, &limits, &frame) != MM_OK || !pa_lt(frame, limits.max_addr);
        (void)give(frame);
    }
    section_end(w, 0, PAIRS);
    if (wrong)
        w->broken = "a frame is not below the limit";
    mm_status_t (*alloc_plain)(paddr_t *) = w->a->alloc_frame;
    section_begin(w);
    for (unsigned i = 0; i < PAIRS; i++) {
        paddr_t frame = PA(0);
        (void)!alloc_plain(&frame);
        (void)give(frame);
    }
    section_end(w, 1, PAIRS);
}

void batches(struct worker *w)
{
    section_begin(w);
    for (uint64_t i = 0; i < PAIRS / current->argument; i++) {
        take_all(w, current->argument);
        give_all(w);
    }
    section_end(w, 0, PAIRS / current->argument * current->argument);
    if (w->nslots < current->argument)
        w->broken = "out of memory";
}

void batch_calls(struct worker *w)
{
    uint64_t n = current->argument;
    if (w->a->alloc_batch == NULL || w->a->free_batch == NULL) {
        batches(w);
        return;
    }
    section_begin(w);
    for (uint64_t i = 0; i < PAIRS / n; i++) {
        if (w->a->alloc_batch(n, NULL, w->slots) == MM_OK)
            (void)w->a->free_batch(w->slots, n);
        else
            w->broken = "out of memory";
    }
    section_end(w, 0, PAIRS / n * n);
}

/* All blocks of that order but a few, and back, as often as makes some operations. */
void orders(struct worker *w)
{
    unsigned order = (unsigned)current->argument;
    uint64_t n = (w->ram_bytes / FRAME_BYTES >> order) / w->cpus;
    n -= n / 64 + 1; /* what is reserved or metadata, and none that fails */
    for (uint64_t ops = 0; ops < ROUNDS_OPS; ops += n) {
        uint64_t got = 0;
        section_begin(w);
        while (got < n && w->a->alloc_order(order, NULL, &w->slots[got]) == MM_OK)
            got++;
        section_end(w, 0, got);
        section_begin(w);
        for (uint64_t i = 0; i < got; i++)
            (void)w->a->free_order(w->slots[i], order);
        section_end(w, 1, got);
        if (got < n * 9 / 10)
            w->broken = "out of memory";
    }
}

/* --- Mixed lengths: a random run is freed, and one of a random length takes its place ------------ */

struct choice {
    uint16_t slot;
    uint16_t length; /* an order, or a number of frames */
};

static void choose_orders(struct worker *w, struct choice *choices)
{
    for (unsigned i = 0; i < SEQUENCE; i++)
        choices[i] = (struct choice){(uint16_t)random_below(w, SMALL_SLOTS),
                                     (uint16_t)random_below(w, current->argument + 1)};
    for (unsigned i = 0; i < SMALL_SLOTS; i++) {
        w->lengths[i] = random_below(w, current->argument + 1);
        if (w->a->alloc_order((unsigned)w->lengths[i], NULL, &w->slots[i]) != MM_OK)
            w->broken = "out of memory";
    }
}

void mixed_orders(struct worker *w)
{
    struct choice choices[SEQUENCE];
    choose_orders(w, choices);
    if (w->broken != NULL)
        return;
    unsigned failed = 0;
    section_begin(w);
    for (unsigned i = 0; i < MIXED_OPS; i++) {
        struct choice choice = choices[i % SEQUENCE];
        (void)w->a->free_order(w->slots[choice.slot], (unsigned)w->lengths[choice.slot]);
        failed += w->a->alloc_order(choice.length, NULL, &w->slots[choice.slot]) != MM_OK;
        w->lengths[choice.slot] = choice.length;
    }
    section_end(w, 0, MIXED_OPS);
    if (failed > 0)
        w->broken = "out of memory";
}

static void choose_runs(struct worker *w, struct choice *choices)
{
    static const uint16_t lengths[] = {3, 17, 100};
    for (unsigned i = 0; i < SEQUENCE; i++)
        choices[i] =
            (struct choice){(uint16_t)random_below(w, SMALL_SLOTS), lengths[random_below(w, 3)]};
    for (unsigned i = 0; i < SMALL_SLOTS; i++) {
        w->lengths[i] = lengths[random_below(w, 3)];
        if (w->a->alloc_frames(w->lengths[i], NULL, &w->slots[i]) != MM_OK)
            w->broken = "out of memory";
    }
}

void mixed_runs(struct worker *w)
{
    struct choice choices[SEQUENCE];
    choose_runs(w, choices);
    if (w->broken != NULL)
        return;
    unsigned failed = 0;
    section_begin(w);
    for (unsigned i = 0; i < MIXED_OPS; i++) {
        struct choice choice = choices[i % SEQUENCE];
        (void)w->a->free_frames(w->slots[choice.slot], w->lengths[choice.slot]);
        failed += w->a->alloc_frames(choice.length, NULL, &w->slots[choice.slot]) != MM_OK;
        w->lengths[choice.slot] = choice.length;
    }
    section_end(w, 0, MIXED_OPS);
    if (failed > 0)
        w->broken = "out of memory";
}
