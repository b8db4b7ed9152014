/* A time limit from the local APIC's timer: the only interrupt that this kernel takes today.
 * source: Intel SDM Vol. 3A "Advanced Programmable Interrupt Controller (APIC)". */
#ifndef QL_KERNEL_LAPIC_H
#define QL_KERNEL_LAPIC_H

#include <stdbool.h>
#include <stdint.h>

/* Map the registers. Stage: after the heap. A CPU without local APIC is fine: no limits then. */
void lapic_init(void);

/* From now until lapic_deadline_stop, interrupts are on; usec microseconds later traps_abandon ends
 * the traps_try that runs then. False: there is no timer, nothing was started. */
bool lapic_deadline_start(uint64_t usec);

/* Interrupts are off again. True if the time had run out. */
bool lapic_deadline_stop(void);

#endif
