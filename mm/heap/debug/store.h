/* Things of one size that have numbers and never move: a frame at a time from the pmm. Internal to
 * mm/heap/debug/; the caller has a lock. Zeroed is an empty one. */
#ifndef QL_HEAP_DEBUG_STORE_H
#define QL_HEAP_DEBUG_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mm/addr.h"

#define STORE_POINTERS (FRAME_BYTES / sizeof(void *)) /* in a frame */
#define STORE_ROOMS    512u

struct store {
    size_t bytes;              /* of a thing: a power of two up to a frame */
    uint32_t count;            /* things that have a number: 1 .. count */
    void **rooms[STORE_ROOMS]; /* frames of pointers to frames of things */
};

/* The thing with a number that was given, 1 .. count. */
static inline void *store_at(const struct store *store, uint32_t number)
{
    size_t each = FRAME_BYTES / store->bytes, frame = number / each;
    char *things = store->rooms[frame / STORE_POINTERS][frame % STORE_POINTERS];
    return things + number % each * store->bytes;
}

/* How many things there are, also for who has no lock. Acquire order: those can be looked at. */
static inline uint32_t store_count(const struct store *store)
{
    return __atomic_load_n(&store->count, __ATOMIC_ACQUIRE);
}

/* One more, zeroed. 0: out of memory or numbers. */
uint32_t store_add(struct store *store);

/* Frames, zeroed; NULL: out of memory. */
void *store_frames(uint64_t nframes);
void store_give_frames(void *base, uint64_t nframes);

/* How many there are; store_forget: they have gone with their machine. */
uint64_t store_count_frames(void);
void store_forget(void);

#endif
