/* Owns: the threads that pose as CPUs. */
#include "worker.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static struct worker workers[WORKERS_MAX];
static uint64_t slots_room; /* frames that each has room for */
const struct workload *current;
uint64_t seed;

void meet(struct worker *w)
{
    crew_meet(w->cpus);
}

struct worker *worker_of(unsigned cpu)
{
    return &workers[cpu];
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

static void *worker_main(void *argument)
{
    struct worker *w = argument;
    crew_pin(w->cpu);
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
