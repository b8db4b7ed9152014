/* Owns: the variables of a bench, and the look of its table. */
#include "table.h"

#include <ctype.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <unistd.h>

struct bench_options options;
static regex_t rows_wanted;

/* --- Options ------------------------------------------------------------------------------------ */

_Noreturn void option_refuse(const char *name, const char *value)
{
    fprintf(stderr, "bench-%s: %s=%s makes no sense\n", options.bench, name, value);
    exit(2);
}

const char *option(const char *name, const char *otherwise)
{
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0' ? value : otherwise;
}

void options_read(const char *bench)
{
    options.bench = bench;
    const char *rows = option("ROWS", ".");
    if (regcomp(&rows_wanted, rows, REG_EXTENDED | REG_NOSUB) != 0)
        option_refuse("ROWS", rows);
    const char *repeat = option("REPEAT", "5");
    options.repeat = (unsigned)strtoul(repeat, NULL, 10);
    if (options.repeat < 1 || options.repeat > REPEAT_MAX)
        option_refuse("REPEAT", repeat);
    const char *threads = option("THREADS", "1 2");
    char *end;
    for (const char *p = threads; *p != '\0'; p = end) {
        unsigned long n = strtoul(p, &end, 10);
        if (n < 1 || n > THREADS_MAX || options.nthreads == THREADS_MAX)
            option_refuse("THREADS", threads);
        options.threads[options.nthreads++] = (unsigned)n;
        while (isspace((unsigned char)*end))
            end++;
    }
}

bool row_is_wanted(const char *row)
{
    return row != NULL && regexec(&rows_wanted, row, 0, NULL, 0) == 0;
}

/* --- Printing ----------------------------------------------------------------------------------- */

void print_machine(void)
{
    struct utsname name;
    char line[256], cpu[128] = "unknown CPU";
    FILE *info = fopen("/proc/cpuinfo", "r");
    while (info != NULL && fgets(line, sizeof line, info) != NULL)
        if (sscanf(line, "model name : %127[^\n]", cpu) == 1)
            break;
    if (info != NULL)
        fclose(info);
    uname(&name);
    printf("# %s: %s, %ld cores, %s %s; pages of the host: 4 KiB\n", options.bench, cpu,
           sysconf(_SC_NPROCESSORS_ONLN), name.sysname, name.release);
}

void print_head(void)
{
    printf("workload\tunit\tours\tbaseline\ttheirs\tratio\n");
}

void print_number(double value)
{
    if (value < 0)
        printf("-");
    else
        printf("%.*f", value < 10 ? 2 : value < 100 ? 1 : 0, value);
}

void print_line(const char *row, const char *suffix, const char *unit, double our, double baseline,
                double their)
{
    const double values[] = {our, baseline, their};
    double ratio = quotient(our, their >= 0 ? their : baseline);
    printf("%s%s\t%s\t", row, suffix, unit);
    for (unsigned i = 0; i < 3; i++) {
        print_number(values[i]);
        printf("\t");
    }
    if (ratio >= 0)
        printf("%.3f\n", ratio);
    else
        printf("-\n");
}

/* --- Figures ------------------------------------------------------------------------------------ */

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

double median(double *values, unsigned n)
{
    qsort(values, n, sizeof *values, compare);
    return n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

double quotient(double a, double b)
{
    return a >= 0 && b > 0 ? a / b : NOTHING;
}
