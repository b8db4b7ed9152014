/* What a CPU has of the heap: a lane for each class. In struct mm_cpu (mm/pmm/cache.h); share.h has
 * what is done with it. */
#ifndef QL_MM_HEAP_LANE_H
#define QL_MM_HEAP_LANE_H

#include "lock.h"
#include "list.h"
#include "mm/pmm.h"

/* An object that a CPU has at hand: nobody uses it, but it is out of its slab. place is the descriptor's
 * address and the object's index: its byte of idle is as far behind that as idle is behind the
 * descriptor, which the instructions add on the way. */
struct ready {
    void *object;
    uintptr_t place;
};

static inline uintptr_t ready_place(const struct slab *slab, uint64_t index)
{
    return (uintptr_t)slab + index;
}

static inline uint8_t *ready_idle(uintptr_t place)
{
    return (uint8_t *)(place + offsetof(struct slab, idle));
}

#define READY_FEW       15u      /* that a lane has room for from the start */
#define READY_FEW_BYTES 0x10000u /* of objects that those may be */
#define READY_PAGES     4u       /* frames that it may have for more */
#define READY_MAX       (READY_PAGES * FRAME_BYTES / sizeof(struct ready) - 1)

/* Where objects of a class come from: those at hand, the last that was freed first. When there are none,
 * some are taken out of the current slab; when there are too many, some go back to theirs. Only the
 * CPU itself changes it, and, all but what is at hand, with the share's lock held. */
struct heap_lane {
    struct ready *top;    /* the next that is taken; bottom: none */
    struct ready *end;    /* the last place */
    int32_t until;        /* objects that are taken before somebody has to look */
    int32_t armed;        /* until as it was when they were last counted */
    struct slab *current; /* its first objects are taken next */
    uint64_t size;        /* of an object of it */
    struct ready *bottom; /* whose byte is always 0: few, or frames of its own */
    struct slab_list partial;

    struct ready few[READY_FEW + 1];

    struct slab_list full; /* few objects of those are free, or none */
    uint64_t partials;     /* how many they are */
    uint64_t out;          /* objects that are not in slabs: live, or at hand */
    uint64_t allocations, frees, remote_frees, peak; /* frees: of runs only */
    uint64_t slabs, pages;
    int64_t moved; /* objects that came and went with shared slabs */
    uint32_t failures;
    uint32_t started; /* slabs, since memory was short */
    uint32_t frames;  /* of its own, at bottom */
    uint32_t wants;   /* times that more would have been of use, since there were */
} __attribute__((aligned(64)));

/* Runs that were freed; see kept.h. */
#define KEPT_DEPTH     7u
#define KEPT_STACKS    24u
#define KEPT_PAGES_MIN 9u
struct kept_runs {
    uint64_t count;
    struct slab *runs[KEPT_DEPTH];
};

struct share {
    uint16_t lane_of[CLASS_TABLE_BYTES + 1]; /* by size: how far behind the share its lane is */
    uint16_t lane_of_more[HEAP_CLASS_BYTES / CLASS_MORE_STEP];
    uint16_t cpu;
    bool ready, in_use;
    uint8_t nothing;                                    /* the byte of what is never idle */
    struct slab *pending __attribute__((aligned(128))); /* slabs that others have freed into */
    uint32_t busy __attribute__((aligned(64)));         /* with what it keeps */
    uint32_t stopped;
    uint32_t kept_pages;
    uint32_t kept_hand; /* the stack whose turn it was to go */
    struct spinlock lock __attribute__((aligned(64)));
    struct slab *spare[2];                   /* descriptors, narrow and wide, linked by next */
    uint32_t spares[2];                      /* how many */
    struct slab_list reserve[RUN_PAGES_MAX]; /* empty slabs of n + 1 pages, the newest first */
    uint64_t reserved;                       /* bit n: there are any */
    uint32_t reserve_pages;
    uint32_t hand;             /* whose turn it is to go */
    uint64_t descriptor_pages; /* that this CPU has taken, for good */
    paddr_t store;             /* those of them that have not been used yet */
    uint64_t store_pages;
    uint64_t grown;       /* pages of slabs that the pmm gave since all lanes had to give back */
    uint64_t given;       /* pages of slabs, runs and lanes that the pmm got, ever */
    int64_t until_sample; /* allocations */
    uint32_t random;
    uint32_t skip;            /* objects before the one that is sampled, once it is time */
    struct pmm_limits limits; /* of its slabs' frames */
    /* A lane is made when its class is first used: what a CPU does not use is not touched. Until then
     * a size leads to none, in which there is never anything, and so to the slow way. */
    uint64_t made[(CLASS_COUNT + 63) / 64]; /* lanes, a bit for each */
    struct heap_lane none;
    struct heap_lane lanes[CLASS_COUNT];
    struct kept_runs kept[KEPT_STACKS];
} __attribute__((aligned(128)));
_Static_assert(sizeof(struct share) < UINT16_MAX, "lane_of");

#define LANE_NONE ((uint16_t)offsetof(struct share, none))
#define LANE_OFFSET(class) \
    ((uint16_t)(offsetof(struct share, lanes) + (class) * sizeof(struct heap_lane)))

/* The lane that a table names. */
static inline struct heap_lane *lane_at(struct share *s, uint16_t offset)
{
    return (struct heap_lane *)(void *)((char *)s + offset);
}

/* No lanes yet, in memory that is zeroed. Inline, as the pmm makes the shares and calls nothing above it. */
static inline void share_init(struct share *s, unsigned cpu)
{
    for (unsigned bytes = 0; bytes <= CLASS_TABLE_BYTES; bytes++)
        s->lane_of[bytes] = LANE_NONE;
    for (unsigned i = 0; i < HEAP_CLASS_BYTES / CLASS_MORE_STEP; i++)
        s->lane_of_more[i] = LANE_NONE;
    s->cpu = (uint16_t)cpu;
    s->lock = (struct spinlock)SPINLOCK_INIT(LOCK_HEAP, "heap");
    s->until_sample = CONFIG_HEAP_SAMPLE_RATE;
    s->random = cpu;
    s->limits.kind = PMM_LONG;
#ifdef QL_DEBUG_MEMORY
    s->skip = CONFIG_HEAP_SAMPLE_RATE; /* debug/kmalloc.c counts so */
#endif
    s->ready = true;
}

#endif
