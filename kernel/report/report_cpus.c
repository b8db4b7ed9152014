/* Owns: what the report and the monitor say of CPUs and nodes.
 * Relies on: cpus.h, nodes.c, the pmm. Stage: after cpus_start. */
#include "console/style.h"
#include "cpu/cpus.h"
#include "firmware/nodes.h"
#include "mm/pmm.h"
#include "report/facts.h"
#include "report/report.h"
#include "report/report_parts.h"
#include "report/units.h"

#define DISTANCES_A_LINE 8 /* as many as fit into 80 columns */

void report_processors(void)
{
    struct facts_cpus facts;
    char absent[32] = "", disabled[32] = "", nodes[32] = "";

    facts_cpus(&facts);
    if (facts.absent > 0)
        ksnprintf(absent, sizeof absent, ", %u absent", facts.absent);
    if (facts.disabled > 0)
        ksnprintf(disabled, sizeof disabled, ", %u disabled", facts.disabled);
    if (nodes_count() > 1)
        ksnprintf(nodes, sizeof nodes, "; %u nodes", nodes_count());
    report_row("CPUs", "%u online%s%s%s", facts.online, absent, disabled, nodes);
}

static void print_nodes(void)
{
    report_heading("Nodes", "distance to itself: 10");
    kprintf(REPORT_INDENT STYLE_DIM "%4s  %4s  %10s  %10s  %s" STYLE_PLAIN "\n", "node", "CPUs",
            "RAM", "free", "distance to 0, 1, ...");
    for (unsigned node = 0; node < nodes_count(); node++) {
        struct pmm_node_stats stats;
        char ram[UNITS_MAX], free[UNITS_MAX];

        pmm_get_node_stats(node, &stats);
        kprintf(REPORT_INDENT "%4u  %4u  %10s  %10s ", node, facts_cpus_of_node(node),
                units_size(ram, nodes_memory_bytes(node)), units_size(free, stats.free_kib << 10));
        for (unsigned to = 0; to < nodes_count(); to++) {
            if (to > 0 && to % DISTANCES_A_LINE == 0)
                kprintf("\n" REPORT_INDENT "%35s", "");
            kprintf(" %3u", nodes_distance(node, to));
        }
        kprintf("\n");
    }
}

void report_cpus(void)
{
    struct facts_cpus facts;
    char remark[32];

    facts_cpus(&facts);
    ksnprintf(remark, sizeof remark, "%u of %u online", facts.online, cpus_count());
    report_heading("CPUs", remark);
    kprintf(REPORT_INDENT STYLE_DIM "%4s  %10s  %10s  %4s  %s" STYLE_PLAIN "\n", "CPU",
            "local APIC", "ACPI", "node", "state");
    for (unsigned id = 0; id < cpus_count(); id++) {
        const struct cpu *cpu = cpus_get(id);
        kprintf(REPORT_INDENT "%4u  %10u  %10u  %4u  %s%s" STYLE_PLAIN "\n", id, cpu->lapic_id,
                cpu->acpi_uid, cpu->node, cpu->state == CPU_ONLINE ? STYLE_GOOD : STYLE_DIM,
                facts_cpu_state(cpu->state));
    }
    if (nodes_count() > 1)
        print_nodes();
}
