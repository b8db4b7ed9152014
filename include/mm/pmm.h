/* The physical memory manager: who owns each 4 KiB frame of RAM.
 * One bit per frame that exists, 1 = used; holes in the address space cost nothing.
 * locking: every function takes the pmm lock inside (LOCK_PMM); callable from interrupts.
 * Stage: from pmm_init on ("frames"). */
#ifndef QL_MM_PMM_H
#define QL_MM_PMM_H

#include <stddef.h>

#include "mm/addr.h"
#include "mm/numa.h"
#include "mm/region.h"
#include "status.h"

/* What a limit to a node means. A run that is limited is all on the node. */
enum pmm_node_rule {
    PMM_NODE_ANY,
    PMM_NODE_PREFERRED, /* elsewhere, if the node has no such run */
    PMM_NODE_REQUIRED,
};

/* Where a run of frames may lie. Zero in a member means: no such limit. */
struct pmm_limits {
    uint64_t align_frames; /* power of two */
    paddr_t min_addr;      /* first byte at or above this */
    paddr_t max_addr;      /* last byte below this (16 MiB for ISA DMA, 4 GiB for 32-bit devices) */
    enum pmm_node_rule node_rule;
    uint32_t node;
};

/* All in KiB, exact when nothing else runs: total = used + free. */
struct pmm_stats {
    uint64_t total_kib; /* usable plus bootloader-reclaimable RAM */
    uint64_t used_kib;
    uint64_t free_kib;
    uint64_t metadata_kib; /* bitmaps and tables, contained in used */
};

/* The same for one node, metadata included in used. */
struct pmm_node_stats {
    uint64_t total_kib;
    uint64_t used_kib;
    uint64_t free_kib;
};

/* Take over the usable regions of a normalised memory map. The metadata is placed in usable memory
 * itself, high up. Frame 0 is never handed out. Bootloader-reclaimable frames are known but used.
 * units:   map must satisfy region_validate; the map is not kept
 * errors:  MM_NOMEM if no usable region can hold the metadata, MM_INVAL if the map is not
 *          normalised
 * source:  Limine "Memory Map Feature" */
mm_status_t pmm_init(const struct mem_region *map, size_t n) MUST_USE;

/* Free the bootloader-reclaimable frames of the same map, once nothing uses them any more: own page
 * tables, own stack, responses copied. Returns the number of frames gained. A second call is
 * misuse. */
uint64_t pmm_reclaim(void);

/* Say which memory is whose; before, all of it is node 0's. Once. The ranges are copied into
 * metadata of the pmm.
 * errors:  as numa_divide; MM_NOMEM; MM_EXISTS on a second call. On failure nothing has changed */
mm_status_t pmm_set_nodes(const struct mem_node *nodes, size_t n) MUST_USE;

/* The node of an address, RAM or not: 0 if no range names it. */
uint32_t pmm_node_of(paddr_t pa);

/* Allocate one frame, wherever. out: its base; contents undefined; untouched on failure.
 * errors: MM_NOMEM */
mm_status_t pmm_alloc_frame(paddr_t *out) MUST_USE;

/* Allocate nframes contiguous frames.
 * units:   nframes > 0, exact: nothing is rounded up; limits NULL for none
 * out:     base of the run; contents undefined; untouched on failure
 * errors:  MM_NOMEM, MM_INVAL */
mm_status_t pmm_alloc_frames(uint64_t nframes, const struct pmm_limits *limits,
                             paddr_t *out) MUST_USE;

/* Give frames back: any part of what was allocated, in any order.
 * errors:  MM_INVAL through port_misuse: misaligned, not RAM of ours, already free (double free),
 *          frame 0, our own metadata, bootloader memory before pmm_reclaim; then none was freed */
mm_status_t pmm_free_frame(paddr_t frame);
mm_status_t pmm_free_frames(paddr_t base, uint64_t nframes);

/* Take particular free frames out of circulation, all or none.
 * errors:  MM_EXISTS if one is used already, MM_NOTFOUND if one is not RAM of ours, MM_INVAL */
mm_status_t pmm_mark_used(paddr_t base, uint64_t nframes) MUST_USE;

/* The inverse: the same rules as pmm_free_frames. */
mm_status_t pmm_mark_free(paddr_t base, uint64_t nframes);

/* True if the frame is RAM that we manage and is used at the moment. */
bool pmm_is_used(paddr_t frame);

void pmm_get_stats(struct pmm_stats *out);

/* All zero for a node without memory, and for a number that is none. */
void pmm_get_node_stats(uint32_t node, struct pmm_node_stats *out);

/* O(RAM): counts the bits and compares; true if everything agrees. */
bool pmm_validate(void);

#endif
