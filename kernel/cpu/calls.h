/* The interrupt side of cpus_call and cpus_call_all (cpus.h). */
#ifndef QL_KERNEL_CALLS_H
#define QL_KERNEL_CALLS_H

/* Take the interrupt. Stage: before other CPUs run. */
void calls_init(void);

/* Run what others have asked this CPU for. */
void calls_serve(void);

/* One turn of a loop that waits for another CPU and holds no lock: serves calls and shootdowns. */
void calls_wait_turn(void);

#endif
