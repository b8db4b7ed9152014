/* Owns: looking an address up in the table that symbols.awk generates.
 * Relies on: nothing but read-only data, so it works in a panic. Stage: any. */
#include "panic/symbols.h"

#include <stddef.h>

#include "layout.h"

/* Generated: ascending offsets from the start of the image, and for each where its name begins. */
extern const uint32_t symbols_number, symbols_addresses[], symbols_names[];
extern const char symbols_text[];

const char *symbols_find(uint64_t address, uint64_t *offset)
{
    if (!layout_in_text(address))
        return NULL;
    uint64_t wanted = va_diff(layout_image_start(), VA(address));

    /* All before below are at most wanted, all from end on are not. */
    size_t below = 0, end = symbols_number;
    while (below < end) {
        size_t middle = below + (end - below) / 2;
        if (symbols_addresses[middle] <= wanted)
            below = middle + 1;
        else
            end = middle;
    }
    if (below == 0)
        return NULL;
    *offset = wanted - symbols_addresses[below - 1];
    return symbols_text + symbols_names[below - 1];
}
