/* See lzma.h. The data is one large number that stands for a row of decisions between 0 and 1. Each has
 * a probability, which follows what was decided before, and the likelier it is the less it takes: the
 * range of what the number may still be is divided in proportion, and where in it the number lies
 * is the decision.
 *
 * The decisions are literals, bytes as they are, and matches, which repeat bytes decoded before, from
 * one of the last four distances or from a new one. */
#include "lzma.h"

#include "bytes.h"

enum {
    CERTAIN_BITS = 11, /* a probability is a share of 2048 */
    LEARN_BITS = 5,    /* each decision moves it by 1/32 of what is left */
    RANGE_LEAST = 1 << 24,
    FIRST_BYTES = 5, /* one that is zero, then the number's first four */

    LITERAL_CONTEXT_BITS = 3,
    LITERAL_CODES = 0x300, /* a literal alone, and one where a match would have had a 0 or a 1 */

    STATES = 12,     /* of which kinds the last few literals and matches were */
    STATE_MATCH = 7, /* from here on, the last was a match */

    MATCH_MIN = 2,
    LENGTH_CLASSES = 4, /* of lengths: their distances have codes of their own */
    SLOT_BITS = 6,      /* a distance's number of bits, and the second of them */
    SLOT_CODED = 4,     /* from here on more bits follow */
    SLOT_EVEN = 14,     /* from here on all but the last four are as likely 0 as 1 */
    ALIGN_BITS = 4,
    CODED_BITS = 115, /* of all slots between the two */
};
#define DISTANCE_END UINT32_MAX /* no distance: the end of the data */

typedef uint16_t share_t; /* the probability of a 0 */

/* Lengths below 8, below 16, and more. */
struct length_code {
    share_t is_more, is_most, low[8], middle[8], high[256];
};

static struct probabilities {
    share_t literal[1 << LITERAL_CONTEXT_BITS][LITERAL_CODES];
    share_t is_match[STATES], is_known[STATES], is_older[STATES][3], is_long[STATES];
    struct length_code new_length, known_length;
    share_t slot[LENGTH_CLASSES][1 << SLOT_BITS], bits[CODED_BITS], align[1 << ALIGN_BITS];
} shares;

struct lzma {
    uint32_t range, number;  /* of what the number may be, and where in that it is */
    const uint8_t *at, *end; /* of the data */
    bool is_short;           /* a byte was taken that is not there */
    unsigned state;
    uint32_t last[4];             /* distances, less one */
    uint8_t *start, *to, *to_end; /* the output */
    struct fault *fault;
};

static bool fail(const struct lzma *in, const char *field, uint64_t value, const char *what)
{
    return fault_set(in->fault, "byte", (uint64_t)(in->to - in->start), field, value, what);
}

/* ---- decisions ---------------------------------------------------------------------------------- */

static inline void widen(struct lzma *in)
{
    if (in->range >= RANGE_LEAST)
        return;
    in->range <<= 8;
    in->number <<= 8;
    if (in->at < in->end)
        in->number |= *in->at++;
    else
        in->is_short = true;
}

/* Append the next decision to the value, which chooses its probability. Nearly all time is spent
 * here. Not inline: it calls nothing, so that it saves no registers. */
static __attribute__((noinline)) unsigned append(struct lzma *in, share_t *of, unsigned value)
{
    widen(in);
    uint32_t range = in->range, number = in->number, share = of[value];
    uint32_t zero = (range >> CERTAIN_BITS) * share;
    if (number < zero) {
        in->range = zero;
        of[value] = (share_t)(share + (((1 << CERTAIN_BITS) - share) >> LEARN_BITS));
        return value * 2;
    }
    in->range = range - zero;
    in->number = number - zero;
    of[value] = (share_t)(share - (share >> LEARN_BITS));
    return value * 2 + 1;
}

static bool decide(struct lzma *in, share_t *share)
{
    return append(in, share, 0);
}

/* Bits as likely 0 as 1, the highest first. */
static uint32_t even_bits(struct lzma *in, unsigned n)
{
    uint32_t value = 0;
    while (n-- > 0) {
        widen(in);
        in->range >>= 1;
        bool bit = in->number >= in->range;
        if (bit)
            in->number -= in->range;
        value = value << 1 | bit;
    }
    return value;
}

/* Bits, the highest first, each with a probability that those before it choose. */
static unsigned bits(struct lzma *in, share_t *of, unsigned n)
{
    unsigned value = 1, end = 1u << n;
    while (value < end)
        value = append(in, of, value);
    return value - end;
}

/* The same with the lowest bit first. */
static unsigned bits_from_low(struct lzma *in, share_t *of, unsigned n)
{
    unsigned value = 0, chosen = 1;
    for (unsigned i = 0; i < n; i++) {
        chosen = append(in, of, chosen);
        value |= chosen % 2 << i;
    }
    return value;
}

/* ---- literals and matches ----------------------------------------------------------------------- */

/* Right behind a match, a byte is most likely not the one that would have continued it. As long as its
 * bits are the same, they are decided with that one's bit known. */
static unsigned bits_unlike(struct lzma *in, share_t *of, unsigned continued)
{
    unsigned value = 1, same = 0x100;
    while (value < 0x100) {
        continued <<= 1;
        unsigned likely = continued & same;
        value = append(in, of + same + likely, value);
        same &= value % 2 ? likely : ~likely;
    }
    return value;
}

static bool literal(struct lzma *in)
{
    if (in->to == in->to_end)
        return fail(in, "literal", 0, "is beyond the end of the output");
    uint8_t before = in->to > in->start ? in->to[-1] : 0;
    share_t *of = shares.literal[before >> (8 - LITERAL_CONTEXT_BITS)];
    unsigned value = in->state < STATE_MATCH
                         ? bits(in, of, 8)
                         : bits_unlike(in, of, in->to[-1 - (int64_t)in->last[0]]);
    *in->to++ = (uint8_t)value;
    in->state -= in->state < 4 ? in->state : in->state < 10 ? 3 : 6;
    return true;
}

static unsigned length(struct lzma *in, struct length_code *code)
{
    if (!decide(in, &code->is_more))
        return bits(in, code->low, 3);
    if (!decide(in, &code->is_most))
        return 8 + bits(in, code->middle, 3);
    return 16 + bits(in, code->high, 8);
}

static uint32_t distance(struct lzma *in, unsigned length)
{
    unsigned class = length < LENGTH_CLASSES ? length : LENGTH_CLASSES - 1;
    unsigned slot = bits(in, shares.slot[class], SLOT_BITS);
    if (slot < SLOT_CODED)
        return slot;
    unsigned n = slot / 2 - 1;
    uint32_t value = (2 | slot % 2) << n;
    if (slot < SLOT_EVEN)
        return value + bits_from_low(in, shares.bits + value - slot, n);
    value += even_bits(in, n - ALIGN_BITS) << ALIGN_BITS;
    return value + bits_from_low(in, shares.align, ALIGN_BITS);
}

/* Put a distance before the first i. */
static void make_latest(struct lzma *in, unsigned i, uint32_t distance)
{
    for (; i > 0; i--)
        in->last[i] = in->last[i - 1];
    in->last[0] = distance;
}

/* Make one of the last distances the latest, which it is not yet. */
static void recall(struct lzma *in)
{
    unsigned i = 1;
    while (i < 3 && decide(in, &shares.is_older[in->state][i]))
        i++;
    make_latest(in, i, in->last[i]);
}

/* Decode how far back and how long a match is; 0 bytes: it is the end. */
static unsigned match(struct lzma *in)
{
    unsigned state = in->state, later = state < STATE_MATCH ? 0 : 3;
    if (!decide(in, &shares.is_known[state])) {
        unsigned bytes = length(in, &shares.new_length);
        make_latest(in, 3, distance(in, bytes));
        in->state = STATE_MATCH + later;
        return in->last[0] == DISTANCE_END ? 0 : MATCH_MIN + bytes;
    }
    if (!decide(in, &shares.is_older[state][0])) {
        if (!decide(in, &shares.is_long[state])) {
            in->state = STATE_MATCH + (later ? 4 : 2);
            return 1;
        }
    } else {
        recall(in);
    }
    in->state = STATE_MATCH + (later ? 4 : 1);
    return MATCH_MIN + length(in, &shares.known_length);
}

static bool repeat(struct lzma *in, unsigned bytes)
{
    uint64_t back = (uint64_t)in->last[0] + 1;
    if (back > (uint64_t)(in->to - in->start))
        return fail(in, "distance", back, "reaches back beyond the beginning");
    if (bytes > (uint64_t)(in->to_end - in->to))
        return fail(in, "length", bytes, "reaches beyond the end of the output");
    uint8_t *to = in->to;
    in->to += bytes;
    for (const uint8_t *end = in->to; to < end; to++)
        *to = *(to - back); /* in ascending order: they may be just written */
    return true;
}

/* ---- the data ----------------------------------------------------------------------------------- */

static bool decode_end(struct lzma *in)
{
    widen(in);
    if (in->to != in->to_end || in->is_short)
        return fail(in, "output", (uint64_t)(in->to - in->start), "bytes long, the data ends");
    if (in->number != 0)
        return fail(in, "rest", in->number, "is left of the number at its end");
    if (in->at < in->end)
        return fail(in, "input", (uint64_t)(in->end - in->at), "bytes are left behind the end");
    return true;
}

static bool decode(struct lzma *in)
{
    for (;;) {
        unsigned bytes = 0;
        bool is_match = decide(in, &shares.is_match[in->state]);
        if (is_match)
            bytes = match(in);
        else if (!literal(in))
            return false;
        if (in->is_short)
            return fail(in, "output", (uint64_t)(in->to - in->start), "bytes long, the data ends");
        if (is_match && bytes == 0)
            return decode_end(in);
        if (is_match && !repeat(in, bytes))
            return false;
    }
}

bool lzma_decode(const void *packed, uint64_t packed_bytes, void *to, uint64_t to_bytes,
                 struct fault *fault)
{
    const uint8_t *data = packed;
    struct lzma in = {.range = UINT32_MAX,
                      .at = data + FIRST_BYTES,
                      .end = data + packed_bytes,
                      .start = to,
                      .to = to,
                      .to_end = (uint8_t *)to + to_bytes,
                      .fault = fault};
    if (packed_bytes < FIRST_BYTES)
        return fail(&in, "input", packed_bytes, "bytes are too few to begin with");
    if (data[0] != 0)
        return fail(&in, "first byte", data[0], "is not zero");
    in.number = __builtin_bswap32(load32(data + 1));
    share_t *all = (share_t *)&shares; /* it consists of nothing else */
    for (uint64_t i = 0; i < sizeof shares / sizeof *all; i++)
        all[i] = 1 << CERTAIN_BITS >> 1;
    return decode(&in);
}
