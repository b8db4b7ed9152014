/* What the bench of the heap is made of. The driver (main.c) starts this same program again for each
 * run of each contestant, with that one's library in LD_PRELOAD, as a worker (worker.c), which runs
 * one workload. They talk through a piece of shared memory, the errand. */
#ifndef BENCH_HEAP_H
#define BENCH_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "../common/crew.h"
#include "../common/table.h"

#define SECTIONS  4
#define SIZES     4096u /* of objects, chosen beforehand */
#define CALLS_MAX 200000u
#define SLOTS_MAX 1000000u

enum {
    COUNTS = 1,  /* is one of the 21 in the geometric mean */
    PEAK = 2,    /* its peak memory is a row */
    LATENCY = 4, /* single calls are timed; its sections are percentiles of those */
    OWN = 8,     /* has threads of its own: runs once, for all CPUs */
};

struct worker;

struct workload {
    const char *rows[SECTIONS]; /* what the sections are called; NULL: there is none */
    void (*body)(struct worker *w);
    uint64_t ops;                  /* of each CPU */
    uint64_t count;                /* objects live at a time */
    uint32_t bytes_min, bytes_max; /* of an object; evenly distributed, */
    bool power;                    /* or half as many of twice the size */
    unsigned cpus_min, cpus_max;
    unsigned flags;
};
extern const struct workload workloads[];
extern const unsigned nworkloads;
extern const struct workload selftest;

struct errand {
    /* what is to be done */
    unsigned workload; /* in the table; behind its end: the self-test */
    unsigned cpus;
    unsigned part; /* do one in so many of the operations */
    uint64_t seed;
    char library[256]; /* whose malloc has to be in use; "" for the C library's */
    /* what came of it */
    bool done, missing; /* missing: the library is not installed */
    double values[SECTIONS];
    uint64_t ops; /* of all CPUs, in section 0 */
    uint64_t peak_kib;
    char broken[128]; /* what went wrong, "" if nothing */
    uint32_t ncalls;
    uint32_t ticks[CALLS_MAX]; /* of a call each */
};

/* --- worker.c ----------------------------------------------------------------------------------- */

/* A thread that runs a workload. */
struct worker {
    const struct workload *workload;
    unsigned cpu, cpus;
    uint64_t ops; /* to be timed */
    uint64_t random;
    void **slots; /* SLOTS_MAX, all NULL */
    uint32_t *sizes;
    uint64_t sum[SECTIONS], done[SECTIONS]; /* nanoseconds; operations */
    uint64_t began;
    const char *broken;
} __attribute__((aligned(128)));

/* The body of the process; its exit status. */
int worker_main(int errand_fd);

struct worker *worker_of(unsigned cpu);
extern struct errand *errand;

/* Time a section: all workers begin at once. What the clock itself takes is not counted. */
void section_begin(struct worker *w);
void section_end(struct worker *w, unsigned section, uint64_t ops);

/* Operations before those that are timed: lists are filled, memory is backed. */
static inline uint64_t warm_ops(const struct worker *w)
{
    return w->workload->ops / 8;
}

static inline uint32_t random_size(struct worker *w)
{
    return w->sizes[splitmix(&w->random) % SIZES];
}

/* As a program does: what was allocated is written to. Out of memory ends the process. */
static inline void *touched(void *p)
{
    *(volatile uint64_t *)p = 1;
    return p;
}

static inline void *take(size_t bytes)
{
    return touched(malloc(bytes));
}

/* Fill the slots, or empty them. */
void slots_fill(struct worker *w);
void slots_free(struct worker *w);

/* Bodies: plain.c, where one call is looked at; programs.c, what programs do; latency.c. */
void pairs(struct worker *w);
void pairs_calloc(struct worker *w);
void pairs_aligned(struct worker *w);
void batches(struct worker *w);
void shuffled(struct worker *w);
void live(struct worker *w);
void remote(struct worker *w);
void growth(struct worker *w);
void fifo(struct worker *w);
void tree(struct worker *w);
void strings(struct worker *w);
void larson(struct worker *w);
void latency_steady(struct worker *w);
void latency_grow(struct worker *w);
void latency_shrink(struct worker *w);
void every_byte(struct worker *w); /* the self-test */

/* --- contestants.c ------------------------------------------------------------------------------ */

enum { OURS, GLIBC, MIMALLOC, JEMALLOC, TCMALLOC, THEIRS, CONTESTANTS };

extern const char *const contestant_names[CONTESTANTS];

/* Find their libraries; the variable THEIRS names one more, OURS another than ours. */
void contestants_find(void);
bool contestant_there(unsigned contestant);
void contestant_leave_out(unsigned contestant);

/* Run the workload once in a process of its own. NULL, or what went wrong (good until the next run).
 * The errand has the results. */
const char *contestant_run(unsigned contestant, const struct workload *workload, unsigned cpus,
                           uint64_t seed);

/* Instructions of an operation, counted by valgrind; NOTHING if that cannot be. */
double contestant_count(unsigned contestant, const struct workload *workload, unsigned cpus);

#endif
