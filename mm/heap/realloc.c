/* Owns: nothing; the calls that are made of others: arrays, zeros, alignment, nodes, other sizes.
 * Relies on: kmalloc, core. Stage: "heap". */
#include "core.h"
#include "mm/string.h"
#include "runs.h"
#include "sample.h"

#ifdef QL_DEBUG_MEMORY
#define krealloc core_realloc /* of what has no record: debug/kmalloc.c has the calls */
#else

/* SIZE_MAX, which fails like any other size that is too large, if it overflows. */
static size_t product(size_t count, size_t bytes)
{
    size_t total;
    return __builtin_mul_overflow(count, bytes, &total) ? SIZE_MAX : total;
}

/* So few bytes are zeroed before a call of memset would have begun. */
#define ZEROED_HERE 128

/* --- Allocating ----------------------------------------------------------------------------- */

void *kmalloc_want(size_t bytes, const struct heap_want *want)
{
    return core_alloc(bytes, want);
}

void *kmalloc_node(size_t bytes, uint32_t node)
{
    const struct heap_want want = {.on_node = true, .node = node};
    return core_alloc(bytes, &want);
}

static void *alloc_aligned(size_t align, size_t bytes)
{
    const struct heap_want want = {.align = align};
    return align == 0 ? NULL : core_alloc(bytes, &want);
}

/* The class of bytes rounded up to a multiple of align has objects that are aligned: either it is that
 * many, or the steps between classes are multiples of align there. */
void *kaligned_alloc(size_t align, size_t bytes)
{
    void *p;
    size_t last = align - 1, rounded = (bytes + last) & ~last;
    if (__builtin_expect((align & last) != 0 || last > FRAME_BYTES - 1 ||
                             rounded - 1 > CLASS_TABLE_BYTES - 1 || bytes > rounded,
                         0))
        return alloc_aligned(align, bytes);
    irq_state_t irq = irq_save();
    struct share *s = share_self();
    bool done = lane_take(lane_at(s, s->lane_of[rounded]), &p);
    irq_restore(irq);
    return __builtin_expect(done, 1) ? p : alloc_aligned(align, bytes);
}

void *kmalloc_array(size_t count, size_t bytes)
{
    return kmalloc(product(count, bytes));
}

void *kcalloc(size_t count, size_t bytes)
{
    static const struct heap_want zeroed = {.flags = HEAP_ZERO};
    size_t total = product(count, bytes);
    if (total > HEAP_CLASS_BYTES)
        return core_alloc(total, &zeroed);
    uint64_t *p = kmalloc(total);
    if (p == NULL || total > ZEROED_HERE)
        return p == NULL ? NULL : memset(p, 0, total);
    for (size_t i = 0; i < total / 8; i++)
        SLAB_SET(p[i], 0); /* or it is made a call of memset */
    for (size_t i = total & ~(size_t)7; i < total; i++)
        SLAB_SET(((char *)p)[i], 0); /* not more: a sampled object ends here */
    return p;
}

#endif

/* --- Other sizes ---------------------------------------------------------------------------- */

/* What grows will grow again, so it gets an eighth more than it had; if that is not to be had, or
 * might be sampled, what it needs: kfree_sized may get that of a sample. Who only wanted less keeps what he has. */
static void *move(void *p, size_t size, size_t bytes)
{
    const struct heap_want grows = {.flags = LARGE_GROWS};
    size_t more = size + size / 8;
    void *moved = NULL;
    if (bytes > size && bytes < more && more > FRAME_BYTES)
        moved = more <= HEAP_CLASS_BYTES ? kmalloc(more) : core_alloc(more, &grows);
    if (moved == NULL)
        moved = bytes <= HEAP_CLASS_BYTES ? kmalloc(bytes) : core_alloc(bytes, &grows);
    if (moved == NULL && bytes <= size)
        SLAB_SET(heap_has_kept, true);
    if (moved == NULL)
        return bytes <= size ? p : NULL;
    memcpy(moved, p, size < bytes ? size : bytes);
    kfree(p);
    return moved;
}

void *krealloc(void *p, size_t bytes)
{
    struct slab *slab;
    struct large large;
    uint32_t index;
    if (p == NULL)
        return kmalloc(bytes);
    if (sample_owns(p))
        return sample_size(p) == 0 ? NULL : move(p, sample_size(p), bytes);
    const char *why = object_find(p, &slab, &index);
    if (why == NULL && slab->class >= CLASS_CACHES && slab != &slab_nobody)
        why = object_of_cache;
    if (why != NULL) {
        heap_misuse("krealloc", p, why);
        return NULL;
    }
    if (slab->class < CLASS_SIZES) {
        size_t size = slab_size(slab);
        return slab_suits(slab, bytes) ? p : move(p, size, bytes);
    }
    if (!large_find(p, &large)) {
        heap_misuse("krealloc", p, "freed by another CPU");
        return NULL;
    }
    void *now;
    if (bytes > HEAP_CLASS_BYTES && large_resize(&large, bytes, &now))
        return now;
    return move(p, large.pages * FRAME_BYTES, bytes);
}

#ifndef QL_DEBUG_MEMORY

void *krealloc_array(void *p, size_t count, size_t bytes)
{
    return krealloc(p, product(count, bytes));
}

void kfree_sized(void *p, size_t bytes)
{
    free_otherwise(p, bytes);
}

size_t kmalloc_size(const void *p)
{
    return p == NULL ? 0 : core_size(p);
}

#endif
