/* Arenas: objects that are allocated one behind the other and freed together, back to a mark or all
 * at once, as a phase of work ends. One owner at a time: the caller sees to that. What the heap says
 * about contexts holds, as memory comes from there. */
#ifndef QL_MM_ARENA_H
#define QL_MM_ARENA_H

#include "mm/heap.h"

struct arena_chunk;
struct arena_record;

struct arena {
    struct arena_chunk *chunk; /* the newest */
    uintptr_t next, end;       /* of it */
    struct arena_record *mark; /* the newest */
    uint64_t marks;            /* that were ever made */
    size_t chunk_bytes;
};

/* chunk_bytes: what is taken from the heap at a time; 0: 4096. Nothing is taken yet. */
void arena_init(struct arena *arena, size_t chunk_bytes);

/* align a power of two, 0 for HEAP_ALIGN. NULL: out of memory, or such an align. */
void *arena_alloc(struct arena *arena, size_t bytes, size_t align) MUST_USE;

/* Where the arena stands; arena_release frees everything that was allocated since. A mark can be
 * released again and again, until one that is older is released: from then on it is misuse. A mark
 * takes at most 32 bytes of the arena, and cannot fail. */
struct arena_mark {
    struct arena_record *record;
    uint64_t number;
};
struct arena_mark arena_mark(struct arena *arena);
void arena_release(struct arena *arena, struct arena_mark mark);

/* Free everything. The arena can be used again. */
void arena_reset(struct arena *arena);

#endif
