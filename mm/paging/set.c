/* Owns: nothing; putting a state, or nothing, in the place of what a range has: unmapping, too.
 * Relies on: change.c. Stage: "frames". */
#include "range.h"

static int64_t replace(struct change *c, pte_t *table, unsigned level, struct part p, vaddr_t base);

/* The table goes out of the tree, with all below it. Its entry says where it is until all have
 * forgotten it; then let_go frees it. */
static void unhook(struct change *c, pte_t *slot, vaddr_t va)
{
    pte_write(slot, pte_leave(pte_read(slot)));
    c->tables_leave = true;
    if (tlb_batch_is_empty(&c->stale)) /* CPUs cache tables, too */
        tlb_batch_add(&c->stale, va, PAGE_BYTES);
}

/* A slot of which only a part is replaced, or whose table stays. Returns how many more are in use. */
static int64_t replace_some(struct change *c, pte_t *slot, unsigned level, struct part inside,
                            vaddr_t va)
{
    pte_t before = pte_read(slot);
    if (!pte_is_table(before, level)) {
        if ((KIND(pte_kind(before)) & c->cut) == 0)
            return 0; /* nothing in the place of nothing */
        split_entry(c, slot, level, va);
    }
    pte_t e = pte_read(slot);
    int64_t added = replace(c, child_of(e), level - 1, inside, va);
    if (table_count(e) + added == 0 && (e.raw & TABLE_PINNED) == 0) {
        unhook(c, slot, va);
        return -1;
    }
    table_add(slot, added, c->flags);
    return before.raw == 0;
}

/* A slot all of which is replaced, but for a page that nobody owns. */
static int64_t replace_all(struct change *c, pte_t *slot, unsigned level, vaddr_t va)
{
    pte_t e = pte_read(slot);
    if (pte_is_table(e, level)) {
        tlb_batch_add_all(&c->stale); /* it has 512 translations, or more */
        unhook(c, slot, va);
    } else if (pte_is_owned(e)) {
        tlb_batch_add(&c->stale, va, level_bytes(level));
        pte_write(slot, pte_leave(e));
        c->pages_leave = true;
    } else {
        pte_write(slot, c->final);
    }
    return (c->final.raw != 0) - (e.raw != 0);
}

/* Pages that nobody owns: they need not be remembered. */
static int64_t replace_pages(struct change *c, pte_t *slot, unsigned n, unsigned level, vaddr_t va)
{
    tlb_batch_add_pages(&c->stale, va, n, level_bytes(level));
    fill_slots(slot, n, c->final.raw, 0);
    return c->final.raw != 0 ? 0 : -(int64_t)n;
}

static int64_t replace(struct change *c, pte_t *table, unsigned level, struct part p, vaddr_t base)
{
    unsigned end = part_end(p, level);
    int64_t added = 0;
    for (unsigned i = part_first(p, level); i < end; i++) {
        vaddr_t va = slot_va(base, i, level);
        pte_t e = pte_read(&table[i]);
        unsigned all = part_slots(p, i, level), n;
        bool stays = pte_is_table(e, level) && (e.raw & TABLE_PINNED) != 0;
        if (all == 0 || stays) {
            added += replace_some(c, &table[i], level, part_in(p, i, level), va);
        } else if (pte_is_page(e, level) && !pte_is_owned(e)) {
            n = all == 1 ? 1 : 1 + pages_in_a_row(&table[i + 1], all - 1, level, PTE_OWNED);
            added += replace_pages(c, &table[i], n, level, va);
            i += n - 1;
        } else {
            added += replace_all(c, &table[i], level, va);
        }
    }
    return added;
}

/* like: NULL, or what all must be like. */
static mm_status_t run(struct space *space, vaddr_t va, uint64_t npages, unsigned over, pte_t final,
                       const struct page_state *like)
{
    struct change c;
    bool state = final.raw != 0;
    unsigned cut = state ? KINDS_ALL : KINDS_ALL & ~KIND(ENTRY_EMPTY);
    mm_status_t status = change_begin(&c, space, va, npages, state ? HOLD_LARGER : HOLD_NOT_EMPTIED,
                                      over, cut, like);
    if (status != MM_OK)
        return status;
    const struct hold *h = &c.hold;
    if (state && space->sealed && hold_is_sealed(h)) {
        pool_empty(&c.pool);
        change_cancel(&c);
        return MM_RANGE;
    }
    c.final = final;
    c.flags = state ? TABLE_STATES : 0;
    change_end(&c, replace(&c, hold_table(h), h->level, h->part, h->base));
    return MM_OK;
}

mm_status_t paging_unmap(struct space *space, vaddr_t va, uint64_t npages)
{
    mm_status_t status = check_range(space, va, npages);
    return status != MM_OK ? status : run(space, va, npages, KIND(ENTRY_PAGE), (pte_t){0}, NULL);
}

mm_status_t paging_set(struct space *space, vaddr_t va, uint64_t npages, unsigned over,
                       const struct page_state *state)
{
    mm_status_t status = check_range(space, va, npages);
    if (status == MM_OK)
        status = check_state(space, va, state);
    if (status == MM_OK)
        status = run(space, va, npages, over, state_make(state),
                     (over & KINDS_ALIKE) != 0 ? state : NULL);
    return status == MM_NOTFOUND ? MM_EXISTS : status;
}
