/* Times mallocs against each other, row by row: see docs/benchmarks.md. Called by `make bench-heap`,
 * which sets the environment: ROWS, REPEAT, THREADS, THEIRS, OURS, INSTR.
 * The exit status is 0 only if every byte written was kept and no row broke, theirs apart. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "heap.h"

#define ROWS_MAX 256

/* A row of the table that is printed, with what it came to for each contestant. */
struct row {
    char name[48];
    const char *unit;
    unsigned flags;
    double values[CONTESTANTS];
};
static struct row rows[ROWS_MAX];
static unsigned nrows;
static bool counting; /* instructions, not time */
static bool failed;
static double ns_a_tick;

/* --- Rows --------------------------------------------------------------------------------------- */

static bool is_peer(unsigned contestant)
{
    return contestant != OURS && contestant != THEIRS;
}

/* The least of those that are neither ours nor theirs. */
static double best_peer(const double values[CONTESTANTS])
{
    double best = NOTHING;
    for (unsigned c = 0; c < CONTESTANTS; c++)
        if (is_peer(c) && values[c] >= 0 && (best < 0 || values[c] < best))
            best = values[c];
    return best;
}

static void print_row(const struct row *row)
{
    print_line(row->name, "", row->unit, row->values[OURS], best_peer(row->values),
               row->values[THEIRS]);
    for (unsigned c = 0; c < CONTESTANTS; c++) {
        char suffix[32];
        snprintf(suffix, sizeof suffix, "/%s", contestant_names[c]);
        if (is_peer(c) && contestant_there(c))
            print_line(row->name, suffix, row->unit, row->values[OURS], row->values[c], NOTHING);
    }
    fflush(stdout);
}

static struct row *add_row(const char *name, unsigned cpus, const char *suffix, const char *unit,
                           unsigned flags)
{
    if (nrows == ROWS_MAX)
        abort();
    struct row *row = &rows[nrows++];
    snprintf(row->name, sizeof row->name, "%s/%u%s", name, cpus, suffix);
    row->unit = unit;
    row->flags = flags;
    for (unsigned c = 0; c < CONTESTANTS; c++)
        row->values[c] = NOTHING;
    return row;
}

static const struct row *find_row(const char *name, unsigned cpus)
{
    char full[48];
    snprintf(full, sizeof full, "%s/%u", name, cpus);
    for (unsigned i = 0; i < nrows; i++)
        if (strcmp(rows[i].name, full) == 0)
            return &rows[i];
    return NULL;
}

/* --- Measuring ---------------------------------------------------------------------------------- */

static void complain(const struct workload *workload, unsigned cpus, unsigned contestant,
                     const char *what)
{
    printf("# %s/%u: %s: %s\n", workload->rows[0], cpus, contestant_names[contestant], what);
    failed |= contestant != THEIRS;
}

/* Each contestant in turn, so that all see the same good and bad times of the machine. */
static void measure(const struct workload *workload, unsigned cpus)
{
    static double times[CONTESTANTS][REPEAT_MAX], peaks[CONTESTANTS][REPEAT_MAX];
    bool runs[CONTESTANTS];
    for (unsigned c = 0; c < CONTESTANTS; c++)
        runs[c] = contestant_there(c);
    for (unsigned i = 0; i < options.repeat; i++)
        for (unsigned c = 0; c < CONTESTANTS; c++) {
            const char *broken = runs[c] ? contestant_run(c, workload, cpus, i + 1) : NULL;
            if (broken != NULL) {
                complain(workload, cpus, c, broken);
                runs[c] = false;
            }
            times[c][i] = errand->values[0];
            peaks[c][i] = (double)errand->peak_kib;
        }
    struct row *time = add_row(workload->rows[0], cpus, "", "ns", workload->flags);
    struct row *peak =
        workload->flags & PEAK ? add_row(workload->rows[0], cpus, "/peak", "KiB", PEAK) : NULL;
    for (unsigned c = 0; c < CONTESTANTS; c++) {
        time->values[c] = runs[c] ? median(times[c], options.repeat) : NOTHING;
        if (peak != NULL)
            peak->values[c] = runs[c] ? median(peaks[c], options.repeat) : NOTHING;
    }
    print_row(time);
    if (peak != NULL)
        print_row(peak);
}

static void count_instructions(const struct workload *workload, unsigned cpus)
{
    struct row *row = add_row(workload->rows[0], cpus, "", "insn", workload->flags);
    for (unsigned c = 0; c < CONTESTANTS; c++)
        if (contestant_there(c))
            row->values[c] = contestant_count(c, workload, cpus);
    print_row(row);
}

/* --- Single calls ------------------------------------------------------------------------------- */

static int compare_ticks(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* Of each call the least over the runs, which are alike but for what interrupts them. False: broken. */
static bool gather(const struct workload *workload, unsigned contestant, unsigned run,
                   uint32_t ticks[CALLS_MAX])
{
    const char *broken = contestant_run(contestant, workload, 1, 1);
    if (broken != NULL) {
        complain(workload, 1, contestant, broken);
        return false;
    }
    for (unsigned i = 0; i < errand->ncalls; i++)
        if (run == 0 || errand->ticks[i] < ticks[i])
            ticks[i] = errand->ticks[i];
    return true;
}

static void measure_latency(const struct workload *workload)
{
    static uint32_t ticks[CONTESTANTS][CALLS_MAX];
    static const double parts[SECTIONS] = {0.5, 0.99, 0.999, 1};
    bool runs[CONTESTANTS];
    unsigned n = 0;
    for (unsigned c = 0; c < CONTESTANTS; c++)
        runs[c] = contestant_there(c);
    for (unsigned i = 0; i < options.repeat; i++)
        for (unsigned c = 0; c < CONTESTANTS; c++)
            if (runs[c]) {
                runs[c] = gather(workload, c, i, ticks[c]);
                n = runs[c] ? errand->ncalls : n;
            }
    for (unsigned c = 0; c < CONTESTANTS; c++)
        qsort(ticks[c], n, sizeof ticks[c][0], compare_ticks);
    for (unsigned s = 0; s < SECTIONS; s++) {
        struct row *row = add_row(workload->rows[s], 1, "", "ns", workload->flags);
        unsigned at = (unsigned)(parts[s] * (n - 1));
        for (unsigned c = 0; c < CONTESTANTS; c++)
            row->values[c] = runs[c] ? ticks[c][at] * ns_a_tick : NOTHING;
        print_row(row);
    }
}

static void measure_ticks(void)
{
    uint64_t from = clock_wall(), ticks = __builtin_ia32_rdtsc(), now;
    while ((now = clock_wall()) - from < 50000000)
        ;
    ns_a_tick = (double)(now - from) / (double)(__builtin_ia32_rdtsc() - ticks);
}

/* --- What rows come to together ----------------------------------------------------------------- */

/* Of the rows of a kind, against the best peer of each. A workload counts once: on as few CPUs as it
 * was measured on. */
static void print_mean(const char *name, unsigned flag, const char *unit)
{
    double logs[CONTESTANTS] = {0};
    unsigned n[CONTESTANTS] = {0}, all = 0;
    char last[48] = "";
    for (unsigned i = 0; i < nrows; i++) {
        size_t stem = strcspn(rows[i].name, "/");
        double best = best_peer(rows[i].values);
        if (!(rows[i].flags & flag) || strcmp(rows[i].unit, unit) != 0 ||
            (strncmp(last, rows[i].name, stem) == 0 && last[stem] == '/'))
            continue;
        strcpy(last, rows[i].name);
        all++;
        for (unsigned c = 0; c < CONTESTANTS; c++)
            if (rows[i].values[c] > 0 && best > 0) {
                logs[c] += log(rows[i].values[c] / best);
                n[c]++;
            }
    }
    if (all < 2)
        return;
    struct row *row = add_row(name, all, "", "x", 0);
    for (unsigned c = 0; c < CONTESTANTS; c++)
        row->values[c] = n[c] == all ? exp(logs[c] / all) : NOTHING;
    print_row(row);
}

/* What a million objects cost against a hundred. */
static void print_growth(unsigned cpus)
{
    const struct row *few = find_row("live-100", cpus), *many = find_row("live-1000000", cpus);
    if (few == NULL || many == NULL)
        return;
    struct row *row = add_row("live-1000000", cpus, "-vs-100", "x", 0);
    for (unsigned c = 0; c < CONTESTANTS; c++)
        row->values[c] = quotient(many->values[c], few->values[c]);
    print_row(row);
}

/* All once more, a row a line, everybody beside each other. */
static void print_together(void)
{
    printf("#\n# %-28s %5s", "together", "");
    for (unsigned c = 0; c < CONTESTANTS; c++)
        if (contestant_there(c))
            printf(" %9s", contestant_names[c]);
    printf("\n");
    for (unsigned i = 0; i < nrows; i++) {
        printf("# %-28s %5s", rows[i].name, rows[i].unit);
        for (unsigned c = 0; c < CONTESTANTS; c++)
            if (contestant_there(c) && rows[i].values[c] < 0)
                printf(" %9s", "-");
            else if (contestant_there(c))
                printf(" %9.*f", rows[i].values[c] < 100 ? 2 : 0, rows[i].values[c]);
        printf("\n");
    }
}

/* --- The run ------------------------------------------------------------------------------------ */

static void print_method(void)
{
    print_machine();
    if (counting)
        printf("# instructions of an operation, the loop's included, counted by valgrind\n");
    else
        printf("# thread CPU time of an operation, mean over the CPUs; median of %u interleaved "
               "runs, each a process\n",
               options.repeat);
    printf("# baseline: the best of glibc and, from Debian, mimalloc, jemalloc, tcmalloc; /NAME: "
           "that one; theirs: %s\n",
           option("THEIRS", "none"));
}

/* Who is not there takes no part. */
static void test_contestants(void)
{
    for (unsigned t = 0; t < options.nthreads; t++) {
        printf("# self-test/%u: every byte kept:", options.threads[t]);
        for (unsigned c = 0; c < CONTESTANTS; c++) {
            if (!contestant_there(c))
                continue;
            const char *broken = contestant_run(c, &selftest, options.threads[t], 1);
            if (broken == NULL)
                printf(" %s yes (%lu calls);", contestant_names[c], errand->ops);
            else
                printf(" %s NO: %s;", contestant_names[c], broken);
            if (errand->missing)
                contestant_leave_out(c);
            failed |= c == OURS && broken != NULL;
        }
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

static void run_workload(const struct workload *workload, unsigned cpus)
{
    if (cpus < workload->cpus_min || cpus > workload->cpus_max)
        return;
    if (counting && !(workload->flags & LATENCY))
        count_instructions(workload, cpus);
    else if (!counting && workload->flags & LATENCY)
        measure_latency(workload);
    else if (!counting)
        measure(workload, cpus);
    if (strcmp(workload->rows[0], "live-1000000") == 0)
        print_growth(cpus);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "worker") == 0)
        return worker_main(atoi(argv[2]));
    setvbuf(stdout, NULL, _IOLBF, 0); /* what is known stays known if something crashes */
    options_read("heap");
    counting = option("INSTR", NULL) != NULL;
    contestants_find();
    print_method();
    measure_ticks();
    test_contestants();
    print_head();
    for (unsigned i = 0; i < nworkloads; i++)
        for (unsigned t = 0; t < options.nthreads && is_wanted(&workloads[i]); t++)
            run_workload(&workloads[i], options.threads[t]);
    print_mean("geometric-mean", COUNTS, counting ? "insn" : "ns");
    print_mean("geometric-mean-peak", PEAK, "KiB");
    print_together();
    return failed ? 1 : 0;
}
