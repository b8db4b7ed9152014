/* Owns: the object caches: which classes behind the size classes are in use, and for what.
 * Relies on: shares and slabs, which take them for classes like any other. Stage: from "heap" on.
 *
 * A cache takes no memory of its own: it is a number, with a lane on every CPU. Its objects' slabs
 * are tagged, so that kfree's short way does not know them. */
#include "object_cache.h"

#include "mm/heap_debug.h"
#include "mm/object_cache.h"
#include "mm/pmm.h"
#include "shared.h"

#ifdef QL_DEBUG_MEMORY
#define object_cache_alloc cache_alloc_whole
#define object_cache_free  cache_free_whole
#endif

#define SMALL __attribute__((minsize)) /* the file is compiled for two functions of it */

#define LEAKS_LOGGED 4u /* objects that are named one by one */

struct object_cache {
    const char *name; /* NULL: none */
    object_constructor_t construct;
    void *argument;
    unsigned class;
    uint32_t lane;  /* how far behind a share its lane is */
    uintptr_t tags; /* of its slabs' owners */
    struct cache_shape shape;
};

static struct spinlock caches_lock = SPINLOCK_INIT(LOCK_CACHES, "caches");
static struct object_cache caches[CONFIG_HEAP_CACHES_MAX]; /* changed under the lock */

const char *cache_name(unsigned class)
{
    return class - CLASS_CACHES < CONFIG_HEAP_CACHES_MAX
               ? __atomic_load_n(&caches[class - CLASS_CACHES].name, __ATOMIC_RELAXED)
               : NULL;
}

SMALL void cache_construct(const struct slab *slab)
{
    const struct object_cache *cache = &caches[slab->class - CLASS_CACHES];
    if (cache->construct == NULL)
        return;
    for (unsigned i = 0; i < slab->objects; i++) /* its objects */
        cache->construct((void *)(slab->base + i * slab_size(slab) + cache->shape.front),
                         cache->argument);
}

#ifdef QL_DEBUG_MEMORY
const struct cache_shape *cache_shape(const struct object_cache *cache)
{
    return &cache->shape;
}

struct object_cache *cache_at(unsigned class)
{
    return &caches[class - CLASS_CACHES];
}
#endif

/* --- Creating ------------------------------------------------------------------------------------- */

static struct object_cache *find_free(void) REQUIRES(caches_lock)
{
    for (unsigned i = 0; i < CONFIG_HEAP_CACHES_MAX; i++)
        if (caches[i].name == NULL)
            return &caches[i];
    return NULL;
}

SMALL mm_status_t object_cache_create(const struct object_cache_want *want,
                                      struct object_cache **out)
{
    size_t align = want->align > HEAP_ALIGN ? want->align : HEAP_ALIGN;
    if (want->name == NULL || want->bytes == 0 || want->bytes > HEAP_CLASS_BYTES ||
        (want->align & (want->align - 1)) != 0 || align > FRAME_BYTES)
        return MM_INVAL;
    size_t bytes = (want->bytes + align - 1) & ~(align - 1);
    const struct cache_shape shape = {want->bytes, cache_zones(&bytes, align),
                                      want->construct != NULL};
    irq_state_t irq = spin_lock(&caches_lock);
    struct object_cache *cache = find_free();
    if (cache != NULL) {
        unsigned class = CLASS_CACHES + (unsigned)(cache - caches);
        class_make(&heap_classes[class], bytes);
        *cache = (struct object_cache){.name = want->name,
                                       .construct = want->construct,
                                       .argument = want->argument,
                                       .class = class,
                                       .lane = LANE_OFFSET(class),
                                       .tags = slab_tags(class),
                                       .shape = shape};
    }
    spin_unlock(&caches_lock, irq);
    if (cache == NULL)
        return MM_RANGE;
    *out = cache;
    return MM_OK;
}

unsigned object_cache_class(const struct object_cache *cache)
{
    return cache->class;
}

/* --- Objects -------------------------------------------------------------------------------------- */

__attribute__((noinline)) static void *alloc_slowly(const struct object_cache *cache)
{
    void *p;
    do
        p = class_alloc(cache->class);
    while (p == NULL && share_relieve(true) > 0);
    if (p == NULL) {
        irq_state_t irq;
        struct share *s = share_enter(&irq);
        s->lanes[cache->class].failures++;
        share_leave(s, irq);
    }
    return p;
}

void *object_cache_alloc(struct object_cache *cache)
{
    void *p;
    irq_state_t irq = irq_save();
    bool done = lane_take(lane_at(share_self(), cache->lane), &p);
    irq_restore(irq);
    return __builtin_expect(done, 1) ? p : alloc_slowly(cache);
}

void object_cache_free(struct object_cache *cache, void *p)
{
    uint64_t index, offset = page_map_offset(p);
    struct slab *slab = &slab_nobody;
    if (__builtin_expect(!page_map_has(offset), 0)) {
        free_to_cache(p, cache->class);
        return;
    }
    irq_state_t irq = irq_save();
    struct share *s = share_self();
    slab = page_map_entry(offset);
    if (__builtin_expect(!slab_is_of(slab, (uintptr_t)s | cache->tags), 0) ||
        __builtin_expect(slab->class != cache->class, 0) ||
        __builtin_expect(!slab_divide(slab, p, &index), 0)) {
        irq_restore(irq);
        free_to_cache(p, cache->class);
        return;
    }
    bool was_live = lane_put(s, slab, p, index);
    irq_restore(irq);
    if (__builtin_expect(!was_live, 0))
        free_to_cache(p, cache->class); /* says so */
}

/* --- Giving back ---------------------------------------------------------------------------------- */

/* Log objects of a slab that were not freed; so many have been said. Returns how many there are. */
SMALL static uint64_t report_live(const struct object_cache *cache, const struct slab *slab,
                                  uint64_t said)
{
    uint64_t live = 0;
    for (unsigned i = 0; i < slab->objects; i++) {
        if (slab_is_idle(slab, i))
            continue;
        if (said + live++ < LEAKS_LOGGED)
            port_log("cache %s: the object at 0x%lx was not freed", cache->name,
                     slab->base + i * slab_size(slab) + cache->shape.front);
    }
    return live;
}

/* Take a slab out of its lane for good. With objects that were not freed it is not the heap's any
 * more: nobody gets their memory, and who frees one is told so. */
SMALL static uint64_t drop_slab(const struct object_cache *cache, struct share *s,
                                struct slab *slab, uint64_t said)
{
    struct heap_lane *lane = &s->lanes[cache->class];
    (void)share_collect(s, slab,
                        false); /* of remote nothing may be left: the descriptor is used again */
    if (slab->state == SLAB_CURRENT) {
        lane->current = NULL;
    } else if (slab->state == SLAB_PARTIAL) {
        list_remove(&lane->partial, slab);
        lane->partials--;
    } else {
        list_remove(&lane->full, slab);
    }
    lane->slabs--;
    lane->pages -= slab->pages;
    uint64_t live = report_live(cache, slab, said);
    if (live == 0) {
        share_destroy(s, slab);
        return 0;
    }
    page_map_set(virt_to_phys((void *)slab->base), slab->pages, &slab_nobody); /* its frames */
    share_give_spare(s, slab);
    return live;
}

/* All that a CPU has of the cache. */
SMALL static uint64_t drop_lane(const struct object_cache *cache, struct share *s, uint64_t said)
{
    struct heap_lane *lane = &s->lanes[cache->class];
    uint64_t live = 0;
    while (lane->current != NULL)
        live += drop_slab(cache, s, lane->current, said + live);
    while (lane->partial.first != NULL)
        live += drop_slab(cache, s, lane->partial.first, said + live);
    while (lane->full.first != NULL)
        live += drop_slab(cache, s, lane->full.first, said + live);
    lane_drop(s, lane);
    *lane = (struct heap_lane){0};
    s->made[cache->class / 64] &= ~(1ull << cache->class % 64);
    return live;
}

SMALL uint64_t object_cache_destroy(struct object_cache *cache)
{
    uint64_t live = 0;
    (void)heap_drain_delayed();
    for (unsigned cpu = 0; cpu < CONFIG_CPUS_MAX; cpu++) {
        struct share *s = share_at(cpu);
        if (s == NULL)
            continue;
        irq_state_t irq = spin_lock(&s->lock);
        shared_adopt(s, cache->class);
        live += drop_lane(cache, s, live);
        spin_unlock(&s->lock, irq);
    }
    if (live > 0)
        port_log("cache %s: %lu objects of %u bytes were not freed", cache->name, live,
                 heap_classes[cache->class].bytes);
    irq_state_t irq = spin_lock(&caches_lock);
    heap_classes[cache->class] = (struct class){0};
    *cache = (struct object_cache){0};
    spin_unlock(&caches_lock, irq);
    return live;
}

uint64_t object_cache_shrink(struct object_cache *cache)
{
    (void)cache; /* its empty slabs are where those of all classes are */
    return heap_shrink();
}
