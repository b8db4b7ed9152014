/* What a build of the heap that watches every object does in a test: nothing, where the test is about
 * classes, slabs or frames, so that it passes in that build, too. */
#ifndef HEAP_LEVEL_H
#define HEAP_LEVEL_H

#include "mm/heap_stats.h"
#include "test.h"

static inline void heap_level(unsigned level)
{
#ifdef QL_DEBUG_MEMORY
    struct heap_tuning tuning;
    heap_get_tuning(&tuning);
    tuning.debug_level = level;
    assert_int_equal(MM_OK, heap_tune(&tuning));
#else
    (void)level;
#endif
}

#endif
