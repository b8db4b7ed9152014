/* What a CPU keeps for itself: free frames of a few blocks that it owns (slots), and a few whole
 * blocks (the window). They count as free.
 *
 * Alone in its cache, a CPU uses plain loads and stores; the others come in by a biased lock.
 *   owner  busy = 1, a plain store; then looks at steal; if it is set, busy = 0 and waits
 *   thief  steal = 1 by an exchange, once no owner waits; port_barrier_all; waits until busy = 0
 * The barrier makes up for the one that the owner leaves out: after it, either the owner's busy is
 * seen here, or the owner sees steal. Interrupts are off while busy, so an interrupt handler never
 * finds its own CPU's cache half changed. Nobody waits for anything while busy, and a thief is not
 * busy itself, so nobody waits in a circle; an owner that waits comes in before the next thief, so
 * it does not wait for ever either.
 *
 * seq is odd while the CPU owns, gives, lists or settles anything; holding is set while it keeps
 * anything. Who finds no free frame, no other CPU that holds any or is at work, and all seq
 * unchanged after having searched once more, knows that there was none. */
#ifndef QL_MM_PMM_CACHE_H
#define QL_MM_PMM_CACHE_H

#include <stddef.h>

#include "../heap/lane.h"
#include "block.h"
#include "config.h"
#include "lock.h"
#include "mm/cpu.h"
#include "zone.h"

#define CACHE_SLOTS 128u /* a power of two */
#define CACHE_HINTS 32u

/* A block of which this CPU keeps free frames, all that it had when it was taken. One that was never
 * used is never touched: whose it is stands in tags. */
struct slot {
    uint64_t free[LINE_ROWS]; /* 1 = free here; the line says 1 = used for these */
    uint64_t ours[LINE_ROWS]; /* 1 = may be freed: all but in a ragged block */
    uint64_t number;          /* of the block */
    uint64_t *line;
    struct zone *zone;
    uint64_t index;
    uint32_t rows; /* a lane's next rows: those that have no bit here are empty or were used */
    enum pmm_kind kind;
    bool all_ours; /* no bit of ours is 0 */
} __attribute__((aligned(64)));
#define SLOT_EMPTY (~0ull) /* a tag */
#define SLOT_ROWS  0xffu   /* all of them */

/* Where allocations of a sort come from. */
enum lane_name {
    LANE_SHORT = PMM_SHORT,
    LANE_LONG = PMM_LONG,
    LANE_LIMITED, /* by address or node */
    LANES,
};
struct lane {
    uint64_t *row;  /* in the slot: the next frames come from here; never NULL */
    uint64_t frame; /* the row's first */
    struct slot *slot;
};

/* Whole blocks, all of one word of the zone's tree. Their entries name this CPU as the owner. */
struct window {
    struct zone *zone; /* NULL: none */
    uint64_t word;
    uint64_t free;
    uint64_t number; /* of the block that the word's first bit stands for, and */
    uint64_t mask;   /* the bits for which this is so: not those beyond a hole */
};

/* The runs of some length that were freed last and not allocated again: places to look at first,
 * nothing more. */
struct hints {
    uint64_t frames[CACHE_HINTS]; /* around */
    unsigned last, count;
};

struct pmm_cache {
    struct lane lanes[LANES];
    uint32_t busy;
    uint32_t steal;
    uint32_t waiting;   /* the owner is, until the thief has gone */
    unsigned owner;     /* in entries: CPU + 1 */
    bool failed;        /* the last request found nothing */
    uint64_t last_miss; /* number of the block to which a frame was freed that had no slot */
    uint64_t last_word; /* the same for whole blocks: word of the tree */
    uint64_t cursor;    /* index of the last block that was taken off a list: the next is below */
    struct window window;

    /* Looked at by CPUs that find no memory, again and again: apart from what changes often. */
    uint64_t seq __attribute__((aligned(64)));
    bool holding;

    union {
        uint8_t order[CACHE_SLOTS]; /* only runs of orders below this may be in the slot */
        uint64_t words[CACHE_SLOTS / 8];
    } may __attribute__((aligned(64)));
    uint64_t tags[CACHE_SLOTS]; /* of the slots: the block's number, or SLOT_EMPTY */
    struct slot slots[CACHE_SLOTS];
    struct hints hints[PMM_ORDER_BLOCK + 1]; /* by the order that has room for the run */
} __attribute__((aligned(64)));

/* The share of a CPU. */
struct mm_cpu {
    struct share heap; /* first: its address is what port_mm_cpu says */
    struct pmm_cache frames;
};

static inline struct mm_cpu *mm_cpu_of(struct pmm_cache *frames)
{
    return (struct mm_cpu *)(void *)((char *)frames - offsetof(struct mm_cpu, frames));
}

#define CACHE_GET(field)        __atomic_load_n(&(field), __ATOMIC_RELAXED)
#define CACHE_SET(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELAXED)

/* Wait until the thief has gone, or panic if this CPU has no share yet. Out: busy again. */
void cache_wait(struct pmm_cache *c);

/* The first half of entering: who then finds the cache stolen may only leave it. */
LOCK_INLINE struct pmm_cache *cache_approach(void)
{
    struct pmm_cache *c = &port_mm_cpu()->frames;
    CACHE_SET(c->busy, 1);
    __atomic_signal_fence(__ATOMIC_SEQ_CST); /* the thief's barrier does the rest */
    return c;
}

LOCK_INLINE bool cache_is_stolen(const struct pmm_cache *c)
{
    return __builtin_expect(__atomic_load_n(&c->steal, __ATOMIC_ACQUIRE) != 0, 0);
}

/* This CPU's cache, for use until cache_leave. Interrupts are off. */
LOCK_INLINE struct pmm_cache *cache_enter(void)
{
    struct pmm_cache *c = cache_approach();
    if (cache_is_stolen(c))
        cache_wait(c);
    return c;
}

LOCK_INLINE void cache_leave(struct pmm_cache *c)
{
    __atomic_store_n(&c->busy, 0, __ATOMIC_RELEASE);
}

/* Before a change of what is shared, again and again if it comes to that, and after the last one. The
 * stores are seen before what follows and after what went before, as the changes are locked
 * instructions. A search that changes nothing leaves seq alone, or two CPUs that both find nothing
 * would take each other for busy. */
static inline void cache_begin(struct pmm_cache *c)
{
    CACHE_SET(c->seq, c->seq | 1);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}
static inline void cache_end(struct pmm_cache *c)
{
    if (c->seq & 1) /* else the line stays with those who look at it */
        __atomic_store_n(&c->seq, c->seq + 1, __ATOMIC_RELEASE);
}

/* Empty; in memory that is zeroed. */
void cache_init(struct pmm_cache *c, unsigned cpu);

/* Come into another CPU's cache, or one's own without being busy, and go. Interrupts off. */
void cache_steal(struct pmm_cache *c);
void cache_take(struct pmm_cache *c); /* without the barrier, and the wait for busy */
void cache_unsteal(struct pmm_cache *c);

/* --- Slots, by the owner inside its cache or a thief ----------------------- */

static inline struct slot *cache_slot(struct pmm_cache *c, uint64_t number)
{
    return &c->slots[number % CACHE_SLOTS];
}

static inline uint64_t cache_tag(const struct pmm_cache *c, uint64_t number)
{
    return CACHE_GET(c->tags[number % CACHE_SLOTS]);
}

/* Runs of all orders may be in the slot: frames came into it. */
static inline void cache_may(struct pmm_cache *c, struct slot *s)
{
    c->may.order[s - c->slots] = PMM_ORDER_BLOCK + 1;
}

/* The frames of row r that are used and may be freed. */
static inline uint64_t slot_freeable(const struct slot *s, uint64_t r)
{
    return ~s->free[r] & s->ours[r] & __atomic_load_n(&s->line[r], __ATOMIC_RELAXED);
}

/* Remember a free run. */
static inline void cache_hint(struct pmm_cache *c, unsigned order, uint64_t frame)
{
    struct hints *h = &c->hints[order];
    h->last = (h->last + 1) % CACHE_HINTS;
    h->frames[h->last] = frame;
    h->count += h->count < CACHE_HINTS;
}

/* The slot of a block; NULL if it has none. */
struct slot *cache_find_slot(struct pmm_cache *c, uint64_t number);

/* Make a slot for a block just owned; what was in it is given back first. The kept frames: none. */
struct slot *cache_add_slot(struct pmm_cache *c, struct zone *z, uint64_t b, uint64_t number,
                            uint32_t entry);

/* Take what is free in the line. True if there was any. */
bool slot_collect(struct pmm_cache *c, struct slot *s);

/* Put used frames into their slot. False if they have none, some are not used, or need a closer
 * look. */
bool cache_push_run(struct pmm_cache *c, uint64_t frame, unsigned n);

/* Take a run of n frames, 2 to 511, where one like it was freed before. */
bool cache_pop_hinted(struct pmm_cache *c, unsigned n, uint64_t *frame);

/* Take [first, first + n) from the slot if it is all there. */
bool slot_take(struct slot *s, unsigned first, unsigned n);

/* Give the slot's frames back, and the block up. */
void cache_release_slot(struct pmm_cache *c, struct slot *s);

/* The same for everything. True if there was anything. */
bool cache_release_all(struct pmm_cache *c);

/* Let the lane take its next frames from this row of the slot. */
static inline void lane_use_row(struct lane *lane, struct slot *s, unsigned r)
{
    lane->slot = s;
    lane->row = &s->free[r];
    lane->frame = (s->number << BLOCK_SHIFT) + r * ROW_FRAMES;
}

/* --- The window ------------------------------------------------------------ */

/* Own a whole block of [low, high). May move the window there: not for requests with limits, or
 * those without would come to be served from scarce memory. False if there is none to be found. */
bool cache_take_whole(struct pmm_cache *c, struct zone *z, uint64_t low, uint64_t high, bool move,
                      uint64_t *out);

/* Take a whole block from the window, or give one back to it, if that can be done at once: all its
 * frames are used from then on, or were. By their first frame. */
bool cache_pop_block(struct pmm_cache *c, uint64_t *frame);
bool cache_push_block(struct pmm_cache *c, uint64_t frame);

/* Give a block back that is owned and all free: to the window if it is near. */
void cache_give_whole(struct pmm_cache *c, struct zone *z, uint64_t b);

/* Which frames of a row of a block this CPU keeps. Other CPUs may look too. */
uint64_t cache_keeps_row(const struct pmm_cache *c, const struct zone *z, uint64_t b,
                         uint64_t number, unsigned r);

/* True if it keeps any of [first, first + n) of the block. */
static inline bool cache_keeps(const struct pmm_cache *c, const struct zone *z, uint64_t b,
                               uint64_t number, unsigned first, unsigned n)
{
    for (unsigned r = first / ROW_FRAMES; r <= (first + n - 1) / ROW_FRAMES; r++)
        if (cache_keeps_row(c, z, b, number, r) & line_mask(first, first + n - 1, r))
            return true;
    return false;
}

#endif
