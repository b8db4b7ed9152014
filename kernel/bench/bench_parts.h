/* What a benchmark is made of. A benchmark is a table of workloads and five functions around them;
 * bench.c brings the CPUs, the time, the medians and the table. Private to kernel/bench/. */
#ifndef QL_KERNEL_BENCH_PARTS_H
#define QL_KERNEL_BENCH_PARTS_H

#include <stdbool.h>
#include <stdint.h>

#define BENCH_SECTIONS 3
#define BENCH_CPUS_MAX 2 /* how many CPUs a workload runs on at most */

/* What was timed: so many ticks (or what the unit is) over so many operations. None: this was not
 * measured. */
struct bench_section {
    uint64_t sum, ops;
};

/* A CPU that runs a workload. */
struct bench_worker {
    unsigned number, cpus; /* which one of how many */
    bool baseline;         /* not we are measured */
    uint64_t random;
    uint64_t began;
    struct bench_section sections[BENCH_SECTIONS];
    const char *broken; /* what went wrong, NULL if nothing */
} __attribute__((aligned(64)));

struct bench_workload {
    const char *rows[BENCH_SECTIONS]; /* what the sections are called; NULL: not printed */
    void (*body)(struct bench_worker *w);
    uint64_t argument;
    uint64_t bytes;    /* that it is about; 0: what the benchmark thinks right */
    bool percent;      /* a section is not time: 100 * sum / ops; run once */
    bool self;         /* section 1 is the baseline of section 0 */
    unsigned cpus_min; /* 0: one */
    unsigned cpus_max; /* 0: BENCH_CPUS_MAX */
};

struct bench_suite {
    const char *name, *summary;
    const struct bench_workload *workloads;
    unsigned n;
    /* Get ready for a workload on so many CPUs. NULL, or why it is left out. */
    const char *(*open)(const struct bench_workload *workload, unsigned cpus);
    /* May be NULL if a workload leaves nothing behind. */
    void (*begin)(bool baseline);        /* before each run, on CPU 0 */
    void (*end)(struct bench_worker *w); /* after each run, on each CPU: give all back */
    void (*close)(void);
    uint64_t (*usage)(void); /* KiB in use: before as after */
};
extern const struct bench_suite bench_frames, bench_pages, bench_heap;

/* The workload under way. */
extern const struct bench_workload *bench_current;
struct bench_worker *bench_worker(unsigned number);

/* Time a section: all CPUs begin at once. What reading the clock takes is not counted. */
void bench_begin(struct bench_worker *w);
void bench_end(struct bench_worker *w, unsigned section, uint64_t ops);

/* splitmix64; limit below 2^32. source: Steele, Lea, Flood, OOPSLA 2014 */
uint64_t bench_random(struct bench_worker *w, uint64_t limit);

/* --- table.c: numbers are in thousandths ------------------------------------------------------ */

#define BENCH_NOTHING UINT64_MAX

struct bench_result {
    uint64_t ours, baseline;
};

/* a / b; nothing without either. */
uint64_t bench_quotient(uint64_t a, uint64_t b);
void bench_print_head(void);
void bench_print_row(const char *row, unsigned cpus, const char *suffix, const char *unit,
                     struct bench_result result);

#endif
