/* mm/pmm/bit_tree.c, alone on one CPU, against a plain array of truth values.
 *
 * Exhaustively, on a tree of three levels (4160 numbers) of which 7 are used, at the borders of
 * words and levels: each of the 128 sets, each operation on it, and tree_find_last for each pair of
 * bounds out of 26; after each operation every level must say exactly which words below are not
 * empty. Then tree_fill for each range out of all borders, and all sets of 6 numbers for sizes at
 * the borders of the levels. What several CPUs do at once is bit_tree.pml's.
 *
 * Built with the address sanitizer, words on the heap: an access out of bounds ends it. */
#include "mm/pmm/bit_tree.h"

#include "mm/string.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void memset64(void *words, uint64_t value, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ((uint64_t *)words)[i] = value;
}

#define CHECK(condition)                                          \
    do {                                                          \
        if (!(condition)) {                                       \
            printf("FAILED line %d: %s\n", __LINE__, #condition); \
            exit(1);                                              \
        }                                                         \
        checks++;                                                 \
    } while (0)

#define MOST 4200u
static unsigned long checks;
static bool member[MOST];

struct rig {
    struct bit_tree tree;
    uint64_t *words;
    uint64_t n;
};

static struct rig make(uint64_t n)
{
    struct rig r = {.n = n, .words = malloc(tree_words(n) * sizeof(uint64_t))};
    memset(r.words, 0xa5, tree_words(n) * sizeof(uint64_t));
    tree_init(&r.tree, r.words, n);
    memset(member, 0, sizeof(member));
    return r;
}

/* Every level says which words of the level below have a bit; the lowest has the members. */
static void check_levels(const struct rig *r)
{
    uint64_t below = r->n;
    bool any = false;
    for (unsigned l = 0; l < r->tree.levels; l++) {
        uint64_t words = (below + 63) / 64;
        for (uint64_t i = 0; i < words * 64; i++) {
            bool bit = r->tree.level[l][i / 64] >> i % 64 & 1;
            bool want = i < below && (l == 0 ? member[i] : r->tree.level[l - 1][i] != 0);
            if (bit != want)
                CHECK(bit == want);
            any |= l == 0 && bit;
        }
        below = words;
    }
    CHECK(below == 1 && tree_is_empty(&r->tree) == !any);
}

static void check_find(const struct rig *r, uint64_t low, uint64_t high)
{
    uint64_t want = high, out = ~0ull;
    while (want > low && !member[want - 1])
        want--;
    bool found = tree_find_last(&r->tree, low, high, &out);
    CHECK(found == (low < high && want > low));
    CHECK(found ? out == want - 1 : out == ~0ull);
}

static void set_to(struct rig *r, const uint64_t *numbers, unsigned n, unsigned set)
{
    for (unsigned i = 0; i < n; i++) {
        if ((set >> i & 1) == member[numbers[i]])
            continue;
        if (set >> i & 1)
            CHECK(tree_add(&r->tree, numbers[i]));
        else
            CHECK(tree_remove(&r->tree, numbers[i]));
        member[numbers[i]] = set >> i & 1;
    }
}

/* All sets of these numbers, all single operations on each, all bounds out of these. */
static void all_sets(uint64_t n, const uint64_t *numbers, unsigned count, const uint64_t *bounds,
                     unsigned nbounds)
{
    struct rig r = make(n);
    for (unsigned set = 0; set < 1u << count; set++) {
        set_to(&r, numbers, count, set);
        check_levels(&r);
        for (unsigned a = 0; a < nbounds; a++)
            for (unsigned b = 0; b < nbounds; b++)
                if (bounds[a] <= n && bounds[b] <= n)
                    check_find(&r, bounds[a], bounds[b]);
        for (unsigned i = 0; i < count; i++) {
            uint64_t k = numbers[i], w = k / 64, bit = 1ull << k % 64;
            bool was = member[k];
            CHECK(tree_has(&r.tree, k) == was);
            CHECK(tree_add(&r.tree, k) == !was);
            member[k] = true;
            check_levels(&r);
            CHECK(tree_add_word(&r.tree, w, bit) == bit);
            CHECK(tree_remove_word(&r.tree, w, bit) == bit);
            member[k] = false;
            check_levels(&r);
            CHECK(!tree_remove(&r.tree, k) && tree_remove_word(&r.tree, w, bit) == 0);
            set_to(&r, &k, 1, was);
        }
    }
    free(r.words);
}

static void all_fills(uint64_t n, const uint64_t *bounds, unsigned nbounds)
{
    for (unsigned a = 0; a < nbounds; a++)
        for (unsigned b = a; b < nbounds && bounds[b] <= n; b++) {
            struct rig r = make(n);
            tree_fill(&r.tree, bounds[a], bounds[b] - bounds[a]);
            for (uint64_t i = bounds[a]; i < bounds[b]; i++)
                member[i] = true;
            check_levels(&r);
            tree_fill(&r.tree, 0, bounds[a]); /* beside what is there */
            memset(member, true, bounds[b]);
            check_levels(&r);
            free(r.words);
        }
}

int main(void)
{
    static const uint64_t bounds[] = {0,    1,    2,    31,   62,   63,   64,   65,   66,
                                      126,  127,  128,  129,  4031, 4032, 4033, 4094, 4095,
                                      4096, 4097, 4098, 4127, 4158, 4159, 4160, 4161};
    static const uint64_t numbers[] = {0, 63, 64, 4032, 4095, 4096, 4159};
    unsigned nbounds = sizeof(bounds) / sizeof(*bounds);
    all_sets(4160, numbers, 7, bounds, nbounds);
    for (unsigned i = 1; i < nbounds; i++) {
        uint64_t n = bounds[i];
        const uint64_t few[] = {0, n / 3, n / 2, n - 1};
        unsigned count = n >= 31 ? 4 : 1;
        all_sets(n, few, count, bounds, nbounds);
        all_fills(n, bounds, nbounds);
    }
    CHECK(tree_words(1) == 1 && tree_words(64) == 1 && tree_words(65) == 3);
    CHECK(tree_words(4096) == 65 && tree_words(4097) == 65 + 2 + 1);
    printf("%lu checks\n", checks);
    return 0;
}
