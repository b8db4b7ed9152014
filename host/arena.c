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

mm_status_t arena_reserve(const struct mem_region *map, size_t n, struct arena *out)
{
    struct arena arena = {0};
    for (size_t i = 0; i < n; i++)
        if (map[i].type != MEM_RESERVED)
            arena.limit = pa_diff(PA(0), pa_end(map[i].base, map[i].bytes));
    arena.bytes = arena.limit + 2 * MARGIN;
    arena.reservation =
        mmap(NULL, arena.bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (arena.reservation == MAP_FAILED)
        return MM_NOMEM;
    arena.base = va_align_up(va_add(va_of(arena.reservation), 1), HUGE_1G);
    for (size_t i = 0; i < n; i++) {
        vaddr_t ram = va_add(arena.base, pa_diff(PA(0), map[i].base));
        /* A pointer into our own reservation. */
        if (is_ram(&map[i]) &&
            mprotect((void *)va_number(ram), map[i].bytes, PROT_READ | PROT_WRITE) != 0) {
            arena_release(&arena);
            return MM_NOMEM;
        }
    }
    *out = arena;
    return MM_OK;
}

void arena_release(struct arena *arena)
{
    munmap(arena->reservation, arena->bytes);
    *arena = (struct arena){0};
}
