/* Owns: the list of benchmarks; the run of one: CPUs, time, medians.
 * Relies on: crew.c for the CPUs, cpu.h for the time. Stage: after cpus_start.
 *
 * We and the baseline run in turn, so that both see the same good and bad times of the machine; the
 * median of a few such runs counts. */
#include "bench/bench.h"

#include "bench/bench_parts.h"
#include "console/print.h"
#include "console/style.h"
#include "cpu/cpu.h"
#include "cpu/cpus.h"
#include "cpu/crew.h"
#include "mm/string.h"

#define REPEAT      3 /* odd */
#define CLOCK_READS 100

static const struct bench_suite *const suites[] = {&bench_frames, &bench_pages, &bench_heap};
#define SUITES (sizeof suites / sizeof suites[0])

const struct bench_workload *bench_current;
static const struct bench_suite *suite;
static struct bench_worker workers[BENCH_CPUS_MAX];
static uint64_t clock_cost;
static unsigned failures;

const char *bench_name(unsigned i)
{
    return i < SUITES ? suites[i]->name : NULL;
}

const char *bench_summary(unsigned i)
{
    return i < SUITES ? suites[i]->summary : NULL;
}

unsigned bench_failures(void)
{
    return failures;
}

/* ---- a run --------------------------------------------------------------------------------- */

struct bench_worker *bench_worker(unsigned number)
{
    return &workers[number];
}

uint64_t bench_random(struct bench_worker *w, uint64_t limit)
{
    uint64_t z = w->random += 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return ((z ^ z >> 31) >> 32) * limit >> 32;
}

void bench_begin(struct bench_worker *w)
{
    crew_meet();
    w->began = cpu_tsc();
}

void bench_end(struct bench_worker *w, unsigned section, uint64_t ops)
{
    uint64_t ticks = cpu_tsc() - w->began;
    w->sections[section].sum += ticks > clock_cost ? ticks - clock_cost : 0;
    w->sections[section].ops += ops;
}

static void measure_clock(void)
{
    clock_cost = UINT64_MAX;
    for (unsigned i = 0; i < CLOCK_READS; i++) {
        uint64_t before = cpu_tsc(), between = cpu_tsc() - before;
        clock_cost = between < clock_cost ? between : clock_cost;
    }
}

static void work(unsigned number)
{
    struct bench_worker *w = &workers[number];
    bench_current->body(w);
    crew_meet();
    if (suite->end)
        suite->end(w);
}

/* In thousandths of the unit; a tick is at least a hundredth of a nanosecond, so nothing overflows
 * within hours. */
static uint64_t value_of(const struct bench_section *section)
{
    uint64_t femtoseconds_a_tick = 1000000000000000ull / cpu_tsc_ticks(1000000);
    if (bench_current->percent)
        return section->sum * 100000 / section->ops;
    return section->sum * femtoseconds_a_tick / section->ops / 1000;
}

/* Over the CPUs; nothing if one of them has not measured it. */
static uint64_t mean_of(unsigned section)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < crew.n; i++) {
        if (workers[i].sections[section].ops == 0)
            return BENCH_NOTHING;
        sum += value_of(&workers[i].sections[section]);
    }
    return sum / crew.n;
}

/* One run. out: for each section the mean over the CPUs. Returns what went wrong, or NULL. */
static const char *run(bool baseline, uint64_t out[BENCH_SECTIONS])
{
    const char *broken = NULL;
    for (unsigned i = 0; i < crew.n; i++)
        workers[i] = (struct bench_worker){
            .number = i, .cpus = crew.n, .baseline = baseline, .random = 1 + i};
    if (suite->begin)
        suite->begin(baseline);
    crew_run(work);
    for (unsigned s = 0; s < BENCH_SECTIONS; s++)
        out[s] = mean_of(s);
    for (unsigned i = 0; i < crew.n; i++)
        broken = workers[i].broken ? workers[i].broken : broken;
    return broken;
}

/* ---- a workload ----------------------------------------------------------------------------- */

static uint64_t median(uint64_t *values, unsigned n)
{
    for (unsigned i = 1; i < n; i++)
        for (unsigned k = i; k > 0 && values[k] < values[k - 1]; k--) {
            uint64_t swapped = values[k];
            values[k] = values[k - 1];
            values[k - 1] = swapped;
        }
    return values[n / 2];
}

/* False: it was stopped. */
static bool repeat(bool (*stop)(void), struct bench_result results[BENCH_SECTIONS])
{
    uint64_t values[2][BENCH_SECTIONS][REPEAT], out[BENCH_SECTIONS];
    const char *broken[2] = {NULL, NULL};
    unsigned sides = bench_current->self ? 1 : 2;
    unsigned n = bench_current->percent ? 1 : REPEAT;

    for (unsigned i = 0; i < n; i++)
        for (unsigned side = 0; side < sides; side++) {
            if (stop && stop())
                return false;
            const char *wrong = run(side == 1, out);
            broken[side] = wrong ? wrong : broken[side];
            for (unsigned s = 0; s < BENCH_SECTIONS; s++)
                values[side][s][i] = out[s];
        }
    for (unsigned side = 0; side < sides; side++)
        if (broken[side])
            kprintf("# %s/%u: %s: " STYLE_BAD "%s" STYLE_PLAIN "\n", bench_current->rows[0], crew.n,
                    side ? "the baseline" : "ours", broken[side]);
    failures += broken[0] != NULL;
    for (unsigned s = 0; s < BENCH_SECTIONS; s++) {
        results[s].ours = broken[0] ? BENCH_NOTHING : median(values[0][s], n);
        results[s].baseline = sides < 2 || broken[1] ? BENCH_NOTHING : median(values[1][s], n);
    }
    if (bench_current->self)
        results[0].baseline = results[1].ours;
    return true;
}

static void print_results(const struct bench_result one[BENCH_SECTIONS],
                          const struct bench_result now[BENCH_SECTIONS])
{
    const char *unit = bench_current->percent ? "%" : "ns";
    for (unsigned s = 0; s < BENCH_SECTIONS; s++) {
        const char *row = bench_current->rows[s];
        if (!row)
            continue;
        bench_print_row(row, crew.n, "", unit, now[s]);
        if (crew.n == 1 || bench_current->cpus_min > 1 || bench_current->percent)
            continue;
        struct bench_result by = {bench_quotient(now[s].ours, one[s].ours),
                                  bench_quotient(now[s].baseline, one[s].baseline)};
        bench_print_row(row, crew.n, "-vs-1", "x", by);
    }
}

/* On one CPU and on two. False: it was stopped. */
static bool run_workload(bool (*stop)(void))
{
    struct bench_result one[BENCH_SECTIONS], now[BENCH_SECTIONS];
    unsigned online = cpu_set_count(cpus_online());
    unsigned most = bench_current->cpus_max ? bench_current->cpus_max : BENCH_CPUS_MAX;
    bool goes_on = true;

    for (unsigned cpus = bench_current->cpus_min ? bench_current->cpus_min : 1;
         goes_on && cpus <= most && cpus <= online; cpus++) {
        crew_choose(cpus);
        const char *why = suite->open(bench_current, cpus);
        if (why) {
            kprintf("# %s/%u: left out: %s\n", bench_current->rows[0], cpus, why);
            continue;
        }
        goes_on = repeat(stop, now);
        if (suite->close)
            suite->close();
        if (cpus == 1)
            memcpy(one, now, sizeof one);
        if (goes_on)
            print_results(one, now);
    }
    return goes_on;
}

/* ---- a benchmark ---------------------------------------------------------------------------- */

static bool contains(const char *text, const char *part)
{
    for (; *text; text++)
        if (strncmp(text, part, strlen(part)) == 0)
            return true;
    return false;
}

static bool is_wanted(const struct bench_workload *workload, const char *filter)
{
    for (unsigned s = 0; s < BENCH_SECTIONS; s++)
        if (workload->rows[s] && contains(workload->rows[s], filter))
            return true;
    return false;
}

static bool find(const char *name, const char *filter)
{
    for (unsigned i = 0; i < SUITES; i++)
        if (strcmp(suites[i]->name, name) == 0)
            for (unsigned k = 0; k < suites[i]->n; k++)
                if (is_wanted(&suites[i]->workloads[k], filter)) {
                    suite = suites[i];
                    return true;
                }
    return false;
}

bool bench_run(const char *name, const char *filter, bool (*stop)(void))
{
    if (!find(name, filter))
        return false;
    uint64_t before = suite->usage();
    bool goes_on = true;

    measure_clock();
    kprintf("# %s: %u CPUs; a call, mean over the CPUs, median of %u runs\n", name,
            cpu_set_count(cpus_online()), REPEAT);
    bench_print_head();
    for (unsigned i = 0; goes_on && i < suite->n; i++) {
        bench_current = &suite->workloads[i];
        if (is_wanted(bench_current, filter))
            goes_on = run_workload(stop);
    }
    if (!goes_on)
        kprintf("# stopped by a key\n");
    uint64_t after = suite->usage();
    failures += after != before;
    kprintf("# memory: %lu KiB used before, %lu KiB after: %s" STYLE_PLAIN "\n", before, after,
            after == before ? STYLE_GOOD "as found" : STYLE_BAD "NOT AS FOUND");
    return true;
}
