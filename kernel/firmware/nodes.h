/* What the firmware says of the machine's processors and of its nodes: groups of CPUs and memory
 * that are near each other. A node may have no CPU, or no memory.
 * Stage: from nodes_init on, constant; before, there is no node, and no processor. */
#ifndef QL_KERNEL_NODES_H
#define QL_KERNEL_NODES_H

#include <stddef.h>
#include <stdint.h>

#include "firmware/madt.h"
#include "mm/numa.h"

/* Read MADT, SRAT and SLIT, and tell the pmm which memory is whose. A machine without these tables
 * is one node. Stage: after acpi_init. */
void nodes_init(void);

/* At least 1 from nodes_init on. */
unsigned nodes_count(void);

/* 10 is the distance to itself, 20 means twice as long; 255: not reachable. */
unsigned nodes_distance(unsigned from, unsigned to);

/* The node of a CPU; 0 where the firmware names none. */
uint32_t nodes_of_cpu(uint32_t lapic_id);

/* RAM of a node, whatever its use; what belongs to no node counts as node 0's. */
uint64_t nodes_memory_bytes(unsigned node);

/* The processors that the firmware lists. */
const struct madt *nodes_madt(void);

#endif
