/* The interrupt side of port_tlb_shootdown (mm/port.h). */
#ifndef QL_KERNEL_SHOOTDOWN_H
#define QL_KERNEL_SHOOTDOWN_H

/* Take the interrupt. Stage: before other CPUs run. */
void shootdown_init(void);

#endif
