/* How the heap tells on bugs: who allocated an object and who freed it. In every build that is known
 * of the few that are sampled: put on a page of their own between guard pages, one in
 * CONFIG_HEAP_SAMPLE_RATE. In a debug build (make DEBUG_MEMORY=1, which defines QL_DEBUG_MEMORY)
 * it is known of all that are allocated at a level above 0 (heap_tune; docs/heap_debug.md).
 * locking: as mm/heap.h, where nothing else is said. */
#ifndef QL_MM_HEAP_DEBUG_H
#define QL_MM_HEAP_DEBUG_H

#include "mm/heap.h"

/* --- Of an object, in every build --------------------------------------------------- */

#define HEAP_CALLERS 10

/* Return addresses, the innermost first, without those in the heap itself. */
struct heap_stack {
    uint64_t callers[HEAP_CALLERS];
    uint32_t count; /* 0: not known */
};

/* Where an address is, as far as it is known who made the object there. */
struct heap_origin {
    const void *object;
    size_t bytes; /* as asked for */
    bool live;
    uint64_t mark;                      /* heap_mark was that when it was allocated */
    bool sampled;                       /* p may then be in a guard page beside it, too */
    struct heap_stack allocated, freed; /* freed: not of one that is live */
};

/* errors: MM_NOTFOUND. Takes no lock: for panics, too. */
mm_status_t heap_get_origin(const void *p, struct heap_origin *out) MUST_USE;

/* What an access to p did wrong, in words without a full stop: "use after free of an object of 64
 * bytes, 3 bytes behind its start, allocated by boot+0x21 < main+0x40, freed by ..". False if
 * nothing is known. Takes no lock: for panics, too. */
bool heap_explain(const void *p, char *out, size_t bytes);

/* --- Of all objects, in a debug build ------------------------------------------------- */

/* Objects that were allocated by the same stack. */
struct heap_leak {
    uint64_t objects, bytes; /* bytes as asked for */
    const void *example;     /* one of them, live at that moment */
    struct heap_stack allocated;
};
typedef bool (*heap_leak_visit_t)(const struct heap_leak *leak, void *argument);

#ifdef QL_DEBUG_MEMORY

/* A moment: what was allocated since then can be told from the rest. */
uint64_t heap_mark(void);

/* The live objects that were allocated since a mark (0: ever), stack by stack, those with most bytes
 * first, until visit returns false. visit may allocate and free. errors: MM_INVAL in a build
 * without */
mm_status_t heap_visit_leaks(uint64_t mark, heap_leak_visit_t visit, void *argument);

/* The same into the log, in words, at most 'most' stacks. Returns the number of objects, all of
 * them. */
uint64_t heap_log_leaks(uint64_t mark, unsigned most);

/* O(objects): look at the red zones of all live objects, and at the poison in those whose reuse is
 * delayed. What is damaged is logged: which object, whose. Returns how many are. */
uint64_t heap_check_zones(void);

/* Free for good what is delayed. Returns how many objects. */
uint64_t heap_drain_delayed(void);

#else

static inline uint64_t heap_mark(void)
{
    return 0;
}
static inline mm_status_t heap_visit_leaks(uint64_t mark, heap_leak_visit_t visit, void *argument)
{
    (void)mark, (void)visit, (void)argument;
    return MM_INVAL;
}
static inline uint64_t heap_log_leaks(uint64_t mark, unsigned most)
{
    (void)mark, (void)most;
    return 0;
}
static inline uint64_t heap_check_zones(void)
{
    return 0;
}
static inline uint64_t heap_drain_delayed(void)
{
    return 0;
}

#endif

#endif
