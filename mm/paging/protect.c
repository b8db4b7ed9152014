/* Owns: nothing; changing what pages are used for, and the notes in their entries, ours and those of
 * CPUs. Relies on: change.c. Stage: "frames". */
#include "range.h"

/* What stays of an entry, and what comes. Of a page's by level; PROT_WRITE as meant is in the place of
 * what the CPU may do, until the end. */
struct amendment {
    struct change change;
    uint64_t keep[LEVEL_PDPT + 1], add[LEVEL_PDPT + 1];
    uint64_t keep_state, add_state;
};

/* What the page's entry becomes. */
static inline pte_t amended(pte_t page, uint64_t keep, uint64_t add)
{
    uint64_t meant = (page.raw & PTE_MEANT) != 0 ? PTE_MEANT | PTE_WRITABLE : 0;
    uint64_t raw = ((page.raw ^ meant) & keep) | add;
    bool both = (raw & PTE_COPY) != 0 && (raw & PTE_WRITABLE) != 0;
    return (pte_t){both ? raw ^ (PTE_MEANT | PTE_WRITABLE) : raw};
}

/* The CPU has nothing more to note in the page: its entry is ours alone. */
static inline bool is_settled(pte_t page)
{
    return (page.raw & PTE_ACCESSED) != 0 &&
           ((page.raw & PTE_DIRTY) != 0 || (page.raw & PTE_WRITABLE) == 0);
}

/* Amend the pages at the beginning of n slots, and say how many they are. Else, the CPU may note
 * something in an entry at any time. */
static unsigned amend_pages(struct amendment *w, pte_t *slot, unsigned n, unsigned level,
                            vaddr_t va)
{
    const uint64_t keep = w->keep[level], add = w->add[level];
    const uint64_t bytes = level_bytes(level);
    unsigned i, changed = 0; /* pages before i that CPUs may have cached as they were */
    for (i = 0; i < n; i++) {
        pte_t old = pte_read(&slot[i]), new = amended(old, keep, add);
        if (!pte_is_page(old, level))
            break;
        if (is_settled(old))
            pte_write(&slot[i], new);
        while (!is_settled(old) && new.raw != old.raw && !pte_replace(&slot[i], old, new)) {
            old = pte_read(&slot[i]);
            new = amended(old, keep, add);
        }
        if (((new.raw ^ old.raw) & ~(PTE_NOTES | PTE_MEANT)) != 0) {
            changed++;
            continue;
        }
        tlb_batch_add_pages(&w->change.stale, va_add(va, (i - changed) * bytes), changed, bytes);
        changed = 0;
    }
    tlb_batch_add_pages(&w->change.stale, va_add(va, (i - changed) * bytes), changed, bytes);
    return i;
}

static void amend(struct amendment *w, pte_t *table, unsigned level, struct part p, vaddr_t base)
{
    unsigned end = part_end(p, level);
    for (unsigned i = part_first(p, level); i < end; i++) {
        vaddr_t va = slot_va(base, i, level);
        unsigned all = part_slots(p, i, level);
        pte_t e = pte_read(&table[i]);
        if (!pte_is_table(e, level)) {
            if ((KIND(pte_kind(e)) & w->change.cut) == 0)
                continue;
            if (all > 0 && pte_present(e)) {
                i += amend_pages(w, &table[i], all, level, va) - 1;
                continue;
            }
            if (all > 0) {
                pte_write(&table[i], (pte_t){(e.raw & w->keep_state) | w->add_state});
                continue;
            }
            split_entry(&w->change, &table[i], level, va);
        }
        amend(w, child_of(pte_read(&table[i])), level - 1, part_in(p, i, level), va);
        if (w->change.flags != 0)
            table_add(&table[i], 0, w->change.flags);
    }
}

/* over: what may be there; in: what is amended of it. */
static mm_status_t run(struct amendment *w, struct space *space, vaddr_t va, uint64_t npages,
                       unsigned over, unsigned in, uint64_t flags)
{
    mm_status_t status = change_begin(&w->change, space, va, npages, HOLD_SMALLEST, over, in, NULL);
    if (status != MM_OK)
        return status;
    w->change.flags = flags;
    const struct hold *h = &w->change.hold;
    amend(w, hold_table(h), h->level, h->part, h->base);
    change_end(&w->change, 0);
    return MM_OK;
}

/* cache: NULL if it stays. */
static mm_status_t set_prot(struct space *space, vaddr_t va, uint64_t npages, unsigned over,
                            prot_t prot, const cache_t *cache)
{
    mm_status_t status = check_range(space, va, npages);
    if (status == MM_OK)
        status = (prot & PROT_NOTES) != 0
                     ? MM_INVAL
                     : check_attributes(space, va, prot, cache != NULL ? *cache : CACHE_WB);
    if (status != MM_OK)
        return status;
    struct amendment w;
    for (unsigned level = LEVEL_PT; level <= LEVEL_PDPT; level++) {
        w.keep[level] = PTE_USED | PTE_NOTES | (PTE_ADDRESS & ~(level_bytes(level) - 1));
        w.keep[level] |= cache != NULL ? 0 : PTE_PWT | PTE_PCD | pte_pat_bit(level);
        w.add[level] = pte_attributes(prot, cache != NULL ? *cache : CACHE_WB, level);
    }
    w.keep_state = ~STATE_PROT | state_prot_bits(PROT_NOTES);
    w.add_state = state_prot_bits(prot);
    return run(&w, space, va, npages, over, over & ~KIND(ENTRY_EMPTY), 0);
}

mm_status_t paging_protect(struct space *space, vaddr_t va, uint64_t npages, prot_t prot,
                           cache_t cache)
{
    return set_prot(space, va, npages, KIND(ENTRY_PAGE), prot, &cache);
}

mm_status_t paging_set_prot(struct space *space, vaddr_t va, uint64_t npages, unsigned over,
                            prot_t prot)
{
    mm_status_t status = set_prot(space, va, npages, over, prot, NULL);
    return status == MM_NOTFOUND ? MM_EXISTS : status;
}

mm_status_t paging_note(struct space *space, vaddr_t va, uint64_t npages, unsigned in, prot_t set,
                        prot_t clear)
{
    mm_status_t status = check_range(space, va, npages);
    bool owned = (set & PROT_OWNED) != 0;
    if (((set | clear) & ~PROT_NOTES) != 0 || (owned && space->hooks == NULL))
        return MM_INVAL;
    if (status != MM_OK)
        return status;
    struct amendment w;
    for (unsigned level = LEVEL_PT; level <= LEVEL_PDPT; level++) {
        w.keep[level] = ~(uint64_t)(clear >> PTE_NOTES_SHIFT);
        w.add[level] = set >> PTE_NOTES_SHIFT;
    }
    w.keep_state = ~state_prot_bits(clear);
    w.add_state = state_prot_bits(set);
    return run(&w, space, va, npages, KINDS_ALL, in & ~KIND(ENTRY_EMPTY), owned ? TABLE_OWNED : 0);
}

/* --- What CPUs have noted ------------------------------------------------- */

/* Clear these bits in every page that the part touches. Returns those that were set. */
static uint64_t clear_used(struct change *c, pte_t *table, unsigned level, struct part p,
                           vaddr_t base, uint64_t bits)
{
    uint64_t found = 0;
    unsigned end = part_end(p, level);
    for (unsigned i = part_first(p, level); i < end; i++) {
        vaddr_t va = slot_va(base, i, level);
        pte_t e = pte_read(&table[i]);
        if (pte_is_table(e, level)) {
            found |= clear_used(c, child_of(e), level - 1, part_in(p, i, level), va, bits);
        } else if (pte_present(e) && (e.raw & bits) != 0) {
            found |= __atomic_fetch_and(&table[i].raw, ~bits, __ATOMIC_ACQ_REL) & bits;
            tlb_batch_add(&c->stale, va, level_bytes(level));
        }
    }
    return found;
}

mm_status_t paging_clear_used(struct space *space, vaddr_t va, uint64_t npages, unsigned which,
                              unsigned *out)
{
    mm_status_t status = check_range(space, va, npages);
    if (status == MM_OK && (which == 0 || (which & ~(USED_ACCESSED | USED_DIRTY)) != 0))
        status = MM_INVAL;
    if (status != MM_OK)
        return status;
    struct change c;
    status = change_begin(&c, space, va, npages, HOLD_SMALLEST, KINDS_ALL, 0, NULL);
    if (status != MM_OK)
        return status;
    const struct hold *h = &c.hold;
    uint64_t found =
        clear_used(&c, hold_table(h), h->level, h->part, h->base, pte_used_bits(which));
    change_end(&c, 0);
    *out = pte_used((pte_t){found});
    return MM_OK;
}
