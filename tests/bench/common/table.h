/* What the benches of the library have in common: the variables they are called with, and how their
 * results look, one row a line:
 *     workload/CPUs  unit  ours  baseline  theirs  ratio
 * separated by tabs; "-" is what does not exist. Lines that begin with '#' say more. */
#ifndef BENCH_TABLE_H
#define BENCH_TABLE_H

#include <stdbool.h>

#define REPEAT_MAX  101
#define THREADS_MAX 8
#define NOTHING     (-1.0) /* not measured */

/* Of the environment: ROWS, REPEAT, THREADS. */
extern struct bench_options {
    const char *bench; /* whose they are, for messages */
    unsigned repeat;
    unsigned threads[THREADS_MAX], nthreads;
} options;

/* Read them; what makes no sense ends the process with a sentence. */
void options_read(const char *bench);
const char *option(const char *name, const char *otherwise);
_Noreturn void option_refuse(const char *name, const char *value);

bool row_is_wanted(const char *row);

/* The processor, the kernel: one line. */
void print_machine(void);
void print_head(void);

/* The ratio is ours / theirs, without theirs ours / baseline. */
void print_line(const char *row, const char *suffix, const char *unit, double our, double baseline,
                double their);
void print_number(double value); /* three digits, about, without anything behind */

double median(double *values, unsigned n); /* sorts them */
double quotient(double a, double b);

#endif
