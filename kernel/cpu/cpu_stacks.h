/* The memory that a CPU needs before it can run: its stacks, and the segments that name them.
 * Stage: after the page-table switch; nothing of it is ever given back. */
#ifndef QL_KERNEL_CPU_STACKS_H
#define QL_KERNEL_CPU_STACKS_H

#include "cpu/gdt.h"
#include "layout.h"
#include "status.h"

/* Allocate stacks for a CPU other than the boot CPU, each above a guard page. The ranges are named
 * after the CPU ("CPU 3 NMI stack"), and are there in every address space.
 * errors: MM_NOMEM */
mm_status_t cpu_stacks_create(unsigned cpu, const struct cpu_stacks **stacks,
                              struct segments **segments) MUST_USE;

#endif
