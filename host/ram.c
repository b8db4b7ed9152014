/* Owns: how address space of a Linux process becomes a machine's RAM. It owns no state.
 * Relies on: mmap. */
#include <sys/mman.h>

#include "machine.h"
#include "mm/addr.h"

/* Between the machine's physical 0 and what else the process has mapped, on both sides. */
#define MARGIN HUGE_1G

static bool is_ram(const struct mem_region *r)
{
    return r->type == MEM_USABLE || r->type == MEM_BOOTLOADER_RECLAIMABLE;
}

mm_status_t ram_reserve(const struct mem_region *map, size_t n, struct ram *out)
{
    struct ram ram = {0};
    for (size_t i = 0; i < n; i++)
        if (map[i].type != MEM_RESERVED)
            ram.limit = pa_diff(PA(0), pa_end(map[i].base, map[i].bytes));
    ram.bytes = ram.limit + 2 * MARGIN;
    ram.reservation =
        mmap(NULL, ram.bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (ram.reservation == MAP_FAILED)
        return MM_NOMEM;
    ram.base = va_align_up(va_add(va_of(ram.reservation), 1), HUGE_1G);
    for (size_t i = 0; i < n; i++) {
        vaddr_t bank = va_add(ram.base, pa_diff(PA(0), map[i].base));
        /* A pointer into our own reservation. */
        if (is_ram(&map[i]) &&
            mprotect((void *)va_number(bank), map[i].bytes, PROT_READ | PROT_WRITE) != 0) {
            ram_release(&ram);
            return MM_NOMEM;
        }
    }
    *out = ram;
    return MM_OK;
}

void ram_release(struct ram *ram)
{
    munmap(ram->reservation, ram->bytes);
    *ram = (struct ram){0};
}
