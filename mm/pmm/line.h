/* The 512 frames of a 2 MiB block as eight rows of 64 bits: where runs of frames are.
 * Pure functions of values; here a bit is 1 if the frame is free. A run of 2^order frames is
 * naturally aligned. tests/proof/ shows for all of them that nothing is out of bounds, lost or found
 * twice. */
#ifndef QL_MM_PMM_LINE_H
#define QL_MM_PMM_LINE_H

#include <stdbool.h>
#include <stdint.h>

#define ROW_FRAMES   64u
#define LINE_ROWS    8u
#define BLOCK_FRAMES 512u
#define ROW_ORDER    6u /* of a whole row */

#define LINE_NONE BLOCK_FRAMES /* no such frame */

/* n ones from bit first on. 1 <= n, first + n <= 64. */
static inline uint64_t row_mask(unsigned first, unsigned n)
{
    return (~0ull >> (ROW_FRAMES - n)) << first;
}

/* The multiples of 2^order in a row. order <= ROW_ORDER. */
static inline uint64_t row_starts(unsigned order)
{
    static const uint64_t starts[ROW_ORDER + 1] = {
        ~0ull,
        0x5555555555555555,
        0x1111111111111111,
        0x0101010101010101,
        0x0001000100010001,
        0x0000000100000001,
        0x0000000000000001,
    };
    return starts[order];
}

/* The order of the smallest aligned run that has room for n frames, n >= 1. */
static inline unsigned order_for(uint64_t n)
{
    return n <= 1 ? 0 : 64 - (unsigned)__builtin_clzll(n - 1);
}

/* The first frames of the free runs of an order in a row: bits at multiples of 2^order.
 * order <= ROW_ORDER. */
static inline uint64_t row_runs(uint64_t free, unsigned order)
{
    for (unsigned i = 0; i < order && free != 0; i++)
        free &= free >> (1u << i) & row_starts(i + 1);
    return free;
}

/* The largest order of a free run in the row, plus one; 0 if it has no free frame. */
static inline unsigned row_class(uint64_t free)
{
    unsigned class = 0;
    if (free == ~0ull)
        return ROW_ORDER + 1;
    while (free != 0) { /* at most ROW_ORDER times */
        free &= free >> (1u << class) & row_starts(class + 1);
        class ++;
    }
    return class;
}

/* The same for a line: 0 .. PMM_ORDER_BLOCK + 1. Orders above a row's are of whole rows. */
static inline unsigned line_class(const uint64_t free[LINE_ROWS])
{
    unsigned class = 0;
    uint64_t full = 0; /* bit r: row r is free */
    for (unsigned r = 0; r < LINE_ROWS; r++) {
        unsigned row = row_class(free[r]);
        class = row > class ? row : class;
        full |= (uint64_t)(free[r] == ~0ull) << r;
    }
    for (unsigned order = 1; order <= 3 && row_runs(full, order) != 0; order++)
        class = ROW_ORDER + order + 1;
    return class;
}

/* The number of free frames. */
static inline unsigned line_count(const uint64_t free[LINE_ROWS])
{
    unsigned count = 0;
    for (unsigned r = 0; r < LINE_ROWS; r++)
        count += (unsigned)__builtin_popcountll(free[r]);
    return count;
}

/* The first frame of a free run of 2^order frames; LINE_NONE if there is none. order <= 9. */
static inline unsigned line_find_order(const uint64_t free[LINE_ROWS], unsigned order)
{
    if (order <= ROW_ORDER) {
        for (unsigned r = 0; r < LINE_ROWS; r++) {
            uint64_t runs = row_runs(free[r], order);
            if (runs != 0)
                return r * ROW_FRAMES + (unsigned)__builtin_ctzll(runs);
        }
        return LINE_NONE;
    }
    uint64_t full = 0;
    for (unsigned r = 0; r < LINE_ROWS; r++)
        full |= (uint64_t)(free[r] == ~0ull) << r;
    full = row_runs(full, order - ROW_ORDER);
    return full != 0 ? (unsigned)__builtin_ctzll(full) * ROW_FRAMES : LINE_NONE;
}

/* The first frames of the free runs of n frames that lie inside one row, at any place. n <= 64. */
static inline uint64_t row_fits(uint64_t free, unsigned n)
{
    for (unsigned have = 1; have < n;) {
        unsigned step = have < n - have ? have : n - have;
        free &= free >> step;
        have += step;
    }
    return free;
}

/* The frames of row r that are multiples of align, a power of two <= 512, in the line. */
static inline uint64_t row_multiples(unsigned r, unsigned align)
{
    if (align < ROW_FRAMES)
        return row_starts((unsigned)__builtin_ctz(align));
    return r * ROW_FRAMES % align == 0;
}

/* The first frame of a free run of n frames at a multiple of align; LINE_NONE if there is none.
 * 1 <= n <= 512, align a power of two <= 512. */
static inline unsigned line_find_run(const uint64_t free[LINE_ROWS], unsigned n, unsigned align)
{
    unsigned run = 0; /* free frames right below the row, as far as they are of use */
    for (unsigned r = 0; r < LINE_ROWS; r++) {
        unsigned base = r * ROW_FRAMES;
        unsigned low = free[r] == ~0ull ? ROW_FRAMES : (unsigned)__builtin_ctzll(~free[r]);
        unsigned start = (base - run + align - 1) & ~(align - 1);
        if (start + n <= base + low)
            return start;
        if (free[r] == ~0ull) {
            run += ROW_FRAMES;
            continue;
        }
        uint64_t fits = n <= ROW_FRAMES ? row_fits(free[r], n) & row_multiples(r, align) : 0;
        if (fits != 0)
            return base + (unsigned)__builtin_ctzll(fits);
        run = (unsigned)__builtin_clzll(~free[r]);
    }
    return LINE_NONE;
}

/* The part of the run [first, first + n) that lies in row r, as a mask; 0 if none does. */
static inline uint64_t line_part(unsigned first, unsigned n, unsigned r)
{
    unsigned low = r * ROW_FRAMES, high = low + ROW_FRAMES;
    unsigned from = first > low ? first : low;
    unsigned to = first + n < high ? first + n : high;
    return from < to ? row_mask(from - low, to - from) : 0;
}

/* The same for a row that has some: row r of first / 64 .. last / 64. */
static inline uint64_t line_mask(unsigned first, unsigned last, unsigned r)
{
    uint64_t mask = ~0ull;
    if (r == first / ROW_FRAMES)
        mask <<= first % ROW_FRAMES;
    if (r == last / ROW_FRAMES)
        mask &= ~0ull >> (ROW_FRAMES - 1 - last % ROW_FRAMES);
    return mask;
}

#endif
