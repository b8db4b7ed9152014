/* Owns: nothing; how an empty range is filled.
 * Relies on: locks.h for the tables, pool.h for their frames. Stage: "frames" on.
 *
 *        63      48 47      39 38      30 29      21 20      12 11           0
 *   va  |   sign   |  slot 4  |  slot 3  |  slot 2  |  slot 1  |    offset    |
 *                       |          |          |          |            |
 *   root -----------> PML4 -----> PDPT ----> PD ------> PT ------> 4 KiB page
 *   level               4          3          2          1
 *   an entry covers  512 GiB     1 GiB      2 MiB      4 KiB
 *   and is a          table   table/page  table/page    page
 * With 5 levels a PML5 is in front, slot 5 in bits 56 to 48, and the sign begins at 57.
 *
 * A range operation is one descent from the table that it holds: it visits each table that the
 * range touches once and fills or clears the slots there in a row. One invariant carries the rest:
 * no table is ever empty, but the root and those that a sealed root has for ever. So where a range
 * covers all of a table, something is mapped; and where nothing is, no table is in the way of a
 * large page.
 *
 * Mapping looks first: it locks the tables that the range touches and does not cover (at most two
 * at each level), sees that all else is empty, and counts what is missing, by arithmetic. With the
 * frames in hand it cannot fail any more. A table is complete before the entry that leads to it is
 * stored, so it needs no lock, nor zeroes where entries come; and what is done is released at
 * once. No CPU can have cached what was not there. */
#include "range.h"

#include "mm/string.h"

struct mapping_work {
    struct change change;
    uint64_t attributes[LEVEL_PML5 + 1]; /* of an entry, by level */
    uint64_t offset;                     /* from virtual to physical addresses */
    unsigned largest;                    /* level of the largest page that may be used */
    uint64_t missing;                    /* tables */
};

/* --- Looking -------------------------------------------------------------- */

/* Tables that an empty piece takes, in slots of this level. Where larger pages are allowed, a table
 * is only needed for what is cut. */
static uint64_t tables_for(const struct mapping_work *w, uint64_t first, uint64_t n, unsigned level)
{
    uint64_t count = 0;
    for (unsigned below = LEVEL_PT; below < level; below++) {
        uint64_t chunk = level_pages(below + 1);
        count += w->largest > below ? chunks_cut(first, first + n, chunk)
                                    : chunks_touched(first, first + n, chunk);
    }
    return count;
}

/* True if all of the part is empty; counts what is missing there. */
static bool look(struct mapping_work *w, pte_t *table, unsigned level, struct part p)
{
    unsigned end = part_end(p, level);
    for (unsigned i = part_first(p, level); i < end;) {
        pte_t e = pte_read(&table[i]);
        if (e.raw == 0) {
            uint64_t a = i * level_pages(level), b;
            while (i < end && pte_read(&table[i]).raw == 0)
                i++;
            b = i * level_pages(level);
            a = p.a > a ? p.a : a;
            b = p.b < b ? p.b : b;
            w->missing += tables_for(w, a, b - a, level);
            continue;
        }
        struct part inside = part_in(p, i, level);
        if (!pte_is_table(e, level) || (part_is_all(inside, level) && (e.raw & TABLE_PINNED) == 0))
            return false;
        e = table_lock(&table[i]);
        w->change.locked++;
        if (!look(w, child_of(e), level - 1, inside))
            return false;
        i++;
    }
    return true;
}

/* --- Filling -------------------------------------------------------------- */

/* With the step a constant, an entry is one lea and one store. Releases: what an entry leads to may
 * just have been written. */
#define STORE(i) __atomic_store_n(&slot[i].raw, e + (i)*step, __ATOMIC_RELEASE)
static inline __attribute__((always_inline)) void fill_by(pte_t *slot, unsigned n, uint64_t e,
                                                          uint64_t step)
{
    for (; n >= 16; n -= 16, slot += 16, e += 16 * step) {
        STORE(0), STORE(1), STORE(2), STORE(3), STORE(4), STORE(5), STORE(6), STORE(7);
        STORE(8), STORE(9), STORE(10), STORE(11), STORE(12), STORE(13), STORE(14), STORE(15);
    }
    for (; n > 0; n--, slot++, e += step)
        STORE(0);
}

void fill_slots(pte_t *slot, unsigned n, uint64_t e, uint64_t step)
{
    if (step == PAGE_BYTES)
        fill_by(slot, n, e, PAGE_BYTES);
    else if (step == HUGE_2M)
        fill_by(slot, n, e, HUGE_2M);
    else
        for (; n > 0; n--, slot++, e += step)
            STORE(0);
}

#define LOAD(i) __atomic_load_n(&slot[i].raw, __ATOMIC_RELAXED)
unsigned pages_in_a_row(const pte_t *slot, unsigned n, unsigned level, uint64_t notes)
{
    const uint64_t page = PTE_PRESENT | (level > LEVEL_PT ? PTE_LARGE : 0);
    const pte_t *first = slot, *end = slot + n;
    for (; end - slot >= 8; slot += 8) {
        uint64_t e[8] = {LOAD(0), LOAD(1), LOAD(2), LOAD(3), LOAD(4), LOAD(5), LOAD(6), LOAD(7)};
        uint64_t all = e[0] & e[1] & e[2] & e[3] & e[4] & e[5] & e[6] & e[7];
        uint64_t any = e[0] | e[1] | e[2] | e[3] | e[4] | e[5] | e[6] | e[7];
        if ((all & page) != page || (any & notes) != 0)
            break;
    }
    while (slot < end && (LOAD(0) & (page | notes)) == page)
        slot++;
    return (unsigned)(slot - first);
}

static unsigned fill(struct mapping_work *w, pte_t *table, unsigned level, struct part p,
                     vaddr_t base, bool fresh);

/* A new table for the part, complete. Returns the entry that leads to it. */
static pte_t build(struct mapping_work *w, unsigned level, struct part p, vaddr_t base)
{
    paddr_t frame = pool_take(&w->change.pool);
    pte_t *table = table_at(frame);
    unsigned first = part_first(p, level), end = part_end(p, level);
    if (first > 0)
        memset64(table, 0, first);
    if (end < TABLE_SLOTS)
        memset64(table + end, 0, TABLE_SLOTS - end);
    uint64_t count = fill(w, table, level, p, base, true);
    pte_t e = pte_make_table(frame, base, count);
    return (pte_t){e.raw | w->change.flags};
}

static inline uint64_t entry_at(const struct mapping_work *w, unsigned level, vaddr_t va)
{
    return w->attributes[level] | (va.v + w->offset);
}

/* Fill n slots, of which the range covers all. They are empty. */
static void fill_whole(struct mapping_work *w, pte_t *slot, unsigned n, unsigned level, vaddr_t va)
{
    uint64_t bytes = level_bytes(level);
    if (level <= w->largest) {
        fill_slots(slot, n, entry_at(w, level, va), bytes);
        return;
    }
    for (; n > 0; n--, slot++, va = va_add(va, bytes)) {
        if (level - 1 <= w->largest) { /* a table of pages: the most there is to do */
            paddr_t frame = pool_take(&w->change.pool);
            fill_slots(table_at(frame), TABLE_SLOTS, entry_at(w, level - 1, va),
                       level_bytes(level - 1));
            pte_t e = pte_make_table(frame, va, TABLE_SLOTS);
            pte_write(slot, (pte_t){e.raw | w->change.flags});
        } else {
            pte_write(slot, build(w, level - 1, (struct part){0, level_pages(level)}, va));
        }
    }
}

/* Fill the part. What a fresh table has there is not looked at. Returns how many slots are not empty
 * any more. */
static unsigned fill(struct mapping_work *w, pte_t *table, unsigned level, struct part p,
                     vaddr_t base, bool fresh)
{
    unsigned end = part_end(p, level), added = 0;
    for (unsigned i = part_first(p, level); i < end;) {
        vaddr_t va = slot_va(base, i, level);
        struct part inside = part_in(p, i, level);
        pte_t e = fresh ? (pte_t){0} : pte_read(&table[i]);
        unsigned n = 1; /* slots */
        if (e.raw != 0) {
            unsigned more = fill(w, child_of(e), level - 1, inside, va, false);
            uint64_t raw = (e.raw & ~TABLE_LOCKED) + ((uint64_t)more << TABLE_COUNT_SHIFT);
            pte_write(&table[i], (pte_t){raw | w->change.flags});
            added--;
        } else if (part_is_all(inside, level)) {
            n = part_slots(p, i, level);
            fill_whole(w, &table[i], n, level, va);
        } else {
            pte_write(&table[i], build(w, level - 1, inside, va));
        }
        added += n;
        i += n;
    }
    return added;
}

/* --- The interface -------------------------------------------------------- */

static mm_status_t run(struct mapping_work *w, struct space *space, vaddr_t va, uint64_t npages)
{
    struct change *c = &w->change;
    const struct hold *h = &c->hold;
    mm_status_t status = MM_EXISTS;
    hold_range(space, va, npages, HOLD_SMALLEST, &c->hold);
    if (space->sealed && hold_is_sealed(h))
        status = MM_RANGE;
    else if (look(w, hold_table(h), h->level, h->part))
        status = pool_fill(&c->pool, w->missing);
    if (status != MM_OK) {
        change_cancel(c);
        return status;
    }
    count_tables(space, w->missing);
    unsigned added = fill(w, hold_table(h), h->level, h->part, h->base, false);
    hold_release(h, added, c->flags);
    return MM_OK;
}

mm_status_t paging_map(struct space *space, vaddr_t va, paddr_t pa, uint64_t npages, prot_t prot,
                       cache_t cache)
{
    mm_status_t status = check_range(space, va, npages);
    if (status == MM_OK)
        status = check_attributes(space, va, prot, cache);
    if (status == MM_OK)
        status = check_physical(pa, npages);
    if (status != MM_OK)
        return status;

    struct mapping_work w;
    change_start(&w.change, space);
    w.offset = pa.v - va.v;
    w.missing = 0;
    w.change.flags = (prot & PROT_OWNED) != 0 ? TABLE_OWNED : 0;
    w.largest = largest_page_level();
    while (w.offset % level_bytes(w.largest) != 0)
        w.largest--;
    for (unsigned level = LEVEL_PT; level <= w.largest; level++)
        w.attributes[level] = pte_attributes(prot, cache, level);
    return run(&w, space, va, npages);
}
