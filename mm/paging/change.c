/* Owns: nothing; what changing a mapped range begins and ends with.
 * Relies on: locks.h, pool.h, the port for the TLBs. Stage: "frames".
 *
 * Whole or not at all: locks and looks at all of the range, then gets every frame that splitting
 * takes, and only then are entries changed. Other CPUs walk the tables meanwhile, without a lock:
 * each entry is stored at once. What goes stale is gathered and forgotten by all at the end, still
 * under the locks: who finds the new entries must not find an old translation beside them. */
#include "range.h"

/* --- Locking and looking -------------------------------------------------- */

static bool all_present(const pte_t *table, unsigned first, unsigned end)
{
    uint64_t all = PTE_PRESENT;
    for (unsigned i = first; i < end; i++)
        all &= __atomic_load_n(&table[i].raw, __ATOMIC_RELAXED);
    return all != 0;
}

/* Tables that it takes to make the ends of the part borders of pages, in an entry of this level. */
static uint64_t splits_for(struct part p, unsigned level)
{
    uint64_t count = 0;
    for (unsigned size = LEVEL_PD; size <= level; size++)
        count += chunks_cut(p.a, p.b, level_pages(size));
    return count;
}

/* Lock the tables below one that lies in the range with all its entries, and see that those are
 * full, too: to that end a table of pages need not be read. */
static bool look_inside(struct change *c, pte_t *table, unsigned level)
{
    for (unsigned i = 0; i < TABLE_SLOTS; i++) {
        if (!pte_is_table(pte_read(&table[i]), level))
            continue;
        pte_t e = table_lock(&table[i]);
        c->locked++;
        if (!table_is_full(e) || (level > LEVEL_PD && !look_inside(c, child_of(e), level - 1)))
            return false;
    }
    return true;
}

/* Lock the tables of the part, and see that all is mapped if it must be. */
static bool look(struct change *c, pte_t *table, unsigned level, struct part p)
{
    unsigned first = part_first(p, level), end = part_end(p, level);
    if (level == LEVEL_PT)
        return !c->mapped_only || all_present(table, first, end);
    for (unsigned i = first; i < end; i++) {
        struct part inside = part_in(p, i, level);
        bool all = part_is_all(inside, level);
        pte_t e = pte_read(&table[i]);
        if (!pte_is_table(e, level)) {
            if (c->mapped_only && !pte_present(e))
                return false;
            if (pte_present(e) && !all)
                c->splits += splits_for(inside, level);
            continue;
        }
        e = table_lock(&table[i]);
        c->locked++;
        if (c->mapped_only && all) {
            if (!table_is_full(e) || (level > LEVEL_PD && !look_inside(c, child_of(e), level - 1)))
                return false;
        } else if (!look(c, child_of(e), level - 1, inside)) {
            return false;
        }
    }
    return true;
}

/* Unlock what is locked, in the order in which it was, and free what leaves the tree. */
static void let_go(struct change *c, pte_t *table, unsigned level, struct part p)
{
    if (level == LEVEL_PT)
        return;
    unsigned end = part_end(p, level);
    for (unsigned i = part_first(p, level); i < end && c->locked > 0; i++) {
        pte_t e = pte_read(&table[i]);
        if (pte_is_leaving(e)) {
            pte_write(&table[i], (pte_t){0});
            bin_add_tree(&c->bin, e, level - 1);
        } else if (pte_is_table(e, level)) {
            c->locked--;
            let_go(c, child_of(e), level - 1, part_in(p, i, level));
            table_unlock(&table[i]);
        }
    }
}

mm_status_t change_begin(struct change *c, struct space *space, vaddr_t va, uint64_t npages,
                         enum hold_rule rule)
{
    hold_range(space, va, npages, rule, &c->hold);
    const struct hold *h = &c->hold;
    c->splits = c->locked = c->bin.count = c->bin.total = 0;
    c->stale = (struct tlb_batch){0};
    c->leaving = false;
    mm_status_t status = MM_NOTFOUND;
    if (look(c, hold_table(h), h->level, h->part))
        status = pool_fill(&c->pool, c->mapped_only ? c->splits : 0);
    if (status == MM_OK) {
        c->locked = UINT64_MAX; /* all of the range, with what splitting adds */
        /* A TLB may have cut a large page into entries of its own, of which a flush of one address
         * need not reach all once the page is split. */
        if (c->mapped_only && c->splits > 0)
            tlb_batch_add_all(&c->stale);
        return MM_OK;
    }
    let_go(c, hold_table(h), h->level, h->part);
    hold_release(h, 0, 0);
    return status;
}

/* --- Splitting ------------------------------------------------------------ */

/* The CPU may note something in the page until the very moment in which it is replaced. */
void split_page(struct change *c, pte_t *slot, unsigned level, vaddr_t va)
{
    paddr_t frame = pool_take(&c->pool);
    pte_t *table = table_at(frame), page = pte_read(slot);
    uint64_t first = pte_attributes_at(page, level, level - 1) | pte_page(page, level).v;
    fill_slots(table, TABLE_SLOTS, first, level_bytes(level - 1));
    pte_t e = pte_make_table(frame, va, TABLE_SLOTS);
    uint64_t old = __atomic_exchange_n(&slot->raw, e.raw | TABLE_LOCKED, __ATOMIC_ACQ_REL);
    uint64_t late = (old ^ page.raw) & PTE_USED;
    for (unsigned i = 0; late != 0 && i < TABLE_SLOTS; i++)
        __atomic_fetch_or(&table[i].raw, late, __ATOMIC_RELAXED);
    count_tables(c->hold.space, 1);
}

/* --- The end -------------------------------------------------------------- */

/* Who loads the space from now on is not in the set and finds the new entries: it puts itself into
 * the set before it walks them, and the fence keeps us from reading the set before we have written
 * them. */
void change_flush(struct change *c)
{
    struct space *space = c->hold.space;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    struct cpu_set cpus = cpu_set_copy(&space->cpus);
    c->stale.root = space->root;
    if (!tlb_batch_is_empty(&c->stale) && cpu_set_next(&cpus, 0) < CONFIG_CPUS_MAX)
        port_tlb_shootdown(&cpus, &c->stale);
    c->stale = (struct tlb_batch){0};
    if (c->leaving)
        wait_for_walkers(space);
}

void change_end(struct change *c, unsigned removed)
{
    const struct hold *h = &c->hold;
    change_flush(c);
    let_go(c, hold_table(h), h->level, h->part);
    bin_empty(&c->bin);
    count_tables(h->space, -c->bin.total);
    hold_release(h, -(int64_t)removed, 0);
}
