/* A frame allocator under measurement: the calls of <quicklime/mm/pmm.h> as function pointers, so that
 * all are called the same way, and what switches it on and off. */
#ifndef CONTESTANT_H
#define CONTESTANT_H

#include <quicklime/host.h>

#include "../common/crew.h"

struct contestant {
    const char *name;
    /* Begin with so much RAM, all free. Returns the nanoseconds that it took, 0 on failure. */
    uint64_t (*start)(uint64_t ram_bytes, unsigned cpus);
    /* The same once more, in metadata that the host has backed; only stop may follow. */
    uint64_t (*start_again)(void);
    void (*stop)(void);
    void (*bind_cpu)(unsigned cpu);
    uint64_t (*metadata_bytes)(void);
    /* What it has found wrong with the calls since the start, NULL if nothing; may be missing. */
    const char *(*complaint)(void);

    mm_status_t (*alloc_frame)(paddr_t *out);
    mm_status_t (*free_frame)(paddr_t frame);
    mm_status_t (*alloc_order)(unsigned order, const struct pmm_limits *limits, paddr_t *out);
    mm_status_t (*free_order)(paddr_t base, unsigned order);
    mm_status_t (*alloc_frames)(uint64_t n, const struct pmm_limits *limits, paddr_t *out);
    mm_status_t (*free_frames)(paddr_t base, uint64_t n);
    /* NULL: frame by frame */
    mm_status_t (*alloc_batch)(size_t n, const struct pmm_limits *limits, paddr_t *out);
    mm_status_t (*free_batch)(const paddr_t *frames, size_t n);
};

extern const struct contestant ours, buddy, scan;

/* Open the shared object of theirs.h. NULL, and a sentence on stderr, if that fails. */
const struct contestant *theirs_open(const char *path);

/* What the calling thread is; set by bind_cpu of the baselines. */
extern _Thread_local unsigned baseline_cpu;
void baseline_bind_cpu(unsigned cpu);

/* Zeroed memory for metadata that the host backs when it is touched; the process ends without it. */
void *baseline_map(uint64_t bytes);
void baseline_unmap(void *p, uint64_t bytes);

static inline unsigned order_for(uint64_t n)
{
    return n <= 1 ? 0 : 64 - (unsigned)__builtin_clzll(n - 1);
}

static inline paddr_t frame_address(uint64_t frame)
{
    return pfn_to_pa((pfn_t){frame});
}

static inline uint64_t frame_number(paddr_t address)
{
    return pa_to_pfn(address).v;
}

#endif
