/* Workloads that look at one call or two. */
#include "heap.h"

/* --- Slots -------------------------------------------------------------------------------------- */

void slots_fill(struct worker *w)
{
    for (uint64_t i = 0; i < w->workload->count; i++)
        w->slots[i] = take(random_size(w));
}

void slots_free(struct worker *w)
{
    for (uint64_t i = 0; i < w->workload->count; i++) {
        free(w->slots[i]);
        w->slots[i] = NULL;
    }
}

/* --- An object, and away with it ---------------------------------------------------------------- */

static void do_pairs(uint64_t ops, size_t bytes)
{
    for (uint64_t i = 0; i < ops; i++)
        free(take(bytes));
}

void pairs(struct worker *w)
{
    do_pairs(warm_ops(w), w->workload->bytes_min);
    section_begin(w);
    do_pairs(w->ops, w->workload->bytes_min);
    section_end(w, 0, w->ops);
}

static void do_pairs_calloc(uint64_t ops, size_t bytes)
{
    for (uint64_t i = 0; i < ops; i++)
        free(touched(calloc(1, bytes)));
}

void pairs_calloc(struct worker *w)
{
    do_pairs_calloc(warm_ops(w), w->workload->bytes_min);
    section_begin(w);
    do_pairs_calloc(w->ops, w->workload->bytes_min);
    section_end(w, 0, w->ops);
}

static void do_pairs_aligned(uint64_t ops, size_t bytes)
{
    void *p = NULL;
    for (uint64_t i = 0; i < ops && posix_memalign(&p, 64, bytes) == 0; i++)
        free(touched(p));
}

void pairs_aligned(struct worker *w)
{
    do_pairs_aligned(warm_ops(w), w->workload->bytes_min);
    section_begin(w);
    do_pairs_aligned(w->ops, w->workload->bytes_min);
    section_end(w, 0, w->ops);
}

/* --- Many, and away with them ------------------------------------------------------------------- */

/* An order in which n slots are freed. */
static uint32_t *make_order(struct worker *w, bool random)
{
    uint64_t n = w->workload->count;
    uint32_t *order = malloc(n * sizeof *order);
    for (uint32_t i = 0; i < n; i++)
        order[i] = i;
    for (uint64_t i = n; i > 1 && random; i--) {
        uint64_t k = splitmix_below(&w->random, i);
        uint32_t swapped = order[i - 1];
        order[i - 1] = order[k];
        order[k] = swapped;
    }
    return order;
}

static void do_batches(struct worker *w, uint64_t rounds, const uint32_t *order)
{
    uint64_t n = w->workload->count;
    size_t bytes = w->workload->bytes_min;
    void **slots = w->slots;
    for (uint64_t round = 0; round < rounds; round++) {
        for (uint64_t i = 0; i < n; i++)
            slots[i] = take(bytes);
        for (uint64_t i = 0; i < n; i++)
            free(slots[order[i]]);
    }
}

static void batches_in(struct worker *w, bool random)
{
    uint32_t *order = make_order(w, random);
    uint64_t rounds = w->ops / w->workload->count;
    do_batches(w, warm_ops(w) / w->workload->count, order);
    section_begin(w);
    do_batches(w, rounds, order);
    section_end(w, 0, rounds * w->workload->count);
    free(order);
}

void batches(struct worker *w)
{
    batches_in(w, false);
}

void shuffled(struct worker *w)
{
    batches_in(w, true);
}

/* Each thread allocates, then frees what its neighbour has allocated. Waiting is not timed. */
void remote(struct worker *w)
{
    struct worker *other = worker_of((w->cpu + 1) % w->cpus);
    uint64_t n = w->workload->count, rounds = w->ops / n, warm = warm_ops(w) / n;
    size_t bytes = w->workload->bytes_min;
    for (uint64_t round = 0; round < warm + rounds; round++) {
        section_begin(w);
        for (uint64_t i = 0; i < n; i++)
            w->slots[i] = take(bytes);
        section_end(w, round < warm ? 1 : 0, n);
        section_begin(w);
        for (uint64_t i = 0; i < n; i++)
            free(other->slots[i]);
        section_end(w, round < warm ? 1 : 0, 0);
    }
}

/* --- So many live, one after another is replaced ------------------------------------------------ */

static void replace(struct worker *w, uint64_t ops)
{
    uint64_t count = w->workload->count, random = w->random;
    void **slots = w->slots;
    const uint32_t *sizes = w->sizes;
    for (uint64_t i = 0; i < ops; i++) {
        uint64_t z = splitmix(&random);
        void **slot = &slots[(z >> 32) * count >> 32];
        free(*slot);
        *slot = take(sizes[z % SIZES]);
    }
    w->random = random;
}

void live(struct worker *w)
{
    slots_fill(w);
    replace(w, warm_ops(w));
    section_begin(w);
    replace(w, w->ops);
    section_end(w, 0, w->ops);
    slots_free(w);
}
