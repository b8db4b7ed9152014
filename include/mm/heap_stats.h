/* What the heap has done and holds, and how it is tuned while it runs. All of it can be read at any
 * time; the figures of one call agree with each other when nobody allocates or frees meanwhile. */
#ifndef QL_MM_HEAP_STATS_H
#define QL_MM_HEAP_STATS_H

#include "mm/heap.h"

/* Of one class on one CPU, of a class on all, of a CPU, or of everything: sums of the same. */
struct heap_stats {
    uint64_t live;         /* objects */
    uint64_t live_bytes;   /* their usable size */
    uint64_t peak;         /* the most objects that were live: per class and CPU within those of a
                              slab, else the sum of those */
    uint64_t allocations;  /* since boot */
    uint64_t frees;        /* since boot, the remote ones included */
    uint64_t remote_frees; /* by another CPU than the slab's */
    uint64_t failures;     /* calls that returned NULL */
    uint64_t slabs;        /* and page runs, virtual ranges */
    uint64_t slab_bytes;   /* that they take from the pmm */
    uint64_t waste_bytes;  /* of slab_bytes: the ends of slabs, which no object can use */
};

#define HEAP_ALL UINT32_MAX

/* Classes are numbered: the size classes upwards, one for page runs, one for virtual ranges, then
 * the object caches. */
#define HEAP_FIRST_CACHE 74u
unsigned heap_class_count(void);

/* NULL if there is none of that number (a cache that was destroyed). */
const char *heap_class_name(unsigned class); /* "64", "runs", "ranges", or the cache's */
size_t heap_class_bytes(unsigned class);     /* of an object; 0 for runs and ranges */

/* Page runs and ranges that another CPU frees are missing there: what a CPU has of them is never
 * less than 0. Slabs that are no CPU's are only in the sums of all.
 * errors: MM_NOTFOUND (no such class or CPU). Either may be HEAP_ALL. */
mm_status_t heap_get_stats(unsigned class, unsigned cpu, struct heap_stats *out) MUST_USE;

/* Beside the objects. */
struct heap_totals {
    struct heap_stats all;
    uint64_t reserve_bytes;         /* empty slabs and freed runs that are kept */
    uint64_t descriptor_bytes;      /* slab descriptors and the page map */
    uint64_t shrinks;               /* times memory was given back because the pmm ran low */
    uint64_t samples, samples_live; /* objects that were put between guard pages */
};
void heap_get_totals(struct heap_totals *out);

/* Call visit for every live object until it returns false; debug builds only know how much was
 * asked for and by whom. Objects that others allocate or free meanwhile may or may not be seen. */
struct heap_object {
    const void *address;
    size_t bytes; /* usable */
    unsigned class;
};
typedef bool (*heap_visit_t)(const struct heap_object *object, void *argument);
void heap_walk(heap_visit_t visit, void *argument);

/* What an address is to the heap: the object that it lies in, live or not. For panics: takes no
 * lock. False if the heap has nothing there. */
struct heap_place {
    const void *object;
    size_t bytes;
    unsigned class;
    bool live;
};
bool heap_find(const void *p, struct heap_place *out);

/* --- Tuning ----------------------------------------------------------------- */

/* The ranges of config.h. */
#define HEAP_RESERVE_PAGES_MAX 1048576u
#define HEAP_CACHE_DEPTH_MAX   1048576u
#define HEAP_DEBUG_LEVEL_MAX   3u
#define HEAP_SAMPLE_RATE_MIN   16u
#define HEAP_SAMPLE_RATE_MAX   16777216u

/* What can be changed while the heap runs: units as in config.h, where the values at start are. */
struct heap_tuning {
    uint32_t reserve_pages; /* of empty slabs and freed runs that a CPU keeps */
    uint32_t cache_depth;   /* free objects, and slabs with such, that a CPU keeps of a class */
    uint32_t debug_level;   /* only in a debug build: 0 .. 3 */
    uint32_t sample_rate;   /* one in so many objects between guard pages; 0: none */
};
void heap_get_tuning(struct heap_tuning *out);

/* errors: MM_RANGE, then nothing has changed; MM_INVAL (debug_level in a build without) */
mm_status_t heap_tune(const struct heap_tuning *tuning) MUST_USE;

#endif
