/* What the operations on ranges share. Internal to mm/paging/. */
#ifndef QL_PAGING_RANGE_H
#define QL_PAGING_RANGE_H

#include "mm/tlb.h"
#include "locks.h"
#include "pool.h"

/* --- Arguments (arguments.c) ---------------------------------------------- */

/* The range must lie in one of the two canonical halves; it may end with the last byte of either.
 * errors: MM_INVAL, MM_RANGE */
mm_status_t check_range(const struct space *space, vaddr_t va, uint64_t npages);

/* errors: MM_INVAL, MM_DENIED */
mm_status_t check_attributes(const struct space *space, vaddr_t va, prot_t prot, cache_t cache);

/* errors: MM_INVAL, MM_RANGE */
mm_status_t check_physical(paddr_t pa, uint64_t npages);

/* --- Counting ------------------------------------------------------------- */

/* Pieces of 'chunk' pages that [a, b) touches. */
static inline uint64_t chunks_touched(uint64_t a, uint64_t b, uint64_t chunk)
{
    return (b - 1) / chunk - a / chunk + 1;
}

/* Those that it touches and does not cover: at its two ends, perhaps the same one. */
static inline uint64_t chunks_cut(uint64_t a, uint64_t b, uint64_t chunk)
{
    bool start = a % chunk != 0, end = b % chunk != 0, same = a / chunk == (b - 1) / chunk;
    return same ? start || end : (uint64_t)start + end;
}

/* --- Changing what is mapped (change.c) ----------------------------------- */

/* An operation on what a range has. First it takes the locks below the table that it holds, and
 * looks; then it changes; then all CPUs forget; then it lets go. */
struct change {
    struct hold hold;
    bool mapped_only; /* every page must be mapped, and only what is in the range may change */
    uint64_t splits;  /* tables that splitting takes */
    uint64_t locked;  /* tables below the one that is held */
    struct pool pool;
    struct tlb_batch stale;
    struct bin bin;
    bool leaving; /* tables have gone out of the tree */
};

/* Hold the range, look at it and get what splitting takes. On failure nothing is held.
 * errors: MM_NOTFOUND, MM_NOMEM */
mm_status_t change_begin(struct change *c, struct space *space, vaddr_t va, uint64_t npages,
                         enum hold_rule rule);

/* All CPUs forget what is stale. */
void change_flush(struct change *c);

/* Flush, free what has left the tree, and let go of everything. removed: entries of the held table
 * that are gone. */
void change_end(struct change *c, unsigned removed);

/* Put a table of smaller pages, locked, in the place of a page: the same translations. */
void split_page(struct change *c, pte_t *slot, unsigned level, vaddr_t va);

/* --- Filling (map.c) ------------------------------------------------------ */

/* Store n entries, the first one e, each with the next piece of memory of 'step' bytes. */
void fill_slots(pte_t *slot, unsigned n, uint64_t e, uint64_t step);

/* Reserve a range of which nothing is mapped or reserved: all of it gets the state, in as few
 * entries as there can be. errors: as paging_map */
mm_status_t paging_reserve(struct space *space, vaddr_t va, uint64_t npages, pte_t state) MUST_USE;

/* The state at va. errors: MM_NOTFOUND (mapped, or nothing), MM_RANGE */
mm_status_t paging_reserved(struct space *space, vaddr_t va, pte_t *out) MUST_USE;

#endif
