/* Owns: the walk over the entries of MADT and SRAT, and how their faults are named.
 * Relies on: print. No stage. */
#include "firmware/subtables.h"

#include "mm/string.h"

void subtables_complain(struct subtables *table, size_t offset, const char *format, ...)
{
    char text[128];
    va_list args;

    if (table->complaints++ >= SUBTABLES_COMPLAINTS_MAX)
        return;
    va_start(args, format);
    (void)kvsnprintf(text, sizeof text, format, args);
    va_end(args);
    kprintf("ACPI: %s: entry at %zu: %s\n", table->name, offset, text);
}

void subtables_each(struct subtables *table, const void *start, size_t bytes, size_t first,
                    void (*visit)(const struct subtable *entry, void *context), void *context)
{
    const uint8_t *base = start;
    for (size_t at = first; at < bytes;) {
        size_t left = bytes - at;
        struct subtable entry = {base[at], left > 1 ? base[at + 1] : 0, at, base + at};
        if (left < 2 || entry.bytes > left) {
            subtables_complain(table, at, "%u bytes long, but the table ends after %zu",
                               entry.bytes, left);
            break;
        }
        if (entry.bytes < 2) {
            subtables_complain(table, at, "length %u: nothing behind it can be read", entry.bytes);
            break;
        }
        visit(&entry, context);
        at += entry.bytes;
    }
    if (table->complaints > SUBTABLES_COMPLAINTS_MAX)
        kprintf("ACPI: %s: %u more entries are wrong\n", table->name,
                table->complaints - SUBTABLES_COMPLAINTS_MAX);
}

uint16_t subtable_u16(const struct subtable *entry, size_t at)
{
    uint16_t value;
    memcpy(&value, entry->at + at, sizeof value);
    return value;
}

uint32_t subtable_u32(const struct subtable *entry, size_t at)
{
    uint32_t value;
    memcpy(&value, entry->at + at, sizeof value);
    return value;
}

uint64_t subtable_u64(const struct subtable *entry, size_t at)
{
    uint64_t value;
    memcpy(&value, entry->at + at, sizeof value);
    return value;
}
