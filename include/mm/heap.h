/* The kernel heap. Stage: from "heap" on. Pointers are 16-byte aligned; NULL means out of memory
 * (logged once). locking: takes the heap lock (lock.h, order 1). */
#ifndef QL_MM_HEAP_H
#define QL_MM_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "status.h"

#define HEAP_ALIGN 16

/* Make the heap ready: takes CONFIG_HEAP_GROW_BYTES from the pmm. errors: MM_NOMEM */
mm_status_t heap_init(void) MUST_USE;

/* At least bytes bytes; a unique pointer also for 0. Contents undefined. */
void *kmalloc(size_t bytes) MUST_USE __attribute__((malloc));

/* count * bytes bytes, zeroed; NULL if the product overflows. */
void *kcalloc(size_t count, size_t bytes) MUST_USE __attribute__((malloc));

/* Change the size, moving if needed; contents kept up to the smaller size. krealloc(NULL, n) is
 * kmalloc(n). On failure returns NULL and the old block stands. n = 0 gives a minimal block. */
void *krealloc(void *p, size_t bytes) MUST_USE;

/* align a power of two, up to 1 MiB. NULL for any other align. */
void *kaligned_alloc(size_t align, size_t bytes) MUST_USE __attribute__((malloc));

/* Free what any of the above returned; NULL is fine. A double free, a foreign or interior pointer
 * and a damaged header are misuse (port_misuse); the heap is then left as it was. */
void kfree(void *p);

/* Bytes usable behind p, at least what was asked for. */
size_t kmalloc_size(const void *p);

struct heap_stats {
    uint64_t used_bytes; /* in live blocks, headers included */
    uint64_t free_bytes; /* in free blocks */
    uint64_t live_blocks;
    uint64_t allocations; /* since boot */
    uint64_t frees;
    uint64_t failures; /* calls that returned NULL */
};
void heap_get_stats(struct heap_stats *out);

/* O(heap): boundary tags, lists and counts agree. */
bool heap_validate(void);

#endif
