/* Owns: how the results of a benchmark look. Relies on: print. Stage: any. */
#include "bench/bench_parts.h"
#include "console/print.h"
#include "console/style.h"

uint64_t bench_quotient(uint64_t a, uint64_t b)
{
    if (a == BENCH_NOTHING || b == BENCH_NOTHING || b == 0)
        return BENCH_NOTHING;
    return a * 1000 / b;
}

/* Three significant digits, about; or so many decimals. */
static const char *number(char out[24], uint64_t value, unsigned decimals)
{
    uint64_t unit = 1000;
    for (unsigned i = 0; i < decimals; i++)
        unit /= 10;
    uint64_t rounded = (value + unit / 2) / unit; /* in units of the last decimal */
    if (value == BENCH_NOTHING)
        ksnprintf(out, 24, "-");
    else if (decimals == 0)
        ksnprintf(out, 24, "%lu", rounded);
    else
        ksnprintf(out, 24, "%lu.%0*lu", rounded / (1000 / unit), (int)decimals,
                  rounded % (1000 / unit));
    return out;
}

static unsigned decimals_of(uint64_t value)
{
    return value < 10000 ? 2 : value < 100000 ? 1 : 0;
}

void bench_print_head(void)
{
    char screen[120];
    ksnprintf(screen, sizeof screen, STYLE_DIM "  %-30s %6s %10s %10s %8s" STYLE_PLAIN "\n",
              "workload/CPUs", "unit", "ours", "baseline", "ratio");
    print_apart("workload\tunit\tours\tbaseline\ttheirs\tratio\n", screen);
}

void bench_print_row(const char *row, unsigned cpus, const char *suffix, const char *unit,
                     struct bench_result result)
{
    char name[48], ours[24], baseline[24], ratio[24], serial[160], screen[160];
    ksnprintf(name, sizeof name, "%s/%u%s", row, cpus, suffix);
    number(ours, result.ours, decimals_of(result.ours));
    number(baseline, result.baseline, decimals_of(result.baseline));
    number(ratio, bench_quotient(result.ours, result.baseline), 3);
    ksnprintf(serial, sizeof serial, "%s\t%s\t%s\t%s\t-\t%s\n", name, unit, ours, baseline, ratio);
    ksnprintf(screen, sizeof screen, "  %-30s %6s %10s %10s %8s\n", name, unit, ours, baseline,
              ratio);
    print_apart(serial, screen);
}
