/* A set of numbers 0 .. n-1 in which the largest member below a bound is found in time
 * logarithmic in n: a bit for each number, and above each level one bit for each of its words, set
 * if the word has a bit.
 *
 * locking: lock-free. The lowest level is exact: of two CPUs that add or remove a number one is told
 * that it did. The bits above may for a moment lag behind: a search may then miss a member, or look
 * into a word in vain. Whoever fills or empties a word writes the bit above and looks at the word again,
 * so when nobody is inside a function all levels agree (tests/proof/bit_tree.pml). All changes are
 * sequentially consistent. */
#ifndef QL_MM_PMM_BIT_TREE_H
#define QL_MM_PMM_BIT_TREE_H

#include <stdbool.h>
#include <stdint.h>

#define TREE_WORD_BITS  64u
#define TREE_LEVELS_MAX 5u /* 2^30 numbers: 2 PiB in blocks of 2 MiB */

struct bit_tree {
    uint64_t *level[TREE_LEVELS_MAX]; /* level[0] has the members */
    unsigned levels;                  /* the highest one is a single word, */
    const uint64_t *root;             /* this one */
};

/* The number of words of all levels together. */
uint64_t tree_words(uint64_t n);

/* Lay the empty set out in that many words, which are cleared. */
void tree_init(struct bit_tree *tree, uint64_t *words, uint64_t n);

/* Add the numbers [first, first + count) while nobody else uses the tree. */
void tree_fill(struct bit_tree *tree, uint64_t first, uint64_t count);

/* Add all numbers of mask, of word w of the lowest level. Returns those that were members. */
uint64_t tree_add_word(struct bit_tree *tree, uint64_t w, uint64_t mask);

/* Remove them. Returns those that were members. */
uint64_t tree_remove_word(struct bit_tree *tree, uint64_t w, uint64_t mask);

/* The largest member of [low, high); false if there is none. */
bool tree_find_last(const struct bit_tree *tree, uint64_t low, uint64_t high, uint64_t *out);

static inline bool tree_add(struct bit_tree *tree, uint64_t i)
{
    return tree_add_word(tree, i / TREE_WORD_BITS, 1ull << i % TREE_WORD_BITS) == 0;
}

static inline bool tree_remove(struct bit_tree *tree, uint64_t i)
{
    return tree_remove_word(tree, i / TREE_WORD_BITS, 1ull << i % TREE_WORD_BITS) != 0;
}

static inline uint64_t tree_word(const struct bit_tree *tree, uint64_t w)
{
    return __atomic_load_n(&tree->level[0][w], __ATOMIC_ACQUIRE);
}

static inline bool tree_has(const struct bit_tree *tree, uint64_t i)
{
    return tree_word(tree, i / TREE_WORD_BITS) >> i % TREE_WORD_BITS & 1;
}

/* True if it has no members. */
static inline bool tree_is_empty(const struct bit_tree *tree)
{
    return __atomic_load_n(tree->root, __ATOMIC_ACQUIRE) == 0;
}

#endif
