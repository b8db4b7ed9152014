/* Frames in hand, for tables that an operation must be able to make once it has begun to change
 * something. Internal to mm/paging/. */
#ifndef QL_PAGING_POOL_H
#define QL_PAGING_POOL_H

#include "mm/pmm.h"
#include "tables.h"

#define POOL_FEW 16

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

/* One of them, contents undefined. */
paddr_t pool_take(struct pool *pool);

/* Tables that are out of the tree and that nobody can reach any more, on their way to the pmm. */
struct bin {
    unsigned count;
    uint64_t total;
    paddr_t frames[64];
};

void bin_add(struct bin *bin, paddr_t frame);

/* Free a table that was entered at this level, and all below it. */
void bin_add_tree(struct bin *bin, pte_t e, unsigned level);

/* Free what is left. */
void bin_empty(struct bin *bin);

#endif
