/* SRAT and SLIT: which CPUs and which memory belong together, and how far apart the nodes are.
 * ACPI's proximity domains become dense node numbers here, in ascending order of the domains. Pure
 * but for its messages; builds on a host: the tables may say anything.
 * source: ACPI 6.5 "System Resource Affinity Table (SRAT)", "System Locality Information Table
 * (SLIT)". */
#ifndef QL_KERNEL_SRAT_H
#define QL_KERNEL_SRAT_H

#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "mm/numa.h"

#define SRAT_RANGES_MAX 256

#define NODE_DISTANCE_SELF  10u
#define NODE_DISTANCE_OTHER 20u /* where the firmware does not say */

struct srat_cpu {
    uint32_t lapic_id; /* each once */
    uint32_t node;
};

struct srat {
    size_t nnodes;                    /* at least 1 */
    uint32_t domains[NUMA_NODES_MAX]; /* by node, ascending */
    size_t ncpus, nranges;
    struct srat_cpu cpus[CONFIG_CPUS_MAX];
    struct mem_node ranges[SRAT_RANGES_MAX]; /* sorted; they do not overlap */
};

/* Distances of each node to each, 10 to itself. */
struct slit {
    uint8_t distance[NUMA_NODES_MAX][NUMA_NODES_MAX];
};

/* Read a table of that many bytes, its header included; its sum has been checked. What is wrong is
 * named, entry and value, and left out. NULL and 0, or a table without a usable entry: one node
 * without ranges or CPUs, to which all belongs. */
void srat_read(const void *table, size_t bytes, struct srat *out);

/* The node of the CPU with that local APIC id; 0 if none is named. */
uint32_t srat_node_of_cpu(const struct srat *srat, uint32_t lapic_id);

/* Read the SLIT; where there is none, or a wrong one (which is named), all others are as far. */
void slit_read(const void *table, size_t bytes, const struct srat *srat, struct slit *out);

#endif
