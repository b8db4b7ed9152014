/* Owns: nothing; folding tables of alike pages back into one page. Relies on: change.c.
 * Stage: "frames". */
#include "range.h"

#define FOLDED_MAX 32

/* A table whose place a page has taken, and which CPUs may still walk: what they note in its
 * entries until they have forgotten it belongs to the page. */
struct folded {
    pte_t *slot;
    pte_t was;
};

struct merge {
    struct change change;
    unsigned count;
    struct folded folded[FOLDED_MAX];
};

static uint64_t used_in(const pte_t *table)
{
    uint64_t used = 0;
    for (unsigned i = 0; i < TABLE_SLOTS; i++)
        used |= __atomic_load_n(&table[i].raw, __ATOMIC_RELAXED);
    return used & PTE_USED;
}

/* In the order in which they were folded: a page may have gone into a larger one since. */
static void free_folded(struct merge *m)
{
    if (m->count == 0)
        return;
    tlb_batch_add_all(&m->change.stale);
    m->change.tables_leave = true;
    change_flush(&m->change);
    for (unsigned i = 0; i < m->count; i++) {
        const struct folded *f = &m->folded[i];
        uint64_t used = used_in(child_of(f->was));
        __atomic_fetch_or(&f->slot->raw, used, __ATOMIC_RELAXED);
        bin_add(&m->change.bin, pte_table(f->was));
    }
    m->count = 0;
}

/* True if the table, whose entries are of this level, holds what one page of the next could. Frames
 * that are owned, or shared one by one, stay so. */
static bool is_like_one_page(pte_t e, unsigned level)
{
    const pte_t *table = child_of(e);
    uint64_t first = pte_read(&table[0]).raw & ~PTE_USED;
    if (!table_is_full(e) || !pte_is_page((pte_t){first}, level) ||
        (first & (PTE_OWNED | PTE_COPY)) != 0 ||
        !pa_aligned(pte_page((pte_t){first}, level), level_bytes(level + 1)))
        return false;
    for (unsigned i = 1; i < TABLE_SLOTS; i++)
        if ((pte_read(&table[i]).raw & ~PTE_USED) != first + i * level_bytes(level))
            return false;
    return true;
}

static void fold(struct merge *m, pte_t *table, unsigned level, struct part p)
{
    if (level == LEVEL_PT)
        return;
    unsigned end = part_end(p, level);
    for (unsigned i = part_first(p, level); i < end; i++) {
        pte_t e = pte_read(&table[i]);
        struct part inside = part_in(p, i, level);
        if (!pte_is_table(e, level))
            continue;
        fold(m, child_of(e), level - 1, inside);
        if (!part_is_all(inside, level) || level > largest_page_level() ||
            !is_like_one_page(e, level - 1))
            continue;
        if (m->count == FOLDED_MAX)
            free_folded(m);
        pte_t first = pte_read(child_of(e));
        uint64_t page = pte_attributes_at(first, level - 1, level) | pte_page(first, level - 1).v;
        pte_write(&table[i], (pte_t){page | used_in(child_of(e))});
        m->folded[m->count++] = (struct folded){&table[i], e};
    }
}

mm_status_t paging_merge(struct space *space, vaddr_t va, uint64_t npages, uint64_t *out)
{
    mm_status_t status = check_range(space, va, npages);
    if (status != MM_OK)
        return status;
    struct merge m;
    m.count = 0;
    status = change_begin(&m.change, space, va, npages, HOLD_LARGER, KINDS_ALL, 0, NULL);
    if (status != MM_OK)
        return status;
    const struct hold *h = &m.change.hold;
    fold(&m, hold_table(h), h->level, h->part);
    free_folded(&m);
    *out = m.change.bin.total;
    m.change.tables_leave = false;
    change_end(&m.change, 0);
    return MM_OK;
}
