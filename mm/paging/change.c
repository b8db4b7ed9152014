/* Owns: nothing; what an operation on a range begins and ends with.
 * Relies on: locks.h, pool.h, the port for the TLBs. Stage: "frames".
 *
 * Whole or not at all: locks and looks at all of the range, then gets every frame that splitting
 * takes, and only then are entries changed. Other CPUs walk the tables meanwhile, without a lock:
 * each entry is stored at once. What goes stale is gathered and forgotten by all at the end, still
 * under the locks: who finds the new entries must not find an old translation beside them. */
#include "mm/string.h"
#include "range.h"

/* --- Locking and looking -------------------------------------------------- */

/* True if the entry, none of a table, is what may be there. */
static inline bool suits(pte_t e, unsigned level, unsigned over, const struct page_state *like)
{
    unsigned kind = pte_kind(e);
    if ((KIND(kind) & over) == 0)
        return false;
    if (like == NULL)
        return true;
    bool page = kind == ENTRY_PAGE;
    prot_t had = page ? pte_prot(e) : state_prot(e), wanted = like->prot;
    if (page) /* what is left of it there */
        wanted = pte_prot((pte_t){pte_attributes(wanted, CACHE_WB, LEVEL_PT)});
    return ((had ^ wanted) & ~PROT_NOTES) == 0 &&
           (page ? pte_cache(e, level) : state_cache(e)) == like->cache;
}

/* True if the count and the flags are enough to say that the table has nothing but what may be there.
 * To that end a full table of pages need not be read. */
static inline bool suits_surely(const struct change *c, pte_t link)
{
    unsigned perhaps = KIND(ENTRY_PAGE);
    perhaps |= table_count(link) < TABLE_SLOTS ? KIND(ENTRY_EMPTY) : 0;
    perhaps |= (link.raw & TABLE_STATES) != 0 ? KINDS_STATE : 0;
    return (perhaps & ~c->over) == 0 && c->like == NULL;
}

static bool all_suit(const struct change *c, const pte_t *table, unsigned first, unsigned end)
{
    const unsigned over = c->over;
    const struct page_state *like = c->like;
    for (unsigned i = first; i < end; i++)
        if (!suits(pte_read(&table[i]), LEVEL_PT, over, like))
            return false;
    return true;
}

/* Tables that it takes to make the ends of the part borders of entries, in an entry of this level. */
static uint64_t splits_for(struct part p, unsigned level)
{
    uint64_t count = 0;
    for (unsigned size = LEVEL_PD; size <= level; size++)
        count += chunks_cut(p.a, p.b, level_pages(size));
    return count;
}

/* Lock the tables of the part, all of them: none can leave the tree while others hold one in it. And
 * see that there is only what may be. level: of the entries in the table that the link leads to. */
static bool look(struct change *c, pte_t link, unsigned level, struct part p)
{
    pte_t *table = child_of(link);
    unsigned first = part_first(p, level), end = part_end(p, level);
    if (level == LEVEL_PT)
        return suits_surely(c, link) || all_suit(c, table, first, end);
    bool skip_empty = (c->over & ~c->cut & KIND(ENTRY_EMPTY)) != 0;
    for (unsigned i = first; i < end; i++) {
        pte_t e = pte_read(&table[i]);
        if (e.raw == 0 && skip_empty)
            continue;
        if (pte_is_table(e, level)) {
            e = table_lock(&table[i]);
            c->locked++;
            bool surely = level == LEVEL_PD && suits_surely(c, e);
            if (!surely && !look(c, e, level - 1, part_in(p, i, level)))
                return false;
            continue;
        }
        if (!suits(e, level, c->over, c->like))
            return false;
        if ((KIND(pte_kind(e)) & c->cut) != 0 && part_slots(p, i, level) == 0)
            c->splits += splits_for(part_in(p, i, level), level);
        else if (pte_present(e) && c->like == NULL) /* so are those behind it */
            i += pages_in_a_row(&table[i + 1], part_slots(p, i + 1, level), level, 0);
    }
    return true;
}

/* Unlock what is locked, in the order in which it was, and free what leaves. */
static void let_go(struct change *c, pte_t link, unsigned level, struct part p)
{
    if (level == LEVEL_PT && (!c->pages_leave || (link.raw & TABLE_OWNED) == 0))
        return;
    pte_t *table = child_of(link);
    unsigned end = part_end(p, level);
    for (unsigned i = part_first(p, level); i < end && c->locked > 0; i++) {
        pte_t e = pte_read(&table[i]), before = pte_before(e);
        if (e.raw == 0)
            continue;
        if (pte_is_leaving(e)) {
            pte_write(&table[i], c->final);
            if (pte_is_table(before, level))
                bin_add_tree(&c->bin, before, level - 1);
            else
                bin_add_page(&c->bin, before, level);
        } else if (pte_is_table(e, level)) {
            c->locked--;
            let_go(c, e, level - 1, part_in(p, i, level));
            table_unlock(&table[i]);
        } else if (pte_present(e)) {
            i += pages_in_a_row(&table[i + 1], end - i - 1, level, 0);
        }
    }
}

void change_start(struct change *c, struct space *space)
{
    c->flags = c->splits = c->locked = 0;
    c->final.raw = 0;
    tlb_batch_start(&c->stale);
    c->tables_leave = c->pages_leave = false;
    bin_start(&c->bin, space);
}

void change_cancel(struct change *c)
{
    let_go(c, c->hold.seen, c->hold.level, c->hold.part);
    hold_release(&c->hold, 0, 0);
}

mm_status_t change_begin(struct change *c, struct space *space, vaddr_t va, uint64_t npages,
                         enum hold_rule rule, unsigned over, unsigned cut,
                         const struct page_state *like)
{
    change_start(c, space);
    hold_range(space, va, npages, rule, &c->hold);
    const struct hold *h = &c->hold;
    c->over = over;
    c->cut = cut;
    c->like = like;
    mm_status_t status = MM_NOTFOUND;
    if (look(c, h->seen, h->level, h->part))
        status = pool_fill(&c->pool, c->splits);
    if (status == MM_OK) {
        c->locked = UINT64_MAX; /* all of the range, with what splitting adds */
        return MM_OK;
    }
    change_cancel(c);
    return status;
}

/* --- Splitting ------------------------------------------------------------ */

/* The CPU may note something in the page until the very moment in which it is replaced. A TLB may have
 * cut the page into entries of its own, of which a flush of one address need not reach all. */
static void split_page(struct change *c, pte_t *slot, pte_t page, unsigned level, pte_t link)
{
    pte_t *table = child_of(link);
    uint64_t first = pte_attributes_at(page, level, level - 1) | pte_page(page, level).v;
    fill_slots(table, TABLE_SLOTS, first, level_bytes(level - 1));
    uint64_t old = __atomic_exchange_n(&slot->raw, link.raw, __ATOMIC_ACQ_REL);
    uint64_t late = (old ^ page.raw) & PTE_USED;
    for (unsigned i = 0; late != 0 && i < TABLE_SLOTS; i++)
        __atomic_fetch_or(&table[i].raw, late, __ATOMIC_RELAXED);
    tlb_batch_add_all(&c->stale);
}

void split_entry(struct change *c, pte_t *slot, unsigned level, vaddr_t va)
{
    pte_t e = pte_read(slot);
    paddr_t frame = pool_take(&c->pool);
    pte_t link = pte_make_table(frame, va, e.raw != 0 ? TABLE_SLOTS : 0);
    link.raw |= TABLE_LOCKED | (pte_is_owned(e) ? TABLE_OWNED : 0);
    if (pte_present(e)) {
        split_page(c, slot, e, level, link);
    } else {
        memset64(table_at(frame), e.raw, TABLE_SLOTS);
        link.raw |= e.raw != 0 ? TABLE_STATES : 0;
        pte_write(slot, link);
    }
    count_tables(c->hold.space, 1);
}

/* --- The end -------------------------------------------------------------- */

/* Who loads the space from now on is not in the set and finds the new entries: it puts itself into
 * the set before it walks them, and the fence keeps us from reading the set before we have written
 * them. */
void change_flush(struct change *c)
{
    struct space *space = c->hold.space;
    if (!tlb_batch_is_empty(&c->stale)) {
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        struct cpu_set cpus = cpu_set_copy(&space->cpus);
        c->stale.root = space->root;
        if (cpu_set_next(&cpus, 0) < CONFIG_CPUS_MAX)
            port_tlb_shootdown(&cpus, &c->stale);
        tlb_batch_start(&c->stale);
    }
    if (c->tables_leave)
        wait_for_walkers();
}

void change_end(struct change *c, int64_t added)
{
    const struct hold *h = &c->hold;
    change_flush(c);
    let_go(c, h->seen, h->level, h->part);
    bin_empty(&c->bin);
    count_tables(h->space, -c->bin.total);
    hold_release(h, added, c->flags);
}
