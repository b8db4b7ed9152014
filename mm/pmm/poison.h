/* A debug build fills freed frames with a pattern, and looks for it when they are given out again:
 * who writes to a frame after freeing it is found, though not named. Frames that were never freed
 * hold anything. */
#ifndef QL_MM_PMM_POISON_H
#define QL_MM_PMM_POISON_H

#include "zone.h"

#ifdef QL_DEBUG
/* Both before others can have the frames. The check panics with frame, offset and value. */
void poison_fill(uint64_t frame, uint64_t n);
void poison_check(uint64_t frame, uint64_t n);
#else
static inline void poison_fill(uint64_t frame, uint64_t n)
{
    (void)frame, (void)n;
}
static inline void poison_check(uint64_t frame, uint64_t n)
{
    (void)frame, (void)n;
}
#endif

#endif
