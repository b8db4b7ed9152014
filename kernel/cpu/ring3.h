/* The way of one CPU to ring 3 and back: what must be set up for it, and the two steps. Who runs there
 * is in user/thread.h. */
#ifndef QL_KERNEL_RING3_H
#define QL_KERNEL_RING3_H

#include <stdint.h>

struct trap_frame;

/* Let this CPU's SYSCALL come to us, and nothing else. Stage: its GDT and IDT are loaded. */
void ring3_init(void);

/* cpu_lower_end, as ring3_init found it: quicker. */
uint64_t ring3_end(void);

/* What ring 3 may not choose itself: its selectors, and flags but for those of arithmetic, direction,
 * single steps and alignment. */
void ring3_make_safe(struct trap_frame *frame);

/* Go on in ring 3 with these registers, which ring3_make_safe has seen; returns when a handler of a
 * trap from there calls ring3_leave. Interrupts are off for both, and afterwards. (trap_stubs.S) */
void ring3_enter(struct trap_frame *frame);
_Noreturn void ring3_leave(void);

#endif
