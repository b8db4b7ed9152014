/* Owns: nothing; where freed frames go, and what is not to be freed.
 * Relies on: caches, blocks. Stage: "frames".
 *
 * Into the slot of their block, if this CPU has one; else back into the line. The second time in a
 * row that frames of the same block come, the CPU owns it if nobody does, so that the next ones
 * find a slot. */
#include "check.h"
#include "poison.h"
#include "state.h"

static const char *const not_ram = "not RAM of ours";
static const char *const not_given = "never allocated: reserved, ours or the bootloader's";
static const char *const retired = "retired";
static const char *const already_free = "free already (a double free)";
const char *const free_suspect = "perhaps in another CPU's cache";

/* --- What is wrong with it ----------------------------------------------------- */

/* Frames of a ragged block: all must have been ours to give, and not retired since. */
static const char *check_ragged(const struct zone *z, uint64_t frame, unsigned n)
{
    if (!zone_is_ours(z, frame, n))
        return not_given;
    for (size_t i = bad_find(frame); i < pmm.nbad && pmm.bad[i].frame < frame + n; i++)
        if (!pmm.bad[i].in_use)
            return retired;
    return NULL;
}

/* NULL if frames of one block are in use. What another CPU keeps may change while we look, and what
 * is read of it be of two blocks: that they are there is only a suspicion. The order is that in
 * which frames move when a CPU gives them up: slot, window, tree and line. */
static const char *check_block(struct pmm_cache *c, const struct zone *z, uint64_t b,
                               uint64_t frame, unsigned n)
{
    unsigned first = frame % BLOCK_FRAMES;
    uint64_t number = frame >> BLOCK_SHIFT;
    if (tree_has(&z->whole, b)) /* then the entry says nothing */
        return already_free;
    uint32_t entry = block_entry(z, b);
    if (entry & ENTRY_RAGGED) {
        const char *why = check_ragged(z, frame, n);
        if (why != NULL)
            return why;
    }
    unsigned owner = entry_owner(entry);
    if (owner == c->owner && cache_keeps(c, z, b, number, first, n))
        return already_free;
    if (owner > CACHE_GET(pmm.cpu_limit))
        return free_suspect; /* the block is whole, or was until just now */
    if (owner != 0 && owner != c->owner &&
        cache_keeps(__atomic_load_n(&pmm.caches[owner - 1], __ATOMIC_ACQUIRE), z, b, number, first,
                    n))
        return free_suspect;
    return !tree_has(&z->whole, b) && block_is_used(z, b, first, n) ? NULL : already_free;
}

const char *free_check(struct pmm_cache *c, uint64_t frame, uint64_t n)
{
    while (n > 0) {
        unsigned room = BLOCK_FRAMES - frame % BLOCK_FRAMES, part = n < room ? (unsigned)n : room;
        uint64_t b;
        const struct zone *z = pmm_find_block(frame >> BLOCK_SHIFT, &b);
        const char *why = z == NULL ? not_ram : check_block(c, z, b, frame, part);
        if (why != NULL)
            return why;
        frame += part;
        n -= part;
    }
    return NULL;
}

/* --- Giving back ----------------------------------------------------------------- */

static void give_to_slot(struct pmm_cache *c, struct slot *s, unsigned first, unsigned n)
{
    for (unsigned r = first / ROW_FRAMES; r <= (first + n - 1) / ROW_FRAMES; r++)
        CACHE_SET(s->free[r], s->free[r] | line_mask(first, first + n - 1, r));
    cache_may(c, s);
}

/* A whole block that nobody owns. */
static bool give_block(struct pmm_cache *c, struct zone *z, uint64_t b)
{
    if (!block_own(z, b, c->owner))
        return false;
    bool used = line_is_used(z->lines[b]);
    if (used && !(block_entry(z, b) & ENTRY_RAGGED))
        cache_give_whole(c, z, b);
    else
        block_settle(z, b, c->owner);
    return used;
}

/* Frames that are good, of a block that has no slot here. */
static const char *give_to_block(struct pmm_cache *c, struct zone *z, uint64_t b, uint64_t frame,
                                 unsigned n)
{
    uint64_t number = frame >> BLOCK_SHIFT;
    uint32_t entry = block_entry(z, b);
    bool again = c->last_miss == number;
    c->last_miss = number;
    if (n == BLOCK_FRAMES && !(entry & ENTRY_RAGGED) && give_block(c, z, b))
        return NULL;
    if (again && entry_owner(entry) == 0 && block_own(z, b, c->owner)) {
        give_to_slot(c, cache_add_slot(c, z, b, number, entry), frame % BLOCK_FRAMES, n);
        return NULL;
    }
    return block_give(z, b, frame % BLOCK_FRAMES, n, c->owner) ? NULL : already_free;
}

static const char *give(struct pmm_cache *c, struct zone *z, uint64_t b, uint64_t frame, unsigned n)
{
    struct slot *s = cache_find_slot(c, frame >> BLOCK_SHIFT);
    if (s == NULL)
        return give_to_block(c, z, b, frame, n);
    give_to_slot(c, s, frame % BLOCK_FRAMES, n);
    return NULL;
}

/* Frames of a ragged block: those that went bad meanwhile stay used for good. */
static const char *give_good(struct pmm_cache *c, struct zone *z, uint64_t b, uint64_t frame,
                             unsigned n)
{
    const char *why = NULL;
    uint64_t end = frame + n;
    for (size_t i = bad_find(frame); i < pmm.nbad && pmm.bad[i].frame < end; i++) {
        uint64_t bad = pmm.bad[i].frame;
        __atomic_store_n(&pmm.bad[i].in_use, false, __ATOMIC_RELAXED);
        if (frame < bad && why == NULL)
            why = give(c, z, b, frame, (unsigned)(bad - frame));
        frame = bad + 1;
    }
    return frame < end && why == NULL ? give(c, z, b, frame, (unsigned)(end - frame)) : why;
}

/* A frame of a block that is nobody's: the most common case of all that are not fast. NULL if it was
 * given back. */
static const char *give_one(struct pmm_cache *c, struct zone *z, uint64_t b, uint64_t frame)
{
    uint64_t mask = 1ull << frame % ROW_FRAMES;
    if (tree_has(&z->whole, b) || !(block_row(z, b, frame / ROW_FRAMES % LINE_ROWS) & mask))
        return already_free;
    poison_fill(frame, 1);
    c->last_miss = frame >> BLOCK_SHIFT;
    return block_give(z, b, frame % BLOCK_FRAMES, 1, c->owner) ? NULL : already_free;
}

static const char *give_any(struct pmm_cache *c, struct zone *z, uint64_t b, uint64_t frame,
                            unsigned n)
{
    const char *why = check_block(c, z, b, frame, n);
    if (why != NULL)
        return why;
    poison_fill(frame, n);
    bool ragged = block_entry(z, b) & ENTRY_RAGGED;
    return ragged ? give_good(c, z, b, frame, n) : give(c, z, b, frame, n);
}

const char *free_inside(struct pmm_cache *c, uint64_t frame, unsigned n)
{
    uint64_t b;
    struct zone *z = pmm_find_block(frame >> BLOCK_SHIFT, &b);
    if (z == NULL)
        return not_ram;
    cache_begin(c);
    bool simple = n == 1 && (block_entry(z, b) & (ENTRY_OWNER | ENTRY_RAGGED)) == 0 &&
                  c->last_miss != frame >> BLOCK_SHIFT;
    const char *why = simple ? give_one(c, z, b, frame) : give_any(c, z, b, frame, n);
    cache_end(c);
    return why;
}
