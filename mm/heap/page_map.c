/* Owns: the page map; see page_map.h.
 * Relies on: the pmm for frames. Stage: "heap". */
#include "page_map.h"

#include "lock.h"
#include "mm/pmm.h"
#include "share.h"

struct page_map page_map;
static struct slab **nobodys; /* the leaf of blocks where the heap has nothing */

static const struct pmm_limits stays = {.kind = PMM_LONG};

static uintptr_t biased(struct slab **leaf, uint64_t block)
{
    return (uintptr_t)leaf - block * PAGE_MAP_FRAMES * sizeof(struct slab *);
}

static struct slab **leaf_make(paddr_t frame)
{
    struct slab **leaf = phys_to_virt(frame);
    for (unsigned i = 0; i < PAGE_MAP_FRAMES; i++)
        leaf[i] = &slab_nobody;
    return leaf;
}

static uint64_t all_blocks(void)
{
    return (hhdm.bytes + HUGE_2M - 1) >> PAGE_MAP_SHIFT;
}

mm_status_t page_map_init(void)
{
    uint64_t blocks = all_blocks() < PAGE_MAP_FIRST ? all_blocks() : PAGE_MAP_FIRST;
    uint64_t nframes = bytes_to_frames(blocks * sizeof(uintptr_t));
    paddr_t frames, nobody;
    page_map = (struct page_map){.base = hhdm_address(PA(0))};
    mm_status_t status = pmm_alloc_frames(nframes, &stays, &frames);
    if (status != MM_OK)
        return status;
    status = pmm_alloc_frames(1, &stays, &nobody);
    if (status != MM_OK) {
        pmm_free_frames(frames, nframes);
        return status;
    }
    nobodys = leaf_make(nobody);
    page_map.root = phys_to_virt(frames);
    for (uint64_t b = 0; b < blocks; b++)
        page_map.root[b] = biased(nobodys, b);
    page_map.frames = nframes + 1;
    page_map.blocks = blocks;
    return MM_OK;
}

void page_map_drop(void)
{
    uint64_t frames = bytes_to_frames(page_map.blocks * sizeof(uintptr_t));
    for (uint64_t b = 0; b < page_map.blocks; b++) {
        uintptr_t leaf = page_map.root[b] + biased(NULL, 0) - biased(NULL, b);
        if (leaf != (uintptr_t)nobodys)
            pmm_free_frame(virt_to_phys((void *)leaf)); /* what biased made of it */
    }
    pmm_free_frame(virt_to_phys(nobodys));
    pmm_free_frames(virt_to_phys(page_map.root), frames);
    page_map = (struct page_map){0};
}

#ifdef PAGE_MAP_GROWS
static struct ticket growth;

/* A root of at least twice the size. It is there before anybody is told of its blocks, and the one before
 * stays, for who still reads it. */
static mm_status_t grow(uint64_t block)
{
    uint64_t blocks = 2 * page_map.blocks > block ? 2 * page_map.blocks : block + 1;
    blocks = blocks < all_blocks() ? blocks : all_blocks();
    uint64_t nframes = bytes_to_frames(blocks * sizeof(uintptr_t));
    paddr_t frames;
    mm_status_t status = pmm_alloc_frames(nframes, &stays, &frames);
    if (status != MM_OK)
        return status;
    uintptr_t *root = phys_to_virt(frames);
    for (uint64_t b = 0; b < blocks; b++)
        root[b] = b < page_map.blocks ? page_map.root[b] : biased(nobodys, b);
    __atomic_store_n(&page_map.root, root, __ATOMIC_RELEASE);
    __atomic_store_n(&page_map.blocks, blocks, __ATOMIC_RELEASE);
    page_map.frames += nframes;
    return MM_OK;
}

static mm_status_t make_leaf(struct share *s, uint64_t block)
{
    mm_status_t status = MM_OK;
    ticket_take(&growth);
    if (block >= page_map.blocks)
        status = grow(block);
    if (status == MM_OK && page_map.root[block] == biased(nobodys, block)) {
        paddr_t leaf;
        status = share_take_frame(s, &leaf);
        if (status == MM_OK)
            __atomic_store_n(&page_map.root[block], biased(leaf_make(leaf), block),
                             __ATOMIC_RELEASE);
    }
    ticket_give(&growth);
    return status;
}
#endif

mm_status_t page_map_prepare(struct share *s, paddr_t frame)
{
    uint64_t block = pa_diff(PA(0), frame) >> PAGE_MAP_SHIFT;
    uintptr_t nothing = biased(nobodys, block);
    paddr_t leaf;
#ifdef PAGE_MAP_GROWS
    if (block >= __atomic_load_n(&page_map.blocks, __ATOMIC_ACQUIRE) ||
        __atomic_load_n(&page_map.root[block], __ATOMIC_ACQUIRE) == nothing)
        return make_leaf(s, block);
#endif
    ASSERT(block < page_map.blocks); /* RAM that was added must be in the direct map */
    if (__atomic_load_n(&page_map.root[block], __ATOMIC_ACQUIRE) != nothing)
        return MM_OK;
    mm_status_t status = share_take_frame(s, &leaf);
    if (status != MM_OK)
        return status;
    if (!__atomic_compare_exchange_n(&page_map.root[block], &nothing,
                                     biased(leaf_make(leaf), block), false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_RELAXED))
        share_untake_frame(s); /* another CPU was faster */
    return MM_OK;
}

void page_map_set(paddr_t base, uint64_t npages, struct slab *slab)
{
    uint64_t page = pa_diff(PA(0), base) >> FRAME_SHIFT;
    while (npages > 0) {
        uint64_t room = PAGE_MAP_FRAMES - page % PAGE_MAP_FRAMES, n = npages < room ? npages : room;
        uintptr_t leaf = page_map.root[page / PAGE_MAP_FRAMES];
        /* Who frees an object has it from who allocated it: what he reads is ordered. */
        struct slab **entry = (struct slab **)(leaf + page * sizeof(struct slab *));
        for (uint64_t i = 0; i < n; i++)
            SLAB_SET(entry[i], slab);
        page += n;
        npages -= n;
    }
}

struct slab *page_map_next(uint64_t *offset)
{
    while (*offset >> PAGE_MAP_SHIFT < page_map.blocks) {
        uint64_t block = *offset >> PAGE_MAP_SHIFT;
        if (__atomic_load_n(&page_map.root[block], __ATOMIC_ACQUIRE) == biased(nobodys, block)) {
            *offset = (block + 1) << PAGE_MAP_SHIFT;
            continue;
        }
        struct slab *slab = page_map_find(*offset);
        *offset += FRAME_BYTES;
        if (slab == &slab_nobody)
            continue;
        uint64_t end = slab->base + slab->pages * FRAME_BYTES - hhdm_address(PA(0)).v;
        *offset = end > *offset ? end : *offset;
        return slab;
    }
    return NULL;
}
