/* What the frame allocator should believe: a byte for each frame of the blocks that have RAM. */
#ifndef PMM_MODEL_H
#define PMM_MODEL_H

#include "mm/pmm.h"
#include "test.h"

#define MODEL_BLOCK 512 /* frames */

enum model_state {
    MODEL_HOLE,
    MODEL_FREE,
    MODEL_USED,     /* given out, or marked: may be freed */
    MODEL_OWN,      /* taken by the pmm for itself, like any caller; the test must not free it */
    MODEL_BOOT,     /* the bootloader's */
    MODEL_RESERVED, /* frame 0, metadata */
    MODEL_RETIRED,
    MODEL_STATES
};

/* Frames are numbered without the holes between blocks: index / MODEL_BLOCK is that of the block. */
struct model {
    size_t nblocks;
    uint64_t *blocks;      /* numbers, ascending */
    unsigned char *zones;  /* of blocks: no run lies across a border of zones */
    unsigned char *frames; /* enum model_state */
    bool *bad;             /* retired, or will be when it is freed */
    unsigned char *nodes;
    uint64_t counts[MODEL_STATES];
    uint64_t metadata; /* frames that the pmm calls metadata */
};

/* A run as a caller may want it, everything in frames. */
struct model_wish {
    uint64_t n, align, low, high;
    enum pmm_node_rule rule;
    uint32_t node;
};

static inline uint64_t model_size(const struct model *m)
{
    return m->nblocks * MODEL_BLOCK;
}

static inline paddr_t model_address(const struct model *m, uint64_t i)
{
    return PA((m->blocks[i / MODEL_BLOCK] * MODEL_BLOCK + i % MODEL_BLOCK) * FRAME_BYTES);
}

/* Right after pmm_init of that map; the blocks of all may join later. */
void model_start(struct model *m, const struct mem_region *map, size_t n,
                 const struct mem_region *all, size_t nall);
void model_stop(struct model *m);

/* The index of a frame; false if the model has no such block. */
bool model_find(const struct model *m, uint64_t frame, uint64_t *i);

/* True if the frames [i, i + n) follow one another in memory. */
bool model_is_range(const struct model *m, uint64_t i, uint64_t n);

void model_set(struct model *m, uint64_t i, uint64_t n, enum model_state state);

/* How many frames from i on, at most max, follow one another and are in that state. */
uint64_t model_run(const struct model *m, uint64_t i, uint64_t max, enum model_state state);

/* True if the run is free and as wished. */
bool model_fits(const struct model *m, uint64_t i, const struct model_wish *w);

/* True if the allocator has to find such a run. */
bool model_must_find(const struct model *m, const struct model_wish *w);

/* RAM that was added: its metadata becomes reserved. */
void model_add(struct model *m, uint64_t frame, uint64_t n, unsigned zone);

/* What the pmm took or gave back for itself since. */
void model_adopt(struct model *m);

/* Every frame and every sum is as the pmm says; the walk and the orders, too. */
void model_compare_counts(const struct model *m);
void model_compare(const struct model *m);
void model_compare_walk(const struct model *m);
void model_compare_orders(const struct model *m, uint32_t node);

#endif
