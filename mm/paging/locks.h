/* Who may change which tables: the locks in the entries, the way down to them, and what keeps a
 * table's frame in place while somebody is on the way. Internal to mm/paging/.
 *
 * A table's lock is a bit of the entry that leads to it, the root's in struct space. Who holds it
 * may change the table's slots, but for one that leads to a table which another holds. An operation
 * holds the smallest table that covers its range, and then, downwards and in the order of addresses,
 * each table in it that its range touches: so nobody waits in a circle, and what is not touched is
 * free for others. What it holds stays in the tree until it lets go.
 *
 * On the way down to the first table nothing is held. The CPU says that it is on its way, and who
 * has unhooked a table waits for all that are before the frame is freed. A table goes out of the
 * tree with all its locks taken, so nobody can take one there afterwards. */
#ifndef QL_PAGING_LOCKS_H
#define QL_PAGING_LOCKS_H

#include "lock.h"
#include "tables.h"

/* What an operation needs of the table that it holds, beside that it covers the range. */
enum hold_rule {
    HOLD_SMALLEST,
    HOLD_NOT_EMPTIED, /* it keeps an entry, even if all that the range touches go; or may be empty */
    HOLD_LARGER,      /* it covers more than the range */
};

/* The table that an operation holds. */
struct hold {
    struct space *space;
    pte_t *entry; /* that leads to the table; locked */
    pte_t seen;   /* what it said before */
    unsigned level;
    vaddr_t base; /* the first address that the table covers */
    struct part part;
    irq_state_t irq;
};

/* Hold the table for a range that lies in one half. Interrupts are off until it is released. */
void hold_range(struct space *space, vaddr_t va, uint64_t npages, enum hold_rule rule,
                struct hold *out);

/* Let go of the table, which has added entries more (or less) than before, and perhaps some of what
 * the flags TABLE_... tell. */
void hold_release(const struct hold *hold, int64_t added, uint64_t flags);

/* Keep operations out, and wait for those that are inside. */
irq_state_t freeze(struct space *space);
void thaw(struct space *space, irq_state_t irq);

/* Tables are about to be freed that have just gone out of the tree: wait until nobody can be on the
 * way through one. */
void wait_for_walkers(void);

/* Of a sealed space: true if something in all of the range would take an entry more of the root. */
bool hold_is_sealed(const struct hold *hold);

static inline pte_t *hold_table(const struct hold *hold)
{
    return child_of(hold->seen);
}

/* Lock a table below one that the caller holds, in whose slot the entry is. */
static inline pte_t table_lock(pte_t *entry)
{
    for (;;) {
        pte_t e = pte_read(entry), locked = {e.raw | TABLE_LOCKED};
        if ((e.raw & TABLE_LOCKED) == 0 && pte_replace(entry, e, locked))
            return e;
        port_relax();
    }
}

static inline void table_unlock(pte_t *entry)
{
    pte_t e = pte_read(entry);
    DCHECK((e.raw & TABLE_LOCKED) != 0);
    pte_write(entry, (pte_t){e.raw & ~TABLE_LOCKED});
}

/* Change the count and the flags in the entry of a table that the caller holds. */
static inline void table_add(pte_t *entry, int64_t added, uint64_t flags)
{
    pte_t e = pte_read(entry);
    DCHECK((e.raw & TABLE_LOCKED) != 0 && table_count(e) + added <= TABLE_SLOTS);
    pte_write(entry, (pte_t){(e.raw + ((uint64_t)added << TABLE_COUNT_SHIFT)) | flags});
}

static inline void count_tables(struct space *space, uint64_t added)
{
    if (added != 0)
        __atomic_fetch_add(&space->ntables, added, __ATOMIC_RELAXED);
}

#endif
