/* What a debug build knows of each object: apart from the object, so that no overflow reaches it, and
 * found by the address that the caller has. Internal to mm/heap/debug/.
 *
 * Memory: 64 bytes for each object at the time when there were most, and 4 to 8 to find it; never
 * given back.
 * locking: records_lock; in a panic it is done without. A record that is in the table
 *          changes under the lock only; one that is not is its owner's. */
#ifndef QL_HEAP_DEBUG_RECORDS_H
#define QL_HEAP_DEBUG_RECORDS_H

#include "lock.h"
#include "mm/heap_debug.h"

/* In place of a cache's number. */
#define RECORD_NO_CACHE  0u
#define RECORD_ANY_CACHE UINT8_MAX

enum record_state {
    RECORD_BLANK,
    RECORD_LIVE,
    RECORD_FREEING, /* by a CPU that has it for itself */
    RECORD_DELAYED, /* freed, not used again yet */
};

struct record {
    uint8_t *object;           /* as the core gave it */
    size_t usable;             /* bytes of that */
    size_t bytes;              /* as asked for */
    uint64_t sequence;         /* objects that were allocated before this one */
    struct record *next;       /* in the bucket, or of the blank ones */
    struct record *after;      /* the one that was freed after this one */
    uint32_t front;            /* bytes in front of what the caller has */
    uint32_t allocated, freed; /* stacks in the depot */
    uint8_t state;
    bool constructed; /* keeps its bytes while it is free */
    uint8_t cache;    /* of which cache it is, from 1 on; 0: of none */
};
_Static_assert(sizeof(struct record) == 64, "what the store has room for");

extern struct spinlock records_lock;

/* Forget all; the frames have gone with their machine. */
void records_init(void);

/* A record to be filled in. NULL: out of memory. */
struct record *records_take(void) REQUIRES(records_lock);

/* One that is not in the table is needed no more. */
void records_give(struct record *r) REQUIRES(records_lock);

/* Into the table, by what the caller has. */
void records_insert(struct record *r) REQUIRES(records_lock);
void records_remove(struct record *r) REQUIRES(records_lock);

/* The record of the object that begins at p; NULL: there is none. */
struct record *records_find(const void *p) REQUIRES(records_lock);

/* The record in whose memory, zones included, p is. O(records): for when something is wrong. */
struct record *records_around(const void *p) REQUIRES(records_lock);

/* All records by number, 1 .. records_count(); NULL for one that is not in the table. */
uint32_t records_count(void);
struct record *records_at(uint32_t number) REQUIRES(records_lock);

/* How many are in the table. */
uint64_t records_used(void);

/* What the caller has. */
static inline uint8_t *record_payload(const struct record *r)
{
    return r->object + r->front;
}

/* As the public interface has it. Reads the depot. */
void record_origin(const struct record *r, struct heap_origin *out);

#endif
