/* Owns: looking an address up in the table that symbols.awk generates.
 * Relies on: nothing but read-only data, so it works in a panic. Stage: any. */
#include "panic/symbols.h"

#include <stddef.h>

#include "layout.h"

/* Generated: how far each function lies from the one before it, the first from the start of the image;
 * and the names, one after the other. Small rather than quick to search: every boot carries it, and
 * hardly one needs it. */
extern const uint32_t symbols_number;
extern const uint16_t symbols_steps[];
extern const char symbols_text[];

const char *symbols_find(uint64_t address, uint64_t *offset)
{
    if (!layout_in_text(address))
        return NULL;
    uint64_t left = va_diff(layout_image_start(), VA(address));
    const char *name = symbols_text, *found = NULL;
    for (uint32_t i = 0; i < symbols_number && symbols_steps[i] <= left; i++) {
        left -= symbols_steps[i];
        found = name;
        while (*name++)
            ;
    }
    if (found)
        *offset = left;
    return found;
}
