/* The loader as pack_loader.py packs it: this header, then what lz.py writes, of the image as it is in memory
 * and a list of what to relocate in it. Pure: no firmware calls, builds on a host. Everything is taken
 * as hostile; nothing is read or written outside the memory given. */
#ifndef QL_EFI_PACKED_LOADER_H
#define QL_EFI_PACKED_LOADER_H

#include <stdbool.h>
#include <stdint.h>

#include "status.h"

#define PACKED_LOADER_MAGIC 0x014c4c51u /* "QLL", version 1 */

/* Offsets in the image, which begins with the code; constants and data begin on pages of their own. */
struct packed_loader {
    uint32_t magic;
    uint32_t npages; /* that the image takes, zeros behind its data included */
    uint32_t entry;
    uint32_t constants, data, data_end;
    uint64_t bytes; /* that are packed: up to data_end the image, then the list */
    uint64_t sum;   /* of those, with the filter on */
    uint8_t packed[];
};

/* Whether the header makes sense; packed is aligned to 8 bytes. */
bool packed_loader_is_sound(const struct packed_loader *loader, uint64_t loader_bytes) MUST_USE;

/* Unpack a loader with a sound header to npages pages, relocated to run there.
 * errors: false if anything is damaged; the memory is then undefined */
bool packed_loader_unpack(const struct packed_loader *loader, uint64_t loader_bytes,
                          uint8_t *to) MUST_USE;

#endif
