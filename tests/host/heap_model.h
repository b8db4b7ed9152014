/* What the heap should hold: a table of live objects, each full of a pattern of its own. One
 * operation at a time, whoever thinks it up: random numbers, or a fuzzer. */
#ifndef HEAP_MODEL_H
#define HEAP_MODEL_H

#include "machine.h"
#include "mm/heap.h"
#include "mm/heap_stats.h"
#include "test.h"

#define MODEL_SLOTS 256u
#define MODEL_CPUS  4u
#define MODEL_NODES 3u

enum model_call {
    CALL_MALLOC,
    CALL_CALLOC,
    CALL_ARRAY,
    CALL_ALIGNED,
    CALL_WANT,
    CALL_NODE,
    CALL_REALLOC,
    CALL_REALLOC_ARRAY,
    CALL_FREE,
    CALL_FREE_SIZED,
    CALL_FREE_TWICE,  /* misuse */
    CALL_FREE_INSIDE, /* misuse */
    CALL_SHRINK,
    CALL_LEAVE,
    CALL_CPU,
    CALLS
};

/* What a call has no use for is ignored. An allocating call into a slot that is taken frees what is
 * there first; a call that needs an object does nothing if there is none. */
struct model_op {
    enum model_call call;
    unsigned slot;
    size_t bytes;
    size_t align; /* a power of two, or 0 */
    unsigned flags, cpu;
};

/* After heap_init. */
void objects_start(void);

/* False if it returned NULL; then all objects are as they were. */
bool objects_do(const struct model_op *op);

/* Every byte of every object is as it was written, and the heap counts as we do. */
void objects_check(void);

/* Free all objects, and what the heap keeps: no frame may be missing. */
void objects_stop(void);

/* Frames that the heap keeps for good. */
uint64_t objects_metadata_frames(void);

/* Of the objects that are there. */
uint64_t objects_live(void);

#endif
