/* The ACPI tables as far as a loader reads them. Nothing is changed; lengths are checked, because
 * the tables come from many hands. Stage: boot services alive, or after them while firmware's
 * mappings are. source: ACPI "Root System Description Pointer", "XSDT", "FADT". */
#ifndef QL_EFI_ACPI_H
#define QL_EFI_ACPI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Look for the root pointer in the configuration table. False: the machine has no ACPI. */
bool acpi_init(void);

/* The root pointer; NULL without ACPI. */
const void *acpi_rsdp(void);

/* The first table of that signature ("APIC") whose length is at least bytes; NULL if absent. */
const uint8_t *acpi_table(const char signature[4], size_t bytes);

/* A table's own length in bytes. */
uint32_t acpi_length(const uint8_t *table);

/* Call visit for everything ACPI consists of: RSDP, RSDT, XSDT, all they point to, DSDT, FACS. Some
 * may be visited twice. Ends and returns false when visit does. */
bool acpi_each(bool (*visit)(void *context, uint64_t base, uint64_t bytes), void *context);

/* The I/O port of the PM timer (3.579545 MHz), 0 if there is none; *mask gets its width. */
uint16_t acpi_pm_timer(uint32_t *mask);

#endif
