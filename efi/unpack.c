/* See unpack.h. pack.py is the other direction of everything here. */
#include "unpack.h"

#include "bytes.h"
#include "filter.h"
#include "lzma.h"

#define MAGIC 0x044b4c51u /* "QLK", version 4 */

enum {
    AT_BYTES = 4,
    AT_CODE_BEGIN = 8,
    AT_CODE_END = 12,
    AT_RELA_BEGIN = 16,
    AT_RELA_END = 20,
    AT_SUM = 24,
    HEADER_BYTES = 32,
    RELA_BYTES = 24, /* of one relocation, which begins with its address */
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
        .rela_begin = load32(header + AT_RELA_BEGIN),
        .rela_end = load32(header + AT_RELA_END),
        .sum = load64(header + AT_SUM),
    };
    if (out->code_end > out->bytes)
        return fault_set(fault, 0, 0, "end of code", out->code_end,
                         "is beyond the end of the file");
    if (out->code_begin > out->code_end)
        return fault_set(fault, 0, 0, "begin of code", out->code_begin, "is beyond its end");
    if (out->rela_end > out->bytes)
        return fault_set(fault, 0, 0, "end of relocations", out->rela_end,
                         "is beyond the end of the file");
    if (out->rela_begin > out->rela_end)
        return fault_set(fault, 0, 0, "begin of relocations", out->rela_begin, "is beyond its end");
    return true;
}

/* The addresses were made distances from the one before. */
static void add_up_addresses(uint8_t *rela, uint64_t bytes)
{
    uint64_t address = 0;
    for (const uint8_t *end = rela + bytes; end - rela >= RELA_BYTES; rela += RELA_BYTES) {
        address += load64(rela);
        store64(rela, address);
    }
}

bool unpack(const struct packed *packed, void *to, struct fault *fault)
{
    if (!lzma_decode(packed->data, packed->data_bytes, to, packed->bytes, fault))
        return false;
    filter_undo((uint8_t *)to + packed->code_begin, packed->code_end - packed->code_begin);
    add_up_addresses((uint8_t *)to + packed->rela_begin, packed->rela_end - packed->rela_begin);
    uint64_t sum = filter_sum(to, packed->bytes);
    return sum == packed->sum ||
           fault_set(fault, 0, 0, "sum", sum, "is not what the header says: a byte is damaged");
}
