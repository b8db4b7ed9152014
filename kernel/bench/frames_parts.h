/* What the benchmark of the frame allocator is made of. Private to frames*.c.
 *
 * A workload is about at most so many frames; of a machine that has more, the rest is allocated
 * beforehand as blocks of 2 MiB. So 4 GiB are 4 GiB on any machine, and full is full. The addresses
 * of what a workload allocates are in frames that were allocated for that beforehand too. */
#ifndef QL_KERNEL_BENCH_FRAMES_H
#define QL_KERNEL_BENCH_FRAMES_H

#include "bench/bench_parts.h"
#include "mm/pmm.h"

#define SLOTS_A_CHUNK (FRAME_BYTES / sizeof(paddr_t))
#define RUNS_MAX      1024u /* that a workload of mixed lengths keeps */
#define SEQUENCE      1024u /* its choices, made beforehand */

/* The calls that are measured: the pmm's, or the baseline's. */
struct frames_calls {
    mm_status_t (*alloc_frame)(paddr_t *out);
    mm_status_t (*free_frame)(paddr_t frame);
    mm_status_t (*alloc_order)(unsigned order, const struct pmm_limits *limits, paddr_t *out);
    mm_status_t (*free_order)(paddr_t base, unsigned order);
    mm_status_t (*alloc_frames)(uint64_t n, const struct pmm_limits *limits, paddr_t *out);
    mm_status_t (*free_frames)(paddr_t base, uint64_t n);
    /* NULL: frame by frame */
    mm_status_t (*alloc_batch)(size_t n, const struct pmm_limits *limits, paddr_t *out);
    mm_status_t (*free_batch)(const paddr_t *frames, size_t n);
    /* free frames, and those of them in whole free blocks */
    void (*count_free)(uint64_t *all, uint64_t *whole);
};
extern const struct frames_calls frames_ours, frames_scan;

struct choice {
    uint16_t slot, length; /* an order, or a number of frames */
};

/* What a CPU has at the moment. */
struct frames_hand {
    const struct frames_calls *calls;
    paddr_t **chunks;
    uint64_t room;   /* slots */
    uint64_t nslots; /* with a frame in them; given back at the end of a run */
    uint16_t lengths[RUNS_MAX];
    struct choice choices[SEQUENCE];
};
struct frames_hand *frames_hand(const struct bench_worker *w);

static inline paddr_t *frames_slot(const struct frames_hand *hand, uint64_t i)
{
    return &hand->chunks[i / SLOTS_A_CHUNK][i % SLOTS_A_CHUNK];
}

/* Frames that are free when a workload begins. */
uint64_t frames_free(void);

/* A CPU's share of them without what is left for the rest of the kernel. */
uint64_t frames_quota(const struct bench_worker *w);

/* Allocate frames into further slots until there are so many or no frame is left; free them. */
void frames_take(struct frames_hand *hand, uint64_t n);
void frames_give(struct frames_hand *hand);
void frames_shuffle(struct bench_worker *w);

/* The baseline: one bit for each of n frames, all free, under one lock; at bits, which is large
 * enough. The frames exist as numbers only. */
uint64_t scan_bytes(uint64_t nframes);
void scan_begin(void *bits, uint64_t nframes);

/* Bodies: frames_plain.c, where much is free; frames_full.c, where little is, or in pieces. */
void frames_bulk(struct bench_worker *w);
void frames_free_random(struct bench_worker *w);
void frames_free_other(struct bench_worker *w);
void frames_pairs(struct bench_worker *w);
void frames_batches(struct bench_worker *w);     /* argument: the size */
void frames_batch_calls(struct bench_worker *w); /* argument: the size, one chunk at most */
void frames_orders(struct bench_worker *w);      /* argument: the order */
void frames_mixed(struct bench_worker *w); /* argument: the largest order; 0: 3, 17 or 100 frames */
void frames_pairs_below(struct bench_worker *w); /* argument: the limit */
void frames_holes(struct bench_worker *w);       /* argument: one frame in so many is free */
void frames_full(struct bench_worker *w);
void frames_checkerboard(struct bench_worker *w);
void frames_churn(struct bench_worker *w); /* argument: how many are freed at once */
void frames_churn_random(struct bench_worker *w);

#endif
