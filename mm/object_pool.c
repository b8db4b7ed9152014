/* Owns: nothing; a pool is its caller's, its objects are the heap's.
 * Relies on: the heap. The pool's lock is held for a few instructions, and nothing is called under
 * it.
 * Stage: from "heap" on.
 *
 * A free object in the reserve begins with a seal: what is sealed when it is freed was free, and
 * what is not when it is handed out was written to. */
#include "mm/object_pool.h"

static uint64_t seal_of(const void *object)
{
    return ((uintptr_t)object ^ 0xf4ee0b1ec7) * 0x9e3779b97f4a7c15ull;
}

/* There is room for it: object_pool_create sees to that. */
static uint64_t *seal(void *object)
{
    return object;
}

static void keep(struct object_pool *pool, void *object)
{
    *seal(object) = seal_of(object);
    pool->reserve[pool->nfree++] = object;
}

/* Free the reserve. */
static void empty(struct object_pool *pool)
{
    while (pool->nfree > 0)
        kfree(pool->reserve[--pool->nfree]);
    kfree(pool->reserve);
    pool->reserve = NULL;
}

mm_status_t object_pool_create(struct object_pool *pool, const char *name, size_t bytes,
                               uint32_t objects)
{
    if (bytes == 0 || bytes >= HEAP_RANGE_BYTES || objects == 0)
        return MM_INVAL;
    struct object_pool new = {.lock = SPINLOCK_INIT(LOCK_POOL, "pool"),
                              .name = name,
                              .bytes = bytes < sizeof(uint64_t) ? sizeof(uint64_t) : bytes,
                              .reserve = kmalloc(objects * sizeof(void *)),
                              .size = objects};
    while (new.reserve != NULL &&new.nfree < objects) {
        void *object = kmalloc(new.bytes);
        if (object == NULL)
            break;
        keep(&new, object);
    }
    if (new.nfree < objects) {
        empty(&new);
        return MM_NOMEM;
    }
    *pool = new;
    return MM_OK;
}

/* From the reserve; NULL if it is empty. */
static void *take(struct object_pool *pool, bool *intact) REQUIRES(pool->lock)
{
    if (pool->nfree == 0)
        return NULL;
    void *object = pool->reserve[--pool->nfree];
    *intact = *seal(object) == seal_of(object);
    return object;
}

void *object_pool_alloc(struct object_pool *pool)
{
    bool intact = true;
    irq_state_t irq = spin_lock(&pool->lock);
    pool->live++;
    void *object = take(pool, &intact);
    spin_unlock(&pool->lock, irq);
    if (!intact)
        port_misuse("pool %s: %p was written to while it was free", pool->name, object);
    if (object == NULL)
        object = kmalloc_want(pool->bytes, &(struct heap_want){.flags = HEAP_NOWAIT});
    if (object != NULL) {
        *seal(object) = 0;
        return object;
    }
    irq = spin_lock(&pool->lock);
    pool->live--;
    spin_unlock(&pool->lock, irq);
    return NULL;
}

/* What kind of mistake it is to free the object; NULL: none. */
static const char *mistake(const struct object_pool *pool, void *object, size_t bytes)
    REQUIRES(pool->lock)
{
    if (*seal(object) == seal_of(object))
        return "is free already";
    return bytes < pool->bytes || pool->live == 0 ? "is none of its objects" : NULL;
}

void object_pool_free(struct object_pool *pool, void *object)
{
    if (object == NULL)
        return;
    size_t bytes = kmalloc_size(object); /* 0: the heap has complained */
    if (bytes == 0)
        return;
    bool kept = false;
    irq_state_t irq = spin_lock(&pool->lock);
    const char *why = mistake(pool, object, bytes);
    if (why == NULL) {
        pool->live--;
        kept = pool->nfree < pool->size;
        if (kept)
            keep(pool, object);
    }
    spin_unlock(&pool->lock, irq);
    if (why != NULL)
        port_misuse("object_pool_free: %p %s (pool %s)", object, why, pool->name);
    else if (!kept)
        kfree(object);
}

uint64_t object_pool_destroy(struct object_pool *pool)
{
    uint64_t live = pool->live;
    if (live > 0)
        port_log("pool %s: %lu objects of %lu bytes were not freed", pool->name, live, pool->bytes);
    empty(pool);
    return live;
}
