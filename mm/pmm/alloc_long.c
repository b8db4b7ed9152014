/* Owns: nothing; runs of several blocks, all of them whole before.
 * Relies on: blocks. Stage: "frames". */
#include "state.h"

/* How many whole blocks there are in a row, b being the last; at most max. */
static uint64_t count_whole(const struct zone *z, uint64_t b, uint64_t max)
{
    uint64_t count = 0;
    while (count < max) {
        uint64_t at = b - count;
        unsigned beyond = TREE_WORD_BITS - 1 - at % TREE_WORD_BITS, room = TREE_WORD_BITS - beyond;
        uint64_t missing = ~tree_word(&z->whole, at / TREE_WORD_BITS) << beyond;
        unsigned here = missing == 0 ? room : (unsigned)__builtin_clzll(missing);
        if (here < room)
            return count + here < max ? count + here : max;
        count += room;
        if (at < room)
            break; /* that was word 0 */
    }
    return count < max ? count : max;
}

/* The part of blocks [first, end) that lies in a word of the tree. */
static uint64_t word_part(uint64_t word, uint64_t first, uint64_t end)
{
    uint64_t base = word * TREE_WORD_BITS, mask = ~0ull;
    if (first > base)
        mask &= ~0ull << (first - base);
    if (end < base + TREE_WORD_BITS)
        mask &= ~(~0ull << (end - base));
    return mask;
}

/* Remove all of them from the tree, or none. */
static bool claim_all(struct zone *z, uint64_t first, uint64_t end)
{
    for (uint64_t w = first / TREE_WORD_BITS; w <= (end - 1) / TREE_WORD_BITS; w++) {
        uint64_t wanted = word_part(w, first, end);
        uint64_t taken = tree_remove_word(&z->whole, w, wanted);
        if (taken == wanted)
            continue;
        tree_add_word(&z->whole, w, taken);
        while (w-- > first / TREE_WORD_BITS)
            tree_add_word(&z->whole, w, word_part(w, first, end));
        return false;
    }
    return true;
}

/* The blocks become used; the frames behind the run stay free. */
static void use_blocks(struct pmm_cache *c, struct zone *z, uint64_t first, uint64_t n)
{
    uint64_t full = n / BLOCK_FRAMES;
    unsigned rest = n % BLOCK_FRAMES;
    for (uint64_t b = first; b < first + full; b++)
        block_break(z, b, 0);
    if (rest == 0)
        return;
    block_break(z, first + full, c->owner);
    for (unsigned r = 0; r < LINE_ROWS; r++)
        __atomic_store_n(&z->lines[first + full][r], line_part(0, rest, r), __ATOMIC_RELAXED);
    block_settle(z, first + full, c->owner);
}

bool alloc_long(struct pmm_cache *c, const struct request *req, struct zone *z, uint64_t low,
                uint64_t high, uint64_t *out)
{
    uint64_t blocks = (req->n + BLOCK_FRAMES - 1) / BLOCK_FRAMES;
    uint64_t align = req->align > BLOCK_FRAMES ? req->align / BLOCK_FRAMES : 1;
    uint64_t last;
    while (tree_find_last(&z->whole, low, high, &last) && last + 1 >= low + blocks) {
        uint64_t number = zone_block_number(z, last); /* blocks in a row are all of one extent */
        if (number + 1 < blocks)
            return false;
        uint64_t skip = (number + 1 - blocks) % align;
        uint64_t need = blocks + skip, have = count_whole(z, last, need);
        uint64_t first = last + 1 - need;
        cache_begin(c);
        if (have == need && last + 1 >= need && first >= low &&
            claim_all(z, first, first + blocks)) {
            use_blocks(c, z, first, req->n);
            *out = (number + 1 - need) << BLOCK_SHIFT;
            return true;
        }
        high = have < need ? last + 1 - have : last;
    }
    return false;
}
