/* Owns: looking an address up in the table that symbols.awk generates.
 * Relies on: nothing but read-only data, so it works in a panic. Stage: any. */
#include "symbols.h"

#include "layout.h"

/* Generated: ascending offsets from the start of the image, and for each where its name begins. */
extern const uint32_t symbols_number, symbols_addresses[], symbols_names[];
extern const char symbols_text[];

size_t symbols_count(void)
{
    return symbols_number;
}

const char *symbols_find(uint64_t address, uint64_t *offset)
{
    if (!layout_in_text(address))
        return NULL;
    uint64_t wanted = va_diff(layout_image_start(), VA(address));

    size_t below = 0,
           end = symbols_number; /* all before below are at most wanted, all from end are not */
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
