/* Decoding of raw LZMA data, as pack.py has Python's lzma module write it: three bits of the last byte
 * choose the code of a literal, the position chooses nothing (lc 3, lp 0, pb 0), and a marker is at
 * the end. Pure: no firmware calls, builds on a host. Everything in the data is taken as hostile; nothing is
 * read or written outside the memory given. One at a time: its probabilities are static. */
#ifndef QL_EFI_LZMA_H
#define QL_EFI_LZMA_H

#include <stdbool.h>
#include <stdint.h>

#include "fault.h"
#include "status.h"

/* Decode the packed bytes, all of them, to memory that they must fill exactly.
 * errors: false, and the fault says what is wrong before which byte; the memory is then undefined
 * source: Igor Pavlov, "LZMA specification" */
bool lzma_decode(const void *packed, uint64_t packed_bytes, void *to, uint64_t to_bytes,
                 struct fault *fault) MUST_USE;

#endif
