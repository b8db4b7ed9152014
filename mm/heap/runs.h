/* Objects above HEAP_CLASS_BYTES, or aligned to more than a frame: page runs in the direct map, and
 * virtual ranges. Internal to mm/heap/. */
#ifndef QL_MM_HEAP_RUNS_H
#define QL_MM_HEAP_RUNS_H

#include "share.h"

/* Of want.flags, beside those of heap.h: it may grow, so that a range is best. */
#define LARGE_GROWS 0x100u

/* want->align: a power of two, or 0. Who has HEAP_NOWAIT set, or wants little, never gets a range.
 * out: zeroed: its bytes are 0. NULL: out of memory. */
void *large_alloc(size_t bytes, const struct heap_want *want, bool *zeroed);

/* HEAP_RANGE_BYTES. More for the malloc library, which has address space for runs in plenty, and
 * where what is fresh from Linux costs a fault for each page. */
extern size_t large_range_bytes;

/* Free a run; NULL, or what is wrong. */
const char *run_free(struct slab *run);

/* Give frames and descriptor back of a run that is nobody's. */
void run_destroy(struct share *s, struct slab *run);

/* The large object that p lies in. */
struct large {
    void *base;
    uint64_t pages;
    struct slab *run; /* NULL: a range */
};
bool large_find(const void *p, struct large *out);

/* True if p lies in a run that is kept. */
bool run_is_free(const void *p);

/* NULL, or what is wrong. */
const char *large_free(const struct large *object);

/* Change the size where it is, or, of a range, without copying; *out: where it is then. False: it has to
 * move. */
bool large_resize(const struct large *object, size_t bytes, void **out);

#endif
