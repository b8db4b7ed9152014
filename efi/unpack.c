/* See unpack.h. pack.py is the other direction of everything here. */
#include "unpack.h"

#include "bytes.h"
#include "lzma.h"

#define MAGIC 0x024b4c51u /* "QLK", version 2 */

enum {
    AT_BYTES = 4,
    AT_CODE_BEGIN = 8,
    AT_CODE_END = 12,
    AT_SUM = 16,
    HEADER_BYTES = 24,

    OPERAND_BYTES = 4,
    NO_OPCODE = 0xff, /* none that has_operand knows */
};

bool unpack_parse(const void *packed, uint64_t packed_bytes, struct packed *out,
                  struct fault *fault)
{
    const uint8_t *header = packed;
    if (packed_bytes < HEADER_BYTES)
        return fault_set(fault, 0, 0, "size", packed_bytes, "is too small for its header");
    if (load32(header) != MAGIC)
        return fault_set(fault, 0, 0, "magic", load32(header), "is not that of a packed kernel");
    *out = (struct packed){
        .data = header + HEADER_BYTES,
        .data_bytes = packed_bytes - HEADER_BYTES,
        .bytes = load32(header + AT_BYTES),
        .code_begin = load32(header + AT_CODE_BEGIN),
        .code_end = load32(header + AT_CODE_END),
        .sum = load64(header + AT_SUM),
    };
    if (out->code_end > out->bytes)
        return fault_set(fault, 0, 0, "end of code", out->code_end,
                         "is beyond the end of the file");
    if (out->code_begin > out->code_end)
        return fault_set(fault, 0, 0, "begin of code", out->code_begin, "is beyond its end");
    return true;
}

/* Whether these bytes look as if an operand of four bytes followed that counts from the instruction:
 * that of a call or jump, or of one that reaches for data (mov, lea, add, cmp and their like). */
static bool has_operand(uint8_t before, uint8_t byte)
{
    return (byte & 0xfe) == 0xe8 ||
           ((byte & 0xc7) == 0x05 && ((before & 0xf0) == 0x80 || (before & 0xc4) == 0));
}

/* Make the operands relative again that pack.py made absolute: those within 16 MiB, of which the
 * position is taken off in the 25 bits that they have. */
static void make_relative(uint8_t *code, uint64_t bytes)
{
    uint8_t before = NO_OPCODE;
    for (uint64_t at = 0; at + 1 + OPERAND_BYTES <= bytes;) {
        uint8_t byte = code[at++];
        if (!has_operand(before, byte)) {
            before = byte;
            continue;
        }
        uint32_t value = load32(code + at), sign = value >> 24;
        if (sign == 0 || sign == 0xff) {
            value -= (uint32_t)at;
            store32(code + at, (uint32_t)((int32_t)(value << 7) >> 7));
        }
        at += OPERAND_BYTES;
        before = NO_OPCODE; /* what is looked at must not depend on what was converted */
    }
}

/* A sum in which no change of one word goes unnoticed: each step can be undone. Against accidents,
 * not against intent. */
static uint64_t sum_of(const uint8_t *data, uint64_t bytes)
{
    uint64_t sum = bytes, last = 0;
    const uint8_t *end = data + round_down(bytes, 8);
    for (; data < end; data += 8)
        sum = (sum << 11 | sum >> 53) + load64(data);
    memcpy(&last, data, bytes % 8);
    return sum ^ last;
}

bool unpack(const struct packed *packed, void *to, struct fault *fault)
{
    if (!lzma_decode(packed->data, packed->data_bytes, to, packed->bytes, fault))
        return false;
    make_relative((uint8_t *)to + packed->code_begin, packed->code_end - packed->code_begin);
    uint64_t sum = sum_of(to, packed->bytes);
    return sum == packed->sum ||
           fault_set(fault, 0, 0, "sum", sum, "is not what the header says: a byte is damaged");
}
