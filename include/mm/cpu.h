/* What the memory manager keeps for each CPU. The platform stores the pointer where port_mm_cpu
 * finds it with one instruction: the kernel in struct cpu, a host in a thread-local variable. */
#ifndef QL_MM_CPU_H
#define QL_MM_CPU_H

#include <stddef.h>

#include "status.h"

struct mm_cpu;

/* Make the share of a CPU, before it calls the memory manager for the first time; CPU 0's is made
 * by pmm_init. A second call finds the first one's.
 * out: to be passed to port_set_mm_cpu on that CPU
 * errors: MM_NOMEM, MM_RANGE (cpu >= CONFIG_CPUS_MAX) */
mm_status_t mm_cpu_create(unsigned cpu, struct mm_cpu **out) MUST_USE;

/* The same in memory that the caller has: mm_cpu_bytes bytes, zeroed, on a line of 64. Who calls need
 * be no CPU yet. For hosts, whose CPUs are threads that come and go. */
size_t mm_cpu_bytes(void);
void mm_cpu_place(unsigned cpu, struct mm_cpu *share);

/* The share of the CPU that runs this. */
#ifdef QL_HOST
extern struct mm_cpu
    mm_cpu_none; /* of who has none yet: calls that need one panic with a sentence */
extern _Thread_local struct mm_cpu *host_mm_cpu;
static inline struct mm_cpu *port_mm_cpu(void)
{
    return host_mm_cpu;
}
#else
#define PORT_MM_CPU_OFFSET 16 /* in struct cpu, which %gs points to */
static inline struct mm_cpu *port_mm_cpu(void)
{
    struct mm_cpu *cpu;
    __asm__("movq %%gs:%c1, %0" : "=r"(cpu) : "i"(PORT_MM_CPU_OFFSET));
    return cpu;
}
#endif

/* Make it the share of the CPU that runs this. In the port. */
void port_set_mm_cpu(struct mm_cpu *cpu);

#endif
