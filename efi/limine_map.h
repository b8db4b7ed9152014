/* From the firmware's memory map to the protocol's. Pure, builds on a host; allocates nothing, so
 * it may run when nothing can be allocated any more. source: Limine "Memory Map Feature". */
#ifndef QL_EFI_LIMINE_MAP_H
#define QL_EFI_LIMINE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "boot/limine.h"
#include "status.h"

/* Limine memory map types. */
enum limine_type {
    LIMINE_USABLE,
    LIMINE_RESERVED,
    LIMINE_ACPI_RECLAIMABLE,
    LIMINE_ACPI_NVS,
    LIMINE_BAD,
    LIMINE_RECLAIMABLE, /* bootloader-reclaimable */
    LIMINE_EXECUTABLE,  /* executable and modules */
    LIMINE_FRAMEBUFFER_MEMORY,
    LIMINE_RESERVED_MAPPED, /* base revision 4 and up */
    LIMINE_TYPES
};

/* A range that is of this type whatever weaker thing the firmware calls it; see the ranks in
 * limine_map.c. Need not be aligned. */
struct carve_out {
    uint64_t base, end;
    enum limine_type type;
};

/* Where a range of some type begins or ends. */
struct map_edge {
    uint64_t address;
    int16_t type;
    int16_t step; /* +1 begins, -1 ends */
};

/* Storage for one conversion, and its result. */
struct limine_map {
    struct map_edge *edges; /* capacity: LIMINE_MAP_EDGES */
    size_t edge_capacity;
    struct limine_memmap_entry *entries; /* as many as edges */
    size_t count;                        /* of entries */
    size_t odd;                          /* descriptors that were wrapping, misaligned or dropped */
};

/* Edges for so many descriptors and carve-outs. */
#define LIMINE_MAP_EDGES(ndescriptors, ncarve_outs) (2 * ((ndescriptors) + (ncarve_outs)))

/* What the EFI map says about memory of this EFI type. */
enum limine_type limine_type_of(uint32_t efi_type, uint64_t base_revision);

/* Convert. The result is sorted, 4 KiB aligned, free of overlaps, neighbours of one type joined.
 * errors: false if the storage is too small */
bool limine_map_build(struct limine_map *map, const void *descriptors, size_t bytes, size_t stride,
                      uint64_t base_revision, const struct carve_out *carve_outs,
                      size_t ncarve_outs) MUST_USE;

/* True if the HHDM maps memory of this type at this base revision (3 and up). */
bool limine_type_is_mapped(uint64_t type, uint64_t base_revision);

#endif
