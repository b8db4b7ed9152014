/* Time: the TSC's frequency, the date, and how long things took. Stage: boot services alive, except
 * clock_usec. */
#ifndef QL_EFI_CLOCK_H
#define QL_EFI_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

/* Begin measuring beside what else is done until clock_tsc_hz is called. After acpi_init. */
void clock_start(void);

/* The TSC's frequency in Hz: from CPUID where the CPU says it, else measured against the ACPI PM
 * timer, else against the firmware's Stall. 0: nobody knows. Asked once, remembered. */
uint64_t clock_tsc_hz(void);

/* Where that number is from: "CPUID leaf 0x15", "ACPI PM timer", ... */
const char *clock_source(void);

/* TSC ticks in microseconds; 0 if the frequency is unknown. */
uint64_t clock_usec(uint64_t ticks);

/* The date by the firmware's clock, UNIX seconds. False if there is
 * no clock or it makes no sense. */
bool clock_date(int64_t *out);

#endif
