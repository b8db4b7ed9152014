/* Decoding of LZ4 frames, as far as `lz4 --content-size --no-frame-crc` writes them: the content's
 * size in the header, no dictionary, no checksums. Pure: no firmware calls, builds on a host.
 * Everything in the frame is taken as hostile; nothing is read or
 * written outside the memory given. */
#ifndef QL_EFI_LZ4_H
#define QL_EFI_LZ4_H

#include <efi.h>
#include <stdint.h>

#include "status.h"

/* How many bytes the frame says it decodes to; as hostile as the rest.
 * errors: EFI_END_OF_FILE: the header is cut short; EFI_UNSUPPORTED:
 * no frame, or not of that kind */
EFI_STATUS lz4_content_bytes(const void *frame, uint64_t frame_bytes, uint64_t *out) MUST_USE;

/* Decode the frame, which must fill out exactly. On failure the contents of out are undefined.
 * errors: the same, for what is cut short anywhere; EFI_VOLUME_CORRUPTED: it contradicts itself or
 *         does not decode to out_bytes */
EFI_STATUS lz4_decode(const void *frame, uint64_t frame_bytes, void *out,
                      uint64_t out_bytes) MUST_USE;

#endif
