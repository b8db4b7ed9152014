/* The firmware's tables that outlive it, and the memory they lie in. Stage: boot services alive. */
#ifndef QL_EFI_TABLES_H
#define QL_EFI_TABLES_H

#include <stdbool.h>
#include <stdint.h>

struct boot_plan;

struct smbios {
    const uint8_t *entry_32, *entry_64; /* entry points; NULL: absent */
};

/* The SMBIOS entry points with a valid anchor. */
struct smbios tables_smbios(void);

/* Lay "reserved-mapped" over what the base revision wants mapped: ACPI tables from 4, SMBIOS and
 * the EFI system table with what it references from 5. Before 4, ACPI tables are reserved: a kernel
 * reads them late, when it has given other memory away. False if that is too much. */
bool tables_carve(struct boot_plan *plan);

#endif
