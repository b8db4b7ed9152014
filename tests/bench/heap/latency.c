/* Workloads of which every call is timed by itself, in ticks of the time-stamp counter. They do the
 * same in every run, so that the driver can take the least of each call: what remains is the heap's
 * doing, not that of whoever interrupted. */
#include "heap.h"

#define BURST 64u

static uint64_t ticks_now(void)
{
    uint32_t low, high;
    __asm__ volatile("lfence\n\trdtsc\n\tlfence" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
}

/* What reading the counter twice takes. */
static uint64_t ticks_cost(void)
{
    uint64_t least = UINT64_MAX;
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t before = ticks_now(), between = ticks_now() - before;
        least = between < least ? between : least;
    }
    return least;
}

static void note(uint64_t ticks, uint64_t cost)
{
    ticks = ticks > cost ? ticks - cost : 0;
    if (errand->ncalls < CALLS_MAX)
        errand->ticks[errand->ncalls++] = ticks < UINT32_MAX ? (uint32_t)ticks : UINT32_MAX;
}

static void *timed_take(size_t bytes, uint64_t cost)
{
    uint64_t before = ticks_now();
    void *p = malloc(bytes);
    note(ticks_now() - before, cost);
    return touched(p);
}

static void timed_free(void *p, uint64_t cost)
{
    uint64_t before = ticks_now();
    free(p);
    note(ticks_now() - before, cost);
}

/* What a slot holds is always of the same size: never are more objects of a size live than in the
 * beginning, so that no heap needs further memory. */
static size_t size_of(const struct worker *w, uint64_t slot)
{
    return w->sizes[slot % SIZES];
}

static void fill(struct worker *w)
{
    for (uint64_t i = 0; i < w->workload->count; i++)
        w->slots[i] = take(size_of(w, i));
}

/* Free some, allocate the like. */
static void burst(struct worker *w, uint64_t cost)
{
    uint64_t chosen[BURST];
    for (unsigned i = 0; i < BURST; i++) {
        chosen[i] = splitmix_below(&w->random, w->workload->count);
        if (w->slots[chosen[i]] != NULL)
            timed_free(w->slots[chosen[i]], cost);
        w->slots[chosen[i]] = NULL;
    }
    for (unsigned i = 0; i < BURST; i++)
        if (w->slots[chosen[i]] == NULL)
            w->slots[chosen[i]] = timed_take(size_of(w, chosen[i]), cost);
}

void latency_steady(struct worker *w)
{
    uint64_t cost = ticks_cost();
    fill(w);
    while (errand->ncalls < CALLS_MAX)
        burst(w, cost);
    errand->ncalls = 0; /* those were to warm up */
    while (errand->ncalls < CALLS_MAX)
        burst(w, cost);
}

void latency_grow(struct worker *w)
{
    uint64_t cost = ticks_cost();
    free(take(1));
    for (uint64_t i = 0; i < w->workload->count; i++)
        w->slots[i] = timed_take(size_of(w, i), cost);
}

void latency_shrink(struct worker *w)
{
    uint64_t cost = ticks_cost(), n = w->workload->count;
    fill(w);
    for (; n > 0; n--) {
        uint64_t k = splitmix_below(&w->random, n);
        timed_free(w->slots[k], cost);
        w->slots[k] = w->slots[n - 1];
    }
}
