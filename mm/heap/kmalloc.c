/* Owns: the short ways of kmalloc and kfree.
 * Relies on: core, which does everything else. Stage: "heap".
 *
 * The short way is a bit: of the object that was freed last, or of the word that the class's lane
 * points to, and back into the word of the object's slab, by plain loads and stores with interrupts off. kfree finds the slab in the page
 * map, and leaves the rest to others if this CPU is not its owner, if p is not the start of an
 * object, or if it is free already. */
#include "core.h"
#include "share.h"

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
        SLAB_GET(slab->free[index / 64]) >> index % 64 & 1 || !free_remote(slab, index))
        core_free(p);
}

void kfree(void *p)
{
    uint32_t index;
    uint64_t offset = page_map_offset(p);
    struct slab *slab = &slab_nobody;
    if (__builtin_expect(!page_map_has(offset), 0)) {
        core_free(p);
        return;
    }
    irq_state_t irq = irq_save();
    struct share *s = share_self();
    slab = page_map_entry(offset);
    if (__builtin_expect(SLAB_GET(slab->owner) != (uintptr_t)s, 0) ||
        __builtin_expect(!slab_divide(slab, p, &index), 0)) {
        irq_restore(irq);
        free_elsewhere(p, slab);
        return;
    }
    uint64_t *word = &slab->free[index / 64];
    lane_remember(s, slab, p, word, index % 64);
    SET_BIT_OR_GOTO(look, *word, index, slab);
    irq_restore(irq);
    return;
look:
    free_look(p, slab, irq);
}
