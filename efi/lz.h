/* Decoding of what lz.py packs: matches and literals in codes that never change, so that decoding takes a
 * few hundred bytes of code and a tenth of LZMA's instructions. Pure: no firmware calls, builds on a host.
 * Everything in the data is taken as hostile; nothing is read or written outside the memory given. */
#ifndef QL_EFI_LZ_H
#define QL_EFI_LZ_H

#include <stdbool.h>
#include <stdint.h>

#include "status.h"

/* Decode the packed bytes to memory that they must fill exactly.
 * errors: false if they do not, or are cut short; the memory is then undefined */
bool lz_decode(const void *packed, uint64_t packed_bytes, void *to, uint64_t to_bytes) MUST_USE;

#endif
