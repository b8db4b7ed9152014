/* What power management needs of ACPI: the FADT's registers and the sleep type for "soft off".
 * Every table is bounds- and checksum-checked. source: ACPI 6.5 chapters 4.8 "Hardware Features",
 * 5.2 "System Description Tables", 7.4.2 "\_Sx". */
#ifndef QL_KERNEL_ACPI_H
#define QL_KERNEL_ACPI_H

/* Find RSDP, RSDT or XSDT, FADT and DSDT. What is wrong is logged and left out. Stage: after the
 * heap; nothing is mapped afterwards, so a panic may use the rest. */
void acpi_init(void);

/* Write the reset value to the reset register. Returns if there is none, or if it did nothing. */
void acpi_reset(void);

/* Enter S5. Returns if there is no PM1 control register or no \_S5, or if it did nothing. */
void acpi_power_off(void);

#endif
