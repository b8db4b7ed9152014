/* Ranges of bits in an array of 64-bit words, a word at a time; the whole words inside a range that
 * is written are filled in one go. A range is [first, first + count). */
#ifndef QL_MM_BITMAP_H
#define QL_MM_BITMAP_H

#include <stdbool.h>
#include <stdint.h>

#include "mm/string.h"

#define BITMAP_WORD_BITS 64u

static inline uint64_t bitmap_words(uint64_t bits)
{
    return (bits + BITMAP_WORD_BITS - 1) / BITMAP_WORD_BITS;
}

/* The bits of a range that lie in the word of its first bit. */
struct bitmap_part {
    uint64_t word;
    uint64_t mask;
    uint64_t count;
};

static inline struct bitmap_part bitmap_first_part(uint64_t first, uint64_t count)
{
    uint64_t shift = first % BITMAP_WORD_BITS;
    uint64_t room = BITMAP_WORD_BITS - shift;
    uint64_t taken = count < room ? count : room;
    return (struct bitmap_part){
        .word = first / BITMAP_WORD_BITS,
        .mask = (~0ull >> (BITMAP_WORD_BITS - taken)) << shift, /* taken is never 0 */
        .count = taken,
    };
}

static inline void bitmap_write(uint64_t *words, uint64_t first, uint64_t count, bool value)
{
    while (count > 0) {
        struct bitmap_part part = bitmap_first_part(first, count);
        if (part.count == BITMAP_WORD_BITS) {
            part.count = count - count % BITMAP_WORD_BITS;
            memset64(&words[part.word], value ? ~0ull : 0, part.count / BITMAP_WORD_BITS);
        } else if (value) {
            words[part.word] |= part.mask;
        } else {
            words[part.word] &= ~part.mask;
        }
        first += part.count;
        count -= part.count;
    }
}

/* True if every bit of the range has that value. */
static inline bool bitmap_all(const uint64_t *words, uint64_t first, uint64_t count, bool value)
{
    while (count > 0) {
        struct bitmap_part part = bitmap_first_part(first, count);
        if ((words[part.word] & part.mask) != (value ? part.mask : 0))
            return false;
        first += part.count;
        count -= part.count;
    }
    return true;
}

/* How many bits of the range are 1. */
static inline uint64_t bitmap_count(const uint64_t *words, uint64_t first, uint64_t count)
{
    uint64_t ones = 0;
    while (count > 0) {
        struct bitmap_part part = bitmap_first_part(first, count);
        ones += (uint64_t)__builtin_popcountll(words[part.word] & part.mask);
        first += part.count;
        count -= part.count;
    }
    return ones;
}

/* The highest bit of that value in [low, end). False, and *out untouched, if there is none. */
static inline bool bitmap_find_last(const uint64_t *words, uint64_t low, uint64_t end, bool value,
                                    uint64_t *out)
{
    while (end > low) {
        uint64_t word = (end - 1) / BITMAP_WORD_BITS;
        uint64_t beyond = BITMAP_WORD_BITS - 1 - (end - 1) % BITMAP_WORD_BITS;
        uint64_t candidates = (value ? words[word] : ~words[word]) << beyond;
        if (candidates != 0) {
            uint64_t found = end - 1 - (uint64_t)__builtin_clzll(candidates);
            if (found < low)
                return false;
            *out = found;
            return true;
        }
        end = word * BITMAP_WORD_BITS;
    }
    return false;
}

#endif
