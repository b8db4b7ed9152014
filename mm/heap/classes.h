/* Which size class a request belongs to, and how the slabs of a class are cut: 16-byte steps up to
 * 128 bytes, then 8 classes for each doubling, so that a class wastes at most an eighth. Behind the
 * size classes come page runs, virtual ranges and the object caches. */
#ifndef QL_MM_HEAP_CLASSES_H
#define QL_MM_HEAP_CLASSES_H

#include "config.h"
#include "mm/heap_stats.h"

#define CLASS_SIZES  72u /* HEAP_CLASS_BYTES is the last one's size */
#define CLASS_RUNS   CLASS_SIZES
#define CLASS_RANGES (CLASS_RUNS + 1)
#define CLASS_CACHES (CLASS_RANGES + 1) /* the first of CONFIG_HEAP_CACHES_MAX */
_Static_assert(CLASS_CACHES == HEAP_FIRST_CACHE, "as the public header says");
#define CLASS_COUNT (CLASS_CACHES + CONFIG_HEAP_CACHES_MAX)

#define CLASS_TABLE_BYTES 1024u /* up to here a table has them byte by byte, and above */
#define CLASS_MORE_STEP   128u  /* all classes are multiples of this */

/* A slab of fewer bytes to an object is "wide": it has up to SLAB_OBJECTS, others up to SLAB_NARROW. */
#define SLAB_WORDS    4u
#define SLAB_OBJECTS  (64 * SLAB_WORDS)
#define SLAB_NARROW   64u
#define CLASS_WIDE    64u
#define SLAB_PAGES    (CONFIG_HEAP_GROW_BYTES / 4096)
#define SLAB_LEAST    4u /* objects of a slab that has grown up, whatever their size */
#define SHAPE_LEVELS  4u
#define RUN_PAGES_MAX 64u /* of a slab */

/* How a slab is cut. */
struct shape {
    uint16_t objects, pages;
} __attribute__((aligned(4))); /* read and written at once */

/* What is the same for all slabs of a class. */
struct class
{
    uint32_t bytes;      /* 0: there is no such class, or its objects have no size in common */
    uint32_t reciprocal; /* of bytes: 2^32 / bytes, rounded up */
    struct shape shapes[SHAPE_LEVELS]; /* see class_shape; no objects: nobody has asked yet */
};
extern struct class heap_classes[CLASS_COUNT];

/* bytes up to HEAP_CLASS_BYTES. */
static inline unsigned class_of(size_t bytes)
{
    if (bytes <= 128)
        return bytes == 0 ? 0 : (unsigned)(bytes - 1) / 16;
    size_t last = bytes - 1;
    unsigned shift = 63 - (unsigned)__builtin_clzll(last);
    return 8 + (shift - 7) * 8 + (last >> (shift - 3) & 7);
}

static inline size_t class_size(unsigned class)
{
    return class < 8 ? 16 * (class + 1) : (size_t)(9 + class % 8) << (class / 8 + 3);
}

/* The smallest class of at least bytes bytes whose objects are all aligned; align is a power of two
 * up to 4096. CLASS_SIZES if there is none. */
unsigned class_of_aligned(size_t bytes, size_t align);

/* Fill in the class for objects of bytes bytes, a multiple of 16 up to HEAP_CLASS_BYTES. */
void class_make(struct class *c, size_t bytes);

/* How slabs of the class are cut, from the first one, level 0, to those where it is in demand. Any
 * CPU. */
struct shape class_shape(struct class *c, unsigned level);

/* An offset times the reciprocal has its fraction below this if, and only if, it is that of one of
 * so many objects. */
uint32_t class_exact(const struct class *c, unsigned objects);

/* All size classes. */
void classes_init(void);

#endif
