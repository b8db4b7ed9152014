/* Stacks of callers, each kept once and called by a number, and how much of what each has allocated is
 * live. Internal to mm/heap/debug/.
 *
 * Memory: 128 bytes for each stack there ever was, and 8 KiB to find them.
 * locking: none is needed to look at a stack: once there, it does not change. depot_number takes
 *          records_lock (records.h) for a new one. */
#ifndef QL_HEAP_DEBUG_DEPOT_H
#define QL_HEAP_DEBUG_DEPOT_H

#include "mm/heap_debug.h"

struct depot_entry {
    struct heap_stack stack;
    uint32_t next; /* with the same hash */
    /* Counted when leaks are asked for: */
    uint64_t objects, bytes;
    const void *example;
    uint64_t visited;
};

/* The number of a stack; 0 for an empty one, and if there is no memory for it. */
uint32_t depot_number(const struct heap_stack *stack);

/* The entry of a number; NULL for 0. */
struct depot_entry *depot_get(uint32_t number);

/* How many there are: they are numbered from 1 on. */
uint32_t depot_count(void);

/* Forget all; the frames have gone with their machine. */
void depot_init(void);

#endif
