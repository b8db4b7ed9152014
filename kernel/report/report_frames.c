/* Owns: what the report and the monitor say of physical frames.
 * Relies on: the pmm, nodes.c. Stage: after the memory take-over. */
#include "boot/memory.h"
#include "console/style.h"
#include "firmware/nodes.h"
#include "mm/pmm.h"
#include "report/report.h"
#include "report/report_parts.h"
#include "report/units.h"

void report_frames(void)
{
    struct pmm_stats stats;
    char free[UNITS_MAX], metadata[UNITS_MAX];

    pmm_get_stats(&stats);
    report_row("frames", "%lu total, %lu used, %lu free (%s); metadata %s",
               (unsigned long)stats.total_kib / 4, (unsigned long)stats.used_kib / 4,
               (unsigned long)stats.free_kib / 4, units_size(free, stats.free_kib << 10),
               units_size(metadata, stats.metadata_kib << 10));
}

static void print_orders(const char *name, uint32_t node)
{
    uint64_t orders[PMM_ORDER_BLOCK + 1];

    pmm_get_order_stats(node, orders);
    kprintf(REPORT_INDENT "%-5s", name);
    for (unsigned order = 0; order <= PMM_ORDER_BLOCK; order++)
        kprintf(" %6lu", (unsigned long)orders[order]);
    kprintf("\n");
}

/* Last: what CPUs keep is given back by that. */
static void print_free_runs(void)
{
    kprintf(REPORT_INDENT STYLE_DIM "%-5s", "free");
    for (unsigned order = 0; order <= PMM_ORDER_BLOCK; order++) {
        unsigned kib = 4u << order;
        kprintf(" %4u %c", kib < 1024 ? kib : kib / 1024, kib < 1024 ? 'K' : 'M');
    }
    kprintf(STYLE_PLAIN "\n");
    for (unsigned node = 0; nodes_count() > 1 && node < nodes_count(); node++) {
        char name[16];
        ksnprintf(name, sizeof name, "%u", node);
        print_orders(name, node);
    }
    print_orders("all", PMM_ALL_NODES);
}

void report_frames_whole(void)
{
    struct pmm_stats stats;
    char cached[UNITS_MAX], retired[UNITS_MAX], took[UNITS_MAX];

    pmm_get_stats(&stats);
    report_frames();
    report_row("", "%s of the free kept by CPUs for themselves, %s of the used retired",
               units_size(cached, stats.cached_kib << 10),
               units_size(retired, stats.retired_kib << 10));
    report_row("", "set up in %s", units_time(took, memory_frames_nsec() / 1000));
    print_free_runs();
}
