/* Owns: the short ways of kmalloc and kfree.
 * Relies on: core, which does everything else. Stage: "heap".
 *
 * The short way is a byte of the object's slab, by plain loads and stores with interrupts off. kmalloc
 * clears that of the object at the top of its class's lane. kfree finds the slab in the page map, leaves
 * the rest to others if this CPU is not its owner, if p is not the start of an object, or if it is
 * free already, and makes it the next that is taken. */
#include "core.h"
#include "kept.h"

/* Not of the table. noinline: the short way needs no stack frame. */
__attribute__((noinline)) static void *alloc_more(size_t bytes)
{
    void *p;
    if (bytes <= HEAP_CLASS_BYTES) {
        irq_state_t irq = irq_save();
        struct share *s = share_self();
        bool done = lane_take(lane_at(s, s->lane_of_more[(bytes - 1) / CLASS_MORE_STEP]), &p);
        irq_restore(irq);
        if (__builtin_expect(done, 1))
            return p;
    } else if ((p = kept_take(bytes)) != NULL) {
        return p;
    }
    return core_alloc(bytes, NULL);
}

void *kmalloc(size_t bytes)
{
    void *p;
    if (__builtin_expect(bytes > CLASS_TABLE_BYTES, 0))
        return alloc_more(bytes);
    irq_state_t irq = irq_save();
    struct share *s = share_self();
    bool done = lane_take(lane_at(s, s->lane_of[bytes]), &p);
    irq_restore(irq);
    return __builtin_expect(done, 1) ? p : core_alloc(bytes, NULL);
}

/* An object of another CPU's, freed there by a locked instruction, or what is none. */
__attribute__((noinline)) static void free_elsewhere(void *p, struct slab *slab)
{
    uint32_t index;
    uintptr_t owner = SLAB_GET(slab->owner);
    /* Of no CPU's thread, nobody's, a run's, a cache's, empty, or this CPU's own after all: see core. */
    if (!share_self()->ready || owner == 0 || (owner & (SLAB_CACHE | SLAB_NO_LANE)) != 0 ||
        share_of(owner) == share_self() || !slab_divide_slowly(slab, p, &index) ||
        slab_is_idle(slab, index) || !free_remote(slab, index))
        core_free(p);
}

/* noinline: so that runs have no stack frame either. */
__attribute__((noinline)) static void free_run(void *p, struct slab *slab)
{
    if (!kept_put(slab, p))
        free_elsewhere(p, slab);
}

void kfree(void *p)
{
    uint64_t index, offset = page_map_offset(p);
    struct slab *slab = &slab_nobody;
    if (__builtin_expect(!page_map_has(offset), 0)) {
        core_free(p);
        return;
    }
    irq_state_t irq = irq_save();
    struct share *s = share_self();
    slab = page_map_entry(offset);
    if (__builtin_expect(!slab_is_of(slab, (uintptr_t)s), 0) ||
        __builtin_expect(!slab_divide(slab, p, &index), 0)) {
        irq_restore(irq);
        free_run(p, slab);
        return;
    }
    bool was_live = lane_put(s, slab, p, index);
    irq_restore(irq);
    if (__builtin_expect(!was_live, 0))
        core_free(p); /* says so */
}
