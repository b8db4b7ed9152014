/* How fast the machine's counters run: the time-stamp counter and the local APIC's timer. */
#ifndef QL_KERNEL_CLOCK_H
#define QL_KERNEL_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

/* Find the frequencies out; cpu_tsc_hz answers with what was found from then on. Some 20 ms. Stage:
 * after acpi_init and lapic_init, on the boot CPU. */
void clock_init(void);

/* What the TSC's frequency comes from: "CPUID", "HPET", "ACPI PM timer", "PIT", "loader"; "none" if
 * nobody knows. */
const char *clock_source_name(void);

/* Microseconds since the kernel's first instruction; 0 if the TSC's frequency is unknown. */
uint64_t clock_boot_usec(void);

/* Of the local APIC's timer, in Hz; 0: there is none, or its frequency is not known. */
uint64_t clock_timer_hz(void);

/* Let this CPU rest for at most about a millisecond, or until its next interrupt: one turn of a
 * loop that polls. Interrupts are on. */
void clock_rest(void);

/* Interrupt this CPU by VECTOR_SLICE every usec microseconds, 1 .. 100000, until clock_slice_stop.
 * False: there is no timer, nothing was started. */
bool clock_slice_start(unsigned usec);
void clock_slice_stop(void);

#endif
