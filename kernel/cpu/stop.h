/* Stopping all other CPUs for good: before a panic speaks, before the machine goes down. */
#ifndef QL_KERNEL_STOP_H
#define QL_KERNEL_STOP_H

#include <stdbool.h>
#include <stdint.h>

#include "cpu_set.h"

/* Take the NMI. Stage: before other CPUs run. */
void stop_init(void);

/* Stop all other CPUs where they are, and wait until they have, but not for ever. If another CPU
 * has begun to stop the rest, this one stops here, as one that was about to panic (panicking) at
 * rip with the frame pointer rbp, or not. A second call on the same CPU does nothing. Callable
 * from any context. */
void stop_others(bool panicking, uint64_t rip, uint64_t rbp);

/* Those that were running when stop_others was called, this one left out. */
const struct cpu_set *stop_victims(void);

#endif
