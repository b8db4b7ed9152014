/* Some of the CPUs, at work on one thing together: numbered from 0 on without gaps, the current one
 * among them. For one user at a time, as ordinary work of CPU 0. Stage: after cpus_start. */
#ifndef QL_KERNEL_CREW_H
#define QL_KERNEL_CREW_H

#include <stdint.h>

#include "config.h"

struct crew {
    unsigned n;
    unsigned cpus[CONFIG_CPUS_MAX]; /* by number in the crew; 0 is the CPU that leads */
};
extern struct crew crew;

/* Choose the crew: the current CPU and others that are online, at most limit. */
void crew_choose(unsigned limit);

/* Run body(number) on all of the crew, all starting at once, and wait for the last. */
void crew_run(void (*body)(unsigned number));

/* Wait, answering the other CPUs, until the whole crew has come here. */
void crew_meet(void);

/* Wait until *flag is at least value: acquire order. */
void crew_await(const uint32_t *flag, uint32_t value);

#endif
