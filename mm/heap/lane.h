/* What a CPU has of the heap: a lane for each class. In struct mm_cpu (mm/pmm/cache.h); share.h has
 * what is done with it. */
#ifndef QL_MM_HEAP_LANE_H
#define QL_MM_HEAP_LANE_H

#include "lock.h"
#include "list.h"
#include "mm/pmm.h"

/* An object that was freed, for kmalloc to take if it is still free: its slab's bit says so. The next
 * allocation then need not wait until the object's place has been found, needs no other slab when the
 * current one has nothing, and gets what is in the cache. place is the address of the word of the
 * slab's bits, shifted to the left, and the bit's number. */
struct recent {
    void *object;
    int64_t place;
};
#define RECENT       16u /* the last ones, around */
#define RECENT_BYTES (RECENT * sizeof(struct recent))
#define RECENT_SHIFT 6

/* Where a descriptor has its bits. */
#define SLAB_FREE_AT 24

/* Where objects of a class come from. Only the CPU itself changes it, and, all but the first half,
 * with the share's lock held. */
struct heap_lane {
    uint32_t last;  /* of recent, in bytes: the newest */
    int32_t until;  /* objects that are taken from recent before somebody has to look */
    uint64_t *word; /* of the current slab's free; the share's nothing if there is none */
    uintptr_t base; /* of the object that the word's first bit stands for */
    uint64_t size;  /* of an object */
    struct recent recent[RECENT];

    int32_t armed; /* until as it was when they were last counted */
    uint32_t failures;
    struct slab *current;
    struct slab_list partial; /* taken from the front */
    struct slab_list full;
    uint64_t partials;                               /* how many they are */
    uint64_t allocations, frees, remote_frees, peak; /* as far as slabs were counted */
    uint64_t slabs, pages;
    int64_t moved; /* objects that came and went with shared slabs */
} __attribute__((aligned(64)));

struct share {
    uint16_t lane_of[CLASS_TABLE_BYTES + 1]; /* by size: how far behind the share its lane is */
    uint16_t lane_of_more[HEAP_CLASS_BYTES / CLASS_MORE_STEP];
    uint16_t cpu;
    bool ready, in_use;
    struct { /* as long as a descriptor, and all 0 */
        uint64_t before[SLAB_FREE_AT / 8];
        uint64_t nothing; /* the word of a lane that has none */
        uint64_t behind[15 - SLAB_FREE_AT / 8];
    } __attribute__((aligned(128)));
    struct slab *pending __attribute__((aligned(128))); /* slabs that others have freed into */
    struct spinlock lock __attribute__((aligned(64)));
    struct slab *spare;                      /* descriptors, linked by pending */
    struct slab_list reserve[RUN_PAGES_MAX]; /* empty slabs of n + 1 pages, the newest first */
    uint64_t reserved;                       /* bit n: there are any */
    uint32_t reserve_pages;
    uint32_t hand;             /* whose turn it is to go */
    uint64_t descriptor_pages; /* that this CPU has taken, for good */
    paddr_t store;             /* those of them that have not been used yet */
    uint64_t store_pages;
    int64_t until_sample; /* allocations */
    uint32_t random;
    uint32_t skip;            /* objects before the one that is sampled, once it is time */
    struct pmm_limits limits; /* of its slabs' frames */
    struct heap_lane lanes[CLASS_COUNT];
} __attribute__((aligned(128)));
_Static_assert(sizeof(struct share) < UINT16_MAX, "lane_of");

static inline int64_t recent_place(const uint64_t *word, unsigned bit)
{
    return (int64_t)((uint64_t)(uintptr_t)word << RECENT_SHIFT | bit);
}

/* A place where nothing is free. */
static inline int64_t recent_none(const struct share *s)
{
    return recent_place(&s->nothing, 0);
}

static inline void lane_init(struct share *s, struct heap_lane *lane)
{
    *lane = (struct heap_lane){.word = &s->nothing};
    for (unsigned i = 0; i < RECENT; i++)
        lane->recent[i].place = recent_none(s);
}

static inline uint16_t lane_offset(unsigned class)
{
    return (uint16_t)(offsetof(struct share, lanes) + class * sizeof(struct heap_lane));
}

/* The lane that a table names. */
static inline struct heap_lane *lane_at(struct share *s, uint16_t offset)
{
    return (struct heap_lane *)(void *)((char *)s + offset);
}

/* It has no current slab any more. */
static inline void lane_stop(struct share *s, struct heap_lane *lane)
{
    __atomic_store_n(&lane->word, &s->nothing, __ATOMIC_RELAXED);
    lane->current = NULL;
}

/* All lanes empty. Inline, as the pmm makes the shares and calls nothing above it. */
static inline void share_init(struct share *s, unsigned cpu)
{
    for (unsigned i = 0; i < CLASS_COUNT; i++)
        lane_init(s, &s->lanes[i]);
    for (unsigned bytes = 0; bytes <= CLASS_TABLE_BYTES; bytes++)
        s->lane_of[bytes] = lane_offset(class_of(bytes));
    for (unsigned i = 0; i < HEAP_CLASS_BYTES / CLASS_MORE_STEP; i++)
        s->lane_of_more[i] = lane_offset(class_of((i + 1) * CLASS_MORE_STEP));
    s->cpu = (uint16_t)cpu;
    s->nothing = 0;
    s->pending = s->spare = NULL;
    s->lock = (struct spinlock)SPINLOCK_INIT(LOCK_HEAP, "heap");
    for (unsigned i = 0; i < RUN_PAGES_MAX; i++)
        s->reserve[i] = (struct slab_list){0};
    s->reserved = s->descriptor_pages = s->store_pages = 0;
    s->reserve_pages = s->hand = 0;
    s->until_sample = CONFIG_HEAP_SAMPLE_RATE;
    s->random = cpu;
    s->skip = 0;
    s->limits = (struct pmm_limits){.kind = PMM_LONG};
    s->in_use = false;
#ifdef QL_DEBUG_MEMORY
    s->skip = CONFIG_HEAP_SAMPLE_RATE; /* debug/kmalloc.c counts so */
#endif
    s->ready = true;
}

#endif
