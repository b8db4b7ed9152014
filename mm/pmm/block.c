/* Owns: the changes of lines, entries and lists; see block.h for the protocol.
 * Relies on: zones. Stage: "frames". */
#include "block.h"

#include "mm/string.h"

#define CLASS_BLOCK (PMM_ORDER_BLOCK + 1) /* of a line that is all free */

bool block_own(struct zone *z, uint64_t b, unsigned owner)
{
    uint32_t entry = block_entry(z, b);
    if (entry_owner(entry) != 0)
        return false;
    uint32_t owned = (entry & ~ENTRY_LISTED) | owner;
    if (!__atomic_compare_exchange_n(&z->entries[b], &entry, owned, false, __ATOMIC_SEQ_CST,
                                     __ATOMIC_RELAXED))
        return false; /* whoever changed it has owned it */
    if (entry_listed(entry) != 0)
        tree_remove(zone_list(z, entry, entry_listed(entry) - 1), b);
    return true;
}

void block_read_free(const struct zone *z, uint64_t b, uint64_t free[LINE_ROWS])
{
    for (unsigned r = 0; r < LINE_ROWS; r++)
        free[r] = ~block_row(z, b, r);
}

static bool is_unchanged(const struct zone *z, uint64_t b, const uint64_t free[LINE_ROWS])
{
    uint64_t changed = 0;
    for (unsigned r = 0; r < LINE_ROWS; r++)
        changed |= free[r] ^ ~block_row(z, b, r);
    return changed == 0;
}

void block_settle(struct zone *z, uint64_t b, unsigned owner)
{
    do {
        uint64_t free[LINE_ROWS];
        uint32_t flags = block_entry(z, b) & (ENTRY_LONG | ENTRY_RAGGED);
        block_read_free(z, b, free);
        unsigned class = line_class(free);
        if (class == CLASS_BLOCK && !(flags & ENTRY_RAGGED)) {
            tree_add(&z->whole, b); /* and the entry keeps its owner: see block_give */
            return;
        }
        if (class == CLASS_BLOCK)
            class --;
        if (class != 0)
            tree_add(zone_list(z, flags, class - 1), b);
        __atomic_exchange_n(&z->entries[b], flags | class << ENTRY_LISTED_SHIFT, __ATOMIC_SEQ_CST);
        if (is_unchanged(z, b, free))
            return;
    } while (block_own(z, b, owner)); /* else somebody else has it, and sees the change */
}

/* Nobody but the owner puts frames in use, and frames that come back after the entry was written are
 * the business of who gives them. */
bool block_leave_used(struct zone *z, uint64_t b)
{
    uint32_t owned = block_entry(z, b);
    if (!line_is_used(z->lines[b]))
        return false;
    __atomic_exchange_n(&z->entries[b], owned & (ENTRY_LONG | ENTRY_RAGGED), __ATOMIC_SEQ_CST);
    return line_is_used(z->lines[b]) || !block_own(z, b, entry_owner(owned));
}

/* Plain stores: nobody else has a frame of the block, so nobody looks at its line or entry. */
void block_break(struct zone *z, uint64_t b, uint32_t entry)
{
    for (unsigned r = 0; r < LINE_ROWS; r++)
        __atomic_store_n(&z->lines[b][r], ~0ull, __ATOMIC_RELAXED);
    __atomic_store_n(&z->entries[b], entry, __ATOMIC_RELEASE);
}

bool block_own_any(struct zone *z, uint64_t b, unsigned owner)
{
    if (!tree_has(&z->whole, b))
        return block_own(z, b, owner);
    if (!tree_remove(&z->whole, b))
        return false;
    block_break(z, b, owner);
    for (unsigned r = 0; r < LINE_ROWS; r++)
        __atomic_store_n(&z->lines[b][r], 0, __ATOMIC_RELAXED);
    return true;
}

void block_take(struct zone *z, uint64_t b, unsigned first, unsigned n)
{
    for (unsigned r = first / ROW_FRAMES; r <= (first + n - 1) / ROW_FRAMES; r++)
        __atomic_fetch_or(&z->lines[b][r], line_mask(first, first + n - 1, r), __ATOMIC_SEQ_CST);
}

bool block_is_used(const struct zone *z, uint64_t b, unsigned first, unsigned n)
{
    for (unsigned r = first / ROW_FRAMES; r <= (first + n - 1) / ROW_FRAMES; r++)
        if (~block_row(z, b, r) & line_mask(first, first + n - 1, r))
            return false;
    return true;
}

/* True if the frames of mask, just given back, may be part of a free run larger than those the
 * block is listed for. The row is as it was in the moment when they were. */
static bool may_have_grown(uint64_t row, uint64_t mask, unsigned listed)
{
    if (row == 0)
        return true; /* with its neighbours perhaps more than a row */
    if (listed > ROW_ORDER)
        return false;
    if (mask & (mask - 1))
        return row_class(~row) > listed;
    unsigned run = 1u << listed; /* of the order above */
    unsigned first = (unsigned)__builtin_ctzll(mask) & ~(run - 1);
    return (row & row_mask(first, run)) == 0;
}

/* A block that this CPU's frames were part of cannot have become whole and been broken anew with
 * no owner seen on the way but by another's hand; settling it once more than needed does no harm. */
static void settle_if_grown(struct zone *z, uint64_t b, uint64_t row, uint64_t mask, unsigned owner)
{
    uint32_t entry = block_entry(z, b);
    if (entry_owner(entry) == 0 && may_have_grown(row, mask, entry_listed(entry)) &&
        block_own(z, b, owner))
        block_settle(z, b, owner);
}

bool block_give(struct zone *z, uint64_t b, unsigned first, unsigned n, unsigned owner)
{
    for (unsigned r = first / ROW_FRAMES; r <= (first + n - 1) / ROW_FRAMES; r++) {
        uint64_t mask = line_mask(first, first + n - 1, r), row = block_row(z, b, r);
        do {
            if ((row & mask) != mask)
                return false;
        } while (!__atomic_compare_exchange_n(&z->lines[b][r], &row, row & ~mask, true,
                                              __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
        settle_if_grown(z, b, row & ~mask, mask, owner);
    }
    return true;
}
