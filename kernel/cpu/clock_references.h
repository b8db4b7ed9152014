/* Counters of known frequency, to hold the CPU's own against. Private to clock*.c.
 * source: IA-PC HPET Specification 1.0a; ACPI 6.5 "Power Management Timer"; Intel 8254 data
 * sheet. */
#ifndef QL_KERNEL_CLOCK_REFERENCES_H
#define QL_KERNEL_CLOCK_REFERENCES_H

#include <stdbool.h>
#include <stdint.h>

struct clock_reference {
    const char *name;
    uint64_t hz;
    uint32_t mask;          /* of the bits that count, upwards */
    uint32_t (*read)(void); /* any bits above the mask */
    void (*close)(void);    /* leave the device as it was; or NULL */
};

/* Each makes its counter run. False: the machine has none, or one that cannot be believed. */
bool clock_open_hpet(struct clock_reference *out);
bool clock_open_pm_timer(struct clock_reference *out);
bool clock_open_pit(struct clock_reference *out);

#endif
