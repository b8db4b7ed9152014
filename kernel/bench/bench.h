/* Benchmarks on the machine itself: each workload on one CPU and on two, beside a simple baseline in
 * the same run. Stage: after cpus_start, as ordinary work of CPU 0. */
#ifndef QL_KERNEL_BENCH_H
#define QL_KERNEL_BENCH_H

#include <stdbool.h>

/* The name of the i-th benchmark, and what it is about; NULL behind the last. */
const char *bench_name(unsigned i);
const char *bench_summary(unsigned i);

/* Run the workloads of a benchmark that have filter in the name of a row; "" for all. Says what it
 * found as it goes: on the serial line a table with tabs, one row a line,
 *     workload/CPUs  unit  ours  baseline  theirs  ratio
 * as tests/bench has them ("-": there is none; ratio: ours / baseline), and lines that begin with
 * '#'. stop (may be NULL) is asked between the measurements. Memory is afterwards as it was; that
 * is checked, and said.
 * Returns false, having said nothing, if there is no such benchmark or no such row. */
bool bench_run(const char *name, const char *filter, bool (*stop)(void));

/* How often something was wrong so far: memory not as found, a workload that did not work. */
unsigned bench_failures(void);

#endif
