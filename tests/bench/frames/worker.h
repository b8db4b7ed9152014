/* A thread that runs a workload as one CPU, and what workloads are made of. */
#ifndef WORKER_H
#define WORKER_H

#include "../common/table.h"
#include "contestant.h"

#define SECTIONS    2
#define WORKERS_MAX THREADS_MAX
#define SMALL_SLOTS 1024 /* runs that a workload of mixed lengths keeps */

/* What was timed: so many of the unit over so many operations. */
struct section {
    uint64_t sum; /* ns, unless the workload says otherwise */
    uint64_t ops;
};

struct worker {
    const struct contestant *a;
    uint64_t ram_bytes;
    uint64_t start_ns; /* that the contestant took to begin */
    unsigned cpu, cpus;
    uint64_t random;
    paddr_t *slots; /* room for every frame of the workload's RAM */
    uint64_t nslots;
    uint64_t lengths[SMALL_SLOTS];
    struct section sections[SECTIONS];
    uint64_t began;
    const char *broken; /* what went wrong, NULL if nothing */
} __attribute__((aligned(128)));

static inline uint64_t random_below(struct worker *w, uint64_t limit)
{
    return splitmix_below(&w->random, limit);
}

/* Wait until all workers of the workload are here. */
void meet(struct worker *w);

/* The worker that is this CPU. */
struct worker *worker_of(unsigned cpu);

/* Time a section: all workers begin at once. What the clock itself takes is not counted. */
void section_begin(struct worker *w);
void section_end(struct worker *w, unsigned section, uint64_t ops);

struct workload {
    const char *rows[SECTIONS]; /* what the sections are called; NULL: not printed */
    const char *unit;
    uint64_t ram_bytes;
    void (*body)(struct worker *w);
    uint64_t argument;
    unsigned repeat_max; /* 0: as often as asked for */
    unsigned cpus_min, cpus_max;
    bool ours_only; /* section 1 is the baseline of section 0 */
};

extern const struct workload workloads[];
extern const unsigned nworkloads;
extern const struct workload selftest;

/* Bodies, by what the memory is like meanwhile: plain.c, much of it free; full.c, hardly any of it
 * free, or in pieces. */
void bulk(struct worker *w);
void bulk_free_random(struct worker *w);
void bulk_free_other(struct worker *w);
void pairs(struct worker *w);
void pairs_below(struct worker *w);  /* argument: the limit */
void batches(struct worker *w);      /* argument: the size */
void batch_calls(struct worker *w);  /* argument: the size */
void orders(struct worker *w);       /* argument: the order */
void mixed_orders(struct worker *w); /* argument: the largest order */
void mixed_runs(struct worker *w);
void mixed_everything(struct worker *w); /* the self-test */
void holes(struct worker *w);            /* argument: one frame in so many is free */
void full(struct worker *w);
void checkerboard(struct worker *w);
void churn_dense(struct worker *w);  /* argument: how many frames are freed at once */
void churn_random(struct worker *w); /* the same */
void metadata(struct worker *w);
void startup(struct worker *w);

/* Allocate frames into further slots until there are so many or no frame is left; untimed. */
void fill(struct worker *w, uint64_t nframes);
void shuffle(struct worker *w);

/* The workload under way, for bodies with an argument. */
extern const struct workload *current;

/* What the random numbers of the next run begin with: the same for all contestants. */
extern uint64_t seed;

/* Run the workload once with this contestant on so many CPUs; slots: room for its RAM in frames.
 * out: one value per section: the mean over the CPUs. Returns what went wrong, or NULL. */
const char *run_workload(const struct workload *workload, const struct contestant *a, unsigned cpus,
                         double out[SECTIONS]);

/* --- checked.c ---------------------------------------------------------------------------------- */

/* The same contestant, but every frame handed out is looked at: inside the RAM, aligned, not handed
 * out already. One at a time. */
const struct contestant *checked_wrap(const struct contestant *a, uint64_t ram_bytes);

/* What was wrong first, NULL if nothing; ends the check. frames: how many were handed out. */
const char *checked_verdict(uint64_t *frames);

#endif
