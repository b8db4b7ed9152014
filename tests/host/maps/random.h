/* Random memory maps of the kinds that an allocator may not like. */
#ifndef MAPS_RANDOM_H
#define MAPS_RANDOM_H

#include "../test.h"
#include "mm/region.h"

enum map_kind {
    MAP_TINY,    /* a few frames here and there */
    MAP_RAGGED,  /* regions of any length, of all types, with holes of any length */
    MAP_SPARSE,  /* thousands of entries of a frame or three */
    MAP_TIBS,    /* a few banks, TiBs apart */
    MAP_BORDERS, /* banks across 16 MiB and 4 GiB, in one piece */
    MAP_KINDS
};

#define RANDOM_MAP_CAPACITY 8192
#define RANDOM_MAP_LATER    12

struct random_map {
    size_t n;
    struct mem_region regions[RANDOM_MAP_CAPACITY];
    size_t nlater; /* RAM that may be added later: above all regions */
    struct mem_region later[RANDOM_MAP_LATER];
};

/* Normalised, and with room for metadata. */
void random_map(enum map_kind kind, struct rng *rng, struct random_map *out);

#endif
