/* Workloads in memory that is full, nearly full or in pieces, and what is looked at once. */
#include "worker.h"

#define HOLE_ALLOCATIONS 4000u /* at least, in rounds where that is more than the holes */
#define HOLE_ROUNDS_MAX  32u
#define LONG_ENOUGH_NS   300000u
#define CHURN_PASSES     16u
#define SELFTEST_CALLS   50000u
#define GIB              (1ull << 30)

/* All CPUs together take every frame, one about as many as the other. */
static void fill_all(struct worker *w)
{
    uint64_t nframes = w->ram_bytes / FRAME_BYTES;
    fill(w, nframes / w->cpus * 31 / 32);
    meet(w);
    fill(w, nframes);
    meet(w);
}

/* Free every n-th of the shuffled frames, and allocate half as many: from 1 in n free to half of it. */
void holes(struct worker *w)
{
    fill_all(w);
    shuffle(w);
    uint64_t nholes = w->ram_bytes / FRAME_BYTES / w->cpus / current->argument; /* for all alike: */
    uint64_t n = nholes / 2, done = 0;                                          /* they meet */
    mm_status_t (*alloc)(paddr_t *) = w->a->alloc_frame;
    for (uint64_t i = 0; i < nholes; i++)
        (void)w->a->free_frame(w->slots[--w->nslots]);
    for (unsigned round = 0; round < HOLE_ROUNDS_MAX && done < HOLE_ALLOCATIONS; round++) {
        uint64_t got = 0;
        section_begin(w);
        while (got < n && alloc(&w->slots[w->nslots + got]) == MM_OK)
            got++;
        section_end(w, 0, got);
        w->nslots += got;
        done += n;
        if (got < n)
            w->broken = "full too early";
        for (uint64_t i = 0; i < got; i++) { /* others, so that they are random holes again */
            uint64_t j = random_below(w, w->nslots);
            (void)w->a->free_frame(w->slots[j]);
            w->slots[j] = w->slots[--w->nslots];
        }
    }
}

/* Call until it takes long enough to be read from the clock; it has to fail each time. */
static void time_failures(struct worker *w, unsigned order)
{
    paddr_t out;
    unsigned succeeded = 0;
    for (unsigned n = 32; n <= 32 << 12; n *= 4) {
        w->sections[0] = (struct section){0, 0};
        section_begin(w);
        for (unsigned i = 0; i < n; i++)
            succeeded += (order == 0 ? w->a->alloc_frame(&out)
                                     : w->a->alloc_order(order, NULL, &out)) == MM_OK;
        section_end(w, 0, n);
        meet(w);
        if (worker_of(0)->sections[0].sum > LONG_ENOUGH_NS) /* one speaks for all: they meet */
            break;
    }
    if (succeeded > 0)
        w->broken = "it was not full";
}

void full(struct worker *w)
{
    fill_all(w);
    time_failures(w, 0);
}

/* All frames of even number are free. */
void checkerboard(struct worker *w)
{
    fill_all(w);
    uint64_t n = w->nslots;
    for (uint64_t i = 0; i < n; i++)
        if (frame_number(w->slots[i]) % 2 == 0)
            (void)w->a->free_frame(w->slots[i]);
    meet(w);
    time_failures(w, 1);
}

/* --- Fragmentation ------------------------------------------------------------------------------ */

/* The part of free memory that can be had as 2 MiB, in percent: by taking it. */
static void count_huge(struct worker *w)
{
    meet(w);
    if (w->cpu != 0)
        return;
    uint64_t huge = 0, single = 0;
    paddr_t out;
    while (w->a->alloc_order(PMM_ORDER_BLOCK, NULL, &out) == MM_OK)
        huge++;
    while (w->a->alloc_frame(&out) == MM_OK)
        single++;
    uint64_t frames = huge << PMM_ORDER_BLOCK;
    /* The mean over the CPUs is what is printed. */
    w->sections[0] = (struct section){100 * w->cpus * frames, frames + single};
}

/* Free so many random frames, allocate as many; until each has been replaced often. */
static void churn(struct worker *w)
{
    uint64_t burst = current->argument;
    for (uint64_t ops = 0; ops < CHURN_PASSES * w->nslots; ops += burst) {
        for (uint64_t i = 0; i < burst; i++) {
            uint64_t j = random_below(w, w->nslots);
            (void)w->a->free_frame(w->slots[j]);
            w->slots[j] = w->slots[--w->nslots];
        }
        for (uint64_t i = 0; i < burst; i++)
            if (w->a->alloc_frame(&w->slots[w->nslots]) == MM_OK)
                w->nslots++;
            else
                w->broken = "out of memory at 50 %";
    }
    count_huge(w);
}

void churn_dense(struct worker *w)
{
    fill(w, w->ram_bytes / FRAME_BYTES / w->cpus / 2);
    meet(w);
    churn(w);
}

void churn_random(struct worker *w)
{
    fill_all(w);
    shuffle(w);
    for (uint64_t n = w->nslots / 2; w->nslots > n;)
        (void)w->a->free_frame(w->slots[--w->nslots]);
    meet(w);
    churn(w);
}

/* --- What is looked at once --------------------------------------------------------------------- */

void metadata(struct worker *w)
{
    w->sections[0] = (struct section){w->a->metadata_bytes() / 1024, w->ram_bytes / GIB};
}

/* In microseconds: with the host backing the metadata, and without. */
void startup(struct worker *w)
{
    w->sections[0] = (struct section){w->start_ns, w->ram_bytes / GIB * 1000};
    w->sections[1] = (struct section){w->a->start_again(), w->ram_bytes / GIB * 1000};
}

/* --- Is it an allocator at all? ----------------------------------------------------------------- */

/* A run of the self-test: how it was allocated decides how it is freed. */
enum { FREE, BY_FRAME, BY_ORDER, BY_COUNT };

static void free_any(struct worker *w, unsigned slot, uint8_t *kind)
{
    if (*kind == BY_FRAME)
        (void)w->a->free_frame(w->slots[slot]);
    else if (*kind == BY_ORDER)
        (void)w->a->free_order(w->slots[slot], (unsigned)w->lengths[slot]);
    else if (*kind == BY_COUNT)
        (void)w->a->free_frames(w->slots[slot], w->lengths[slot]);
    *kind = FREE;
}

static void alloc_any(struct worker *w, unsigned slot, uint8_t *kind)
{
    mm_status_t status;
    unsigned wish = BY_FRAME + (unsigned)random_below(w, 3);
    w->lengths[slot] = wish == BY_ORDER ? random_below(w, 10) : 1 + random_below(w, 512);
    if (wish == BY_FRAME)
        status = w->a->alloc_frame(&w->slots[slot]);
    else if (wish == BY_ORDER)
        status = w->a->alloc_order((unsigned)w->lengths[slot], NULL, &w->slots[slot]);
    else
        status = w->a->alloc_frames(w->lengths[slot], NULL, &w->slots[slot]);
    *kind = status == MM_OK ? (uint8_t)wish : FREE;
}

/* How many frames all CPUs together can have; freed again. */
static uint64_t count_all(struct worker *w)
{
    uint64_t sum = 0;
    fill_all(w);
    for (unsigned i = 0; i < w->cpus; i++)
        sum += worker_of(i)->nslots;
    meet(w);
    while (w->nslots > 0)
        (void)w->a->free_frame(w->slots[--w->nslots]);
    meet(w);
    return sum;
}

/* Random calls of every kind, on all CPUs, now and then without success; then all is freed, and as
 * much can be had as before. */
void mixed_everything(struct worker *w)
{
    uint8_t kinds[SMALL_SLOTS] = {FREE};
    uint64_t before = count_all(w);
    for (unsigned i = 0; i < SELFTEST_CALLS; i++) {
        unsigned slot = (unsigned)random_below(w, SMALL_SLOTS);
        free_any(w, slot, &kinds[slot]);
        alloc_any(w, slot, &kinds[slot]);
    }
    for (unsigned slot = 0; slot < SMALL_SLOTS; slot++)
        free_any(w, slot, &kinds[slot]);
    meet(w);
    if (count_all(w) != before)
        w->broken = "frames are lost";
}
