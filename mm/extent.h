/* Spans of frames, and the extents that the pmm manages: contiguous RAM with one bit per frame.
 * Internal to pmm.c, whose lock the caller holds. */
#ifndef QL_MM_EXTENT_H
#define QL_MM_EXTENT_H

#include "bitmap.h"
#include "mm/addr.h"
#include "mm/pmm.h"

/* Contiguous frames. */
struct span {
    paddr_t base;
    uint64_t nframes;
};

/* A maximal contiguous piece of RAM. */
struct extent {
    struct span span;
    uint64_t nfree;
    uint64_t top;   /* a hint: no frame at this index or above it is free */
    uint64_t *used; /* the bitmap; bits behind the last frame are 1 */
};

static inline paddr_t span_end(struct span s)
{
    return pa_add(s.base, s.nframes << FRAME_SHIFT);
}

static inline bool spans_meet(struct span a, struct span b)
{
    return pa_lt(a.base, span_end(b)) && pa_lt(b.base, span_end(a));
}

/* Where the frame at pa is in the extent, which contains it. */
static inline uint64_t frame_index(const struct extent *e, paddr_t pa)
{
    return pa_diff(e->span.base, pa) >> FRAME_SHIFT;
}

static inline struct span extent_part(const struct extent *e, uint64_t first, uint64_t nframes)
{
    return (struct span){pa_add(e->span.base, first << FRAME_SHIFT), nframes};
}

/* The highest run of free frames in [low, high) of the extent. Each step either succeeds or lowers
 * the end of the window behind a used frame, so every word is looked
 * at a constant number of times. */
static inline bool find_run(const struct extent *e, uint64_t low, uint64_t high, uint64_t nframes,
                            uint64_t align_bytes, uint64_t *out)
{
    uint64_t last, used;
    while (bitmap_find_last(e->used, low, high, false, &last) && last + 1 - low >= nframes) {
        /* The highest aligned start for a run that ends at or before this free frame. */
        uint64_t offset = (last + 1 - nframes) << FRAME_SHIFT;
        paddr_t start = pa_align_down(pa_add(e->span.base, offset), align_bytes);
        if (pa_lt(start, pa_add(e->span.base, low << FRAME_SHIFT)))
            return false;
        uint64_t first = frame_index(e, start);
        if (!bitmap_find_last(e->used, first, last, true, &used)) {
            *out = first;
            return true;
        }
        high = used;
    }
    return false;
}

/* The part of the extent that the limits allow, as frame indices. */
static inline void clip(const struct extent *e, const struct pmm_limits *limits, uint64_t *low,
                        uint64_t *high)
{
    *low = 0;
    *high = e->top;
    paddr_t end = span_end(e->span);
    if (pa_lt(e->span.base, limits->min_addr)) {
        paddr_t min = pa_min(limits->min_addr, end);
        *low = bytes_to_frames(pa_diff(e->span.base, min));
    }
    if (!pa_eq(limits->max_addr, PA(0))) {
        paddr_t max = pa_max(pa_min(limits->max_addr, end), e->span.base);
        uint64_t below = frame_index(e, max);
        *high = below < *high ? below : *high;
    }
}

/* Lower the hint to the highest free frame. What it passes over is not passed again until freed. */
static inline void tighten(struct extent *e)
{
    uint64_t last;
    e->top = bitmap_find_last(e->used, 0, e->top, false, &last) ? last + 1 : 0;
}

static inline bool extent_is_valid(const struct extent *e)
{
    uint64_t nwords = bitmap_words(e->span.nframes), nfree = 0;
    for (uint64_t i = 0; i < nwords; i++) /* most words are all free: a shortcut */
        nfree += e->used[i] == 0 ? BITMAP_WORD_BITS : (uint64_t)__builtin_popcountll(~e->used[i]);
    uint64_t behind = nwords * BITMAP_WORD_BITS - e->top;
    return nfree == e->nfree && e->top <= e->span.nframes &&
           bitmap_all(e->used, e->top, behind, true);
}

#endif
