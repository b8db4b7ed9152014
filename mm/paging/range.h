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

/* errors: MM_INVAL, MM_DENIED */
mm_status_t check_state(const struct space *space, vaddr_t va, const struct page_state *state);

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
    unsigned over;                 /* kinds of which there may be entries in the range */
    unsigned cut;                  /* kinds that are split where the range ends in one */
    const struct page_state *like; /* NULL, or what they have the protection and memory type of */
    pte_t final;                   /* what takes the place of what is leaving */
    uint64_t flags;                /* TABLE_...: for tables that get new entries */
    uint64_t splits;               /* tables that splitting takes */
    uint64_t locked;               /* tables below the one that is held */
    struct pool pool;
    struct tlb_batch stale;
    struct bin bin;
    bool tables_leave; /* are out of the tree */
    bool pages_leave;  /* owned ones, in tables that stay */
};

/* Nothing is held yet. */
void change_start(struct change *c, struct space *space);

/* Hold the range, look at it and get what splitting takes. On failure nothing is held.
 * errors: MM_NOTFOUND (there is what may not be), MM_NOMEM */
mm_status_t change_begin(struct change *c, struct space *space, vaddr_t va, uint64_t npages,
                         enum hold_rule rule, unsigned over, unsigned cut,
                         const struct page_state *like);

/* Nothing has changed after all: let go of what has been locked. */
void change_cancel(struct change *c);

/* All CPUs forget what is stale. */
void change_flush(struct change *c);

/* Flush, free what has left the tree, and let go of everything. added: entries that the held table
 * has more now, or less. */
void change_end(struct change *c, int64_t added);

/* Put a table, locked, in the place of a page, of a state or of nothing, that says the same. */
void split_entry(struct change *c, pte_t *slot, unsigned level, vaddr_t va);

/* --- The kernel's half (space.c) ------------------------------------------ */

/* An entry of the kernel's root as user spaces have it: what only the CPU reads. */
pte_t user_copy(pte_t link);

/* --- Filling (map.c) ------------------------------------------------------ */

/* Store n entries, the first one e, each with the next piece of memory of 'step' bytes. */
void fill_slots(pte_t *slot, unsigned n, uint64_t e, uint64_t step);

#endif
