/* Finding ACPI's tables, and what they say of power management: the FADT's registers and the sleep
 * type for "soft off". Every table is bounds- and checksum-checked. source: ACPI 6.5 chapters 4.8
 * "Hardware Features", 5.2 "System Description Tables", 7.4.2 "\_Sx". */
#ifndef QL_KERNEL_ACPI_TABLES_H
#define QL_KERNEL_ACPI_TABLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum acpi_space { ACPI_SPACE_MEMORY = 0, ACPI_SPACE_IO = 1, ACPI_SPACE_PCI = 2 };

/* Generic Address Structure. */
struct acpi_register {
    uint8_t space; /* enum acpi_space */
    uint8_t bits, offset, access;
    uint64_t address;
} __attribute__((packed));

struct acpi_power {
    bool can_reset;
    struct acpi_register reset; /* its space is one of the three, its address fits that */
    uint8_t reset_value;

    bool can_sleep;
    uint16_t pm1a, pm1b;    /* ports of the control registers; 0: there is no second one */
    uint8_t type_a, type_b; /* what they want for S5, 0..7 */
    uint16_t smi_command;   /* 0: the machine is always in ACPI mode */
    uint8_t acpi_enable;
};

/* Find RSDP, RSDT or XSDT, FADT and DSDT. What is wrong is logged and left out. Maps what it reads.
 * Stage: after the heap. */
struct acpi_power acpi_read_power(void);

#define ACPI_HEADER_BYTES 36u /* of every table: no table is shorter */

/* The first whole table of that signature, its header included, with its length; NULL if there is
 * none. It stays mapped. Stage: after acpi_read_power. */
const void *acpi_find_table(const char *signature, size_t *bytes);

#endif
