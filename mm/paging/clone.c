/* Owns: nothing; copying the lower half of a space. Relies on: change.c. Stage: "frames".
 *
 * All of it is held from the beginning to the end. What can fail comes first: the frames for the tables,
 * then the sharing of what is owned. Nobody can see the copy before it is complete. */
#include "range.h"

struct clone {
    struct change change;
    const struct frame_hooks *hooks;
    struct run run;  /* owned frames of 4 KiB pages, not told yet */
    uint64_t shared; /* runs that the hooks know of */
    bool undo;       /* these go back */
};

/* --- Sharing -------------------------------------------------------------- */

/* False if there is no more to do. */
static bool tell(struct clone *w, paddr_t base, uint64_t nframes)
{
    if (w->undo ? w->shared == 0 : w->hooks->share(base, nframes) != MM_OK)
        return false;
    if (w->undo)
        w->hooks->release(base, nframes);
    w->shared += w->undo ? -1ull : 1;
    return true;
}

static bool tell_run(struct clone *w)
{
    struct run run = w->run;
    w->run.nframes = 0;
    return run.nframes == 0 || tell(w, run.base, run.nframes);
}

static bool tell_page(struct clone *w, pte_t page, unsigned level)
{
    paddr_t base = pte_page(page, level);
    if (level > LEVEL_PT)
        return tell_run(w) && tell(w, base, level_pages(level));
    if (run_add(&w->run, base))
        return true;
    bool more = tell_run(w);
    w->run = (struct run){base, 1};
    return more;
}

/* Tell the hooks of all that is owned, always in the same order and the same runs. */
static bool tell_all(struct clone *w, pte_t link, unsigned level, unsigned end)
{
    if (level == LEVEL_PT && (link.raw & TABLE_OWNED) == 0)
        return true;
    const pte_t *table = child_of(link);
    for (unsigned i = 0; i < end; i++) {
        pte_t e = pte_read(&table[i]);
        if (e.raw == 0)
            continue;
        if (pte_is_table(e, level) ? !tell_all(w, e, level - 1, TABLE_SLOTS)
                                   : pte_is_owned(e) && !tell_page(w, e, level))
            return false;
    }
    return true;
}

static mm_status_t share(struct clone *w, unsigned end)
{
    const struct hold *h = &w->change.hold;
    w->undo = false;
    w->shared = w->run.nframes = 0;
    if (tell_all(w, h->seen, h->level, end) && tell_run(w))
        return MM_OK;
    w->undo = true;
    w->run.nframes = 0;
    if (tell_all(w, h->seen, h->level, end))
        tell_run(w);
    return MM_NOMEM;
}

/* --- Copying -------------------------------------------------------------- */

/* The CPU may note something in the entry at any time. */
static pte_t share_page(struct clone *w, pte_t *slot, unsigned level, vaddr_t va)
{
    pte_t old, new;
    do {
        old = pte_read(slot);
        new.raw = old.raw | PTE_COPY;
        if ((old.raw & PTE_WRITABLE) != 0)
            new.raw ^= PTE_WRITABLE | PTE_MEANT;
    } while (!pte_replace(slot, old, new));
    if ((old.raw & PTE_WRITABLE) != 0)
        tlb_batch_add(&w->change.stale, va, level_bytes(level));
    return new;
}

static void copy(struct clone *w, pte_t *table, pte_t *to, unsigned level, unsigned end,
                 vaddr_t base)
{
    for (unsigned i = 0; i < end; i++) {
        pte_t e = pte_read(&table[i]);
        if (e.raw == 0) {
            pte_write(&to[i], e);
            continue;
        }
        vaddr_t va = slot_va(base, i, level);
        if (pte_is_table(e, level)) {
            paddr_t frame = pool_take(&w->change.pool);
            copy(w, child_of(e), table_at(frame), level - 1, TABLE_SLOTS, va);
            e.raw = (e.raw & ~(PTE_ADDRESS | TABLE_LOCKED)) | frame.v;
        } else if (pte_is_owned(e)) {
            e = share_page(w, &table[i], level, va);
        }
        pte_write(&to[i], e);
    }
}

mm_status_t paging_clone(struct space *from, struct space *to)
{
    if (from == to || !from->user || !to->user || from->upper != to->upper ||
        from->hooks != to->hooks || to->ntables != 1 || table_count(to->top) != 0)
        return MM_INVAL;
    struct clone w = {.hooks = from->hooks};
    struct change *c = &w.change;
    const struct hold *h = &c->hold;
    uint64_t half = half_bytes(from) / PAGE_BYTES;
    mm_status_t status = change_begin(c, from, VA(0), half, HOLD_SMALLEST, KINDS_ALL, 0, NULL);
    if (status != MM_OK)
        return status;
    uint64_t ntables = __atomic_load_n(&from->ntables, __ATOMIC_RELAXED); /* all are held */
    unsigned end = part_end(h->part, h->level);
    status = pool_fill(&c->pool, ntables - 1);
    if (status == MM_OK) {
        status = share(&w, end);
        if (status != MM_OK)
            pool_empty(&c->pool);
    }
    if (status == MM_OK) {
        copy(&w, hold_table(h), table_at(to->root), h->level, end, h->base);
        to->top.raw |= h->seen.raw & (TABLE_COUNT | TABLE_STATES | TABLE_OWNED);
        to->ntables = ntables;
    }
    change_end(c, 0);
    return status;
}
