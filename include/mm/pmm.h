/* The physical memory manager: who owns each 4 KiB frame of RAM.
 * One bit per frame that exists, 1 = used; holes in the address space cost nothing. In front of the
 * bits each CPU keeps some free frames for itself, so that the common calls touch nothing shared;
 * they count as free, and whoever finds memory short takes them back.
 * locking: every function may be called from any context but an NMI, with any lock held; none waits
 *          for memory. The allocating and freeing ones are lock-free between CPUs as long as memory
 *          is not short; those marked "stops the others" hold up the calls of other CPUs meanwhile.
 * Stage: from pmm_init on ("frames"); on another CPU, once mm_cpu_create has made its share.
 * source: the layout, a 512-bit line for each 2 MiB and an entry beside it, is that of LLFree
 *         (Wrenger et al., USENIX ATC 2023); docs/frames.md says what differs and why. */
#ifndef QL_MM_PMM_H
#define QL_MM_PMM_H

#include <stddef.h>

#include "mm/addr.h"
#include "mm/numa.h"
#include "mm/region.h"
#include "status.h"

/* The order of a run of 2^order frames, naturally aligned: 0 .. PMM_ORDER_BLOCK, and any larger. */
#define PMM_ORDER_BLOCK 9  /* 2 MiB */
#define PMM_ORDER_GIB   18 /* 1 GiB */
#define PMM_ORDER_MAX   36

/* What a limit to a node means. A run that is limited is all on the node. */
enum pmm_node_rule {
    PMM_NODE_ANY,
    PMM_NODE_PREFERRED, /* elsewhere, if the node has no such run but in other CPUs' caches */
    PMM_NODE_REQUIRED,
};

/* How long the run will be kept. Kinds get blocks of their own, so that a page table that stays
 * does not hold the rest of 2 MiB hostage. */
enum pmm_kind {
    PMM_SHORT, /* user pages, buffers: most frames */
    PMM_LONG,  /* page tables, slabs, stacks */
};

/* What a run of frames must be. Zero in a member means: no such wish. */
struct pmm_limits {
    uint64_t align_frames; /* power of two */
    paddr_t min_addr;      /* first byte at or above this */
    paddr_t max_addr;      /* last byte below this (16 MiB for ISA DMA, 4 GiB for 32-bit devices) */
    enum pmm_node_rule node_rule;
    uint32_t node;
    enum pmm_kind kind;
    bool zeroed; /* every byte 0; else the contents are undefined */
};

/* All in KiB, exact when nothing else runs: total = used + free. */
struct pmm_stats {
    uint64_t total_kib; /* usable plus bootloader-reclaimable RAM, plus what was added */
    uint64_t used_kib;
    uint64_t free_kib;
    uint64_t metadata_kib; /* bitmaps and tables, contained in used */
    uint64_t cached_kib;   /* kept by CPUs for themselves, contained in free */
    uint64_t retired_kib;  /* bad frames, contained in used */
};

/* The same for one node, metadata included in used. */
struct pmm_node_stats {
    uint64_t total_kib;
    uint64_t used_kib;
    uint64_t free_kib;
};

/* --- Start ---------------------------------------------------------------- */

/* Take over the usable regions of a normalised memory map. The metadata, some 36 KiB for each GiB,
 * is placed in usable memory itself, high up; what nobody uses is not touched. Frame 0 is never
 * handed out. Bootloader-reclaimable frames are known but used. The calling CPU gets its share
 * (mm_cpu) too.
 * units:   map must satisfy region_validate; the map is not kept
 * errors:  MM_NOMEM if no usable region can hold the metadata, MM_INVAL if the map is not
 *          normalised
 * source:  Limine "Memory Map Feature" */
mm_status_t pmm_init(const struct mem_region *map, size_t n) MUST_USE;

/* Free the bootloader-reclaimable frames of the same map, once nothing uses them any more: own page
 * tables, own stack, responses copied. Returns the number of frames gained. A second call is
 * misuse. Stops the others. */
uint64_t pmm_reclaim(void);

/* Say which memory is whose; before, all of it is node 0's. Once. The ranges are copied into
 * metadata of the pmm. Stops the others.
 * errors:  as numa_divide; MM_NOMEM; MM_EXISTS on a second call. On failure nothing has changed */
mm_status_t pmm_set_nodes(const struct mem_node *nodes, size_t n) MUST_USE;

/* The node of an address, RAM or not: 0 if no range names it. */
uint32_t pmm_node_of(paddr_t pa);

/* --- Allocating ----------------------------------------------------------- */

/* Allocate one frame, wherever. out: its base; contents undefined; untouched on failure.
 * errors: MM_NOMEM, if no frame is free at all, in no CPU's keeping either */
mm_status_t pmm_alloc_frame(paddr_t *out) MUST_USE;

/* Allocate nframes contiguous frames: exactly these, nothing is rounded up.
 * units:   nframes > 0; limits NULL for none. A power of two is naturally aligned up to 2 MiB, more
 *          than 512 frames begin on a 2 MiB boundary, fewer never lie across one
 * out:     base of the run; contents undefined unless zeroed; untouched on failure
 * errors:  MM_NOMEM, MM_INVAL. A power of two up to 512 is found if there is one that meets the
 *          limits; another count up to 512, or a power of two with a larger alignment, for certain
 *          where an aligned run that has room for it is free, else among the 64 most promising
 *          blocks; more than 512 where enough 2 MiB blocks in a row are all free. The time does
 *          not depend on the amount of memory, but for the last case: a look at one word for each
 *          128 MiB */
mm_status_t pmm_alloc_frames(uint64_t nframes, const struct pmm_limits *limits,
                             paddr_t *out) MUST_USE;

/* The same for 2^order frames, naturally aligned whatever the order.
 * errors: MM_NOMEM, MM_INVAL (order above PMM_ORDER_MAX) */
mm_status_t pmm_alloc_order(unsigned order, const struct pmm_limits *limits, paddr_t *out) MUST_USE;

/* Allocate n frames that need not be contiguous, all or none: for who builds page tables. Each
 * meets the limits.
 * out: n bases; undefined on failure */
mm_status_t pmm_alloc_batch(size_t n, const struct pmm_limits *limits, paddr_t *out) MUST_USE;

/* --- Freeing -------------------------------------------------------------- */

/* Give frames back: any part of what was allocated, in any order.
 * errors:  MM_INVAL through port_misuse: misaligned, not RAM of ours, already free (double free),
 *          frame 0, our own metadata, a retired frame, bootloader memory before pmm_reclaim; then
 *          none was freed (unless two CPUs free the same run at the same time, which is reported
 *          all the same) */
mm_status_t pmm_free_frame(paddr_t frame);
mm_status_t pmm_free_frames(paddr_t base, uint64_t nframes);
mm_status_t pmm_free_order(paddr_t base, unsigned order);

/* Each of the frames that can be freed is freed; the others are reported one by one. */
mm_status_t pmm_free_batch(const paddr_t *frames, size_t n);

/* --- Particular frames ---------------------------------------------------- */

/* Take particular free frames out of circulation, all or none. Stops the others.
 * errors:  MM_EXISTS if one is used already, MM_NOTFOUND if one is not RAM of ours, MM_INVAL */
mm_status_t pmm_mark_used(paddr_t base, uint64_t nframes) MUST_USE;

/* The same if that is possible at once, to make a run longer where it is: the frames are of one block of
 * 2 MiB, which is neither all free nor another CPU's at the moment. Stops nobody; costs what a run
 * that is not at hand costs.
 * errors:  MM_EXISTS if it is not, MM_INVAL (also: of several blocks) */
mm_status_t pmm_try_mark_used(paddr_t base, uint64_t nframes) MUST_USE;

/* The inverse: the same rules as pmm_free_frames. */
mm_status_t pmm_mark_free(paddr_t base, uint64_t nframes);

/* Take one bad frame out for good: at once if it is free, else when it is freed, which its owner
 * does as ever. Stops the others.
 * errors:  MM_EXISTS if it is retired already, MM_NOTFOUND if it is not RAM of ours, MM_INVAL if it
 *          is misaligned, MM_NOMEM if the list of bad frames cannot grow */
mm_status_t pmm_retire_frame(paddr_t frame) MUST_USE;

/* Add RAM that came while we run, and that the direct map reaches. Its metadata is placed in it. A run
 * never lies across its border. Stops the others for a moment.
 * errors:  MM_EXISTS if there is RAM of ours already in one of its blocks of 2 MiB, MM_INVAL
 *          (misaligned, empty), MM_RANGE (beyond the direct map), MM_NOMEM if it is too small to hold its metadata or there are too
 *          many additions (raise CONFIG_PMM_ZONES_MAX) */
mm_status_t pmm_add_range(paddr_t base, uint64_t nframes) MUST_USE;

/* True if the frame is RAM that we manage and is used at the moment. */
bool pmm_is_used(paddr_t frame);

/* --- Looking -------------------------------------------------------------- */

void pmm_get_stats(struct pmm_stats *out);

/* All zero for a node without memory, and for a number that is none. */
void pmm_get_node_stats(uint32_t node, struct pmm_node_stats *out);

/* The free memory of a node as the largest naturally aligned runs it divides into: out[k] runs of
 * 2^k frames, k up to PMM_ORDER_BLOCK; larger ones count as many of those. node: or PMM_ALL_NODES.
 * What CPUs keep is given back first, so that it counts as what it is part of. Stops the others. */
#define PMM_ALL_NODES UINT32_MAX
void pmm_get_order_stats(uint32_t node, uint64_t out[PMM_ORDER_BLOCK + 1]);

/* Call visit for each maximal range of free frames, upwards in each zone, until it returns false.
 * What CPUs keep is given back first. Exact when nothing else runs; otherwise every range was free
 * when it was looked at. visit may allocate and free. */
typedef bool (*pmm_visit_t)(paddr_t base, uint64_t nframes, void *argument);
void pmm_walk_free(pmm_visit_t visit, void *argument);

/* Give back what the CPUs keep for themselves. Stops the others for a moment each. */
void pmm_drain(void);

/* Give back what this CPU keeps for itself: before it goes for good, or its number to another
 * thread. It may go on allocating all the same. */
void pmm_leave(void);

/* O(RAM): checks every invariant of bits, lists and counts; true if everything agrees. Stops the
 * others. */
bool pmm_validate(void);

#endif
