/* Owns: the memory map of the library's machine. It owns no state. */
#include "machine.h"

#include <stdbool.h>

#define MIB        (1ull << 20)
#define GIB        (1ull << 30)
#define LOW_BYTES  0x20000ull /* usable memory at 0 */
#define LOADER_PA  (IMAGE_PA + IMAGE_BYTES)
#define LOADER_END (LOADER_PA + 0x10000ull)
#define HOLE_BASE  (3 * GIB)
#define HOLE_END   (4 * GIB)

size_t memory_map_make(uint64_t ram_bytes, struct mem_region map[MEMORY_MAP_ENTRIES])
{
    uint64_t below = ram_bytes < HOLE_BASE ? ram_bytes : HOLE_BASE;
    size_t n = 0;
    map[n++] = (struct mem_region){PA(0), LOW_BYTES, MEM_USABLE};
    map[n++] = (struct mem_region){PA(LOW_BYTES), MIB - LOW_BYTES, MEM_RESERVED};
    map[n++] = (struct mem_region){PA(IMAGE_PA), IMAGE_BYTES, MEM_EXECUTABLE_AND_MODULES};
    map[n++] =
        (struct mem_region){PA(LOADER_PA), LOADER_END - LOADER_PA, MEM_BOOTLOADER_RECLAIMABLE};
    map[n++] = (struct mem_region){PA(LOADER_END), below - LOADER_END, MEM_USABLE};
    map[n++] = (struct mem_region){PA(HOLE_BASE), HOLE_END - HOLE_BASE, MEM_RESERVED};
    if (ram_bytes > below)
        map[n++] = (struct mem_region){PA(HOLE_END), ram_bytes - below, MEM_USABLE};
    return n;
}

paddr_t memory_map_address(uint64_t offset)
{
    return PA(offset < HOLE_BASE ? offset : offset + (HOLE_END - HOLE_BASE));
}
