/* The heap behind kmalloc: kmalloc.c comes here when its short way does not lead on, and the debug
 * build (debug/kmalloc.c) always, with room for its zones. Misuse and locking as in mm/heap.h. */
#ifndef QL_MM_HEAP_CORE_H
#define QL_MM_HEAP_CORE_H

#include "mm/heap_stats.h"

/* want: NULL for none. */
void *core_alloc(size_t bytes, const struct heap_want *want);
void core_free(void *p);

/* Usable bytes; 0 with misuse for what is no object. */
size_t core_size(const void *p);

#ifdef QL_DEBUG_MEMORY
/* krealloc as it is in other builds. */
void *core_realloc(void *p, size_t bytes);

/* heap_find and heap_walk, of what the core has given; debug/look.c knows what it is for. */
bool core_find(const void *p, struct heap_place *out);
void core_walk(heap_visit_t visit, void *argument);
#endif

#endif
