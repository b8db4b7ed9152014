/* Which physical memory belongs to which node of the machine. Node numbers are dense and ours; who
 * reads the firmware's tables maps its proximity domains to them. */
#ifndef QL_MM_NUMA_H
#define QL_MM_NUMA_H

#include <stddef.h>

#include "mm/addr.h"
#include "status.h"

/* Nodes are numbered 0 .. NUMA_NODES_MAX - 1. One may have no memory. */
#define NUMA_NODES_MAX 64

/* Memory that the firmware assigns to a node. It may reach over holes, devices and the end of RAM,
 * and be empty. */
struct mem_node {
    paddr_t base;
    uint64_t bytes;
    uint32_t node;
};

/* From here to the next piece, the last one to PADDR_LIMIT, everything is the node's. */
struct node_piece {
    paddr_t base;
    uint32_t node;
};

/* The table of pieces needs room for so many when n ranges make it. */
#define NUMA_PIECES(n) (2 * (n) + 1)

/* Divide all physical addresses among nodes: pieces ascend from address 0, and neighbours differ.
 * What no range names is node 0's. A frame in which one range ends and another begins goes to the
 * lower one; ranges of one node may overlap.
 * units:   pieces has room for NUMA_PIECES(n)
 * errors:  MM_RANGE (a range wraps or leaves PADDR_LIMIT, a node number is too large), MM_INVAL
 *          (two nodes claim the same frame) */
mm_status_t numa_divide(const struct mem_node *nodes, size_t n, struct node_piece *pieces,
                        size_t *npieces) MUST_USE;

/* The piece that contains pa, by bisection. */
size_t numa_find(const struct node_piece *pieces, size_t npieces, paddr_t pa);

/* The end of a piece. */
static inline paddr_t numa_piece_end(const struct node_piece *pieces, size_t npieces, size_t i)
{
    return i + 1 < npieces ? pieces[i + 1].base : PA(PADDR_LIMIT);
}

#endif
