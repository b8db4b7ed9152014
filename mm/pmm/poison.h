/* A debug build fills freed frames with a pattern, and looks for it when they are given out again:
 * who writes to a frame after freeing it is found, though not named. Frames that were never freed
 * hold anything. A build that checks every access (mm/kasan.h) is told of both, too. */
#ifndef QL_MM_PMM_POISON_H
#define QL_MM_PMM_POISON_H

#include "mm/hhdm.h"
#include "mm/kasan.h"
#include "zone.h"

#ifdef QL_DEBUG
void poison_write(uint64_t frame, uint64_t n);
void poison_look(uint64_t frame, uint64_t n);
#else
static inline void poison_write(uint64_t frame, uint64_t n)
{
    (void)frame, (void)n;
}
static inline void poison_look(uint64_t frame, uint64_t n)
{
    (void)frame, (void)n;
}
#endif

/* Both before others can have the frames. The check panics with frame, offset and value. */
static inline void poison_fill(uint64_t frame, uint64_t n)
{
    poison_write(frame, n);
    kasan_forbid_frames(frame_address(frame), n);
}
static inline void poison_check(uint64_t frame, uint64_t n)
{
    kasan_allow_frames(frame_address(frame), n);
    poison_look(frame, n);
}

#endif
