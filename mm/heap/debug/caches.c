/* Owns: the calls for objects of caches in a debug build, before those of mm/heap/object_cache.c.
 * Relies on: objects.c; the cache itself for memory, and at level 0 for everything. Stage: "heap".
 *
 * What a constructor has made is left alone while the object is free; otherwise it is poisoned as all
 * freed memory is. */
#include "../object_cache.h"

#include "../share.h"
#include "debug.h"
#include "mm/kasan.h"
#include "mm/object_cache.h"
#include "zones.h"

uint32_t cache_zones(size_t *bytes, size_t align)
{
    size_t front = align > ZONE_FRONT ? align : ZONE_FRONT;
    size_t back = align > ZONE_BACK ? align : ZONE_BACK;
    if (debug_level() == DEBUG_NOTHING || *bytes + front + back > HEAP_CLASS_BYTES)
        return 0;
    *bytes += front + back;
    return (uint32_t)front;
}

static unsigned number_of(const struct object_cache *cache)
{
    return object_cache_class(cache) - CLASS_CACHES + 1;
}

static uint8_t *get_whole(struct object_cache *cache)
{
    uint8_t *whole = cache_alloc_whole(cache);
    return whole == NULL && delay_drain() > 0 ? cache_alloc_whole(cache) : whole;
}

#pragma clang attribute push(__attribute__((disable_tail_calls)), apply_to = function)

void *object_cache_alloc(struct object_cache *cache)
{
    const struct cache_shape *shape = cache_shape(cache);
    uint8_t *whole = get_whole(cache);
    if (whole == NULL)
        return NULL;
    kasan_allow(whole, heap_classes[object_cache_class(cache)].bytes);
    if (debug_level() == DEBUG_NOTHING)
        return whole + shape->front;
    struct record *r = debug_begin(__builtin_frame_address(0), true);
    if (r == NULL) {
        cache_free_whole(cache, whole);
        return NULL;
    }
    r->object = whole;
    r->usable = heap_classes[object_cache_class(cache)].bytes;
    r->bytes = shape->bytes;
    r->front = shape->front;
    r->constructed = shape->constructed;
    r->cache = (uint8_t)number_of(cache);
    return debug_publish(r, !shape->constructed);
}

void object_cache_free(struct object_cache *cache, void *p)
{
    const struct debug_claim claim = {"object_cache_free", SIZE_MAX, number_of(cache),
                                      __builtin_frame_address(0)};
    struct record *r;
    if (p == NULL)
        return;
    enum debug_answer answer = debug_claim(&claim, p, &r);
    if (answer == DEBUG_OURS)
        debug_finish(r);
    else if (answer == DEBUG_NOT_OURS)
        cache_free_whole(cache, (uint8_t *)p - cache_shape(cache)->front);
}

#pragma clang attribute pop
