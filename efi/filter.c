/* See filter.h. pack.py is the other direction of filter_undo. */
#include "filter.h"

#include <stdbool.h>

#include "bytes.h"

enum {
    OPERAND_BYTES = 4,
    NO_OPCODE = 0x40, /* none that has_operand knows */
};

/* Whether these bytes look as if an operand of four bytes followed that counts from the instruction:
 * that of a call or jump, or of one that reaches for data (mov, lea, add, cmp and their like). */
static bool has_operand(uint8_t before, uint8_t byte)
{
    return (byte & 0xfe) == 0xe8 ||
           ((byte & 0xc7) == 0x05 &&
            ((before & 0xf0) == 0x80 || (before & 0xc4) == 0 || (before & 0xc6) == 0xc6));
}

/* The highest byte of a number within 16 MiB. */
static bool is_sign(uint8_t byte)
{
    return byte == 0 || byte == 0xff;
}

/* Those within 16 MiB were made absolute and written highest byte first; the position is taken off in the
 * 25 bits that they have. Of the others, those were turned round that would look so. */
void filter_undo(uint8_t *code, uint64_t bytes)
{
    uint8_t before = NO_OPCODE;
    for (uint64_t at = 0; at + 1 + OPERAND_BYTES <= bytes;) {
        uint8_t byte = code[at++];
        if (!has_operand(before, byte)) {
            before = byte;
            continue;
        }
        uint32_t value = load32(code + at), turned = __builtin_bswap32(value);
        if (is_sign((uint8_t)value))
            store32(code + at, (uint32_t)((int32_t)((turned - (uint32_t)at) << 7) >> 7));
        else if (is_sign((uint8_t)(value >> 24)))
            store32(code + at, turned);
        at += OPERAND_BYTES;
        before = NO_OPCODE; /* what is looked at must not depend on what was converted */
    }
}

uint64_t filter_sum(const uint8_t *data, uint64_t bytes)
{
    uint64_t sum = bytes, last = 0;
    const uint8_t *end = data + round_down(bytes, 8);
    for (; data < end; data += 8)
        sum = (sum << 11 | sum >> 53) + load64(data);
    memcpy(&last, data, bytes % 8);
    return sum ^ last;
}
