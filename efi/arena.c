/* A bump allocator over the firmware's pages. */
#include "arena.h"

#include "bytes.h"
#include "firmware.h"

#define CHUNK_BYTES 0x4000ull

void *arena_alloc(struct arena *arena, size_t bytes)
{
    bytes = round_up(bytes, 16);
    if (bytes > (size_t)(arena->end - arena->next)) {
        size_t chunk = round_up(bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES, PAGE_BYTES);
        if (EFI_ERROR(
                firmware_alloc_pages(chunk / PAGE_BYTES, PAGE_BYTES, (void **)&arena->next))) {
            *arena = (struct arena){.failed = true};
            return NULL;
        }
        arena->end = arena->next + chunk;
    }
    void *piece = arena->next;
    arena->next += bytes;
    return piece;
}

char *arena_text(struct arena *arena, const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = arena_alloc(arena, bytes);
    if (copy)
        memcpy(copy, text, bytes);
    return copy;
}
