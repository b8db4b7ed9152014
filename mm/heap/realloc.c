/* Owns: nothing; the calls that are made of others: arrays, zeros, alignment, nodes, other sizes.
 * Relies on: kmalloc, core. Stage: "heap". */
#include "core.h"
#include "mm/kasan.h"
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

/* What is zeroed at a time: all sizes of classes are multiples of it. */
typedef uint64_t zero_unit __attribute__((vector_size(16), may_alias));

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

/* noinline: who takes an object from a lane needs no stack frame. */
__attribute__((noinline)) static void *alloc_aligned(size_t align, size_t bytes)
{
    const struct heap_want want = {.align = align};
    return align == 0 ? NULL : core_alloc(bytes, &want);
}

/* From the lane that a table names; NULL: it has none. Such an object is no sample, so all of it may be
 * written to. */
LOCK_INLINE void *take_short(const uint16_t *lane_of, size_t index)
{
    void *p;
    irq_state_t irq = irq_save();
    bool done = lane_take(lane_at(share_self(), lane_of[index]), &p);
    irq_restore(irq);
    return __builtin_expect(done, 1) ? p : NULL;
}

/* The class of bytes rounded up to a multiple of align has objects that are aligned: either it is that
 * many, or the steps between classes are multiples of align there. */
void *kaligned_alloc(size_t align, size_t bytes)
{
    size_t last = align - 1, rounded = (bytes + last) & ~last;
    void *p = NULL;
    __asm__("" : "+r"(last)); /* or the compiler counts the bits of align */
    if (__builtin_expect((align & last) == 0 && last <= FRAME_BYTES - 1 &&
                             rounded - 1 <= CLASS_TABLE_BYTES - 1 && bytes <= rounded,
                         1))
        p = take_short(share_self()->lane_of, rounded);
    return __builtin_expect(p != NULL, 1) ? p : alloc_aligned(align, bytes);
}

void *kmalloc_array(size_t count, size_t bytes)
{
    return kmalloc(product(count, bytes));
}

__attribute__((noinline)) static void *alloc_zeroed(size_t bytes)
{
    static const struct heap_want zeroed = {.flags = HEAP_ZERO};
    void *p = NULL;
    if (bytes <= CLASS_TABLE_BYTES)
        p = take_short(share_self()->lane_of, bytes);
    else if (bytes <= HEAP_CLASS_BYTES)
        p = take_short(share_self()->lane_of_more, (bytes - 1) / CLASS_MORE_STEP);
    return p != NULL ? memset(p, 0, bytes) : core_alloc(bytes, &zeroed);
}

void *kcalloc(size_t count, size_t bytes)
{
    size_t total;
    if (__builtin_mul_overflow(count, bytes, &total))
        return alloc_zeroed(SIZE_MAX);
    zero_unit *p = total <= ZEROED_HERE ? take_short(share_self()->lane_of, total) : NULL;
    if (__builtin_expect(p == NULL, 0))
        return alloc_zeroed(total);
    for (size_t i = 0; i * sizeof *p < total; i++)
        p[i] = (zero_unit){0};
    return p;
}

#endif

/* --- Other sizes ---------------------------------------------------------------------------- */

/* What grows will grow again, so it gets an eighth more than it had; if that is not to be had, or
 * might be sampled, what it needs: kfree_sized may get that of a sample. Who only wanted less keeps what he has. */
static void *move(void *p, size_t size, size_t bytes)
{
    static const struct heap_want grows = {.flags = LARGE_GROWS};
    size_t more = size + size / 8;
    void *moved = NULL;
    bool sized = (bytes & (bytes - 1)) == 0 && bytes <= FRAME_BYTES; /* aligned by nature, too */
    sized |= bytes <= HEAP_CLASS_BYTES && more > HEAP_CLASS_BYTES; /* kfree_sized knows the sort */
    if (bytes > size && bytes < more && more > FRAME_BYTES && !sized)
        moved = more <= HEAP_CLASS_BYTES ? kmalloc(more) : core_alloc(more, &grows);
    if (moved == NULL)
        moved = bytes <= HEAP_CLASS_BYTES ? kmalloc(bytes) : core_alloc(bytes, &grows);
    if (moved == NULL && bytes <= size)
        SLAB_SET(heap_has_kept, true);
    if (moved == NULL)
        return bytes <= size ? p : NULL;
    memcpy(moved, p, kasan_valid(p, size < bytes ? size : bytes));
    kfree(p);
    return moved;
}

/* The slab of an object of a size class that is this CPU's, and live, as kfree finds it; else NULL. */
LOCK_INLINE const struct slab *own_slab(const void *p)
{
    uint64_t index, offset = page_map_offset(p);
    if (!page_map_has(offset))
        return NULL;
    const struct slab *slab = page_map_entry(offset);
    bool own = slab_is_of(slab, (uintptr_t)share_self()) && slab_divide(slab, p, &index) &&
               !slab_is_idle(slab, (uint32_t)index);
    return own ? slab : NULL;
}

/* What is not an object of this CPU's. */
__attribute__((noinline)) static void *realloc_otherwise(void *p, size_t bytes)
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

void *krealloc(void *p, size_t bytes)
{
    const struct slab *slab = own_slab(p);
    if (__builtin_expect(slab == NULL, 0))
        return realloc_otherwise(p, bytes);
    return slab_suits(slab, bytes) ? p : move(p, slab_size(slab), bytes);
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
