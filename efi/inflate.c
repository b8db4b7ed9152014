/* See inflate.h. The data is a row of bits, the first the lowest of the first byte; they are a row of
 * blocks: bytes as they are, or symbols in a Huffman code. A symbol is a byte (literal), the end of
 * the block, or a length that a distance follows: a match, which repeats bytes decoded before.
 *
 * Nearly all symbols are decoded by decode_fast, which runs far from the ends of input and output,
 * finds a code's symbol by its first bits in a table, and leaves all that is rare or wrong to
 * decode_one. That finds a symbol bit by bit, from how many codes of each length there are. */
#include "inflate.h"

#include "bytes.h"

enum {
    CODE_BITS_MAX = 15,
    SYMBOL_TABLE_BITS = 11,
    DISTANCE_TABLE_BITS = 8,
    SYMBOLS_MAX = 288,
    DISTANCES_MAX = 32,
    LENGTHS_MAX = 19, /* in the code for the lengths of codes */

    END_OF_BLOCK = 256,
    FIRST_LENGTH = 257,
    LAST_LENGTH = 285,
    LAST_DISTANCE = 29,
    MATCH_MAX = 258,
    OUTPUT_ROOM = 1 + MATCH_MAX + 7, /* what decode_fast writes at most before it looks again */
};

/* What the table says of a symbol: how many bits it takes, with extra bits, and how many its code; and
 * a literal, or a length with the extra bits added, or a distance without. 0: see decode_one. */
#define ENTRY(base, code, bits) ((uint32_t)(base) << 16 | (uint32_t)(code) << 8 | (bits))
#define ENTRY_LITERAL           (1u << 31)
#define ENTRY_BITS(entry)       ((uint8_t)(entry))
#define ENTRY_CODE_BITS(entry)  ((uint8_t)((entry) >> 8))
#define ENTRY_BASE(entry)       ((entry) >> 16)

/* A Huffman code: how many codes there are of each length, the symbols in the order of their codes
 * (by length, then by number), and the table by the next bits. */
struct code {
    uint32_t *table;
    unsigned table_bits;
    uint16_t count[CODE_BITS_MAX + 1];
    uint16_t symbols[SYMBOLS_MAX];
};

struct inflate {
    const uint8_t *data;
    uint64_t data_bytes;
    uint64_t at; /* the next bit; beyond the data if more was taken than there is */
    uint8_t *start, *to, *to_end; /* the output */
    uint64_t block;
    struct fault *fault;
};

/* How many extra bits follow a length or a distance, and what they are added to. */
struct extra {
    uint16_t base;
    uint8_t bits;
};

static uint32_t symbol_table[1 << SYMBOL_TABLE_BITS], distance_table[1 << DISTANCE_TABLE_BITS];
static struct code symbols, distances;

static bool fail(struct inflate *in, const char *field, uint64_t value, const char *what)
{
    return fault_set(in->fault, "block", in->block, field, value, what);
}

static bool fail_short(struct inflate *in)
{
    return fail(in, "output", (uint64_t)(in->to - in->start), "bytes long, the data ends");
}

/* Twice as many numbers share their extra bits with each step: eight lengths, four distances have
 * none. The longest match has a symbol of its own. */
static struct extra extra_of_length(unsigned symbol)
{
    unsigned i = symbol - FIRST_LENGTH, bits = i < 8 ? 0 : i / 4 - 1;
    if (symbol == LAST_LENGTH)
        return (struct extra){MATCH_MAX, 0};
    return (struct extra){(uint16_t)(3 + (bits ? (4 + i % 4) << bits : i)), (uint8_t)bits};
}

static struct extra extra_of_distance(unsigned symbol)
{
    unsigned bits = symbol < 4 ? 0 : symbol / 2 - 1;
    return (struct extra){(uint16_t)(1 + (bits ? (2 + symbol % 2) << bits : symbol)),
                          (uint8_t)bits};
}

/* ---- bits --------------------------------------------------------------------------------------- */

/* The next 57 bits or more, zeros behind the end of the data: enough for a length and a distance. */
static uint64_t peek(const struct inflate *in)
{
    uint64_t bits = 0, at = in->at / 8;
    if (at < in->data_bytes && in->data_bytes - at >= 8)
        return load64(in->data + at) >> in->at % 8;
    for (unsigned i = 0; i < 8 && at < in->data_bytes; i++, at++)
        bits |= (uint64_t)in->data[at] << 8 * i;
    return bits >> in->at % 8;
}

static unsigned take(struct inflate *in, unsigned n)
{
    unsigned value = peek(in) & ((1u << n) - 1);
    in->at += n;
    return value;
}

static bool is_beyond(const struct inflate *in)
{
    return in->at > in->data_bytes * 8;
}

/* ---- Huffman codes ------------------------------------------------------------------------------ */

static uint32_t reverse(uint32_t code, unsigned bits)
{
    uint32_t reversed = 0;
    for (; bits-- > 0; code >>= 1)
        reversed = reversed << 1 | (code & 1);
    return reversed;
}

/* The code after this one of so many bits, both with their first bit lowest, as they are read. */
static uint32_t next_reversed(uint32_t code, unsigned bits)
{
    uint32_t bit = 1u << bits >> 1;
    for (; code & bit; bit >>= 1)
        code -= bit;
    return code | bit;
}

/* Enter a code wherever the bits that are read with it do not matter. */
static void fill(struct code *code, uint32_t at, unsigned bits, uint32_t entry)
{
    const uint32_t *end = code->table + (UINT64_C(1) << code->table_bits);
    for (uint32_t *to = code->table + at; to < end; to += UINT64_C(1) << bits)
        *to = entry;
}

static void enter_symbol(struct code *code, unsigned symbol, uint32_t at, unsigned bits)
{
    if (code == &distances) {
        struct extra extra = extra_of_distance(symbol);
        if (symbol <= LAST_DISTANCE)
            fill(code, at, bits, ENTRY(extra.base, bits, bits + extra.bits));
    } else if (symbol < END_OF_BLOCK) {
        fill(code, at, bits, ENTRY_LITERAL | ENTRY(0, symbol, bits));
    } else if (symbol >= FIRST_LENGTH && symbol <= LAST_LENGTH) {
        struct extra extra = extra_of_length(symbol);
        unsigned all = bits + extra.bits;
        for (uint32_t i = 0; all <= SYMBOL_TABLE_BITS && i < 1u << extra.bits; i++)
            fill(code, at | i << bits, all, ENTRY(extra.base + i, 0, all));
    }
}

/* Count the lengths of the n symbols' codes and sort the symbols; first: the first code of each
 * length, as it is read. */
static bool sort_symbols(struct inflate *in, struct code *code, const uint8_t *lengths, unsigned n,
                         uint32_t first[CODE_BITS_MAX + 1])
{
    uint32_t place[CODE_BITS_MAX + 1], next = 0, sum = 0;
    memset(code->count, 0, sizeof code->count);
    for (unsigned i = 0; i < n; i++)
        code->count[lengths[i]]++;
    for (unsigned bits = 1; bits <= CODE_BITS_MAX; bits++) {
        next *= 2;
        first[bits] = bits <= SYMBOL_TABLE_BITS ? reverse(next, bits) : 0;
        place[bits] = sum;
        next += code->count[bits];
        sum += code->count[bits];
        if (next > 1u << bits)
            return fail(in, "code length", bits, "bits long: there are more than there can be");
    }
    for (unsigned i = 0; i < n; i++)
        if (lengths[i])
            code->symbols[place[lengths[i]]++] = (uint16_t)i;
    return true;
}

/* Make the code from the lengths of the n symbols' codes; 0: it has none. Codes may be missing: one
 * that turns up in the data is refused then. */
static bool build(struct inflate *in, struct code *code, const uint8_t *lengths, unsigned n)
{
    uint32_t next[CODE_BITS_MAX + 1];
    if (!sort_symbols(in, code, lengths, n, next))
        return false;
    memset(code->table, 0, sizeof *code->table << code->table_bits);
    for (unsigned i = 0; i < n; i++) {
        unsigned bits = lengths[i];
        if (bits == 0 || bits > code->table_bits)
            continue;
        enter_symbol(code, i, next[bits], bits);
        next[bits] = next_reversed(next[bits], bits);
    }
    return true;
}

/* Find the next symbol without the table. */
static bool find_symbol(struct inflate *in, const struct code *code, unsigned *symbol)
{
    uint32_t value = 0, first = 0, place = 0;
    uint64_t next = peek(in);
    for (unsigned bits = 1; bits <= CODE_BITS_MAX; bits++, next >>= 1) {
        value = value << 1 | (next & 1);
        if (value - first < code->count[bits]) {
            *symbol = code->symbols[place + value - first];
            in->at += bits;
            return !is_beyond(in) || fail_short(in);
        }
        place += code->count[bits];
        first = (first + code->count[bits]) << 1;
    }
    return fail(in, "code", value, "stands for nothing");
}

/* ---- symbols ------------------------------------------------------------------------------------ */

/* Repeat bytes from that far back, in ascending order: they may be just written. */
static void repeat(uint8_t *to, uint64_t distance, uint64_t bytes)
{
    for (const uint8_t *end = to + bytes; to < end; to++)
        *to = *(to - distance);
}

/* The same in steps of eight bytes, the last of which may go up to seven bytes too far. Bytes that lie
 * nearer are repeated one by one until the same is found far enough back: three bytes, the shortest
 * match, may become seven so. */
static inline void repeat_fast(uint8_t *to, uint64_t distance, uint64_t bytes)
{
    const uint8_t *end = to + bytes;
    for (; distance < 8; distance *= 2) {
        repeat(to, distance, distance);
        to += distance;
    }
    for (; to < end; to += 8)
        store64(to, load64(to - distance));
}

/* Decode symbols while the table knows them and there is input and output enough for any: 57 bits are
 * there, two symbols, a distance and its extra bits are up to 11 + 11 + 8 + 13. */
static void decode_fast(struct inflate *in)
{
    if (in->data_bytes < 8 || in->to_end - in->to < OUTPUT_ROOM)
        return;
    const uint64_t at_last = (in->data_bytes - 8) * 8;
    const uint8_t *const data = in->data, *const to_last = in->to_end - OUTPUT_ROOM;
    uint64_t at = in->at;
    uint8_t *to = in->to;
    while (at <= at_last && to <= to_last) {
        uint64_t bits = load64(data + at / 8) >> at % 8;
        uint32_t entry = symbol_table[bits % (1u << SYMBOL_TABLE_BITS)];
        if (entry & ENTRY_LITERAL) {
            *to++ = (uint8_t)(entry >> 8);
            at += ENTRY_BITS(entry);
            bits >>= ENTRY_BITS(entry) % 64;
            entry = symbol_table[bits % (1u << SYMBOL_TABLE_BITS)];
            if (entry & ENTRY_LITERAL) {
                *to++ = (uint8_t)(entry >> 8);
                at += ENTRY_BITS(entry);
                continue;
            }
        }
        if (entry == 0)
            break;
        bits >>= ENTRY_BITS(entry) % 64;
        uint32_t far = distance_table[bits % (1u << DISTANCE_TABLE_BITS)];
        bits &= ~(~UINT64_C(0) << ENTRY_BITS(far) % 64);
        uint64_t distance = ENTRY_BASE(far) + (bits >> ENTRY_CODE_BITS(far) % 64);
        if (distance - 1 >= (uint64_t)(to - in->start)) /* 0: the table does not know it */
            break;
        at += ENTRY_BITS(entry + far); /* less than 64 */
        repeat_fast(to, distance, ENTRY_BASE(entry));
        to += ENTRY_BASE(entry);
    }
    in->at = at;
    in->to = to;
}

static bool decode_match(struct inflate *in, unsigned symbol)
{
    if (symbol > LAST_LENGTH)
        return fail(in, "symbol", symbol, "stands for nothing");
    struct extra extra = extra_of_length(symbol);
    uint64_t bytes = extra.base + take(in, extra.bits);
    if (!find_symbol(in, &distances, &symbol))
        return false;
    if (symbol > LAST_DISTANCE)
        return fail(in, "distance", symbol, "stands for nothing");
    extra = extra_of_distance(symbol);
    uint64_t distance = extra.base + take(in, extra.bits);
    if (is_beyond(in))
        return fail_short(in);
    if (distance > (uint64_t)(in->to - in->start))
        return fail(in, "distance", distance, "reaches back beyond the beginning");
    if (bytes > (uint64_t)(in->to_end - in->to))
        return fail(in, "length", bytes, "reaches beyond the end of the output");
    if ((uint64_t)(in->to_end - in->to) >= OUTPUT_ROOM)
        repeat_fast(in->to, distance, bytes);
    else
        repeat(in->to, distance, bytes);
    in->to += bytes;
    return true;
}

/* Decode one symbol, whatever it is. */
static bool decode_one(struct inflate *in, bool *end)
{
    unsigned symbol;
    if (!find_symbol(in, &symbols, &symbol))
        return false;
    *end = symbol == END_OF_BLOCK;
    if (symbol > END_OF_BLOCK)
        return decode_match(in, symbol);
    if (*end)
        return true;
    if (in->to == in->to_end)
        return fail(in, "literal", symbol, "is beyond the end of the output");
    *in->to++ = (uint8_t)symbol;
    return true;
}

static bool decode_symbols(struct inflate *in)
{
    for (bool end = false; !end;) {
        decode_fast(in);
        if (!decode_one(in, &end))
            return false;
    }
    return true;
}

/* ---- blocks ------------------------------------------------------------------------------------- */

/* Read n lengths of codes, which are in a code themselves. */
static bool read_lengths(struct inflate *in, uint8_t *lengths, unsigned n)
{
    enum {
        REPEAT = 16, /* the last length, 3 to 6 times */
        ZEROS = 17,  /* 3 to 10 */
        MORE_ZEROS = 18,
    };
    for (unsigned done = 0; done < n;) {
        unsigned symbol, times = 1;
        uint8_t length = 0;
        if (!find_symbol(in, &symbols, &symbol))
            return false;
        if (symbol == REPEAT && done == 0)
            return fail(in, "length of a code", symbol, "repeats one before the first");
        if (symbol < REPEAT)
            length = (uint8_t)symbol;
        else if (symbol == REPEAT)
            length = lengths[done - 1], times = 3 + take(in, 2);
        else
            times = symbol == ZEROS ? 3 + take(in, 3) : 11 + take(in, 7);
        if (times > n - done)
            return fail(in, "length of a code", symbol, "is for more symbols than there are");
        memset(lengths + done, length, times);
        done += times;
    }
    return !is_beyond(in) || fail_short(in);
}

/* A block with codes of its own. */
static bool decode_dynamic(struct inflate *in)
{
    static const uint8_t order[LENGTHS_MAX] = {16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                               11, 4,  12, 3, 13, 2, 14, 1, 15};
    uint8_t lengths[SYMBOLS_MAX + DISTANCES_MAX] = {0};
    unsigned nsymbols = 257 + take(in, 5), ndistances = 1 + take(in, 5), n = 4 + take(in, 4);
    for (unsigned i = 0; i < n; i++) {
        lengths[order[i]] = (uint8_t)take(in, 3);
    }
    uint32_t unused[CODE_BITS_MAX + 1];
    return sort_symbols(in, &symbols, lengths, LENGTHS_MAX, unused) &&
           read_lengths(in, lengths, nsymbols + ndistances) &&
           build(in, &symbols, lengths, nsymbols) &&
           build(in, &distances, lengths + nsymbols, ndistances) && decode_symbols(in);
}

/* A block in the codes that RFC 1951 sets. */
static bool decode_fixed(struct inflate *in)
{
    uint8_t lengths[SYMBOLS_MAX];
    memset(lengths, 8, 144);
    memset(lengths + 144, 9, 256 - 144);
    memset(lengths + 256, 7, 280 - 256);
    memset(lengths + 280, 8, 288 - 280);
    if (!build(in, &symbols, lengths, SYMBOLS_MAX))
        return false;
    memset(lengths, 5, DISTANCES_MAX);
    return build(in, &distances, lengths, DISTANCES_MAX) && decode_symbols(in);
}

/* A block of bytes as they are, from the next whole byte on. */
static bool copy_stored(struct inflate *in)
{
    in->at = round_up(in->at, 8);
    uint64_t bytes = take(in, 16), inverse = take(in, 16);
    if (is_beyond(in))
        return fail_short(in);
    if ((bytes ^ inverse) != 0xffff)
        return fail(in, "NLEN", inverse, "is not the complement of LEN");
    if (bytes > in->data_bytes - in->at / 8)
        return fail_short(in);
    if (bytes > (uint64_t)(in->to_end - in->to))
        return fail(in, "LEN", bytes, "reaches beyond the end of the output");
    memcpy(in->to, in->data + in->at / 8, bytes);
    in->at += bytes * 8;
    in->to += bytes;
    return true;
}

static bool decode_block(struct inflate *in, bool *last)
{
    *last = take(in, 1);
    unsigned type = take(in, 2);
    if (is_beyond(in))
        return fail_short(in);
    if (type == 0)
        return copy_stored(in);
    if (type == 1)
        return decode_fixed(in);
    return type == 2 ? decode_dynamic(in) : fail(in, "BTYPE", type, "is no type of block");
}

bool inflate(const void *packed, uint64_t packed_bytes, void *to, uint64_t to_bytes,
             struct fault *fault)
{
    struct inflate in = {
        .data = packed,
        .data_bytes = packed_bytes,
        .start = to,
        .to = to,
        .to_end = (uint8_t *)to + to_bytes,
        .fault = fault,
    };
    symbols.table = symbol_table; /* here, so that the codes take no room in the EFI file */
    symbols.table_bits = SYMBOL_TABLE_BITS;
    distances.table = distance_table;
    distances.table_bits = DISTANCE_TABLE_BITS;
    for (bool last = false; !last; in.block++)
        if (!decode_block(&in, &last))
            return false;
    in.block--;
    if (in.to != in.to_end)
        return fail(&in, "output", (uint64_t)(in.to - in.start), "bytes long, the last block ends");
    uint64_t left = packed_bytes - (in.at + 7) / 8;
    return left == 0 || fail(&in, "input", left, "bytes are left behind the last block");
}
