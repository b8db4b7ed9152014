/* Owns: nothing; an arena is its caller's, its chunks are objects of the heap.
 * Relies on: the heap.
 * Stage: from "heap" on.
 *
 *   chunk:  | older chunk | objects ... | record | objects ...       | room for a record |
 *
 * A mark is a record among the objects, which leads to the one before: so it is known of every mark
 * whether it still counts. The room at a chunk's end is there for a mark that is made when the chunk
 * is full. */
#include "mm/arena.h"

#include "mm/port.h"

#define DEFAULT_BYTES 4096

struct arena_chunk {
    struct arena_chunk *older;
    uintptr_t end; /* of what objects may take */
};

struct arena_record {
    struct arena_record *older;
    uint64_t number;
};

#define ROOM_BYTES (sizeof(struct arena_record) + HEAP_ALIGN - 1)

static uintptr_t align_up(uintptr_t n, size_t align)
{
    return (n + align - 1) & ~(align - 1);
}

/* The record that is the last thing in the arena would be here. */
static struct arena_record *last_record(const struct arena *arena)
{
    return (struct arena_record *)arena->next - 1;
}

/* Take a chunk in which so many bytes fit, whatever their alignment; where memory is short, the
 * smallest. */
static bool grow(struct arena *arena, size_t bytes, size_t align)
{
    size_t need = sizeof(struct arena_chunk) + ROOM_BYTES;
    if (__builtin_add_overflow(need, align - 1, &need) ||
        __builtin_add_overflow(need, bytes, &need))
        return false;
    struct arena_chunk *chunk = need < arena->chunk_bytes ? kmalloc(arena->chunk_bytes) : NULL;
    if (chunk == NULL)
        chunk = kmalloc(need);
    if (chunk == NULL)
        return false;
    *chunk =
        (struct arena_chunk){arena->chunk, (uintptr_t)chunk + kmalloc_size(chunk) - ROOM_BYTES};
    arena->chunk = chunk;
    arena->next = (uintptr_t)(chunk + 1);
    arena->end = chunk->end;
    return true;
}

static void drop_chunk(struct arena *arena)
{
    struct arena_chunk *chunk = arena->chunk;
    arena->chunk = chunk->older;
    kfree(chunk);
}

void arena_init(struct arena *arena, size_t chunk_bytes)
{
    *arena = (struct arena){.chunk_bytes = chunk_bytes != 0 ? chunk_bytes : DEFAULT_BYTES};
}

/* The place of bytes in the newest chunk; 0 if they do not fit. */
static uintptr_t place(const struct arena *arena, size_t bytes, size_t align)
{
    uintptr_t p = align_up(arena->next, align);
    bool fits = p >= arena->next && p < arena->end && arena->end - p >= bytes;
    return fits ? p : 0;
}

void *arena_alloc(struct arena *arena, size_t bytes, size_t align)
{
    if (align == 0)
        align = HEAP_ALIGN;
    if ((align & (align - 1)) != 0)
        return NULL;
    bytes += bytes == 0; /* every object has an address of its own */
    uintptr_t p = place(arena, bytes, align);
    if (p == 0) {
        if (!grow(arena, bytes, align))
            return NULL;
        p = place(arena, bytes, align);
    }
    arena->next = p + bytes;
    return (void *)p;
}

struct arena_mark arena_mark(struct arena *arena)
{
    if (arena->chunk == NULL)
        return (struct arena_mark){0}; /* where every arena begins */
    struct arena_record *mark = arena->mark;
    if (mark == NULL || mark != last_record(arena)) {
        mark = (struct arena_record *)align_up(arena->next, HEAP_ALIGN);
        *mark = (struct arena_record){.older = arena->mark, .number = ++arena->marks};
        arena->mark = mark;
        arena->next = (uintptr_t)(mark + 1);
    }
    return (struct arena_mark){mark, mark->number};
}

static bool holds(const struct arena_chunk *chunk, const struct arena_record *record)
{
    return record > (const struct arena_record *)chunk &&
           (uintptr_t)record < chunk->end + HEAP_ALIGN;
}

void arena_release(struct arena *arena, struct arena_mark mark)
{
    struct arena_record *record = arena->mark;
    while (record != NULL && record != mark.record)
        record = record->older;
    if (record != mark.record || (record != NULL && record->number != mark.number)) {
        port_misuse("arena_release: mark %lu was passed already", mark.number);
        return;
    }
    if (record == NULL) {
        arena_reset(arena);
        return;
    }
    while (!holds(arena->chunk, record))
        drop_chunk(arena);
    arena->mark = record;
    arena->next = (uintptr_t)(record + 1);
    arena->end = arena->chunk->end;
}

void arena_reset(struct arena *arena)
{
    while (arena->chunk != NULL)
        drop_chunk(arena);
    arena->mark = NULL;
    arena->next = arena->end = 0;
}
