/* The lists of entries that MADT and SRAT are: each entry is a type, its length in bytes and its
 * contents. Pure but for its messages; no stage. source: ACPI 6.5 "Interrupt Controller Structure
 * Types", "System Resource Affinity Table". */
#ifndef QL_KERNEL_SUBTABLES_H
#define QL_KERNEL_SUBTABLES_H

#include <stddef.h>
#include <stdint.h>

#include "console/print.h"

/* Messages about one table: the first so many in full, the rest as a number. */
#define SUBTABLES_COMPLAINTS_MAX 8
struct subtables {
    const char *name; /* "MADT" */
    unsigned complaints;
};

/* An entry that lies whole in the table and is at least 2 bytes long. */
struct subtable {
    uint8_t type, bytes;
    size_t offset; /* in the table */
    const uint8_t *at;
};

/* Say what is wrong with the entry at offset. */
void subtables_complain(struct subtables *table, size_t offset, const char *format, ...)
    PRINTF_LIKE(3, 4);

/* Call visit for each entry from offset first on, up to the table's end or to an entry that cannot
 * be passed, which is named. Then say how many complaints were not printed. */
void subtables_each(struct subtables *table, const void *start, size_t bytes, size_t first,
                    void (*visit)(const struct subtable *entry, void *context), void *context);

/* Little-endian fields, unaligned. */
uint16_t subtable_u16(const struct subtable *entry, size_t at);
uint32_t subtable_u32(const struct subtable *entry, size_t at);
uint64_t subtable_u64(const struct subtable *entry, size_t at);

#endif
