/* See lz.h. The data is a row of bits, the highest of each byte first:
 *
 *   0, then 8 bits            a literal: the byte
 *   1 0, length, distance     a match: so many bytes as they were so far back
 *   1 1, length               one from the same distance as the last
 *   1, length, distance       a match right behind another, whose distance would have made that longer
 *
 * A number is written as n zeros and a one, then as many bits as there were zeros and some more, which
 * ones depends on what the number is. lz.py is the other direction of everything here. */
#include "lz.h"

#include "bytes.h"

enum {
    MATCH_MIN = 2,
    LOW_BITS_SHORT = 6, /* of the distance of a match of two bytes: a far one is not worth it */
    LOW_BITS_LONG = 9,
    ZEROS_MAX = 20, /* numbers end below 2^30: what is looked at is enough for all their bits */
    PEEK_BYTES = 8, /* what is looked at at once; as many zeros are behind the end */
};
#define MATCH (1ull << 63)
#define AGAIN (1ull << 62)

struct lz {
    const uint8_t *data;
    uint64_t at, end; /* in bits */
    uint8_t *start, *to, *to_end;
};

/* The next bits, at the top; 57 are right. */
static inline uint64_t peek(const struct lz *in)
{
    uint64_t next = 0;
    if (in->at <= in->end)
        next = __builtin_bswap64(load64(in->data + in->at / 8));
    return next << in->at % 8;
}

static uint64_t number(struct lz *in, unsigned low_bits)
{
    uint64_t next = peek(in);
    unsigned zeros = (unsigned)__builtin_clzll(next | 1ull << (63 - ZEROS_MAX));
    unsigned bits = zeros * 2 + 1 + low_bits;
    in->at += bits;
    return (next >> (64 - bits)) - (1ull << low_bits);
}

static bool repeat(struct lz *in, uint64_t bytes, uint64_t back)
{
    if (back > (uint64_t)(in->to - in->start) || bytes > (uint64_t)(in->to_end - in->to))
        return false;
    while (bytes-- > 0) {
        *in->to = *(in->to - back); /* in ascending order: it may be just written */
        in->to++;
    }
    return true;
}

bool lz_decode(const void *packed, uint64_t packed_bytes, void *to, uint64_t to_bytes)
{
    struct lz in = {.data = packed,
                    .end = (packed_bytes - PEEK_BYTES) * 8,
                    .start = to,
                    .to = to,
                    .to_end = (uint8_t *)to + to_bytes};
    uint64_t back = 1;
    if (packed_bytes < PEEK_BYTES)
        return false;
    bool behind_match = false;
    while (in.to < in.to_end) {
        uint64_t next = peek(&in);
        if (in.at >= in.end)
            return false;
        if (next < MATCH) {
            *in.to++ = (uint8_t)(next >> (63 - 8));
            in.at += 1 + 8;
            behind_match = false;
            continue;
        }
        uint64_t bytes;
        in.at += behind_match ? 1 : 2;
        if (!behind_match && next >= MATCH + AGAIN) {
            bytes = number(&in, 0) + 1;
        } else {
            bytes = number(&in, 0) + MATCH_MIN;
            back = number(&in, bytes == MATCH_MIN ? LOW_BITS_SHORT : LOW_BITS_LONG) + 1;
        }
        if (!repeat(&in, bytes, back))
            return false;
        behind_match = true;
    }
    return round_up(in.at, 8) == in.end;
}
