/* What the files of the pmm share. */
#ifndef QL_MM_PMM_STATE_H
#define QL_MM_PMM_STATE_H

#include "cache.h"

/* A frame that is to be given out never again. */
struct bad_frame {
    uint64_t frame;
    bool in_use; /* its owner has not freed it yet */
};

/* Zones and caches are only ever added: the number last, so that who sees it sees the rest.
 * Everything else is changed while the others are stopped. */
struct pmm {
    unsigned nzones;
    unsigned ncpus;     /* how many have a share */
    unsigned cpu_limit; /* the highest of them, plus one */
    const struct node_piece *pieces;
    size_t npieces;
    struct span node_table; /* where the pieces are; empty: nowhere in particular */
    struct bad_frame *bad;  /* ascending */
    size_t nbad, bad_capacity;
    bool reclaimed;
    struct zone zones[CONFIG_PMM_ZONES_MAX];
    struct pmm_cache *caches[CONFIG_CPUS_MAX]; /* NULL: that CPU has no share */
};
extern struct pmm pmm;

static inline unsigned pmm_nzones(void)
{
    return __atomic_load_n(&pmm.nzones, __ATOMIC_ACQUIRE);
}

#define ANY_FRAME (PADDR_LIMIT >> FRAME_SHIFT) /* all are below */

/* What a caller wants, with everything in frames. */
struct request {
    uint64_t n, align;
    unsigned order;     /* of the aligned run that surely has room for it */
    uint64_t low, high; /* frames */
    enum pmm_node_rule node_rule;
    uint32_t node;
    enum pmm_kind kind;
    enum lane_name lane;
};

/* True if the request makes sense. */
bool request_make(uint64_t n, const struct pmm_limits *limits, struct request *out);

/* True if single frames of a row or block [frame, frame + n) meet it. */
bool request_allows(const struct request *req, uint64_t frame, uint64_t n);

/* Find it, in the caches of other CPUs too if need be. The first frame. */
bool alloc_request(const struct request *req, uint64_t *out);

/* The same with what this CPU and the shared blocks have, inside the cache. */
bool alloc_inside(struct pmm_cache *c, const struct request *req, uint64_t *out);

/* Take these frames of one block, inside the cache, if the block is or can be this CPU's. */
bool take_inside(struct pmm_cache *c, uint64_t frame, unsigned n);

/* More than fits into a block, or more aligned: in [low, high) of a zone. */
bool alloc_long(struct pmm_cache *c, const struct request *req, struct zone *z, uint64_t low,
                uint64_t high, uint64_t *out);

/* Free frames of one block inside the cache; NULL, or why that is misuse. If it is free_suspect,
 * nothing was freed, and after pmm_drain it is known. */
extern const char *const free_suspect;
const char *free_inside(struct pmm_cache *c, uint64_t frame, unsigned n);

/* NULL if all the frames are in use, or why freeing them is misuse. Changes nothing. */
const char *free_check(struct pmm_cache *c, uint64_t frame, uint64_t n);

/* Hold up all other CPUs' calls, with all caches empty, and let them go on. */
irq_state_t pmm_stop_others(void);
void pmm_resume_others(irq_state_t irq);

/* The zone that has the block, and its index there; NULL if none does. */
struct zone *pmm_find_block(uint64_t number, uint64_t *index);

/* The bad frame, or the place where it would be. */
size_t bad_find(uint64_t frame);

/* port_misuse, in a slow place. Returns MM_INVAL. */
mm_status_t pmm_misuse(const char *what, unsigned long address, unsigned long nframes);

#endif
