/* From an address in the direct map to the slab that has it: a root with an entry for each 2 MiB, and
 * a leaf with an entry for each frame where the heap has or had any. Neither is ever NULL, so that
 * kfree need not ask: a frame that is not the heap's leads to slab_nobody. An entry of the root is
 * the leaf's address less that of the first entry's frame number, which saves a mask.
 * Costs 8 bytes for each 2 MiB of the direct map, and a frame for each 2 MiB that is in use. */
#ifndef QL_MM_HEAP_PAGE_MAP_H
#define QL_MM_HEAP_PAGE_MAP_H

#include "mm/hhdm.h"
#include "slab.h"
#include "status.h"

#define PAGE_MAP_SHIFT  21
#define PAGE_MAP_FRAMES 512u /* to a leaf */

/* Blocks that the root has entries for at the start: of all of the direct map, or, where much of it is
 * mostly never used (the malloc library: PAGE_MAP_GROWS), of the first GiB. */
#ifdef PAGE_MAP_GROWS
#define PAGE_MAP_FIRST 512u /* a page */
#else
#define PAGE_MAP_FIRST UINT64_MAX
#endif

struct page_map {
    vaddr_t base; /* of the direct map */
    uint64_t blocks;
    uintptr_t *root;
    uint64_t frames; /* that the root takes, and the leaf of blocks with nothing */
};
extern struct page_map page_map;

/* For an offset from the start of the direct map that is inside. */
static inline struct slab *page_map_entry(uint64_t offset)
{
    uint64_t block = offset >> PAGE_MAP_SHIFT;
    uintptr_t leaf = __atomic_load_n(&page_map.root[block], __ATOMIC_ACQUIRE);
    /* The entry: see above. */
    return SLAB_GET(*(struct slab **)(leaf + (offset >> FRAME_SHIFT) * sizeof(struct slab *)));
}

static inline bool page_map_has(uint64_t offset)
{
    return offset >> PAGE_MAP_SHIFT < page_map.blocks;
}

/* For any: less than 0, or beyond the end, is nobody's. */
static inline struct slab *page_map_find(uint64_t offset)
{
    return page_map_has(offset) ? page_map_entry(offset) : &slab_nobody;
}

static inline uint64_t page_map_offset(const void *p)
{
    return va_diff(page_map.base, va_of(p));
}

/* Take frames for the root. errors: MM_NOMEM */
mm_status_t page_map_init(void) MUST_USE;

/* The opposite, and everything after it: the heap has nothing any more. */
void page_map_drop(void);

/* Make a leaf for the 2 MiB that the frame is in; with the share's lock held. errors: MM_NOMEM */
mm_status_t page_map_prepare(struct share *s, paddr_t frame) MUST_USE;

/* Let npages frames, all in 2 MiB that are prepared, lead to the slab; or to slab_nobody. */
void page_map_set(paddr_t base, uint64_t npages, struct slab *slab);

/* The first slab or run at or behind the offset; advances it behind that. NULL: none. For walks. */
struct slab *page_map_next(uint64_t *offset);

#endif
