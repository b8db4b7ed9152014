/* Owns: the workloads in memory much of which is free. Relies on: frames.c. */
#include "bench/frames_parts.h"
#include "cpu/crew.h"

#define PAIRS      100000u
#define MIXED_OPS  20000u
#define RUN_FRAMES 103u /* the mean of the orders 0 to 9; that of 3, 17 and 100 is less */
#define ROUNDS_OPS 20000u

static const char out_of_memory[] = "out of memory";

void frames_bulk(struct bench_worker *w)
{
    struct frames_hand *hand = frames_hand(w);
    bench_begin(w);
    frames_take(hand, frames_quota(w));
    bench_end(w, 0, hand->nslots);
    uint64_t n = hand->nslots;
    if (n < frames_quota(w))
        w->broken = out_of_memory;
    bench_begin(w);
    frames_give(hand);
    bench_end(w, 1, n);
}

void frames_free_random(struct bench_worker *w)
{
    struct frames_hand *hand = frames_hand(w);
    frames_take(hand, frames_quota(w));
    frames_shuffle(w);
    uint64_t n = hand->nslots;
    bench_begin(w);
    frames_give(hand);
    bench_end(w, 0, n);
}

void frames_free_other(struct bench_worker *w)
{
    frames_take(frames_hand(w), frames_quota(w));
    crew_meet();
    struct frames_hand *other = frames_hand(bench_worker((w->number + 1) % w->cpus));
    uint64_t n = other->nslots;
    bench_begin(w);
    frames_give(other);
    bench_end(w, 0, n);
}

void frames_pairs(struct bench_worker *w)
{
    const struct frames_calls *calls = frames_hand(w)->calls;
    mm_status_t (*alloc)(paddr_t *) = calls->alloc_frame;
    mm_status_t (*give)(paddr_t) = calls->free_frame;
    bench_begin(w);
    for (unsigned i = 0; i < PAIRS; i++) {
        paddr_t frame;
        if (alloc(&frame) == MM_OK)
            (void)give(frame);
        else
            w->broken = out_of_memory;
    }
    bench_end(w, 0, PAIRS);
}

/* Section 1, without the limit, is the baseline of section 0. */
void frames_pairs_below(struct bench_worker *w)
{
    const struct pmm_limits limits = {.max_addr = PA(bench_current->argument)};
    bench_begin(w);
    for (unsigned i = 0; i < PAIRS; i++) {
        paddr_t frame;
        if (pmm_alloc_frames(1, &limits, &frame) == MM_OK)
            (void)pmm_free_frame(frame);
        else
            w->broken = out_of_memory;
    }
    bench_end(w, 1, PAIRS);
    frames_pairs(w);
    struct bench_section plain = w->sections[0];
    w->sections[0] = w->sections[1];
    w->sections[1] = plain;
}

void frames_batches(struct bench_worker *w)
{
    struct frames_hand *hand = frames_hand(w);
    uint64_t n = bench_current->argument, rounds = PAIRS / n;
    bench_begin(w);
    for (uint64_t i = 0; i < rounds; i++) {
        frames_take(hand, n);
        if (hand->nslots < n)
            w->broken = out_of_memory;
        frames_give(hand);
    }
    bench_end(w, 0, rounds * n);
}

void frames_batch_calls(struct bench_worker *w)
{
    const struct frames_calls *calls = frames_hand(w)->calls;
    paddr_t *chunk = frames_slot(frames_hand(w), 0);
    uint64_t n = bench_current->argument, rounds = PAIRS / n;
    if (calls->alloc_batch == NULL) { /* frame by frame */
        frames_batches(w);
        return;
    }
    bench_begin(w);
    for (uint64_t i = 0; i < rounds; i++)
        if (calls->alloc_batch(n, NULL, chunk) == MM_OK)
            (void)calls->free_batch(chunk, n);
        else
            w->broken = out_of_memory;
    bench_end(w, 0, rounds * n);
}

/* Three in four blocks of that order, and back, as often as makes some operations. */
void frames_orders(struct bench_worker *w)
{
    struct frames_hand *hand = frames_hand(w);
    const struct frames_calls *calls = hand->calls;
    unsigned order = (unsigned)bench_current->argument;
    uint64_t n = (frames_quota(w) >> order) * 3 / 4;
    for (uint64_t ops = 0; ops < ROUNDS_OPS; ops += n) {
        uint64_t got = 0;
        bench_begin(w);
        while (got < n && calls->alloc_order(order, NULL, frames_slot(hand, got)) == MM_OK)
            got++;
        bench_end(w, 0, got);
        bench_begin(w);
        for (uint64_t i = 0; i < got; i++)
            (void)calls->free_order(*frames_slot(hand, i), order);
        bench_end(w, 1, got);
        if (got < n)
            w->broken = out_of_memory;
    }
}

/* ---- mixed lengths: a random run is freed, and one of a random length takes its place ----------- */

static bool alloc_run(struct frames_hand *hand, unsigned slot, unsigned length)
{
    paddr_t *out = frames_slot(hand, slot);
    hand->lengths[slot] = (uint16_t)length;
    return (bench_current->argument ? hand->calls->alloc_order(length, NULL, out)
                                    : hand->calls->alloc_frames(length, NULL, out)) == MM_OK;
}

static void free_run(struct frames_hand *hand, unsigned slot)
{
    paddr_t base = *frames_slot(hand, slot);
    if (bench_current->argument)
        (void)hand->calls->free_order(base, hand->lengths[slot]);
    else
        (void)hand->calls->free_frames(base, hand->lengths[slot]);
}

static unsigned random_length(struct bench_worker *w)
{
    static const uint8_t lengths[] = {3, 17, 100};
    return bench_current->argument ? (unsigned)bench_random(w, bench_current->argument + 1)
                                   : lengths[bench_random(w, sizeof lengths)];
}

/* In so many runs that memory stays half empty. A run that cannot be had is out of the game: the last
 * one takes its place. */
void frames_mixed(struct bench_worker *w)
{
    struct frames_hand *hand = frames_hand(w);
    uint64_t runs = frames_quota(w) / RUN_FRAMES / 2;
    runs = runs < RUNS_MAX ? runs : RUNS_MAX;
    for (unsigned i = 0; i < SEQUENCE; i++)
        hand->choices[i] =
            (struct choice){(uint16_t)bench_random(w, runs), (uint16_t)random_length(w)};
    unsigned n = 0;
    while (n < runs && alloc_run(hand, n, random_length(w)))
        n++;
    bool fine = n == runs;
    bench_begin(w);
    for (unsigned i = 0; i < MIXED_OPS && fine; i++) {
        struct choice choice = hand->choices[i % SEQUENCE];
        free_run(hand, choice.slot);
        fine = alloc_run(hand, choice.slot, choice.length);
        if (!fine) {
            n--;
            *frames_slot(hand, choice.slot) = *frames_slot(hand, n);
            hand->lengths[choice.slot] = hand->lengths[n];
        }
    }
    bench_end(w, 0, MIXED_OPS);
    if (!fine)
        w->broken = out_of_memory;
    while (n > 0)
        free_run(hand, --n);
}
