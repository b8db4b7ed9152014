/* What is done with a CPU's share: the slow ways behind kmalloc and kfree, with the share's lock
 * held. Every call of the heap into the pmm is made with it, too, so that who holds the locks of all
 * shares knows the pmm to be at rest. Another CPU takes the lock only to take empty slabs, and to
 * look. */
#ifndef QL_MM_HEAP_SHARE_H
#define QL_MM_HEAP_SHARE_H

#include "../pmm/cache.h"
#include "mm/heap_stats.h"
#include "page_map.h"

extern struct heap_tuning heap_tuning;

static inline struct share *share_self(void)
{
    return &port_mm_cpu()->heap;
}

/* The share that an owner's word names; NULL for nobody. */
static inline struct share *share_of(uintptr_t owner)
{
    return (struct share *)(owner & ~(uintptr_t)SLAB_TAGS);
}

static inline unsigned lane_class(const struct share *s, const struct heap_lane *lane)
{
    return (unsigned)(lane - s->lanes);
}

/* This CPU's share with its lock held, interrupts off. */
struct share *share_enter(irq_state_t *irq);
void share_leave(struct share *s, irq_state_t irq);

/* --- share.c ------------------------------------------------------------------------------------ */

/* The share of that number: those of the CPUs, and behind them those of nodes; NULL: there is none. */
#define SHARES_MAX (CONFIG_CPUS_MAX + NUMA_NODES_MAX)
struct share *share_at(unsigned number);

/* All there are, in that order: the one behind s; of NULL the first. NULL: it was the last. */
struct share *share_next(const struct share *s);

/* Take the lock of every share, in order, and that of the shared slabs: for fork. */
void heap_lock_all(void);
void heap_unlock_all(void);

/* A frame that stays the heap's for good, for descriptors or the page map. They come in runs that
 * grow, as each would keep 2 MiB from ever being whole again. errors: MM_NOMEM */
mm_status_t share_take_frame(struct share *s, paddr_t *out) MUST_USE;

/* Take the last one back. */
void share_untake_frame(struct share *s);

/* A descriptor, perhaps a wide one; NULL: out of memory. */
struct slab *share_take_spare(struct share *s, bool wide);
void share_give_spare(struct share *s, struct slab *slab);

/* Give the descriptors' frames back: none may be in use, or ever have been seen by another CPU. */
void share_drop_spares(struct share *s);

static inline bool share_has_lane(const struct share *s, unsigned class)
{
    return s->made[class / 64] >> class % 64 & 1;
}

/* The lane of a class, which is made if need be. */
struct heap_lane *share_lane(struct share *s, unsigned class);

/* True if one of the next objects of this CPU should be sampled. */
static inline bool share_wants_sample(struct share *s)
{
#ifdef QL_DEBUG_MEMORY
    (void)s; /* debug/kmalloc.c does that */
    return false;
#else
    int64_t rate = SLAB_GET(heap_tuning.sample_rate);
    if (s->until_sample > rate)
        s->until_sample = rate;                                           /* it was made less */
    return rate != 0 && s->until_sample <= 0 && s->cpu < CONFIG_CPUS_MAX; /* no node's */
#endif
}

/* Other tuning: the lanes of this CPU go by it. Those of others do when they come to the long way. */
void share_rearm(void);

/* A number around n, at least half of it: what is repeated is not met at the same point each time.
 * source: the multiplier is of Numerical Recipes */
static inline uint32_t share_jitter(struct share *s, uint32_t n)
{
    s->random = s->random * 1664525 + 1013904223;
    return n == 0 ? 0 : n - n / 2 + (s->random >> 8) % n;
}

/* --- core.c -------------------------------------------------------------------------------------- */

/* An object of the class; NULL: out of memory for now. */
void *class_alloc(unsigned class);

/* --- node.c -------------------------------------------------------------------------------------- */

/* There are no shares of nodes. */
void node_shares_init(void);

/* The share of a node; NULL if it has none yet. */
struct share *node_share(unsigned node);

/* Take an object of the class that is on the node, if that has memory left. NULL: no such node, or
 * there is no memory at all. */
void *node_take(uint32_t node, unsigned class);

/* --- lane.c -------------------------------------------------------------------------------------- */

/* One instruction, which leaves no register half written. */
LOCK_INLINE bool byte_is_not(const uint8_t *byte, uint8_t value)
{
    bool other;
    __asm__("cmpb %2, %1" : "=@ccne"(other) : "m"(*byte), "i"(value));
    return other;
}

/* Take the object at the top. False: there is none. Interrupts are off. */
LOCK_INLINE bool lane_pop(struct heap_lane *lane, void **out)
{
    struct ready *r = lane->top;
    uint8_t *idle = ready_idle(r->place);
    if (__builtin_expect(byte_is_not(idle, 1), 0))
        return false;
    SLAB_SET(*idle, 0);
    SLAB_SET(lane->top, r - 1);
    *out = r->object;
    return true;
}

/* The same as the short way of an allocation. False: the long way has to see. */
LOCK_INLINE bool lane_take(struct heap_lane *lane, void **out)
{
    bool look;
    __asm__("decl %1" : "=@ccs"(look), "+m"(lane->until));
    if (__builtin_expect(!look, 1) && lane_pop(lane, out))
        return true;
    __asm__("incl %0" : "+m"(lane->until));
    return false;
}

/* There is no room for what was freed: make some, and put it there. Interrupts are off. */
void lane_overflow(struct share *s, struct heap_lane *lane, void *object, uintptr_t place);

/* The object of that index, of a slab of this CPU's, is freed: it is at hand. False: it was free already.
 * Interrupts are off. */
LOCK_INLINE bool lane_put(struct share *s, struct slab *slab, void *object, uint64_t index)
{
    struct heap_lane *lane = lane_at(s, slab->lane);
    struct ready *r = lane->top;
    uintptr_t place = ready_place(slab, index);
    if (__builtin_expect(byte_is_not(ready_idle(place), 0), 0))
        return false;
    SLAB_SET(*ready_idle(place), 1);
    if (__builtin_expect(r == lane->end, 0)) {
        lane_overflow(s, lane, object, place);
        return true;
    }
    SLAB_SET(lane->top, ++r);
    *r = (struct ready){object, place};
    return true;
}

/* A free object that is out of its slab is at hand. False: there is no room. */
static inline bool lane_add(struct heap_lane *lane, const struct slab *slab, uint32_t index)
{
    struct ready *r = lane->top;
    if (r == lane->end)
        return false;
    SLAB_SET(lane->top, ++r); /* the object */
    *r = (struct ready){(void *)(slab->base + index * slab_size(slab)), ready_place(slab, index)};
    return true;
}

/* Take objects out of the current slab, if nothing is at hand and it has any. Interrupts are off. */
bool lane_refill(struct heap_lane *lane);

/* Put all that is at hand back into the slabs, of all lanes but one, or of all. */
void share_flush(struct share *s, const struct heap_lane *but);

/* The slab is to leave this CPU: of its objects none may be at hand. */
void lane_forget(struct heap_lane *lane, struct slab *slab);

/* A lane that is all 0 becomes one of objects of so many bytes. */
void lane_init(struct share *s, struct heap_lane *lane, size_t bytes);

/* Give the lane room for more, if it wants any; starts: a slab is started now. */
void lane_make_room(struct share *s, struct heap_lane *lane, bool starts);

/* Let the lane have no more at hand than heap_tuning says. */
void lane_limit(struct share *s, struct heap_lane *lane);

/* Give the lane's own frames back; nothing is at hand, or never will be asked for. */
void lane_drop(struct share *s, struct heap_lane *lane);

/* Count what was taken, and let the lane go its short way again, unless one of its objects is to be
 * sampled. */
void lane_settle(struct share *s, struct heap_lane *lane);

/* --- refill.c ------------------------------------------------------------------------------------ */

/* Take an object of the class; NULL: the pmm has nothing. */
void *share_take(struct share *s, unsigned class);

/* Take an empty slab of so many pages from the reserve; NULL: there is none. */
struct slab *share_take_reserve(struct share *s, unsigned pages);

/* Put so many pages into the reserve, one by one. errors: MM_NOMEM */
mm_status_t share_stock(struct share *s, unsigned pages) MUST_USE;

/* --- release.c ----------------------------------------------------------------------------------- */

/* Objects have come back into the slab, which is not the current one: see what it is now. */
void share_look(struct share *s, struct slab *slab);

/* Give slabs away until the lane has no more partial ones than it should. */
void share_keep_few(struct share *s, struct heap_lane *lane);

/* Take over what others have freed into the slab, or into all that are pending: at hand, as far as there is
 * room, or into the slab. True if anything. */
bool share_collect(struct share *s, struct slab *slab, bool at_hand);
bool share_collect_pending(struct share *s);

/* Put the slabs that are pending there into the lists of who owns them by now. No lock is needed. */
void share_pass_pending(struct share *s);

/* No object of it was live, and it is to be something else: what has been freed since was free. */
void slab_expect_free(struct slab *slab);

/* Its objects are all free and it is in no list: keep it, or give it back. */
void share_keep_empty(struct share *s, struct slab *slab);

void share_add_reserve(struct share *s, struct slab *slab); /* a new one, of no lane */

/* Give frames and descriptor of a slab back that is in no list. */
void share_destroy(struct share *s, struct slab *slab);

/* Give empty slabs and runs back until no more than so many pages are kept. */
void share_trim(struct share *s, uint64_t keep_pages);

/* The same for all of it, of other CPUs too if all. */
uint64_t share_shrink(bool all);

/* The same because the pmm has nothing left; it is counted. */
uint64_t share_relieve(bool all);

/* Make everything everybody's that the CPU has in hand. */
void share_abandon(struct share *s);

/* The CPU was copied in the middle of a short way and will never go on: nothing is at hand, and what is
 * idle is in its slab. */
void share_recover(struct share *s);

/* Free an object of another CPU's, or nobody's. False: others have freed it already. */
bool free_remote(struct slab *slab, uint32_t index);

/* Everything that is not the short way of kfree: objects of other CPUs, runs, misuse. size: what the
 * caller says, or SIZE_UNKNOWN. */
#define SIZE_UNKNOWN SIZE_MAX
void free_otherwise(void *p, size_t size);

/* The same for object_cache_free of the class. */
void free_to_cache(void *p, unsigned class);

/* The object that begins at p, in whatever slab: its slab and index. NULL, or what is wrong with p,
 * in words; the slab is then set if there is one. */
const char *object_find(const void *p, struct slab **slab, uint32_t *index);

/* What is wrong with an object of a cache that kfree gets. */
extern const char object_of_cache[];

/* Free the object of that index, whoever owns the slab. NULL, or what is wrong. */
const char *slab_free(struct slab *slab, uint32_t index);

/* An object is more than twice as large as was asked for, as krealloc had no memory for another one. */
extern bool heap_has_kept;

/* Say that call(p) was wrong. */
void heap_misuse(const char *call, const void *p, const char *why);

extern uint64_t heap_shrinks; /* by share_relieve */
extern uint32_t heap_users;   /* CPUs that have allocated anything */

#endif
