/* Owns: nothing; the invariants of the pmm as text that runs.
 * Relies on: zones, blocks. Stage: "frames". */
#include "state.h"

/* Every bit above says whether the word below it has one; none is set beyond the last block. */
static bool tree_is_valid(const struct bit_tree *tree, uint64_t n)
{
    uint64_t bits = n;
    for (unsigned l = 0; l < tree->levels; l++) {
        for (uint64_t i = 0; l > 0 && i < bits; i++) {
            bool set = tree->level[l][i / TREE_WORD_BITS] >> i % TREE_WORD_BITS & 1;
            if (set != (tree->level[l - 1][i] != 0))
                return false;
        }
        if (bits % TREE_WORD_BITS != 0 &&
            tree->level[l][bits / TREE_WORD_BITS] >> bits % TREE_WORD_BITS != 0)
            return false;
        bits = (bits + TREE_WORD_BITS - 1) / TREE_WORD_BITS;
    }
    return true;
}

/* The list that the block is on, plus one; 0 if none. More than one: invalid. */
static bool find_list(const struct zone *z, uint64_t b, uint32_t flags, unsigned *listed)
{
    unsigned found = 0;
    *listed = 0;
    for (unsigned kind = 0; kind < ZONE_KINDS; kind++)
        for (unsigned order = 0; order < ZONE_LISTS; order++)
            if (tree_has(&z->lists[kind][order], b)) {
                found++;
                *listed = order + 1;
                if (kind != ((flags & ENTRY_LONG) != 0))
                    return false;
            }
    return found <= 1;
}

/* What is not ours to give is used. */
static bool ragged_is_valid(const struct zone *z, uint64_t b, uint64_t number)
{
    for (unsigned i = 0; i < BLOCK_FRAMES; i++) {
        uint64_t frame = (number << BLOCK_SHIFT) + i;
        size_t bad = bad_find(frame);
        bool given = zone_is_ours(z, frame, 1) &&
                     !(bad < pmm.nbad && pmm.bad[bad].frame == frame && !pmm.bad[bad].in_use);
        if (!given && !block_is_used(z, b, i, 1))
            return false;
    }
    return true;
}

static bool block_is_valid(const struct zone *z, uint64_t b, uint64_t number)
{
    unsigned listed;
    if (tree_has(&z->whole, b))
        return find_list(z, b, 0, &listed) && listed == 0 &&
               zone_is_ours(z, number << BLOCK_SHIFT, BLOCK_FRAMES);
    uint32_t entry = block_entry(z, b);
    uint64_t free[LINE_ROWS];
    block_read_free(z, b, free);
    unsigned class = line_class(free);
    if (class > ZONE_LISTS)
        return false; /* should be whole, or is not even ragged */
    if (!find_list(z, b, entry, &listed) || listed != class || entry_listed(entry) != class ||
        entry_owner(entry) != 0)
        return false;
    return entry & ENTRY_RAGGED ? ragged_is_valid(z, b, number)
                                : zone_is_ours(z, number << BLOCK_SHIFT, BLOCK_FRAMES);
}

static bool trees_are_valid(const struct zone *z)
{
    bool valid = tree_is_valid(&z->whole, z->nblocks);
    for (unsigned kind = 0; kind < ZONE_KINDS; kind++)
        for (unsigned order = 0; order < ZONE_LISTS; order++)
            valid = valid && tree_is_valid(&z->lists[kind][order], z->nblocks);
    return valid;
}

static bool zone_is_valid(const struct zone *z)
{
    bool valid = trees_are_valid(z);
    unsigned listed;
    for (size_t i = 0; i < z->nextents; i++) {
        const struct extent *e = &z->extents[i];
        for (uint64_t k = 0; k < e->count && valid; k++)
            valid = block_is_valid(z, e->index + k, e->number + k);
        uint64_t gap = e->index + e->count;
        valid = valid && !tree_has(&z->whole, gap) && find_list(z, gap, 0, &listed) && listed == 0;
        valid = valid && (i == 0 || e->number > e[-1].number + e[-1].count - 1);
    }
    for (size_t i = 1; i < z->nspans; i++)
        valid = valid && z->spans[i - 1].end <= z->spans[i].base;
    return valid;
}

bool pmm_validate(void)
{
    bool valid = true;
    irq_state_t irq = pmm_stop_others();
    for (unsigned i = 0; i < pmm_nzones(); i++)
        valid = valid && zone_is_valid(&pmm.zones[i]);
    for (size_t i = 1; i < pmm.nbad; i++)
        valid = valid && pmm.bad[i - 1].frame < pmm.bad[i].frame;
    pmm_resume_others(irq);
    return valid;
}
