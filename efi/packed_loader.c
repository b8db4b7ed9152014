/* See packed_loader.h. pack_loader.py is the other direction of everything here. */
#include "packed_loader.h"

#include "bytes.h"
#include "filter.h"
#include "lz.h"

#define NPAGES_MAX 4096u /* so that no sum of offsets wraps */

bool packed_loader_is_sound(const struct packed_loader *loader, uint64_t loader_bytes)
{
    return loader_bytes >= sizeof *loader && loader->magic == PACKED_LOADER_MAGIC &&
           loader->npages <= NPAGES_MAX && loader->entry < loader->constants &&
           loader->constants % PAGE_BYTES == 0 && loader->data % PAGE_BYTES == 0 &&
           loader->constants <= loader->data && loader->data <= loader->data_end &&
           loader->data_end <= loader->bytes && loader->bytes <= loader->npages * PAGE_BYTES;
}

/* The list has, for each word, how far it is from the one before; the first one from the data. The words are
 * as for address 0. */
static bool relocate(const struct packed_loader *loader, uint8_t *image)
{
    uint64_t at = loader->data;
    for (uint64_t i = loader->data_end; i + 2 <= loader->bytes; i += 2) {
        at += load16(image + i);
        if (at + 8 > loader->data_end)
            return false;
        store64(image + at, load64(image + at) + (uintptr_t)image);
    }
    return true;
}

bool packed_loader_unpack(const struct packed_loader *loader, uint64_t loader_bytes, uint8_t *to)
{
    if (!lz_decode(loader->packed, loader_bytes - sizeof *loader, to, loader->bytes) ||
        filter_sum(to, loader->bytes) != loader->sum || !relocate(loader, to))
        return false;
    filter_undo(to, loader->constants);
    memset(to + loader->data_end, 0, loader->npages * PAGE_BYTES - loader->data_end);
    return true;
}
