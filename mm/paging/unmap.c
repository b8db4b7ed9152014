/* Owns: nothing; unmapping. Relies on: change.c. Stage: "frames". */
#include "range.h"

static unsigned clear(struct change *c, pte_t *table, unsigned level, struct part p, vaddr_t base);

/* The table goes out of the tree, with all below it. Its entry says where it is until all have
 * forgotten it; then let_go frees it. */
static void unhook(struct change *c, pte_t *slot, vaddr_t va)
{
    pte_t e = pte_read(slot);
    pte_write(slot, (pte_t){(e.raw & PTE_ADDRESS) | TABLE_LEAVING});
    c->leaving = true;
    if (tlb_batch_is_empty(&c->stale)) /* CPUs cache tables, too */
        tlb_batch_add(&c->stale, va, PAGE_BYTES);
}

/* A slot that is not cleared as a whole. Returns 1 if it is, nevertheless. */
static unsigned clear_some(struct change *c, pte_t *slot, unsigned level, struct part inside,
                           vaddr_t va)
{
    if (pte_is_page(pte_read(slot), level))
        split_page(c, slot, level, va);
    pte_t e = pte_read(slot);
    unsigned removed = clear(c, child_of(e), level - 1, inside, va);
    if (removed == table_count(e)) {
        unhook(c, slot, va);
        return 1;
    }
    table_add_count(slot, -(int64_t)removed);
    return 0;
}

/* Clear the part, all of which is mapped. Returns how many slots are empty or about to be. */
static unsigned clear(struct change *c, pte_t *table, unsigned level, struct part p, vaddr_t base)
{
    unsigned first = part_first(p, level), end = part_end(p, level), removed = 0;
    for (unsigned i = first; i < end; i++) {
        vaddr_t va = slot_va(base, i, level);
        struct part inside = part_in(p, i, level);
        if (!part_is_all(inside, level)) {
            removed += clear_some(c, &table[i], level, inside, va);
            continue;
        }
        if (pte_is_page(pte_read(&table[i]), level)) {
            tlb_batch_add(&c->stale, va, level_bytes(level));
            pte_write(&table[i], (pte_t){0});
        } else {
            tlb_batch_add_all(&c->stale); /* it has 512 translations, or more */
            unhook(c, &table[i], va);
        }
        removed++;
    }
    return removed;
}

mm_status_t paging_unmap(struct space *space, vaddr_t va, uint64_t npages)
{
    mm_status_t status = check_range(space, va, npages);
    if (status != MM_OK)
        return status;
    struct change c;
    c.mapped_only = true;
    status = change_begin(&c, space, va, npages, HOLD_NOT_EMPTIED);
    if (status != MM_OK)
        return status;
    const struct hold *h = &c.hold;
    unsigned removed = clear(&c, hold_table(h), h->level, h->part, h->base);
    change_end(&c, removed);
    return MM_OK;
}
