/* A memory map as one line of cells. Pure; no stage. */
#ifndef QL_KERNEL_MAPVIEW_H
#define QL_KERNEL_MAPVIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mm/region.h"

#define MAPVIEW_CELLS  76
#define MAPVIEW_HOLE   MEM_TYPES /* the cell's type where there is no memory */
#define MAPVIEW_LABELS 24

/* Where on the line an address stands. */
struct mapview_label {
    unsigned cell;
    paddr_t address;
    bool ram; /* it has some: more worth a label than a device */
};

struct mapview {
    uint8_t types[MAPVIEW_CELLS];                /* enum mem_type or MAPVIEW_HOLE */
    unsigned ncells;                             /* 0: there is nothing to show */
    struct mapview_label labels[MAPVIEW_LABELS]; /* where each stretch starts, ascending */
    unsigned nlabels;
    paddr_t end; /* of the last region */
};

/* Draw the map: stretches that have RAM are to scale, one common scale, each cell showing the type
 * that most of its bytes have. Holes that are wider than a cell, and what is no RAM on the far side
 * of one (devices, flash), take one cell each however large they are: a linear picture of a PC
 * would be empty but for its first few cells. A map of very many such pieces is drawn linearly
 * after all.
 * units:   map must satisfy region_validate */
void mapview_draw(const struct mem_region *map, size_t n, struct mapview *out);

#endif
