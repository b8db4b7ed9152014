/* Memory maps that the tests share: captured from firmware, as the loader hands them over, and made
 * up by somebody hostile. */
#ifndef MAPS_H
#define MAPS_H

#include "mm/region.h"

#define MAPS_CAPACITY 1024

/* A normalised map with room for more, and where a kernel's image is in it. */
struct test_map {
    const char *name;
    size_t n;
    struct mem_region regions[MAPS_CAPACITY];
    paddr_t image_pa;
    uint64_t image_bytes;
};

#define CAPTURED_MAPS 4

/* The i-th captured map: firmware's types as the Limine protocol maps them, an image of 2 MiB less
 * a page in the largest usable region, 64 KiB above it bootloader-reclaimable. */
void captured_map(size_t i, struct test_map *out);

/* 500 entries: frames of all types in turn, with holes, above 1 MiB. Normalised. */
void map_of_500_entries(struct test_map *out);

/* 1 MiB at 1 MiB and 64 MiB behind a hole of 1 TiB. Normalised. */
void map_with_a_1_tib_hole(struct test_map *out);

/* 10 MiB in all: 640 KiB at 0 and the rest above 1 MiB, some of it reclaimable. Normalised. */
void map_of_10_mib(struct test_map *out);

#endif
