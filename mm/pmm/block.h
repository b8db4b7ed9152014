/* What CPUs do to the blocks that they share: own, take, give, settle.
 *
 * The protocol. Only the owner of a block takes frames, that is sets bits of its line; anyone gives
 * frames back, that is clears bits. Owned blocks are on no list. Who gives reads the entry after
 * the bits: if somebody owns the block, the rest is the owner's care; else, if the largest free run
 * may have grown, it tries to own the block to settle it. Settling puts the block on the list that
 * its line says, gives it up, and reads the line again: frames that came in between were left to
 * the owner, so it starts over. Both sides write with locked instructions before they read, so one
 * of them sees the other.
 * A block whose frames are all free becomes whole: the bit in the tree is set while it is owned,
 * and from then on is all there is to say; who removes the bit owns the block.
 * tests/proof/ has the model. */
#ifndef QL_MM_PMM_BLOCK_H
#define QL_MM_PMM_BLOCK_H

#include "zone.h"

#define BOOT_OWNER 1u /* CPU 0 */

/* Row r of a line, 1 = used. */
static inline uint64_t block_row(const struct zone *z, uint64_t b, unsigned r)
{
    return __atomic_load_n(&z->lines[b][r], __ATOMIC_SEQ_CST);
}

/* True if no frame of the line is used. */
static inline bool line_is_free(const uint64_t line[LINE_ROWS])
{
    uint64_t used = 0;
    for (unsigned r = 0; r < LINE_ROWS; r++)
        used |= __atomic_load_n(&line[r], __ATOMIC_SEQ_CST);
    return used == 0;
}

/* True if all are. */
static inline bool line_is_used(const uint64_t line[LINE_ROWS])
{
    uint64_t used = ~0ull;
    for (unsigned r = 0; r < LINE_ROWS; r++)
        used &= __atomic_load_n(&line[r], __ATOMIC_SEQ_CST);
    return used == ~0ull;
}

static inline uint32_t block_entry(const struct zone *z, uint64_t b)
{
    return __atomic_load_n(&z->entries[b], __ATOMIC_SEQ_CST);
}

/* Own a block that is not whole, and take it off its list. False if another CPU owns it. */
bool block_own(struct zone *z, uint64_t b, unsigned owner);

/* The same even if it is whole. */
bool block_own_any(struct zone *z, uint64_t b, unsigned owner);

/* Give up the block that the caller owns. */
void block_settle(struct zone *z, uint64_t b, unsigned owner);

/* The same if no frame of it is free, which is quickly done. False if one is or has become so: it is
 * still the caller's then. */
bool block_leave_used(struct zone *z, uint64_t b);

/* The caller has just removed the block from the tree of whole ones, or keeps it as such: it becomes
 * its owner's, with all frames used. */
void block_break(struct zone *z, uint64_t b, uint32_t entry);

/* Take the free frames of [first, first + n) of an owned block, which are all free. */
void block_take(struct zone *z, uint64_t b, unsigned first, unsigned n);

/* The free frames of the line, 1 = free. */
void block_read_free(const struct zone *z, uint64_t b, uint64_t free[LINE_ROWS]);

/* True if all of [first, first + n) is used, or in some CPU's cache. */
bool block_is_used(const struct zone *z, uint64_t b, unsigned first, unsigned n);

/* Give back [first, first + n), which the caller knows to be used, and settle the block if need be.
 * False if another CPU gave some of it back at the same time: a double free. */
bool block_give(struct zone *z, uint64_t b, unsigned first, unsigned n, unsigned owner);

#endif
