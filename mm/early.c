/* Owns: the bump arena.
 * Relies on: the caller's memory only.
 * Stage: from the first C instruction to early_close; one CPU, so no lock. */
#include "mm/early.h"

#include "check.h"
#include "config.h"

static struct {
    unsigned char *base;
    size_t bytes;
    size_t used;
    bool open;
} arena;

void early_init(void *base, size_t bytes)
{
    ASSERT(!arena.open);
    arena.base = base;
    arena.bytes = bytes;
    arena.used = 0;
    arena.open = true;
}

void *early_alloc(size_t bytes, size_t align)
{
    ASSERT(arena.open);
    ASSERT(bytes > 0 && align > 0 && align <= PAGE_BYTES && (align & (align - 1)) == 0);

    /* The address is aligned, not the offset: the arena itself may start anywhere. */
    size_t padding = (size_t)(-(uintptr_t)(arena.base + arena.used)) & (align - 1);
    size_t left = arena.bytes - arena.used;
    if (padding > left || bytes > left - padding)
        port_panic("early memory is full: %lu bytes used of %lu, %lu wanted; "
                   "raise CONFIG_EARLY_BYTES (%lu)",
                   arena.used, arena.bytes, bytes, (size_t)CONFIG_EARLY_BYTES);

    void *block = arena.base + arena.used + padding;
    arena.used += padding + bytes;
    return block;
}

size_t early_close(void)
{
    ASSERT(arena.open);
    arena.open = false;
    return arena.used;
}
