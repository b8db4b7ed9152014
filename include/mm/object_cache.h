/* Object caches: slabs of one sort of object, kept constructed while they are free. As fast as
 * kmalloc, whose slabs and CPU lists they use; what is said there about locking and misuse holds. */
#ifndef QL_MM_OBJECT_CACHE_H
#define QL_MM_OBJECT_CACHE_H

#include "mm/heap.h"

struct object_cache;

/* Brings the bytes of a new object into the state in which it is to be freed, too. It runs when a
 * slab is made, for all objects of it, and must not call the heap. */
typedef void (*object_constructor_t)(void *object, void *argument);

struct object_cache_want {
    const char *name;               /* a string that stays; not NULL */
    size_t bytes;                   /* 1 .. HEAP_CLASS_BYTES */
    size_t align;                   /* a power of two up to 4096; 0: HEAP_ALIGN */
    object_constructor_t construct; /* NULL: contents of a new object are undefined */
    void *argument;
};

/* Takes no memory yet.
 * errors: MM_INVAL (one of the members), MM_RANGE (CONFIG_HEAP_CACHES_MAX are there) */
mm_status_t object_cache_create(const struct object_cache_want *want,
                                struct object_cache **out) MUST_USE;

void *object_cache_alloc(struct object_cache *cache) HEAP_ALLOC;

/* An object of another cache, or of kmalloc, is misuse; and so is kfree of one of a cache. */
void object_cache_free(struct object_cache *cache, void *object);

/* Give the empty slabs of the cache back; as heap_shrink. Returns the number of frames. */
uint64_t object_cache_shrink(struct object_cache *cache);

/* Give everything back. Nobody may use the cache any more. Objects that were not freed are logged,
 * the first few one by one; their memory stays, so that who still uses them destroys nothing.
 * Returns how many there were. */
uint64_t object_cache_destroy(struct object_cache *cache);

/* The number of its class in heap_stats.h. */
unsigned object_cache_class(const struct object_cache *cache);

#endif
