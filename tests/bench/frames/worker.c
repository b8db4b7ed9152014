/* Owns: the threads that pose as CPUs, each on a core of its own, and their clock.
 *
 * Time is that of the thread: another program that takes the core away for a while is not counted,
 * waiting for a lock is. */
#define _GNU_SOURCE
#include "worker.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static struct worker workers[WORKERS_MAX];
static uint64_t slots_room; /* frames that each has room for */
static struct {
    unsigned arrived, generation;
} gate;
const struct workload *current;
uint64_t seed;

void meet(struct worker *w)
{
    unsigned generation = __atomic_load_n(&gate.generation, __ATOMIC_ACQUIRE);
    if (__atomic_add_fetch(&gate.arrived, 1, __ATOMIC_ACQ_REL) == w->cpus) {
        __atomic_store_n(&gate.arrived, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&gate.generation, generation + 1, __ATOMIC_RELEASE);
        return;
    }
    for (unsigned turns = 1; __atomic_load_n(&gate.generation, __ATOMIC_ACQUIRE) == generation;
         turns++) {
        __builtin_ia32_pause();
        if (turns % 4096 == 0)
            sched_yield();
    }
}

struct worker *worker_of(unsigned cpu)
{
    return &workers[cpu];
}

static uint64_t clock_thread(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * 1000000000ull + (uint64_t)time.tv_nsec;
}

/* What lies between two readings with nothing between them: the least of many. */
static uint64_t clock_cost(void)
{
    static uint64_t cost;
    for (unsigned i = 0; cost == 0 && i < 1; i++) {
        uint64_t least = UINT64_MAX;
        for (unsigned try = 0; try < 1000; try++) {
            uint64_t before = clock_thread();
            uint64_t between = clock_thread() - before;
            least = between < least ? between : least;
        }
        cost = least;
    }
    return cost;
}

void section_begin(struct worker *w)
{
    meet(w);
    w->began = clock_thread();
}

void section_end(struct worker *w, unsigned section, uint64_t ops)
{
    uint64_t ns = clock_thread() - w->began;
    uint64_t cost = clock_cost();
    w->sections[section].sum += ns > cost ? ns - cost : 0;
    w->sections[section].ops += ops;
}

static void pin(unsigned cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu % (unsigned)CPU_SETSIZE, &set);
    (void)sched_setaffinity(0, sizeof set, &set); /* with fewer cores they share, and it shows */
}

static void *worker_main(void *argument)
{
    struct worker *w = argument;
    pin(w->cpu);
    w->a->bind_cpu(w->cpu);
    meet(w);
    current->body(w);
    meet(w);
    return NULL;
}

/* Room for the frames of this workload. The checked run, which comes first, makes the host back it,
 * so that no timed one pays for that. */
static void reserve_slots(uint64_t nframes)
{
    if (nframes <= slots_room)
        return;
    for (unsigned i = 0; i < WORKERS_MAX; i++) {
        if (workers[i].slots != NULL)
            baseline_unmap(workers[i].slots, slots_room * sizeof(paddr_t));
        workers[i].slots = baseline_map(nframes * sizeof(paddr_t));
    }
    slots_room = nframes;
}

static void prepare(const struct workload *workload, const struct contestant *a, unsigned cpus,
                    uint64_t start_ns)
{
    (void)clock_cost();
    for (unsigned i = 0; i < cpus; i++) {
        struct worker *w = &workers[i];
        *w = (struct worker){.a = a,
                             .ram_bytes = workload->ram_bytes,
                             .start_ns = start_ns,
                             .cpu = i,
                             .cpus = cpus,
                             .random = seed * WORKERS_MAX + i,
                             .slots = w->slots};
    }
}

static void run_threads(unsigned cpus)
{
    pthread_t threads[WORKERS_MAX];
    for (unsigned i = 1; i < cpus; i++)
        if (pthread_create(&threads[i], NULL, worker_main, &workers[i]) != 0) {
            fprintf(stderr, "bench-frames: cannot create a thread\n");
            exit(2);
        }
    worker_main(&workers[0]);
    for (unsigned i = 1; i < cpus; i++)
        pthread_join(threads[i], NULL);
}

const char *run_workload(const struct workload *workload, const struct contestant *a, unsigned cpus,
                         double out[SECTIONS])
{
    /* The contestant has at least two CPUs, whoever runs on them: a kernel on one CPU is rare. */
    uint64_t start_ns = a->start(workload->ram_bytes, cpus > 2 ? cpus : 2);
    if (start_ns == 0)
        return "does not start";
    current = workload;
    reserve_slots(workload->ram_bytes <= (64ull << 30) ? workload->ram_bytes / FRAME_BYTES : 0);
    prepare(workload, a, cpus, start_ns);
    run_threads(cpus);
    const char *broken = a->complaint != NULL ? a->complaint() : NULL;
    a->stop();

    for (unsigned s = 0; s < SECTIONS; s++) {
        out[s] = 0;
        for (unsigned i = 0; i < cpus; i++) {
            const struct section *section = &workers[i].sections[s];
            if (section->ops > 0)
                out[s] += (double)section->sum / (double)section->ops / cpus;
        }
    }
    for (unsigned i = 0; i < cpus; i++)
        broken = workers[i].broken != NULL ? workers[i].broken : broken;
    return broken;
}
