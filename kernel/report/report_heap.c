/* Owns: what the report, its JSON and the monitor say of the heap.
 * Relies on: the heap's statistics. Stage: after the memory take-over. */
#include "console/style.h"
#include "cpu/cpus.h"
#include "mm/heap_stats.h"
#include "report/report.h"
#include "report/report_parts.h"
#include "report/units.h"
#include "tuning.h"

typedef unsigned long ul; /* what %lu takes */

void report_heap(void)
{
    struct heap_totals totals;
    char used[UNITS_MAX], taken[UNITS_MAX];

    heap_get_totals(&totals);
    report_row("heap", "%s used in %lu objects, of %s; %lu allocations, %lu frees",
               units_size(used, totals.all.live_bytes), (ul)totals.all.live,
               units_size(taken, totals.all.slab_bytes), (ul)totals.all.allocations,
               (ul)totals.all.frees);
}

void report_heap_whole(void)
{
    struct heap_totals totals;
    char waste[UNITS_MAX], reserve[UNITS_MAX], descriptors[UNITS_MAX];

    report_heap();
    heap_get_totals(&totals);
    report_row("", "%s wasted in %lu slabs; %s kept empty; %s to keep account",
               units_size(waste, totals.all.waste_bytes), (ul)totals.all.slabs,
               units_size(reserve, totals.reserve_bytes),
               units_size(descriptors, totals.descriptor_bytes));
    report_row("", "%lu frees by other CPUs, %lu failures, %lu times short of memory",
               (ul)totals.all.remote_frees, (ul)totals.all.failures, (ul)totals.shrinks);
    report_row("", "%lu objects put between guard pages, %lu of them live", (ul)totals.samples,
               (ul)totals.samples_live);
}

/* ---- tables ------------------------------------------------------------------------------------ */

static void print_head(const char *what)
{
    kprintf(REPORT_INDENT STYLE_DIM "%-7s %6s %6s %9s %9s %7s %6s %5s %8s %5s" STYLE_PLAIN "\n",
            what, "live", "peak", "allocated", "freed", "remote", "failed", "slabs", "memory",
            "waste");
}

static void print_stats(const char *name, const struct heap_stats *s)
{
    char memory[UNITS_MAX];
    uint64_t percent = s->slab_bytes ? s->waste_bytes * 100 / s->slab_bytes : 0;

    if (s->allocations + s->failures + s->slabs == 0)
        return;
    kprintf(REPORT_INDENT "%-7s %6lu %6lu %9lu %9lu %7lu %6lu %5lu %8s %4lu%%\n", name, (ul)s->live,
            (ul)s->peak, (ul)s->allocations, (ul)s->frees, (ul)s->remote_frees, (ul)s->failures,
            (ul)s->slabs, units_size(memory, s->slab_bytes), (ul)percent);
}

static void print_classes(unsigned from, unsigned to)
{
    struct heap_stats stats;

    print_head("class");
    for (unsigned class = from; class < to; class ++)
        if (heap_get_stats(class, HEAP_ALL, &stats) == MM_OK)
            print_stats(heap_class_name(class), &stats);
}

void report_heap_classes(void)
{
    print_classes(0, HEAP_FIRST_CACHE);
}

void report_heap_caches(void)
{
    print_classes(HEAP_FIRST_CACHE, heap_class_count());
}

void report_heap_cpus(void)
{
    struct heap_stats stats;
    char name[16];

    print_head("CPU");
    for (unsigned cpu = 0; cpu < CONFIG_CPUS_MAX; cpu++)
        if (heap_get_stats(HEAP_ALL, cpu, &stats) == MM_OK) {
            ksnprintf(name, sizeof name, "%u", cpu);
            print_stats(name, &stats);
        }
}

/* ---- JSON -------------------------------------------------------------------------------------- */

static void add_stats(struct json *json, const struct heap_stats *s)
{
    json_number(json, "live", s->live);
    json_number(json, "live_bytes", s->live_bytes);
    json_number(json, "peak", s->peak);
    json_number(json, "allocations", s->allocations);
    json_number(json, "frees", s->frees);
    json_number(json, "remote_frees", s->remote_frees);
    json_number(json, "failures", s->failures);
    json_number(json, "slabs", s->slabs);
    json_number(json, "slab_bytes", s->slab_bytes);
    json_number(json, "waste_bytes", s->waste_bytes);
}

/* Those that were ever used. */
static void add_classes(struct json *json, const char *key, unsigned from, unsigned to)
{
    struct heap_stats stats;

    json_begin_array(json, key);
    for (unsigned class = from; class < to; class ++) {
        if (heap_get_stats(class, HEAP_ALL, &stats) != MM_OK ||
            stats.allocations + stats.failures + stats.slabs == 0)
            continue;
        json_begin_object(json, NULL);
        json_string(json, "name", heap_class_name(class));
        json_number(json, "bytes", heap_class_bytes(class));
        add_stats(json, &stats);
        json_end(json);
    }
    json_end(json);
}

static void add_cpus(struct json *json)
{
    struct heap_stats stats;

    json_begin_array(json, "cpus");
    for (unsigned cpu = 0; cpu < CONFIG_CPUS_MAX; cpu++) {
        if (heap_get_stats(HEAP_ALL, cpu, &stats) != MM_OK)
            continue;
        json_begin_object(json, NULL);
        json_number(json, "id", cpu);
        add_stats(json, &stats);
        json_end(json);
    }
    json_end(json);
}

static void add_tuning(struct json *json)
{
    json_begin_object(json, "tuning");
    for (unsigned i = 0; tuning_name(i); i++)
        json_number(json, tuning_name(i), tuning_value(i));
    json_end(json);
}

void report_json_heap(struct json *json)
{
    struct heap_totals totals;

    heap_get_totals(&totals);
    json_begin_object(json, "heap");
    json_number(json, "used_bytes", totals.all.live_bytes);
    json_number(json, "free_bytes", totals.all.slab_bytes - totals.all.live_bytes);
    json_number(json, "live_blocks", totals.all.live);
    add_stats(json, &totals.all);
    json_number(json, "reserve_bytes", totals.reserve_bytes);
    json_number(json, "descriptor_bytes", totals.descriptor_bytes);
    json_number(json, "shrinks", totals.shrinks);
    json_number(json, "samples", totals.samples);
    json_number(json, "samples_live", totals.samples_live);
    add_classes(json, "classes", 0, HEAP_FIRST_CACHE);
    add_classes(json, "caches", HEAP_FIRST_CACHE, heap_class_count());
    add_cpus(json);
    add_tuning(json);
    json_end(json);
}
