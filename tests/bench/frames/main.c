/* Times frame allocators against each other, row by row: see docs/benchmarks.md. Called by
 * `make bench-frames`, which sets the environment: ROWS, REPEAT, THREADS, THEIRS.
 * The exit status is 0 only if no frame was handed out twice and no row broke, theirs apart. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../common/table.h"
#include "worker.h"

#define CONTESTANTS 4

enum { OURS, BUDDY, SCAN, THEIRS };

static const struct contestant *contestants[CONTESTANTS] = {&ours, &buddy, &scan, NULL};
static bool failed;

/* What a row came to, by contestant. */
struct result {
    double median[SECTIONS][CONTESTANTS];
};
static struct result *results; /* of each workload and number of threads */

/* --- Measuring ---------------------------------------------------------------------------------- */

static bool takes_part(const struct workload *workload, unsigned contestant)
{
    return contestants[contestant] != NULL && (contestant == OURS || !workload->ours_only);
}

/* One run that is not timed, every frame looked at. Prints the verdict behind the others'. */
static bool check(const struct workload *workload, unsigned contestant, unsigned threads)
{
    double ignored[SECTIONS];
    uint64_t frames;
    const struct contestant *wrapped = checked_wrap(contestants[contestant], workload->ram_bytes);
    const char *broken = run_workload(workload, wrapped, threads, ignored);
    const char *wrong = checked_verdict(&frames);
    const char *name = contestants[contestant]->name;
    if (wrong != NULL || broken != NULL)
        printf(" %s NO: %s;", name, wrong != NULL ? wrong : broken);
    else
        printf(" %s yes (%lu);", name, frames);
    failed |= contestant != THEIRS && (wrong != NULL || broken != NULL);
    return wrong == NULL && broken == NULL;
}

/* Each contestant in turn, so that all see the same good and bad times of the machine. */
static void measure(const struct workload *workload, unsigned threads, struct result *result)
{
    static double samples[SECTIONS][CONTESTANTS][REPEAT_MAX];
    bool runs[CONTESTANTS];
    unsigned repeat = options.repeat;
    if (workload->repeat_max > 0 && repeat > workload->repeat_max)
        repeat = workload->repeat_max;
    printf("# %s/%u: every frame handed out once:", workload->rows[0], threads);
    seed = 0;
    for (unsigned c = 0; c < CONTESTANTS; c++)
        runs[c] = takes_part(workload, c) && check(workload, c, threads);
    printf("\n");
    for (unsigned i = 0; i < repeat; i++)
        for (unsigned c = 0; c < CONTESTANTS; c++) {
            double values[SECTIONS];
            seed = i + 1;
            if (!runs[c])
                continue;
            const char *broken = run_workload(workload, contestants[c], threads, values);
            if (broken != NULL) {
                printf("# %s/%u: %s: %s\n", workload->rows[0], threads, contestants[c]->name,
                       broken);
                failed |= c != THEIRS;
            }
            for (unsigned s = 0; s < SECTIONS; s++)
                samples[s][c][i] = values[s];
        }
    for (unsigned s = 0; s < SECTIONS; s++)
        for (unsigned c = 0; c < CONTESTANTS; c++)
            result->median[s][c] = runs[c] ? median(samples[s][c], repeat) : NOTHING;
    if (workload->ours_only)
        result->median[0][BUDDY] = result->median[1][OURS];
}

/* --- Printing ----------------------------------------------------------------------------------- */

static void print_row(const struct workload *workload, unsigned section, unsigned threads,
                      const struct result *result)
{
    const double *medians = result->median[section];
    const char *row = workload->rows[section];
    char suffix[32];
    snprintf(suffix, sizeof suffix, "/%u", threads);
    print_line(row, suffix, workload->unit, medians[OURS], medians[BUDDY], medians[THEIRS]);
    if (workload->ours_only)
        return;
    snprintf(suffix, sizeof suffix, "/%u/scan", threads);
    print_line(row, suffix, workload->unit, medians[OURS], medians[SCAN], NOTHING);
}

/* What the further CPUs cost: the time of an operation against that on one CPU. */
static void print_scaling(const struct workload *workload, unsigned section, unsigned threads,
                          const struct result *one, const struct result *many)
{
    double by[CONTESTANTS];
    char suffix[32];
    for (unsigned c = 0; c < CONTESTANTS; c++)
        by[c] = quotient(many->median[section][c], one->median[section][c]);
    snprintf(suffix, sizeof suffix, "/%u-vs-1", threads);
    print_line(workload->rows[section], suffix, "x", by[OURS], by[BUDDY], by[THEIRS]);
}

static void print_workload(unsigned index, unsigned t)
{
    const struct workload *workload = &workloads[index];
    const struct result *result = &results[index * WORKERS_MAX + t];
    bool scales = t > 0 && options.threads[0] == 1 && workload->cpus_min == 1 &&
                  strcmp(workload->unit, "ns") == 0;
    for (unsigned s = 0; s < SECTIONS; s++) {
        if (workload->rows[s] == NULL)
            continue;
        print_row(workload, s, options.threads[t], result);
        if (scales)
            print_scaling(workload, s, options.threads[t], &results[index * WORKERS_MAX], result);
    }
    fflush(stdout);
}

/* --- The run ------------------------------------------------------------------------------------ */

static void print_method(void)
{
    print_machine();
    printf("# thread CPU time of a call, mean over the CPUs; median of %u interleaved runs (%u of "
           "the slow ones)\n",
           options.repeat, options.repeat < 3 ? options.repeat : 3);
    printf("# RAM 4 GiB unless the name says otherwise (churn: 1 GiB, metadata: 64 GiB); contents "
           "never touched\n");
    printf("# baseline: a buddy with per-CPU lists and a lock; /scan: a bitmap and a lock; "
           "theirs: %s\n",
           option("THEIRS", "none"));
}

static void test_contestants(void)
{
    for (unsigned t = 0; t < options.nthreads; t++) {
        printf("# self-test/%u: every frame handed out once:", options.threads[t]);
        for (unsigned c = 0; c < CONTESTANTS; c++)
            if (contestants[c] != NULL)
                (void)check(&selftest, c, options.threads[t]);
        printf("\n");
    }
}

static bool is_wanted(const struct workload *workload)
{
    for (unsigned s = 0; s < SECTIONS; s++)
        if (row_is_wanted(workload->rows[s]))
            return true;
    return false;
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0); /* what is known stays known if something crashes */
    options_read("frames");
    const char *path = option("THEIRS", NULL);
    if (path != NULL && (contestants[THEIRS] = theirs_open(path)) == NULL)
        return 2;
    results = calloc(nworkloads * WORKERS_MAX, sizeof *results);
    if (results == NULL)
        return 2;
    print_method();
    test_contestants();
    print_head();
    for (unsigned i = 0; i < nworkloads; i++)
        for (unsigned t = 0; t < options.nthreads && is_wanted(&workloads[i]); t++) {
            unsigned n = options.threads[t];
            if (n < workloads[i].cpus_min || n > workloads[i].cpus_max)
                continue;
            measure(&workloads[i], n, &results[i * WORKERS_MAX + t]);
            print_workload(i, t);
        }
    return failed ? 1 : 0;
}
