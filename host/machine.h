/* What the files of the library share and nobody else sees. */
#ifndef QL_HOST_MACHINE_H
#define QL_HOST_MACHINE_H

#include "mm/region.h"

#pragma GCC visibility push(hidden)

/* --- memory_map.c ------------------------------------------------------------------------------ */

#define MEMORY_MAP_ENTRIES 8

/* The image that the kernel would be, with all its parts. */
#define IMAGE_PA           0x100000ull
#define IMAGE_TEXT_BYTES   0x4000ull
#define IMAGE_RODATA_BYTES 0x4000ull
#define IMAGE_DATA_BYTES   0x8000ull
#define IMAGE_BYTES        (IMAGE_TEXT_BYTES + IMAGE_RODATA_BYTES + IMAGE_DATA_BYTES)

/* The memory map of a PC with so much RAM, normalised. Returns the number of entries. */
size_t memory_map_make(uint64_t ram_bytes, struct mem_region map[MEMORY_MAP_ENTRIES]);

/* The address of the offset-th byte of its RAM, counted upwards over the hole for devices. */
paddr_t memory_map_address(uint64_t offset);

/* --- ram.c ------------------------------------------------------------------------------------- */

struct ram {
    void *reservation;
    uint64_t bytes;
    vaddr_t base;   /* where physical 0 is: aligned for the largest pages, and never 0 */
    uint64_t limit; /* the end of the map's RAM: the direct map's size */
};

/* Reserve address space for the map; only what it calls RAM can be touched.
 * errors: MM_NOMEM if the host refuses */
mm_status_t ram_reserve(const struct mem_region *map, size_t n, struct ram *out) MUST_USE;
void ram_release(struct ram *ram);

/* --- barrier.c --------------------------------------------------------------------------------- */

/* Ask the host for port_barrier_all. False if it has none. */
bool barrier_init(void);

/* --- cpus.c ------------------------------------------------------------------------------------ */

/* Make the shares of the CPUs, once the pmm has started. errors: as mm_cpu_create */
mm_status_t cpus_start(unsigned n) MUST_USE;

/* The calling thread is no CPU any more, and there are none. */
void cpus_stop(void);

/* The calling thread is CPU 0, which has no share yet. */
void cpus_begin(void);

/* --- port.c ------------------------------------------------------------------------------------ */

/* Print a line to stderr, without malloc: the library may be what malloc stands on. */
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void misuse_forget(void);

#pragma GCC visibility pop

#endif
