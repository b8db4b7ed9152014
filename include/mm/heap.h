/* The kernel heap: kmalloc and what belongs to it. Small objects come from slabs of one size class,
 * a class wastes at most an eighth (and at most 15 bytes below 128); larger ones are runs of frames
 * in the direct map, or, from HEAP_RANGE_BYTES on, virtual ranges between guard pages. There is no
 * header in front of an object.
 *
 * Pointers are 16-byte aligned, those to a power of two of bytes naturally aligned up to 4096.
 * Contents are undefined where nothing else is said. NULL means out of memory.
 * locking: any CPU, any context but an NMI, except where "may wait" is said: not from interrupt
 *          handlers, nor with locks behind LOCK_HEAP held. Only the owner of a slab changes it;
 *          frees from other CPUs are a locked instruction. Nothing takes time that grows with the
 *          heap.
 * misuse:  freeing twice, or what is no object, or what lies inside of one, is port_misuse with
 *          address, class and, in a debug build, who allocated and freed it; the heap is then as
 *          it was.
 * Stage: from heap_init on; on another CPU once mm_cpu_create has made its share. */
#ifndef QL_MM_HEAP_H
#define QL_MM_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "status.h"

#define HEAP_ALIGN       16
#define HEAP_ALIGN_MAX   (1ull << 30)
#define HEAP_CLASS_BYTES 0x8000   /* the largest size class; more is a run of frames */
#define HEAP_RANGE_BYTES 0x100000 /* from here on: whole 2 MiB blocks, or a virtual range */

#define HEAP_ALLOC MUST_USE __attribute__((malloc))

/* Make the heap ready: takes CONFIG_HEAP_INITIAL_BYTES from the pmm. errors: MM_NOMEM */
mm_status_t heap_init(void) MUST_USE;

/* --- Allocating ----------------------------------------------------------- */

/* At least bytes bytes; a unique pointer also for 0. From HEAP_RANGE_BYTES on it may wait. */
void *kmalloc(size_t bytes) HEAP_ALLOC;

/* count * bytes bytes, zeroed (memory that is fresh is not zeroed again); NULL if the product
 * overflows. */
void *kcalloc(size_t count, size_t bytes) HEAP_ALLOC;

/* The same without the zeros. */
void *kmalloc_array(size_t count, size_t bytes) HEAP_ALLOC;

/* Aligned to align, a power of two up to HEAP_ALIGN_MAX; NULL for any other. */
void *kaligned_alloc(size_t align, size_t bytes) HEAP_ALLOC;

/* Change the size, in place where that is possible; contents are kept up to the smaller size.
 * krealloc(NULL, n) is kmalloc(n). On failure it returns NULL and the old object stands. n = 0 gives
 * a minimal object. The alignment of kaligned_alloc is kept only in place. */
void *krealloc(void *p, size_t bytes) MUST_USE;
void *krealloc_array(void *p, size_t count, size_t bytes) MUST_USE; /* NULL on overflow */

#define HEAP_ZERO 1u /* zeroed */
#define HEAP_NOWAIT \
    2u /* never wait: for interrupt handlers. No virtual ranges, no shrinking of caches, no log */
#define HEAP_NOFAIL 4u /* panic instead of NULL; the panic names what */

/* What is wanted beside the size. Zero in a member means: no such wish. */
struct heap_want {
    size_t align;   /* as kaligned_alloc */
    unsigned flags; /* HEAP_ZERO, .. */
    bool on_node;   /* on this NUMA node if it has memory, else elsewhere */
    uint32_t node;
    const char *what; /* for the panic of HEAP_NOFAIL */
};
void *kmalloc_want(size_t bytes, const struct heap_want *want) HEAP_ALLOC;
void *kmalloc_node(size_t bytes, uint32_t node) HEAP_ALLOC;

/* --- Freeing -------------------------------------------------------------- */

/* Free what any of the above returned; NULL is fine. A virtual range may wait. */
void kfree(void *p);

/* The same for who knows how much was asked for: a size that is of another class is misuse. */
void kfree_sized(void *p, size_t bytes);

/* Bytes usable behind p, at least what was asked for; 0 for NULL and, with misuse, for what is no
 * object. */
size_t kmalloc_size(const void *p);

/* --- Nodes ---------------------------------------------------------------- */

/* The node that a CPU is on: its slabs come from there as long as it has memory. Before: from
 * anywhere. Without effect for a CPU that has no share yet. */
void heap_set_node(unsigned cpu, uint32_t node);

/* --- Giving memory back --------------------------------------------------- */

/* Give empty slabs back to the pmm, all that can be found without stopping others: everything of
 * this CPU's, of CPUs that have left, and the reserves of the others. The heap does this by itself
 * when the pmm has nothing left. Returns the number of frames. */
uint64_t heap_shrink(void);

/* Before this CPU goes for good, or its number to another thread: what it has in hand becomes
 * everybody's. It may go on allocating all the same. */
void heap_leave_cpu(void);

/* O(heap): checks every invariant of slabs, lists, counts and the page map; true if everything
 * agrees. Nobody may allocate or free meanwhile. */
bool heap_validate(void);

#endif
