/* Frames in hand, for tables that an operation must be able to make once it has begun to change
 * something. Internal to mm/paging/. */
#ifndef QL_PAGING_POOL_H
#define QL_PAGING_POOL_H

#include "mm/pmm.h"
#include "tables.h"

#define POOL_FEW 16

/* Frames of small pages that follow each other: fewer than a large page has. */
struct run {
    paddr_t base;
    uint64_t nframes;
};

/* False if the frame does not go on with the run. */
static inline bool run_add(struct run *run, paddr_t frame)
{
    if (run->nframes == TABLE_SLOTS - 1 ||
        !pa_eq(pa_add(run->base, run->nframes * FRAME_BYTES), frame))
        return false;
    run->nframes++;
    return true;
}

/* A few, or a chain of frames that are full of the addresses of others. */
struct pool {
    unsigned nfew;
    paddr_t few[POOL_FEW];
    struct directory *directories;
};

#define DIRECTORY_FRAMES (TABLE_SLOTS - 2)
struct directory {
    struct directory *next;
    uint32_t taken, count;
    paddr_t frames[DIRECTORY_FRAMES];
};
_Static_assert(sizeof(struct directory) == FRAME_BYTES, "a frame itself");

/* Get n frames, all or none. errors: MM_NOMEM */
mm_status_t pool_fill(struct pool *pool, uint64_t n) MUST_USE;

/* Give back all that have not been taken. */
void pool_empty(struct pool *pool);

/* One of them, contents undefined. */
paddr_t pool_take(struct pool *pool);

/* Tables that are out of the tree and that no CPU uses any more, on their way to the pmm; and owned
 * frames, on their way to whom the hooks say. */
struct bin {
    struct space *space;
    uint64_t total; /* tables, so far */
    unsigned count;
    struct run run; /* owned frames of 4 KiB pages */
    paddr_t frames[64];
};

static inline void bin_start(struct bin *bin, struct space *space)
{
    bin->space = space;
    bin->total = bin->count = 0;
    bin->run.nframes = 0;
}

void bin_add(struct bin *bin, paddr_t frame);

/* Release what a page has whose entry is of this level. */
void bin_add_page(struct bin *bin, pte_t page, unsigned level);

/* Free the table that an entry leads to, and all below it. level: of the table's entries. */
void bin_add_tree(struct bin *bin, pte_t link, unsigned level);

/* Free what is left. */
void bin_empty(struct bin *bin);

#endif
