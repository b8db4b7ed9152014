/* Pools: a number of objects set aside that can be had whatever happens, for paths that may not
 * fail. Only when all of those are given out do more come from the heap, as long as it has any.
 * locking: any CPU, any context but an NMI. */
#ifndef QL_MM_OBJECT_POOL_H
#define QL_MM_OBJECT_POOL_H

#include "lock.h"
#include "mm/heap.h"

struct object_pool {
    struct spinlock lock;
    const char *name;
    size_t bytes;
    void **reserve; /* the objects set aside that are free */
    uint32_t size, nfree;
    uint64_t live; /* given out */
};

/* name: a string that stays. bytes below HEAP_RANGE_BYTES.
 * errors: MM_NOMEM, MM_INVAL (no bytes or too many, no objects) */
mm_status_t object_pool_create(struct object_pool *pool, const char *name, size_t bytes,
                               uint32_t objects) MUST_USE;

/* NULL only if as many as were set aside are given out, and the heap has none either. Never waits.
 * Contents are undefined. */
void *object_pool_alloc(struct object_pool *pool) HEAP_ALLOC;

/* NULL is fine. misuse: what the heap calls so, an object that is free, more than were given out;
 * found at the next object_pool_alloc: that an object was written to while it was free */
void object_pool_free(struct object_pool *pool, void *object);

/* Nobody may use the pool any more. Objects that were not freed are logged and stay. Returns how
 * many. */
uint64_t object_pool_destroy(struct object_pool *pool);

#endif
