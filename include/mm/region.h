/* Physical memory regions and the normalisation of a memory map from outside.
 * Stage: before frames exist; allocates nothing. */
#ifndef QL_MM_REGION_H
#define QL_MM_REGION_H

#include <stdbool.h>
#include <stddef.h>

#include "mm/addr.h"
#include "status.h"

/* The numbers are the Limine protocol's ("Memory Map Feature"). */
enum mem_type {
    MEM_USABLE = 0,
    MEM_RESERVED = 1,
    MEM_ACPI_RECLAIMABLE = 2,
    MEM_ACPI_NVS = 3,
    MEM_BAD = 4,
    MEM_BOOTLOADER_RECLAIMABLE = 5,
    MEM_EXECUTABLE_AND_MODULES = 6,
    MEM_FRAMEBUFFER = 7,
    MEM_RESERVED_MAPPED = 8,
    MEM_TYPES
};

struct mem_region {
    paddr_t base;
    uint64_t bytes;
    enum mem_type type;
};

/* "usable", "reserved", "ACPI reclaimable", ... ; "unknown" for a number that is none. */
const char *mem_type_name(enum mem_type type);

/* True for the types that say RAM; reserved, bad and framebuffer may be anything. */
static inline bool mem_type_is_ram(enum mem_type type)
{
    return type != MEM_RESERVED && type != MEM_BAD && type != MEM_FRAMEBUFFER;
}

/* Rewrite map[0..n) so that it is sorted, nothing overlaps, wraps or is empty, usable and
 * bootloader-reclaimable regions are whole frames (shrunk inwards), neighbours of one type are
 * joined. Where two regions claim a byte the one less free wins: usable yields to
 * bootloader-reclaimable, and both yield to everything else. An unknown type counts as reserved.
 * Whatever is above the 52-bit limit or wraps is cut off there.
 * units:   capacity is in entries; splitting can need up to 2 n of them
 * out:     the number of regions through n_out; through fixed_out that of corrections: regions
 *          out of order, empty, cut, overlapping, shrunk or of an unknown type (joining is none)
 * errors:  MM_NOMEM if capacity does not suffice (map is then unspecified) */
mm_status_t region_normalise(struct mem_region *map, size_t n, size_t capacity, size_t *n_out,
                             size_t *fixed_out) MUST_USE;

/* O(n): true if map is what region_normalise promises. */
bool region_validate(const struct mem_region *map, size_t n);

#endif
