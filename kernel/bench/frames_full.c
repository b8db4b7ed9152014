/* Owns: the workloads in memory that is full, nearly full or in pieces. Relies on: frames.c. */
#include "bench/frames_parts.h"
#include "cpu/cpu.h"
#include "cpu/crew.h"

#define HOLE_ROUNDS      8u
#define CALLS_MIN        32u
#define CALLS_MAX        (CALLS_MIN << 12)
#define LONG_ENOUGH_USEC 300u
#define CHURN_PASSES     16u

/* All CPUs together take every frame, one about as many as the other. */
static void fill_all(struct bench_worker *w)
{
    struct frames_hand *hand = frames_hand(w);
    frames_take(hand, frames_free() / w->cpus * 31 / 32);
    crew_meet();
    frames_take(hand, frames_free());
    crew_meet();
}

/* Free a random frame. */
static void free_any(struct bench_worker *w)
{
    struct frames_hand *hand = frames_hand(w);
    paddr_t *slot = frames_slot(hand, bench_random(w, hand->nslots));
    (void)hand->calls->free_frame(*slot);
    *slot = *frames_slot(hand, --hand->nslots);
}

/* Free every n-th frame, at random, and allocate half as many: from 1 in n free to half of it. */
void frames_holes(struct bench_worker *w)
{
    struct frames_hand *hand = frames_hand(w);
    fill_all(w);
    uint64_t nholes = frames_free() / w->cpus / bench_current->argument, n = nholes / 2;
    for (uint64_t i = 0; i < nholes; i++)
        free_any(w);
    for (unsigned round = 0; round < HOLE_ROUNDS; round++) {
        uint64_t before = hand->nslots;
        bench_begin(w);
        frames_take(hand, before + n);
        bench_end(w, 0, n);
        if (hand->nslots < before + n)
            w->broken = "full too early";
        while (hand->nslots > before) /* others, so that they are random holes again */
            free_any(w);
    }
}

/* Call until it takes long enough to be read from the clock; it has to fail each time. */
static void time_failures(struct bench_worker *w, unsigned order)
{
    static bool long_enough; /* CPU 0 decides for all: they meet */
    const struct frames_calls *calls = frames_hand(w)->calls;
    for (unsigned n = CALLS_MIN; n <= CALLS_MAX; n *= 4) {
        paddr_t out;
        w->sections[0] = (struct bench_section){0, 0};
        bench_begin(w);
        for (unsigned i = 0; i < n; i++) {
            mm_status_t status =
                order == 0 ? calls->alloc_frame(&out) : calls->alloc_order(order, NULL, &out);
            if (status == MM_OK) {
                w->broken = "it was not full";
                (void)calls->free_order(out, order);
            }
        }
        bench_end(w, 0, n);
        if (w->number == 0)
            long_enough = w->sections[0].sum > cpu_tsc_ticks(LONG_ENOUGH_USEC);
        crew_meet();
        if (long_enough)
            break;
    }
}

void frames_full(struct bench_worker *w)
{
    fill_all(w);
    time_failures(w, 0);
}

/* All frames of even number are free. */
void frames_checkerboard(struct bench_worker *w)
{
    struct frames_hand *hand = frames_hand(w);
    fill_all(w);
    uint64_t kept = 0;
    for (uint64_t i = 0; i < hand->nslots; i++) {
        paddr_t frame = *frames_slot(hand, i);
        if (pa_to_pfn(frame).v % 2 == 0)
            (void)hand->calls->free_frame(frame);
        else
            *frames_slot(hand, kept++) = frame;
    }
    hand->nslots = kept;
    crew_meet();
    time_failures(w, 1);
}

/* ---- fragmentation ------------------------------------------------------------------------------ */

/* Free so many random frames, allocate as many, until each has been replaced often. Then the part of
 * free memory that is whole blocks. */
static void churn(struct bench_worker *w)
{
    struct frames_hand *hand = frames_hand(w);
    uint64_t n = hand->nslots, burst = bench_current->argument;
    for (uint64_t ops = 0; ops < CHURN_PASSES * n; ops += burst) {
        for (uint64_t i = 0; i < burst; i++)
            free_any(w);
        frames_take(hand, n);
    }
    if (hand->nslots < n)
        w->broken = "out of memory at 50 %";
    crew_meet();
    if (w->number > 0)
        return;
    uint64_t all, whole;
    hand->calls->count_free(&all, &whole);
    for (unsigned i = 0; i < w->cpus; i++) /* the mean over them is printed */
        bench_worker(i)->sections[0] = (struct bench_section){whole, all};
}

void frames_churn(struct bench_worker *w)
{
    frames_take(frames_hand(w), frames_free() / w->cpus / 2);
    crew_meet();
    churn(w);
}

void frames_churn_random(struct bench_worker *w)
{
    struct frames_hand *hand = frames_hand(w);
    fill_all(w);
    for (uint64_t n = hand->nslots / 2; hand->nslots > n;)
        free_any(w);
    crew_meet();
    churn(w);
}
