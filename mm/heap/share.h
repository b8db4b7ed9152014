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

/* All shares there are: those of the CPUs, and behind them those of nodes; NULL where there is none. */
#define SHARES_MAX (CONFIG_CPUS_MAX + NUMA_NODES_MAX)
struct share *share_at(unsigned number);

/* Take the lock of every share, in order, and that of the shared slabs: for fork. */
void heap_lock_all(void);
void heap_unlock_all(void);

/* A frame that stays the heap's for good, for descriptors or the page map. They come in runs that
 * grow, as each would keep 2 MiB from ever being whole again. errors: MM_NOMEM */
mm_status_t share_take_frame(struct share *s, paddr_t *out) MUST_USE;

/* Take the last one back. */
void share_untake_frame(struct share *s);

/* A descriptor; NULL: out of memory. */
struct slab *share_take_spare(struct share *s);
void share_give_spare(struct share *s, struct slab *slab);

/* Give the descriptors' frames back: none may be in use, or ever have been seen by another CPU. */
void share_drop_spares(struct share *s);

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

/* Another rate: the current slabs of this CPU are looked at accordingly. */
void share_rearm(void);

/* Count what has been taken from the slab and freed into it since the last time. */
void lane_count(struct share *s, struct heap_lane *lane, struct slab *slab);

/* A number around n, at least half of it: what is repeated is not met at the same point each time.
 * source: the multiplier is of Numerical Recipes */
static inline uint32_t share_jitter(struct share *s, uint32_t n)
{
    s->random = s->random * 1664525 + 1013904223;
    return n == 0 ? 0 : n - n / 2 + (s->random >> 8) % n;
}

/* Frees into the current slab until somebody looks at it again, for the counts' and the sampler's
 * sake: so who frees each object before the next has samples, too, at no cost in the short ways. */
#define CURRENT_LEFT INT16_MAX
static inline uint16_t current_left(struct share *s)
{
    uint32_t left = share_jitter(s, SLAB_GET(heap_tuning.sample_rate));
    return left == 0 || left > CURRENT_LEFT ? CURRENT_LEFT : (uint16_t)left;
}

/* So many frees until somebody looks again. */
static inline void slab_arm(struct slab *slab, uint16_t frees)
{
    SLAB_SET(slab->left, frees);
    SLAB_SET(slab->mark, frees);
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

/* --- refill.c ------------------------------------------------------------------------------------ */

/* Take an object from the lane's word: its lowest bit. False: it has none. Interrupts are off. */
LOCK_INLINE bool lane_pop(struct heap_lane *lane, void **out)
{
    uint64_t *word = lane->word, free = SLAB_GET(*word), bit;
    bool none;
    __asm__("bsfq %2, %1" : "=@ccz"(none), "=r"(bit) : "r"(free));
    if (__builtin_expect(none, 0))
        return false;
    SLAB_SET(*word, free & (free - 1));
    *out = (void *)(lane->base + bit * lane->size); /* the object of that bit */
    return true;
}

static inline struct recent *lane_recent(struct heap_lane *lane, uint32_t offset)
{
    return (struct recent *)(void *)((char *)lane->recent + offset);
}

/* The same for a size class: the object that was freed last, if it is still free, else the word's first.
 * What is taken from recent is as if it had not been freed. */
LOCK_INLINE bool lane_take(struct heap_lane *lane, void **out)
{
    bool look, was_free;
    __asm__("decl %1" : "=@ccs"(look), "+m"(lane->until));
    if (__builtin_expect(look, 0))
        return false;
    uint32_t last = lane->last;
    const struct recent *r = lane_recent(lane, last);
    int64_t place = r->place;
    uint64_t *word = (uint64_t *)(place >> RECENT_SHIFT), free = SLAB_GET(*word); /* of a slab */
    __asm__("btrq %2, %1" : "=@ccc"(was_free), "+r"(free) : "r"(place));          /* modulo 64 */
    if (__builtin_expect(!was_free, 0)) {
        __asm__("incl %0" : "+m"(lane->until));
        return lane_pop(lane, out);
    }
    SLAB_SET(*word, free);
    struct slab *slab = (struct slab *)((uintptr_t)word & ~(sizeof *slab - 1)); /* where it is in */
    __asm__("incw %0" : "+m"(slab->left));
    lane->last = (last - sizeof *r) % RECENT_BYTES;
    *out = r->object;
    return true;
}

/* The object of that bit is being freed into the slab of this CPU's. */
LOCK_INLINE void lane_remember(struct share *s, struct slab *slab, void *object, uint64_t *word,
                               uint32_t bit)
{
    struct heap_lane *lane = &s->lanes[slab->class];
    uint32_t last = (lane->last + sizeof(struct recent)) % RECENT_BYTES;
    lane->last = last;
    *lane_recent(lane, last) = (struct recent){object, recent_place(word, bit)};
}

/* The slab leaves the lane: nothing that was freed into it may be taken any more. */
void lane_forget(struct share *s, struct heap_lane *lane, const struct slab *slab);

/* Count what was taken from recent, and let the lane go its short way again, or not. */
void lane_settle(struct share *s, struct heap_lane *lane, bool open);

/* Take an object of the class; NULL: the pmm has nothing. */
void *share_take(struct share *s, unsigned class);

/* Take an empty slab of so many pages from the reserve; NULL: there is none. */
struct slab *share_take_reserve(struct share *s, unsigned pages);

/* Put so many pages into the reserve, one by one. errors: MM_NOMEM */
mm_status_t share_stock(struct share *s, unsigned pages) MUST_USE;

/* --- release.c ----------------------------------------------------------------------------------- */

/* The slab's left has come to 0: see what it is now. */
void share_look(struct share *s, struct slab *slab);
void share_look_locked(struct share *s, struct slab *slab); /* takes the lock */

/* Free an object of this CPU's own, interrupts off. */
static inline void slab_put(struct share *s, struct slab *slab, uint32_t index)
{
    uint64_t *word = &slab->free[index / 64];
    SLAB_SET(*word, *word | 1ull << index % 64);
    SLAB_SET(slab->left, (uint16_t)(slab->left - 1));
    if (__builtin_expect(slab->left == 0, 0))
        share_look_locked(s, slab);
}

/* The object's bit is set, or was set already, and so many frees are left until somebody looks: that
 * is two flags and one branch, as dec leaves the carry alone. Only who takes the branch wants to know
 * which it was. */
#define SET_BIT_OR_GOTO(label, word, bit, slab)                                \
    __asm__ goto("movq %0, %%rax\n\t"                                          \
                 "btsq %q1, %%rax\n\t"                                         \
                 "movq %%rax, %0\n\t"                                          \
                 "decw %2\n\t"                                                 \
                 "jbe 1f\n\t"                                                  \
                 ".subsection 1\n"                                             \
                 "1: setc %3\n\t"                                              \
                 "jmp %l4\n\t"                                                 \
                 ".previous"                                                   \
                 :                                                             \
                 : "m"(word), "r"(bit), "m"((slab)->left), "m"((slab)->caught) \
                 : "rax", "cc", "memory"                                       \
                 : label)

/* What comes then, with interrupts off: somebody looks, or what was done for nothing is undone and
 * said. */
void free_look(void *p, struct slab *slab, irq_state_t irq);

/* Take over what others have freed into the slab, or into all that are pending. True if anything. */
bool share_collect(struct share *s, struct slab *slab);
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

/* Give empty slabs back until no more than so many pages are kept. Returns the pages. */
uint64_t share_trim(struct share *s, uint64_t keep_pages);

/* The same for all of it, of other CPUs too if all. */
uint64_t share_shrink(bool all);

/* The same because the pmm has nothing left; it is counted. */
uint64_t share_relieve(bool all);

/* Make everything everybody's that the CPU has in hand. */
void share_abandon(struct share *s);

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
