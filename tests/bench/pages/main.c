/* Times the page tables against two baselines, row by row: see docs/benchmarks.md. Called by
 * `make bench-pages`, which sets the environment: ROWS, REPEAT. */
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pages.h"

#define RW         (PROT_READ | PROT_WRITE)
#define VA_BASE    (1ull << 40)
#define PA_BASE    (4 * GIB)
#define REPEAT_MAX 101
#define RAM        (2 * GIB)
#define LOOKUPS    (1u << 18)
#define NOTHING    (-1.0)

enum { OURS, FLOOR, WALK, CONTESTANTS };

static struct space space;
static regex_t wanted;
static unsigned repeat;

static void must(mm_status_t status)
{
    if (status == MM_OK)
        return;
    fprintf(stderr, "bench-pages: %s\n", mm_status_name(status));
    exit(1);
}

/* A workload says what it takes, in nanoseconds or instructions for each entry, for one contestant;
 * two sections, of which one may be missing. */
struct workload {
    const char *rows[2];
    const char *unit;
    uint64_t bytes, page_bytes;
    void (*run)(const struct workload *w, unsigned contestant, double out[2]);
};

/* --- Mapping and unmapping ---------------------------------------------------------------------- */

static void do_map(const struct workload *w, unsigned contestant)
{
    /* Off by a page, so that no larger page fits; or by 2 MiB. */
    uint64_t pa = PA_BASE + w->page_bytes;
    if (contestant == OURS)
        must(paging_map(&space, VA(VA_BASE), PA(pa), w->bytes / PAGE_BYTES, RW, CACHE_WB));
    else if (contestant == FLOOR)
        floor_fill(w->bytes / w->page_bytes, pa, w->page_bytes);
    else
        walk_map(VA_BASE, pa, w->bytes, w->page_bytes);
}

static void do_unmap(const struct workload *w, unsigned contestant)
{
    if (contestant == OURS)
        must(paging_unmap(&space, VA(VA_BASE), w->bytes / PAGE_BYTES));
    else if (contestant == FLOOR)
        floor_clear(w->bytes / w->page_bytes);
    else
        walk_unmap(VA_BASE, w->bytes, w->page_bytes);
}

static void run_ranges(const struct workload *w, unsigned contestant, double out[2])
{
    double entries = (double)(w->bytes / w->page_bytes);
    unsigned rounds = entries < 100000 ? 32 : entries < 1000000 ? 8 : 1;
    double map = 0, unmap = 0;
    for (unsigned i = 0; i < rounds; i++) {
        clock_begin();
        do_map(w, contestant);
        map += clock_end();
        clock_begin();
        do_unmap(w, contestant);
        unmap += clock_end();
    }
    out[0] = map / rounds / entries;
    out[1] = unmap / rounds / entries;
}

static void run_instructions(const struct workload *w, unsigned contestant, double out[2])
{
    double entries = (double)(w->bytes / w->page_bytes);
    count_begin();
    do_map(w, contestant);
    out[0] = count_end() / entries;
    count_begin();
    do_unmap(w, contestant);
    out[1] = count_end() / entries;
    for (unsigned s = 0; s < 2; s++)
        out[s] = out[s] < 0 ? NOTHING : out[s];
}

/* --- Small ranges ---------------------------------------------------------------------------------- */

/* A range mapped and unmapped, in tables that stay: nanoseconds of both for each page. */
static void run_pairs(const struct workload *w, unsigned contestant, double out[2])
{
    uint64_t va = VA_BASE + 8 * PAGE_BYTES, stays = VA_BASE + 200 * PAGE_BYTES;
    uint64_t npages = w->bytes / PAGE_BYTES;
    const unsigned rounds = 100000 / (unsigned)npages;
    out[0] = out[1] = NOTHING;
    if (contestant == FLOOR)
        return;
    if (contestant == OURS)
        must(paging_map(&space, VA(stays), PA(PA_BASE), 1, RW, CACHE_WB));
    else
        walk_map(stays, PA_BASE, PAGE_BYTES, PAGE_BYTES);
    clock_begin();
    for (unsigned i = 0; i < rounds; i++)
        if (contestant == OURS) {
            must(paging_map(&space, VA(va), PA(PA_BASE), npages, RW, CACHE_WB));
            must(paging_unmap(&space, VA(va), npages));
        } else {
            walk_map(va, PA_BASE, w->bytes, PAGE_BYTES);
            walk_unmap(va, w->bytes, PAGE_BYTES);
        }
    out[0] = clock_end() / rounds / (double)npages;
    if (contestant == OURS)
        must(paging_unmap(&space, VA(stays), 1));
    else
        walk_unmap(stays, PAGE_BYTES, PAGE_BYTES);
}

/* --- What is mapped -------------------------------------------------------------------------------- */

static void map_for_looking(const struct workload *w, unsigned contestant)
{
    struct workload small = *w;
    small.page_bytes = PAGE_BYTES;
    do_map(&small, contestant);
}

static uint64_t lookup(unsigned contestant, uint64_t va)
{
    paddr_t pa;
    if (contestant == WALK)
        return walk_translate(va);
    must(paging_translate(&space, VA(va), &pa));
    return pa.v;
}

static void run_translate(const struct workload *w, unsigned contestant, double out[2])
{
    static uint32_t order[LOOKUPS];
    uint64_t sum = 0, npages = w->bytes / PAGE_BYTES, seed = 88172645463325252ull;
    out[0] = out[1] = NOTHING;
    if (contestant == FLOOR)
        return;
    for (unsigned i = 0; i < LOOKUPS; i++) {
        seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
        order[i] = (uint32_t)(seed % npages);
    }
    map_for_looking(w, contestant);
    clock_begin();
    for (unsigned i = 0; i < LOOKUPS; i++)
        sum += lookup(contestant, VA_BASE + i % npages * PAGE_BYTES);
    out[0] = clock_end() / LOOKUPS;
    clock_begin();
    for (unsigned i = 0; i < LOOKUPS; i++)
        sum += lookup(contestant, VA_BASE + order[i] * PAGE_BYTES);
    out[1] = clock_end() / LOOKUPS;
    if (sum == 0)
        exit(1);
    do_unmap(w, contestant);
}

static void run_protect_and_next(const struct workload *w, unsigned contestant, double out[2])
{
    double entries = (double)(w->bytes / PAGE_BYTES);
    out[0] = out[1] = NOTHING;
    if (contestant == FLOOR)
        return;
    map_for_looking(w, contestant);
    clock_begin();
    if (contestant == OURS)
        must(paging_protect(&space, VA(VA_BASE), w->bytes / PAGE_BYTES, PROT_READ, CACHE_WB));
    else
        walk_protect(VA_BASE, w->bytes);
    out[0] = clock_end() / entries;
    struct mapping run;
    vaddr_t cursor = VA(0);
    uint64_t sum = 0;
    clock_begin();
    if (contestant == OURS)
        must(paging_next(&space, &cursor, &run));
    else
        for (uint64_t at = 0; at < w->bytes; at += PAGE_BYTES)
            sum += walk_translate(VA_BASE + at);
    out[1] = clock_end() / entries;
    if (contestant == OURS ? run.bytes != w->bytes : sum == 0)
        exit(1);
    do_unmap(w, contestant);
}

static const struct workload workloads[] = {
    {{"map-1G-4K", "unmap-1G-4K"}, "ns", GIB, PAGE_BYTES, run_ranges},
    {{"map-1G-4K-instructions", "unmap-1G-4K-instructions"},
     "insn",
     GIB,
     PAGE_BYTES,
     run_instructions},
    {{"map-64G-4K", "unmap-64G-4K"}, "ns", 64 * GIB, PAGE_BYTES, run_ranges},
    {{"map-64G-2M", "unmap-64G-2M"}, "ns", 64 * GIB, HUGE_2M, run_ranges},
    {{"map-2M-4K", "unmap-2M-4K"}, "ns", HUGE_2M, PAGE_BYTES, run_ranges},
    {{"pair-1-page", NULL}, "ns", PAGE_BYTES, PAGE_BYTES, run_pairs},
    {{"pair-16-pages", NULL}, "ns", 16 * PAGE_BYTES, PAGE_BYTES, run_pairs},
    {{"translate-in-order", "translate-random"}, "ns", GIB, PAGE_BYTES, run_translate},
    {{"protect-1G-4K", "next-1G-4K"}, "ns", GIB, PAGE_BYTES, run_protect_and_next},
};

/* --- The run --------------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void print_number(double value)
{
    if (value < 0)
        printf("-\t");
    else
        printf("%.*f\t", value < 1 ? 3 : value < 10 ? 2 : value < 100 ? 1 : 0, value);
}

/* The ratio is to the floor where there is one, else to the walk. */
static void print_row(const struct workload *w, unsigned s,
                      double samples[2][CONTESTANTS][REPEAT_MAX])
{
    double median[CONTESTANTS];
    for (unsigned c = 0; c < CONTESTANTS; c++) {
        qsort(samples[s][c], repeat, sizeof(double), compare);
        median[c] = samples[s][c][repeat / 2];
    }
    printf("%s\t%s\t", w->rows[s], w->unit);
    for (unsigned c = 0; c < CONTESTANTS; c++)
        print_number(median[c]);
    double other = median[FLOOR] > 0 ? median[FLOOR] : median[WALK];
    if (median[OURS] >= 0 && other > 0)
        printf("%.3f\n", median[OURS] / other);
    else
        printf("-\n");
}

static bool is_wanted(const struct workload *w)
{
    return regexec(&wanted, w->rows[0], 0, NULL, 0) == 0 ||
           (w->rows[1] != NULL && regexec(&wanted, w->rows[1], 0, NULL, 0) == 0);
}

/* Each contestant in turn, so that all see the same good and bad times; the first run backs memory. */
static void measure(const struct workload *w)
{
    static double samples[2][CONTESTANTS][REPEAT_MAX];
    double values[2];
    for (unsigned i = 0; i <= repeat; i++)
        for (unsigned c = 0; c < CONTESTANTS; c++) {
            w->run(w, c, values);
            for (unsigned s = 0; s < 2 && i > 0; s++)
                samples[s][c][i - 1] = values[s];
        }
    for (unsigned s = 0; s < 2; s++)
        if (w->rows[s] != NULL)
            print_row(w, s, samples);
    fflush(stdout);
    if (!paging_validate(&space) || space.ntables != 1) {
        fprintf(stderr, "bench-pages: %s: the tables are not what they were\n", w->rows[0]);
        exit(1);
    }
}

int main(void)
{
    const char *rows = getenv("ROWS"), *times = getenv("REPEAT");
    repeat = times != NULL && times[0] != '\0' ? (unsigned)strtoul(times, NULL, 10) : 7;
    if (repeat < 1 || repeat > REPEAT_MAX ||
        regcomp(&wanted, rows != NULL && rows[0] != '\0' ? rows : ".", REG_EXTENDED | REG_NOSUB) !=
            0) {
        fprintf(stderr, "bench-pages: ROWS or REPEAT makes no sense\n");
        return 2;
    }
    if (ql_host_start(RAM, 1, 1) != 0)
        return 2;
    must(paging_create(&space));
    floor_start(64 * GIB / HUGE_2M);
    walk_start();
    printf("# pages: thread CPU time for each entry or call; median of %u interleaved runs\n",
           repeat);
    printf("# floor: leaf tables filled or cleared, no tree; walk: page by page from the root\n");
    printf("workload\tunit\tours\tfloor\twalk\tratio\n");
    for (unsigned i = 0; i < sizeof workloads / sizeof workloads[0]; i++)
        if (is_wanted(&workloads[i]))
            measure(&workloads[i]);
    walk_stop();
    floor_stop();
    paging_destroy(&space);
    ql_host_stop();
    return 0;
}
