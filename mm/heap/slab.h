/* Slabs: runs of frames that are cut into objects of one class. What is known of a slab is in a
 * descriptor apart from it, one byte for each object; nothing is ever written into a free object.
 * The descriptor is a line of the owner's, a line for what others free, and the bytes, for 64 objects or
 * for 256. Descriptors are never given back, only used again, as another CPU that frees an object may
 * still look at one when its slab is gone.
 *
 * The owner, a CPU's share, changes idle by plain stores and without a lock, and out where objects go
 * from the current slab to its lane; everything else with its lock held. Another CPU sets a bit of
 * remote, by a locked instruction, and, if the slab is in no pending list, puts it into the owner's. */
#ifndef QL_MM_HEAP_SLAB_H
#define QL_MM_HEAP_SLAB_H

#include "check.h"
#include "classes.h"
#include "mm/addr.h"

enum slab_state {
    SLAB_SPARE,   /* a descriptor without a slab */
    SLAB_CURRENT, /* objects are taken from it */
    SLAB_FULL,    /* in the lane's list of those; few objects of it are free, or none */
    SLAB_PARTIAL, /* in the list of its lane */
    SLAB_SHARED,  /* in the list of its class: nobody's, for who needs it */
    SLAB_EMPTY,   /* in a share's reserve */
    SLAB_RUN,     /* a page run: one object */
};

/* In the low bits of owner: then kfree's short way does not know it. */
#define SLAB_CACHE   2u  /* of an object cache */
#define SLAB_NO_LANE 4u  /* empty: nothing can be freed */
#define SLAB_WHOLE   12u /* a run, live or kept: not in this way, either */
#define SLAB_TAGS    63u

struct share;

struct slab {
    /* The owner's line; frees look at it, too. */
    uintptr_t owner; /* the share, and tags; 0: nobody's */
    union {
        uintptr_t base;
        uint32_t base_low; /* enough to tell how far an address is behind it */
    };
    uint32_t reciprocal,
        exact; /* see slab_divide; exact is 0 while others have freed objects of it */
    uint16_t
        out; /* objects that are live, or at hand in the owner's lane; of a run: its stack, see kept.h */
    uint16_t lane; /* of its class: see lane_at */
    uint8_t class;
    uint8_t state;
    uint16_t objects;
    struct slab *next, *prev; /* in a list, encoded: list.c */
    uint32_t pages;
    bool wide; /* the descriptor has bytes for SLAB_OBJECTS */
    bool kept; /* of a run: it is free, see kept.h */

    uint64_t remote[SLAB_WORDS]
        __attribute__((aligned(64))); /* bit 1 = freed by another CPU; idle does
                                                               * not have it yet */
    struct slab *pending;             /* the next in the owner's list; NULL: in none */

    uint8_t idle[] __attribute__((aligned(64))); /* 1 = nobody uses the object; 0 also for none */
} __attribute__((aligned(64)));

/* What descriptors are cut from. */
#define SLAB_UNIT_BYTES (sizeof(struct slab) + SLAB_NARROW)
_Static_assert(sizeof(struct slab) == 128 && 2 * SLAB_UNIT_BYTES == 128 + SLAB_OBJECTS,
               "two units are a wide one");

#define SLAB_GET(field)        __atomic_load_n(&(field), __ATOMIC_RELAXED)
#define SLAB_SET(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELAXED)

/* What the page map says of a frame that is not the heap's. */
extern struct slab slab_nobody;

/* Which object begins at p, whose low half is enough. False: none does. The high half of the product
 * is the quotient; its low half is below exact for those multiples only that are objects. */
static inline bool slab_divide(const struct slab *s, const void *p, uint64_t *index)
{
    uint32_t fraction = (uint32_t)(uintptr_t)p;
    bool below;
    __asm__("subl %3, %0\n\tmull %4\n\tcmpl %5, %0" /* of index, mull clears the high half */
            : "+a"(fraction), "=d"(*index), "=@ccb"(below)
            : "m"(s->base_low), "m"(s->reciprocal), "m"(s->exact));
    return below;
}

/* True if the owner's word is that. */
static inline bool slab_is_of(const struct slab *s, uintptr_t owner)
{
    bool same;
    __asm__("cmpq %2, %1" : "=@cce"(same) : "m"(s->owner), "r"(owner)); /* one instruction */
    return same;
}

/* The same for who comes while others have freed something that its owner has not seen yet. */
static inline bool slab_divide_slowly(const struct slab *s, const void *p, uint32_t *index)
{
    uint32_t offset = (uint32_t)((uintptr_t)p - s->base);
    *index = (uint32_t)((uint64_t)offset * s->reciprocal >> 32);
    return *index < s->objects && *index * heap_classes[s->class].bytes == offset;
}

static inline uint32_t slab_size(const struct slab *s)
{
    return heap_classes[s->class].bytes;
}

/* Of the owner's word. */
static inline unsigned slab_tags(unsigned class)
{
    return class >= CLASS_CACHES ? SLAB_CACHE : 0;
}

/* True if its objects are not too small for so many bytes, nor twice as large, and as aligned as those
 * of so many bytes are. */
static inline bool slab_suits(const struct slab *s, size_t bytes)
{
    size_t size = slab_size(s);
    bool aligned = (bytes & (bytes - 1)) != 0 || bytes > FRAME_BYTES || (size & (bytes - 1)) == 0;
    return bytes <= size && ((bytes > size / 2 && aligned) || class_of(bytes) == s->class);
}

/* Words of remote. */
static inline unsigned slab_words(const struct slab *s)
{
    return (SLAB_GET(s->objects) + 63u) / 64;
}

/* The bits of a word that stand for objects. */
static inline uint64_t slab_mask(const struct slab *s, unsigned word)
{
    unsigned n = SLAB_GET(s->objects) - 64 * word;
    return n >= 64 ? ~0ull : (1ull << n) - 1;
}

static inline unsigned bits_count(uint64_t bits)
{
    bits -= bits >> 1 & 0x5555555555555555ull;
    bits = (bits & 0x3333333333333333ull) + (bits >> 2 & 0x3333333333333333ull);
    bits = (bits + (bits >> 4)) & 0x0f0f0f0f0f0f0f0full;
    return (unsigned)(bits * 0x0101010101010101ull >> 56);
}

/* Eight of idle. */
typedef uint64_t __attribute__((may_alias)) idle_group_t;
#define IDLE_GROUP 8u
static inline uint64_t slab_idle_group(const struct slab *s, unsigned group)
{
    return __atomic_load_n((const idle_group_t *)(const void *)&s->idle[group * IDLE_GROUP],
                           __ATOMIC_RELAXED);
}

static inline bool slab_is_idle(const struct slab *s, uint32_t index)
{
    return SLAB_GET(s->idle[index]) != 0;
}

/* The same, or freed by another CPU. */
static inline bool slab_is_free(const struct slab *s, uint32_t index)
{
    return slab_is_idle(s, index) || (SLAB_GET(s->remote[index / 64]) >> index % 64 & 1);
}

/* Objects that nobody uses, as far as the owner knows, wherever they are. */
static inline unsigned slab_count_idle(const struct slab *s)
{
    unsigned n = 0, groups = (SLAB_GET(s->objects) + IDLE_GROUP - 1) / IDLE_GROUP;
    for (unsigned i = 0; i < groups; i++) /* the sum of the bytes */
        n += (unsigned)(slab_idle_group(s, i) * 0x0101010101010101ull >> 56);
    return n;
}

/* Objects that others have freed. */
static inline unsigned slab_count_remote(const struct slab *s)
{
    unsigned n = 0;
    for (unsigned w = 0; w < slab_words(s); w++)
        n += bits_count(SLAB_GET(s->remote[w]));
    return n;
}

static inline bool run_is_live(const struct slab *s)
{
    return SLAB_GET(s->state) == SLAB_RUN && !SLAB_GET(s->kept);
}

/* Cut a slab whose frames, descriptor and place in the page map are there: all objects free. */
void slab_cut(struct slab *s, unsigned class, unsigned objects);

#endif
