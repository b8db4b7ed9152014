/* Virtual ranges of whole pages for the heap, each between pages that cannot be touched: in the
 * kernel from the vmm (ranges.c); under Linux from mmap (host/ranges.c), as the simulated tables map
 * nothing a program could touch.
 * locking: any CPU; may wait, so not from interrupt handlers, nor with locks behind LOCK_HEAP. */
#ifndef QL_MM_HEAP_RANGES_H
#define QL_MM_HEAP_RANGES_H

#include <stdbool.h>
#include <stdint.h>

/* The name of ranges that are objects: only these are found, and have large pages. */
#define RANGES_OBJECT "heap"

/* npages zeroed pages, read and write, the first aligned to align_pages, a power of two; what a
 * range is called is in name, a string that stays. NULL: out of memory or addresses. */
void *ranges_alloc(const char *name, uint64_t npages, uint64_t align_pages);

/* base and npages as ranges_alloc returned or ranges_resize made them. */
void ranges_free(void *base, uint64_t npages);

/* Make an object's range larger or smaller without copying, perhaps elsewhere, where the alignment
 * is that of a page; new pages are zeroed. NULL: that cannot be done, and it is as it was. */
void *ranges_resize(void *base, uint64_t npages, uint64_t new_npages);

/* The object's range that p lies in; guard pages belong to none. Takes no lock. */
bool ranges_find_object(const void *p, void **base, uint64_t *npages);

/* The object's range behind *base, by address; with *npages 0, the first. Takes no lock. */
bool ranges_next_object(void **base, uint64_t *npages);

#endif
