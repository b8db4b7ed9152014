/* The kernel as pack.py packs it: a header, then LZMA data, in which the addresses that its code names,
 * targets of branches and data, are counted from the beginning of the code. That makes them alike
 * wherever they are used and saves seven of a hundred; and those that relocations name, from the one before. Pure: no firmware calls, builds on a host.
 * Everything is taken as hostile; nothing is read or written outside the memory given. */
#ifndef QL_EFI_UNPACK_H
#define QL_EFI_UNPACK_H

#include <stdbool.h>
#include <stdint.h>

#include "fault.h"
#include "status.h"

struct packed {
    const uint8_t *data; /* LZMA data */
    uint64_t data_bytes;
    uint64_t bytes;                /* of what it decodes to; as hostile as the rest */
    uint64_t code_begin, code_end; /* where in that the code is */
    uint64_t rela_begin, rela_end; /* and where the table of relocations */
    uint64_t sum;
};

/* Read the header.
 * errors: false, and the fault says which field */
bool unpack_parse(const void *packed, uint64_t packed_bytes, struct packed *out,
                  struct fault *fault) MUST_USE;

/* Unpack to packed->bytes bytes, and check the sum of them.
 * errors: false, and the fault says what is wrong; the memory is then undefined */
bool unpack(const struct packed *packed, void *to, struct fault *fault) MUST_USE;

#endif
