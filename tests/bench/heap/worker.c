/* Owns: the process that runs one workload on the malloc that it was started with; its threads. */
#define _GNU_SOURCE
#include "heap.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

static struct worker workers[THREADS_MAX];
static const struct workload *workload;
struct errand *errand;

struct worker *worker_of(unsigned cpu)
{
    return &workers[cpu];
}

void section_begin(struct worker *w)
{
    crew_meet(w->cpus);
    w->began = clock_thread();
}

void section_end(struct worker *w, unsigned section, uint64_t ops)
{
    uint64_t ns = clock_thread() - w->began;
    uint64_t cost = clock_cost();
    w->sum[section] += ns > cost ? ns - cost : 0;
    w->done[section] += ops;
}

/* Memory that is not the malloc's. */
static void *map(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        fprintf(stderr, "bench-heap: no memory\n");
        exit(2);
    }
    return p;
}

/* Half as many of twice the size, or all alike. */
static uint32_t choose_size(uint64_t *random)
{
    uint64_t min = workload->bytes_min, max = workload->bytes_max;
    if (!workload->power)
        return (uint32_t)(min + splitmix_below(random, max - min + 1));
    uint64_t size = (min << 16) / (splitmix_below(random, 1 << 16) + 1);
    return (uint32_t)(size > max ? max : size);
}

static void prepare(struct worker *w, unsigned cpu)
{
    uint64_t random = errand->seed;
    *w = (struct worker){.workload = workload,
                         .cpu = cpu,
                         .cpus = errand->cpus,
                         .ops = workload->ops / errand->part,
                         .random = errand->seed * THREADS_MAX + cpu,
                         .slots = map(SLOTS_MAX * sizeof(void *)),
                         .sizes = map(SIZES * sizeof(uint32_t))};
    for (unsigned i = 0; i < SIZES; i++)
        w->sizes[i] = choose_size(&random);
    for (uint64_t i = 0; i < workload->count; i++)
        w->slots[i] = NULL; /* the host backs them now */
}

static void *thread_main(void *argument)
{
    struct worker *w = argument;
    crew_pin(w->cpu);
    crew_meet(w->cpus);
    workload->body(w);
    crew_meet(w->cpus);
    return NULL;
}

static void run(void)
{
    pthread_t threads[THREADS_MAX];
    if (workload->flags & OWN) {
        workload->body(&workers[0]);
        return;
    }
    for (unsigned i = 1; i < errand->cpus; i++)
        if (pthread_create(&threads[i], NULL, thread_main, &workers[i]) != 0)
            abort();
    thread_main(&workers[0]);
    for (unsigned i = 1; i < errand->cpus; i++)
        pthread_join(threads[i], NULL);
}

/* Over the CPUs; those of a workload with threads of its own have no figures but the first. */
static double mean_of(unsigned section)
{
    double sum = 0;
    unsigned n = workload->flags & OWN ? 1 : errand->cpus;
    for (unsigned i = 0; i < n; i++) {
        if (workers[i].done[section] == 0)
            return NOTHING;
        sum += (double)workers[i].sum[section] / (double)workers[i].done[section];
    }
    return sum / n;
}

/* The most memory that this process has had. */
static uint64_t peak_kib(void)
{
    unsigned long kib = 0;
    char line[256];
    FILE *status = fopen("/proc/self/status", "r");
    while (status != NULL && fgets(line, sizeof line, status) != NULL)
        if (sscanf(line, "VmHWM: %lu kB", &kib) == 1)
            break;
    if (status != NULL)
        fclose(status);
    return kib;
}

/* Is malloc that of the library? The loader goes on without one that it does not find. */
static bool is_in_use(const char *library)
{
    Dl_info info;
    void *function = dlsym(RTLD_DEFAULT, "malloc");
    if (function == NULL || dladdr(function, &info) == 0)
        return false;
    return strstr(info.dli_fname, library[0] != '\0' ? library : "libc.so") != NULL;
}

int worker_main(int errand_fd)
{
    errand = mmap(NULL, sizeof *errand, PROT_READ | PROT_WRITE, MAP_SHARED, errand_fd, 0);
    if (errand == MAP_FAILED)
        return 2;
    if (!is_in_use(errand->library)) {
        errand->missing = true;
        snprintf(errand->broken, sizeof errand->broken, "is not installed");
        return 2;
    }
    workload = errand->workload < nworkloads ? &workloads[errand->workload] : &selftest;
    crew_patience = errand->part > 1 ? 1 : crew_patience; /* turns would be counted */
    (void)clock_cost();
    for (unsigned i = 0; i < errand->cpus; i++)
        prepare(&workers[i], i);
    run();
    errand->peak_kib = peak_kib();
    for (unsigned s = 0; s < SECTIONS; s++)
        errand->values[s] = mean_of(s);
    for (unsigned i = 0; i < errand->cpus; i++)
        errand->ops += workers[i].done[0];
    for (unsigned i = 0; i < errand->cpus; i++)
        if (workers[i].broken != NULL)
            snprintf(errand->broken, sizeof errand->broken, "%s", workers[i].broken);
    errand->done = true;
    return 0;
}
