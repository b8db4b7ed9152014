/* Blocks of the heap and the bins of free ones. Internal to heap.c, which holds the lock.
 *
 * A run of frames is cut into blocks without a gap, so that each finds both its neighbours; a block
 * of size 0 ends the run. Sizes count units of 16 bytes, header included:
 *
 *   | units | before | seal | payload ...               |   a live block
 *   | units | before | seal | next | prev | ...         |   a free block
 *
 * The seal is a hash of where the header is and what it says: no
 * other 16 bytes pass for a header. */
#ifndef QL_MM_BLOCK_H
#define QL_MM_BLOCK_H

#include "check.h"
#include "mm/heap.h"

#define UNIT_BYTES   HEAP_ALIGN
#define HEADER_UNITS 1u
#define MIN_UNITS    2u /* a free block holds its links */

struct block {
    uint32_t units;
    uint32_t before; /* units of the block in front; 0: this is the first of the run */
    uint64_t seal;
};
_Static_assert(sizeof(struct block) == HEADER_UNITS * UNIT_BYTES, "payload must stay aligned");

struct free_block {
    struct block head;
    struct free_block *next, *prev;
};
_Static_assert(sizeof(struct free_block) == MIN_UNITS * UNIT_BYTES, "the smallest block");

enum block_state { BLOCK_LIVE, BLOCK_FREE };

static inline uint64_t block_hash(const struct block *b, enum block_state state)
{
    static const uint64_t keys[] = {
        [BLOCK_LIVE] = 0x9e6c63d0876a9a47ull,
        [BLOCK_FREE] = 0xd1b54a32d192ed03ull,
    };
    uint64_t sizes = b->units | (uint64_t)b->before << 32;
    uint64_t hash = (keys[state] ^ sizes) * 0xff51afd7ed558ccdull;
    return (hash ^ hash >> 32 ^ (uintptr_t)b) * 0xc4ceb9fe1a85ec53ull;
}

static inline void block_seal(struct block *b, enum block_state state)
{
    b->seal = block_hash(b, state);
}

static inline bool block_is(const struct block *b, enum block_state state)
{
    return b->seal == block_hash(b, state);
}

static inline bool block_is_sound(const struct block *b)
{
    return block_is(b, BLOCK_LIVE) || block_is(b, BLOCK_FREE);
}

/* The header that this was is none any more: a stale pointer to it is found out. */
static inline void block_wipe(struct block *b)
{
    b->seal = 0;
}

static inline struct block *block_at(void *base, uint64_t units)
{
    return (struct block *)((char *)base + units * UNIT_BYTES);
}

static inline struct block *block_after(struct block *b)
{
    return block_at(b, b->units);
}

/* Only for a block that is not the first. */
static inline struct block *block_before(struct block *b)
{
    return (struct block *)((char *)b - (uint64_t)b->before * UNIT_BYTES);
}

static inline bool block_fills_run(struct block *b)
{
    return b->before == 0 && block_after(b)->units == 0;
}

static inline void *block_payload(struct block *b)
{
    return b + 1;
}

static inline size_t block_payload_bytes(const struct block *b)
{
    return (size_t)(b->units - HEADER_UNITS) * UNIT_BYTES;
}

/* Change the size, and tell the neighbour behind. To give a damaged header a new seal would be to
 * hide the damage. */
static inline void block_resize(struct block *b, uint64_t units, enum block_state state)
{
    b->units = (uint32_t)units;
    block_seal(b, state);
    struct block *after = block_after(b);
    ASSERT(block_is_sound(after)); /* else the block in front of it was overrun */
    enum block_state state_after = block_is(after, BLOCK_FREE) ? BLOCK_FREE : BLOCK_LIVE;
    after->before = b->units;
    block_seal(after, state_after);
}

/* Cut a block behind its first `units`. Returns the rest, which is free and in no bin. */
static inline struct block *block_cut(struct block *b, uint64_t units, enum block_state state)
{
    struct block *rest = block_at(b, units);
    uint64_t rest_units = b->units - units;
    *rest = (struct block){.before = (uint32_t)units};
    block_resize(rest, rest_units, BLOCK_FREE);
    b->units = (uint32_t)units;
    block_seal(b, state);
    return rest;
}

/* --- Bins ----------------------------------------------------------------- */

/* Below EXACT_BINS units one bin for each size, above that STEPS bins for each power of two:
 * whatever is in the bin of the next step fits, and at most an eighth is cut off in vain. */
#define EXACT_BINS 32u
#define STEPS_LOG2 3u
#define STEPS      (1u << STEPS_LOG2)
#define BINS       (EXACT_BINS + (32 - 5) * STEPS)
#define BIN_WORDS  ((BINS + 63) / 64)
_Static_assert(EXACT_BINS == 1u << 5, "the first power of two that is cut into steps");

struct bins {
    struct free_block *first[BINS];
    uint64_t nonempty[BIN_WORDS];
};

static inline unsigned bin_step_log2(uint64_t units)
{
    return 63u - (unsigned)__builtin_clzll(units) - STEPS_LOG2;
}

/* The bin that a block of that size is kept in. */
static inline unsigned bin_of(uint64_t units)
{
    if (units < EXACT_BINS)
        return (unsigned)units;
    unsigned step = bin_step_log2(units);
    return EXACT_BINS + (step + STEPS_LOG2 - 5) * STEPS + (unsigned)(units >> step) % STEPS;
}

/* The first bin of which every block has at least that size. */
static inline unsigned bin_for(uint64_t units)
{
    if (units < EXACT_BINS)
        return (unsigned)units;
    return bin_of(units + (1ull << bin_step_log2(units)) - 1);
}

static inline void bins_add(struct bins *bins, struct block *b)
{
    unsigned bin = bin_of(b->units);
    struct free_block *f = (struct free_block *)b; /* free: the links are its own memory */
    f->prev = NULL;
    f->next = bins->first[bin];
    if (f->next != NULL)
        f->next->prev = f;
    bins->first[bin] = f;
    bins->nonempty[bin / 64] |= 1ull << bin % 64;
}

static inline void bins_remove(struct bins *bins, struct block *b)
{
    unsigned bin = bin_of(b->units);
    struct free_block *f = (struct free_block *)b; /* likewise */
    struct free_block **from = f->prev != NULL ? &f->prev->next : &bins->first[bin];
    ASSERT(*from == f && (f->next == NULL || f->next->prev == f)); /* else written after free */
    *from = f->next;
    if (f->next != NULL)
        f->next->prev = f->prev;
    if (bins->first[bin] == NULL)
        bins->nonempty[bin / 64] &= ~(1ull << bin % 64);
}

/* A block of the bin that has at least that size; NULL if there is none. */
static inline struct block *bin_search(const struct bins *bins, unsigned bin, uint64_t units)
{
    struct free_block *f = bins->first[bin];
    while (f != NULL && f->head.units < units)
        f = f->next;
    return f != NULL ? &f->head : NULL;
}

/* A free block of at least that size, still in its bin; NULL if there is none. The one that was put
 * into its own bin last is a good guess; any of a higher bin fits; and before the heap grows for
 * want of a block, it is worth going through the whole of its own bin. */
static inline struct block *bins_find(const struct bins *bins, uint64_t units)
{
    unsigned own = bin_of(units), higher = bin_for(units);
    if (bins->first[own] != NULL && bins->first[own]->head.units >= units)
        return &bins->first[own]->head;
    for (unsigned word = higher / 64; word < BIN_WORDS; word++) {
        uint64_t candidates = bins->nonempty[word];
        if (word == higher / 64)
            candidates &= ~0ull << higher % 64;
        if (candidates != 0)
            return &bins->first[word * 64 + (unsigned)__builtin_ctzll(candidates)]->head;
    }
    return bin_search(bins, own, units);
}

#endif
