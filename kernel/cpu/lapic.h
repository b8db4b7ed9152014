/* The local APIC: which CPU this is to the hardware, interrupts from one CPU to another, a timer, a
 * time limit. All local APICs are in the mode, xAPIC or x2APIC, that the boot CPU's was found in.
 * source: Intel SDM Vol. 3A "Advanced Programmable Interrupt Controller (APIC)". */
#ifndef QL_KERNEL_LAPIC_H
#define QL_KERNEL_LAPIC_H

#include <stdbool.h>
#include <stdint.h>

/* All vectors that this kernel takes. The task priority holds back those of lower classes: whatever
 * the firmware left pending is not ours. */
enum lapic_vector {
    VECTOR_SLICE = 0xfa,     /* user/thread.c: a thread has run for long enough */
    VECTOR_CALL = 0xfb,      /* calls.c: there is something to run */
    VECTOR_SHOOTDOWN = 0xfc, /* shootdown.c: there is something to forget */
    VECTOR_TICK = 0xfd,      /* clock.c: wakes a CPU that polls */
    VECTOR_DEADLINE = 0xfe,
    VECTOR_SPURIOUS = 0xff,
};

/* Map the registers, enable the boot CPU's. Stage: our tables are in use. A CPU without local APIC
 * is fine: there are no other CPUs, no ticks and no time limits then. */
void lapic_init(void);
bool lapic_present(void);
bool lapic_is_x2apic(void);

/* Bring this CPU's into the mode of the boot CPU's; let in our own vectors only. */
void lapic_enable(void);

/* This CPU's id. */
uint32_t lapic_id(void);

/* End of the interrupt that this CPU handles. */
void lapic_end(void);

/* Interrupt another CPU. What was written before is seen by it. INIT makes it wait for a startup
 * command that never comes: it runs nothing any more. */
void lapic_send(uint32_t id, enum lapic_vector vector);
void lapic_send_nmi(uint32_t id);
void lapic_send_init(uint32_t id);

/* The timer of this CPU counts from there down to 0, without an interrupt; what it has come to. */
void lapic_timer_count(uint32_t from);
uint32_t lapic_timer_left(void);

/* Interrupt this CPU every so many counts; 0: stop that. */
void lapic_timer_repeat(enum lapic_vector vector, uint32_t count);

/* From now until lapic_deadline_stop, interrupts are on; usec microseconds later traps_abandon ends
 * the traps_try that runs then. False: there is no timer, nothing was started. */
bool lapic_deadline_start(uint64_t usec);

/* Interrupts are off again. True if the time had run out. */
bool lapic_deadline_stop(void);

#endif
