/* Owns: the calls of the heap in a debug build, in the place of mm/heap/kmalloc.c; and
 * when the next object is sampled.
 * Relies on: objects.c; the core, as it is, at level 0 and for what was allocated there.
 * Stage: "heap". Each call takes the stack from its own frame: no tail calls here. */
#include "debug.h"

#include "../core.h"
#include "../sample.h"
#include "../share.h"
#include "check.h"
#include "mm/heap_stats.h"
#include "mm/kasan.h"
#include "mm/string.h"

#define FRAME __builtin_frame_address(0)
#pragma clang attribute push(__attribute__((disable_tail_calls)), apply_to = function)

/* --- Allocating --------------------------------------------------------------------------- */

/* One in so many objects of this CPU, not always as many apart. The share's skip counts here. */
static bool sample_is_due(void)
{
    struct share *s = share_self();
    uint32_t rate = SLAB_GET(heap_tuning.sample_rate);
    if (rate == 0)
        return false;
    if (s->skip > 2 * rate)
        s->skip = share_jitter(s, rate); /* it was made less */
    bool due = s->skip == 0;
    s->skip = due ? share_jitter(s, rate) : s->skip - 1;
    return due;
}

static void *alloc(size_t bytes, const struct heap_want *want, const void *frame)
{
    if ((want->flags & HEAP_NOWAIT) == 0 && (want->align & (want->align - 1)) == 0 &&
        sample_is_due()) {
        void *p = sample_alloc(bytes, want->align);
        if (p != NULL && (want->flags & HEAP_ZERO) != 0)
            memset(p, 0, bytes);
        if (p != NULL)
            return p;
    }
    return debug_level() == DEBUG_NOTHING ? core_alloc(bytes, want)
                                          : debug_alloc(bytes, want, frame);
}

void *kmalloc(size_t bytes)
{
    static const struct heap_want nothing;
    return alloc(bytes, &nothing, FRAME);
}

void *kmalloc_want(size_t bytes, const struct heap_want *want)
{
    static const struct heap_want nothing;
    return alloc(bytes, want != NULL ? want : &nothing, FRAME);
}

void *kmalloc_node(size_t bytes, uint32_t node)
{
    const struct heap_want want = {.on_node = true, .node = node};
    return alloc(bytes, &want, FRAME);
}

void *kaligned_alloc(size_t align, size_t bytes)
{
    const struct heap_want want = {.align = align};
    return align == 0 ? NULL : alloc(bytes, &want, FRAME);
}

/* SIZE_MAX, which fails like any other size that is too large, if it overflows. */
static size_t product(size_t count, size_t bytes)
{
    size_t total;
    return __builtin_mul_overflow(count, bytes, &total) ? SIZE_MAX : total;
}

void *kmalloc_array(size_t count, size_t bytes)
{
    static const struct heap_want nothing;
    return alloc(product(count, bytes), &nothing, FRAME);
}

void *kcalloc(size_t count, size_t bytes)
{
    static const struct heap_want zeroed = {.flags = HEAP_ZERO};
    return alloc(product(count, bytes), &zeroed, FRAME);
}

/* --- Freeing ------------------------------------------------------------------------------ */

/* bytes: as the caller says, or SIZE_MAX. */
static void free_object(const char *call, void *p, size_t bytes, const void *frame)
{
    struct record *r;
    const struct debug_claim claim = {call, bytes, RECORD_NO_CACHE, frame};
    if (p == NULL || sample_free_sized(p, bytes))
        return;
    enum debug_answer answer = debug_claim(&claim, p, &r);
    if (answer == DEBUG_OURS)
        debug_finish(r);
    else if (answer == DEBUG_NOT_OURS)
        free_otherwise(p, bytes);
}

void kfree(void *p)
{
    free_object("kfree", p, SIZE_MAX, FRAME);
}

void kfree_sized(void *p, size_t bytes)
{
    free_object("kfree_sized", p, bytes, FRAME);
}

size_t kmalloc_size(const void *p)
{
    struct record *r;
    if (p == NULL)
        return 0;
    if (sample_owns(p))
        return sample_size(p);
    switch (debug_find("kmalloc_size", p, &r)) {
    case DEBUG_OURS:
        return r->bytes;
    case DEBUG_NOT_OURS:
        return core_size(p);
    default:
        return 0;
    }
}

/* --- Resizing ------------------------------------------------------------------------------ */

/* What has a record always moves, so that who goes on using the old one is seen. */
static void *resize(void *p, size_t bytes, const void *frame)
{
    static const struct heap_want nothing;
    struct record *r = NULL;
    if (p == NULL)
        return alloc(bytes, &nothing, frame);
    bool sampled = sample_owns(p);
    enum debug_answer answer = sampled ? DEBUG_OURS : debug_find("krealloc", p, &r);
    if (answer == DEBUG_MISUSE)
        return NULL;
    if (answer == DEBUG_NOT_OURS) {
        void *now = core_realloc(p, bytes);
        if (now == p && now != NULL)
            kasan_alloc(p, bytes, core_size(p));
        return now;
    }
    size_t kept = sampled ? sample_size(p) : r->bytes;
    if (sampled && kept == 0)
        return NULL;
    void *moved = alloc(bytes, &nothing, frame);
    if (moved == NULL)
        return NULL;
    kept = kasan_valid(p, kept); /* less than what the core says, if no record was made */
    memcpy(moved, p, kept < bytes ? kept : bytes);
    free_object("krealloc", p, SIZE_MAX, frame);
    return moved;
}

void *krealloc(void *p, size_t bytes)
{
    return resize(p, bytes, FRAME);
}

void *krealloc_array(void *p, size_t count, size_t bytes)
{
    return resize(p, product(count, bytes), FRAME);
}

#pragma clang attribute pop
