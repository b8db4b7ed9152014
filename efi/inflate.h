/* Decoding of deflate data (RFC 1951), as zopfli, zlib and others write it. Pure: no firmware calls,
 * builds on a host. Everything in the data is taken as hostile; nothing is read or written outside
 * the memory given. One at a time: its tables are static. */
#ifndef QL_EFI_INFLATE_H
#define QL_EFI_INFLATE_H

#include <stdbool.h>
#include <stdint.h>

#include "fault.h"
#include "status.h"

/* Decode the packed bytes, all of them, to memory that they must fill exactly.
 * errors: false, and the fault says what is wrong with which block; the memory is then undefined
 * source: RFC 1951 "DEFLATE Compressed Data Format Specification" */
bool inflate(const void *packed, uint64_t packed_bytes, void *to, uint64_t to_bytes,
             struct fault *fault) MUST_USE;

#endif
