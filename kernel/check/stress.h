/* All CPUs at once against the memory manager and each other: what no single CPU can show. */
#ifndef QL_KERNEL_STRESS_H
#define QL_KERNEL_STRESS_H

#include <stdbool.h>

struct stress_result {
    unsigned passed, failed;
};

/* A round is this many mixed operations on each CPU, and some of everything else. */
#define STRESS_ROUND_OPERATIONS 1000u
#define STRESS_ROUNDS_MAX       100000u

/* Run all tests with that many rounds, 1 .. STRESS_ROUNDS_MAX, on every online CPU; one line for
 * each test with what was counted, then one with the result. The same rounds on the same machine
 * say the same words. Stage: after cpus_start, as ordinary work of CPU 0. */
struct stress_result stress_run(unsigned rounds);

/* Of all runs so far. */
struct stress_result stress_total(void);

/* The number in a text; false if it is none, 0 or too large. */
bool stress_rounds(const char *text, unsigned *rounds);

#endif
