/* What one paging operation makes stale: gathered while the tables change, flushed once at the end.
 * Ranges count translations, not 4 KiB pages: a 2 MiB page is one. */
#ifndef QL_MM_TLB_H
#define QL_MM_TLB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "mm/addr.h"

#define TLB_BATCH_RANGES 4

struct tlb_range {
    vaddr_t va;
    uint64_t count;      /* of pages, */
    uint64_t page_bytes; /* which are this large and follow each other */
};

struct tlb_batch {
    paddr_t root;   /* of the space whose translations these are */
    bool whole;     /* forget everything, global translations too; ranges then say nothing */
    unsigned count; /* of ranges */
    uint64_t pages; /* in all ranges: at most CONFIG_TLB_FLUSH_PAGES */
    struct tlb_range ranges[TLB_BATCH_RANGES];
};

/* Nothing yet. */
static inline void tlb_batch_start(struct tlb_batch *batch)
{
    batch->whole = false;
    batch->count = 0;
    batch->pages = 0;
}

/* Too much for single flushes, or not known in detail. */
static inline void tlb_batch_add_all(struct tlb_batch *batch)
{
    batch->whole = true;
}

static inline bool tlb_batch_is_empty(const struct tlb_batch *batch)
{
    return !batch->whole && batch->count == 0;
}

/* So many pages more, one behind the other, whose translations have changed. */
static inline void tlb_batch_add_pages(struct tlb_batch *batch, vaddr_t va, uint64_t count,
                                       uint64_t page_bytes)
{
    if (batch->whole || count == 0)
        return;
    struct tlb_range *last = batch->count > 0 ? &batch->ranges[batch->count - 1] : NULL;
    bool follows = last != NULL && last->page_bytes == page_bytes &&
                   va_eq(va_add(last->va, last->count * page_bytes), va);
    batch->pages += count;
    if (batch->pages > CONFIG_TLB_FLUSH_PAGES || (!follows && batch->count == TLB_BATCH_RANGES))
        tlb_batch_add_all(batch);
    else if (follows)
        last->count += count;
    else
        batch->ranges[batch->count++] = (struct tlb_range){va, count, page_bytes};
}

static inline void tlb_batch_add(struct tlb_batch *batch, vaddr_t va, uint64_t page_bytes)
{
    tlb_batch_add_pages(batch, va, 1, page_bytes);
}

#endif
