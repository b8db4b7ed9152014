/* Owns: nothing; changing what pages are used for, and the notes that CPUs make in their entries.
 * Relies on: change.c. Stage: "frames". */
#include "range.h"

struct protection {
    struct change change;
    uint64_t attributes[LEVEL_PDPT + 1];
};

/* Set all bits of a page's entry but its address and what the CPU notes, at any time. */
static void set_page(struct protection *w, pte_t *slot, unsigned level, vaddr_t va)
{
    pte_t old, new;
    do {
        old = pte_read(slot);
        new.raw = w->attributes[level] | pte_page(old, level).v | (old.raw & PTE_USED);
    } while (new.raw != old.raw && !pte_replace(slot, old, new));
    if (new.raw != old.raw)
        tlb_batch_add(&w->change.stale, va, level_bytes(level));
}

static void set_pages(struct protection *w, pte_t *table, unsigned level, struct part p,
                      vaddr_t base)
{
    unsigned end = part_end(p, level);
    for (unsigned i = part_first(p, level); i < end; i++) {
        vaddr_t va = slot_va(base, i, level);
        struct part inside = part_in(p, i, level);
        if (pte_is_page(pte_read(&table[i]), level)) {
            if (part_is_all(inside, level)) {
                set_page(w, &table[i], level, va);
                continue;
            }
            split_page(&w->change, &table[i], level, va);
        }
        set_pages(w, child_of(pte_read(&table[i])), level - 1, inside, va);
    }
}

mm_status_t paging_protect(struct space *space, vaddr_t va, uint64_t npages, prot_t prot,
                           cache_t cache)
{
    mm_status_t status = check_range(space, va, npages);
    if (status == MM_OK)
        status = check_attributes(space, va, prot, cache);
    if (status != MM_OK)
        return status;
    struct protection w;
    w.change.mapped_only = true;
    for (unsigned level = LEVEL_PT; level <= LEVEL_PDPT; level++)
        w.attributes[level] = pte_attributes(prot, cache, level);
    status = change_begin(&w.change, space, va, npages, HOLD_SMALLEST);
    if (status != MM_OK)
        return status;
    const struct hold *h = &w.change.hold;
    set_pages(&w, hold_table(h), h->level, h->part, h->base);
    change_end(&w.change, 0);
    return MM_OK;
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
    c.mapped_only = false;
    status = change_begin(&c, space, va, npages, HOLD_SMALLEST);
    if (status != MM_OK)
        return status;
    const struct hold *h = &c.hold;
    uint64_t found =
        clear_used(&c, hold_table(h), h->level, h->part, h->base, pte_used_bits(which));
    change_end(&c, 0);
    *out = pte_used((pte_t){found});
    return MM_OK;
}
