/* Owns: nothing; putting pages in the place of what has been looked at before, as a page fault does.
 * Relies on: change.c. Stage: "frames". */
#include "range.h"

/* Hold the table with the entry for a range that lies in one entry of the level, or has several of the
 * smallest: the entry is of this level, or a larger page or state. Returns the first. */
static pte_t *hold_entry(struct change *c, struct space *space, vaddr_t va, uint64_t npages,
                         enum hold_rule rule, unsigned level)
{
    const struct hold *h = &c->hold;
    change_start(c, space);
    for (;;) {
        hold_range(space, va, npages, rule, &c->hold);
        pte_t *slot = hold_table(h) + part_first(h->part, h->level);
        if (h->level <= level || !pte_is_table(pte_read(slot), h->level))
            return slot;
        hold_release(h, 0, 0); /* a table has come there meanwhile */
    }
}

/* Split it down to the level, with the frames that have been got for that. The table that has the
 * entry will have some of what the flags tell. */
static pte_t *split_down(struct change *c, pte_t *slot, unsigned level, vaddr_t va)
{
    for (unsigned from = c->hold.level; from > level; from--) {
        split_entry(c, slot, from, va);
        if (from == level + 1)
            table_add(slot, 0, c->flags);
        slot = child_of(pte_read(slot)) + level_slot(va, from - 1);
    }
    c->locked = UINT64_MAX; /* what splitting adds */
    return slot;
}

/* --- One page --------------------------------------------------------------- */

static bool is_expected(pte_t e, unsigned level, vaddr_t va, const struct mapping *x)
{
    if (pte_is_table(e, level) || pte_kind(e) != x->kind)
        return false;
    if (x->kind != ENTRY_PAGE)
        return state_value(e) == x->value && state_prot(e) == x->prot && state_cache(e) == x->cache;
    uint64_t inside = va.v & (level_bytes(level) - 1);
    return pte_prot(e) == x->prot &&
           pa_eq(pa_add(pte_page(e, level), inside), pa_add(x->pa, va_diff(x->va, va)));
}

/* True if what a CPU may have cached of a page allows nothing that the new entry does not. It faults
 * where it allows less, and a CPU forgets what it has faulted on. */
static bool only_allows_more(pte_t old, pte_t new)
{
    uint64_t changed = (old.raw ^ new.raw) & ~(PTE_USED | PTE_NOTES | PTE_MEANT);
    return changed == 0 || (changed == PTE_WRITABLE && (new.raw &PTE_WRITABLE) != 0);
}

/* What CPUs have noted stays with the frame. */
static void store(struct change *c, pte_t *slot, pte_t new, unsigned level, vaddr_t va)
{
    pte_t old, e;
    do {
        old = pte_read(slot);
        bool same = pte_present(old) && pa_eq(pte_page(old, level), pte_page(new, level));
        e.raw = new.raw | (same ? old.raw & PTE_USED : 0);
    } while (!pte_replace(slot, old, e));
    if (pte_present(old) && !only_allows_more(old, e))
        tlb_batch_add(&c->stale, va, level_bytes(level));
}

static mm_status_t check_exchange(const struct space *space, vaddr_t va, uint64_t page_bytes,
                                  const struct mapping *expected, paddr_t pa, prot_t prot,
                                  cache_t cache)
{
    if ((page_bytes != PAGE_BYTES && page_bytes != HUGE_2M) || !va_aligned(va, page_bytes) ||
        !pa_aligned(pa, page_bytes) || expected->kind == ENTRY_EMPTY || expected->kind > ENTRY_PAGE)
        return MM_INVAL;
    mm_status_t status = check_range(space, va, page_bytes / PAGE_BYTES);
    if (status == MM_OK)
        status = check_attributes(space, va, prot, cache);
    return status == MM_OK ? check_physical(pa, page_bytes / PAGE_BYTES) : status;
}

mm_status_t paging_exchange(struct space *space, vaddr_t va, uint64_t page_bytes,
                            const struct mapping *expected, paddr_t pa, prot_t prot, cache_t cache,
                            bool (*confirm)(void *), void *argument)
{
    mm_status_t status = check_exchange(space, va, page_bytes, expected, pa, prot, cache);
    if (status != MM_OK)
        return status;
    unsigned level = page_bytes == PAGE_BYTES ? LEVEL_PT : LEVEL_PD;
    struct change c;
    pte_t *slot = hold_entry(&c, space, va, page_bytes / PAGE_BYTES, HOLD_LARGER, level);
    status = MM_NOTFOUND;
    if (is_expected(pte_read(slot), c.hold.level, va, expected))
        status = pool_fill(&c.pool, c.hold.level - level);
    if (status == MM_OK && confirm != NULL && !confirm(argument)) {
        pool_empty(&c.pool);
        status = MM_NOTFOUND;
    }
    if (status != MM_OK) {
        change_cancel(&c);
        return status;
    }
    c.flags = (prot & PROT_OWNED) != 0 ? TABLE_OWNED : 0;
    slot = split_down(&c, slot, level, va);
    store(&c, slot, (pte_t){pte_attributes(prot, cache, level) | pa.v}, level, va);
    change_end(&c, 0);
    return MM_OK;
}

/* --- Several ------------------------------------------------------------------ */

static uint64_t fill(pte_t *slot, uint64_t npages, unsigned kind, prot_t notes,
                     const paddr_t *frames)
{
    uint64_t used = 0, attributes = 0;
    pte_t state = {0};
    for (uint64_t i = 0; i < npages; i++) {
        pte_t e = pte_read(&slot[i]);
        if (pte_kind(e) != kind)
            continue;
        if (e.raw != state.raw) /* mostly they all say the same */
            attributes = pte_attributes(state_prot(e) | notes, state_cache(e), LEVEL_PT);
        state = e;
        pte_write(&slot[i], (pte_t){attributes | frames[used++].v});
    }
    return used;
}

mm_status_t paging_fill(struct space *space, vaddr_t va, uint64_t npages, unsigned kind,
                        prot_t notes, const paddr_t *frames, uint64_t *out)
{
    mm_status_t status = check_range(space, va, npages);
    if (kind == ENTRY_EMPTY || kind > ENTRY_STATES || (notes & ~PROT_NOTES) != 0 ||
        ((notes & PROT_OWNED) != 0 && space->hooks == NULL))
        return MM_INVAL;
    if (status == MM_OK && chunks_touched(va.v, va.v + npages * PAGE_BYTES, HUGE_2M) > 1)
        status = MM_INVAL;
    for (uint64_t i = 0; status == MM_OK && i < npages; i++)
        status = check_physical(frames[i], 1);
    if (status != MM_OK)
        return status;

    struct change c;
    uint64_t used = 0;
    pte_t *slot = hold_entry(&c, space, va, npages, HOLD_SMALLEST, LEVEL_PT);
    bool any = c.hold.level == LEVEL_PT || pte_kind(pte_read(slot)) == kind;
    status = pool_fill(&c.pool, any ? c.hold.level - LEVEL_PT : 0);
    if (!any || status != MM_OK) {
        change_cancel(&c);
    } else {
        c.flags = space->hooks != NULL ? TABLE_OWNED : 0; /* the states may say so, too */
        used = fill(split_down(&c, slot, LEVEL_PT, va), npages, kind, notes, frames);
        change_end(&c, 0);
    }
    if (status == MM_OK)
        *out = used;
    return status;
}
