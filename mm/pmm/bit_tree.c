/* Owns: nothing; the making, changing and searching of trees of bits.
 * Relies on: nothing. Stage: any. */
#include "bit_tree.h"

#include "mm/string.h"

static uint64_t words_for(uint64_t bits)
{
    return (bits + TREE_WORD_BITS - 1) / TREE_WORD_BITS;
}

uint64_t tree_words(uint64_t n)
{
    uint64_t words = 0, level = n;
    do {
        level = words_for(level);
        words += level;
    } while (level > 1);
    return words;
}

void tree_init(struct bit_tree *tree, uint64_t *words, uint64_t n)
{
    memset64(words, 0, tree_words(n));
    tree->levels = 0;
    uint64_t level = n;
    do {
        level = words_for(level);
        tree->level[tree->levels++] = words;
        tree->root = words;
        words += level;
    } while (level > 1);
}

/* The words between the first and the last are filled at once: a TiB has 8192. */
static void fill_level(uint64_t *words, uint64_t first, uint64_t last)
{
    uint64_t low = first / TREE_WORD_BITS, high = last / TREE_WORD_BITS;
    uint64_t low_mask = ~0ull << first % TREE_WORD_BITS;
    uint64_t high_mask = ~0ull >> (TREE_WORD_BITS - 1 - last % TREE_WORD_BITS);
    if (low == high) {
        words[low] |= low_mask & high_mask;
        return;
    }
    words[low] |= low_mask;
    memset64(&words[low + 1], ~0ull, high - low - 1);
    words[high] |= high_mask;
}

void tree_fill(struct bit_tree *tree, uint64_t first, uint64_t count)
{
    if (count == 0)
        return;
    uint64_t last = first + count - 1;
    for (unsigned l = 0; l < tree->levels; l++) {
        fill_level(tree->level[l], first, last);
        first /= TREE_WORD_BITS;
        last /= TREE_WORD_BITS;
    }
}

/* Make the bit above say whether word w is empty. Returns true if that turned the word above from
 * empty to not empty, or back. Who writes the bit looks at the word again: it may have been emptied
 * or filled meanwhile by a CPU that found the bit as it should be. */
static bool agree(struct bit_tree *tree, unsigned level, uint64_t w)
{
    const uint64_t *word = &tree->level[level][w];
    uint64_t *up = &tree->level[level + 1][w / TREE_WORD_BITS], bit = 1ull << w % TREE_WORD_BITS;
    bool filled, turned = false;
    do {
        filled = __atomic_load_n(word, __ATOMIC_SEQ_CST) != 0;
        uint64_t before = filled ? __atomic_fetch_or(up, bit, __ATOMIC_SEQ_CST)
                                 : __atomic_fetch_and(up, ~bit, __ATOMIC_SEQ_CST);
        turned = turned || before == (filled ? 0 : bit);
    } while ((__atomic_load_n(word, __ATOMIC_SEQ_CST) != 0) != filled);
    return turned;
}

/* Word w of the lowest level was filled or emptied. */
static void pass_up(struct bit_tree *tree, uint64_t w)
{
    for (unsigned level = 0; level + 1 < tree->levels && agree(tree, level, w); level++)
        w /= TREE_WORD_BITS;
}

uint64_t tree_add_word(struct bit_tree *tree, uint64_t w, uint64_t mask)
{
    uint64_t before = __atomic_fetch_or(&tree->level[0][w], mask, __ATOMIC_SEQ_CST);
    if (before == 0)
        pass_up(tree, w);
    return before & mask;
}

uint64_t tree_remove_word(struct bit_tree *tree, uint64_t w, uint64_t mask)
{
    uint64_t before = __atomic_fetch_and(&tree->level[0][w], ~mask, __ATOMIC_SEQ_CST);
    if (before != 0 && (before & ~mask) == 0)
        pass_up(tree, w);
    return before & mask;
}

/* Up until a word has a bit below the bound, then down along the highest bits. A bit above that
 * turns out to have lagged moves the bound below it. */
bool tree_find_last(const struct bit_tree *tree, uint64_t low, uint64_t high, uint64_t *out)
{
    unsigned level = 0;
    uint64_t end = high; /* at this level */
    while (end << 6 * level > low) {
        uint64_t w = (end - 1) / TREE_WORD_BITS;
        unsigned beyond = TREE_WORD_BITS - 1 - (end - 1) % TREE_WORD_BITS;
        uint64_t word = __atomic_load_n(&tree->level[level][w], __ATOMIC_ACQUIRE) << beyond;
        if (word == 0) {
            if (++level == tree->levels)
                return false;
            end = w; /* the words before this one */
            continue;
        }
        end -= (unsigned)__builtin_clzll(word); /* behind the bit found */
        if (level == 0) {
            if (end <= low)
                return false;
            *out = end - 1;
            return true;
        }
        /* Into the word that it stands for; if that is empty, the loop comes back up to before. */
        level--;
        end *= TREE_WORD_BITS;
    }
    return false;
}
