/* What the heap asks of its object caches. */
#ifndef QL_MM_HEAP_OBJECT_CACHE_H
#define QL_MM_HEAP_OBJECT_CACHE_H

#include "slab.h"

/* Construct all objects of a slab that has just been cut for a cache's class. */
void cache_construct(const struct slab *slab);

/* NULL: there is no cache of that class. */
const char *cache_name(unsigned class);

/* What a slab has for an object: in a debug build a zone of front bytes, the object, another zone. */
struct cache_shape {
    size_t bytes; /* of the object, as asked for */
    uint32_t front;
    bool constructed;
};

#ifdef QL_DEBUG_MEMORY
/* debug/caches.c has the calls for objects; these are for the whole, zones included. */
struct object_cache;
void *cache_alloc_whole(struct object_cache *cache);
void cache_free_whole(struct object_cache *cache, void *whole);
const struct cache_shape *cache_shape(const struct object_cache *cache);
struct object_cache *cache_at(unsigned class);

/* Add zones to what an object takes, if there is room. Returns the front. */
uint32_t cache_zones(size_t *bytes, size_t align);
#else
static inline uint32_t cache_zones(size_t *bytes, size_t align)
{
    (void)bytes, (void)align;
    return 0;
}
#endif

#endif
