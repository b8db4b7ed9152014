/* Owns: the table of classes.
 * Relies on: nothing. Stage: heap_init; constant afterwards but for the object caches, and for
 * shapes: most classes are never used, and to find a good one takes a while. */
#include "classes.h"

#include "mm/addr.h"
#include "mm/string.h"

struct class heap_classes[CLASS_COUNT];

/* The class of bytes rounded up to a multiple of align: either it is that many, or the steps between
 * classes are multiples of align there. */
unsigned class_of_aligned(size_t bytes, size_t align)
{
    if (bytes > HEAP_CLASS_BYTES)
        return CLASS_SIZES;
    size_t rounded = bytes == 0 ? align : (bytes + align - 1) & ~(align - 1);
    return class_of(rounded); /* which is within the classes, as align divides HEAP_CLASS_BYTES */
}

/* The reciprocal is too large by error / bytes, so that the k-th multiple of bytes has the fraction
 * k * error, and what lies r bytes behind it r reciprocals more. As long as all the errors come to
 * less than a reciprocal, the fraction tells multiples from others, and the first few from those
 * behind. A power of two has no error, and no multiples behind the last object. */
static uint64_t error_of(const struct class *c)
{
    return (uint64_t)c->reciprocal * c->bytes - (1ull << 32);
}

uint32_t class_exact(const struct class *c, unsigned objects)
{
    uint64_t error = error_of(c);
    return error == 0 ? c->reciprocal : (uint32_t)(objects * error);
}

/* No objects: offsets could not be told from each other. */
static struct shape cut(const struct class *c, uint64_t pages)
{
    uint64_t most = c->bytes < CLASS_WIDE ? SLAB_OBJECTS : SLAB_NARROW;
    uint64_t fit = pages * FRAME_BYTES / c->bytes, error = error_of(c);
    bool told = error != 0 ? (fit + 1) * error < c->reciprocal
                           : fit <= most && fit * c->bytes == pages * FRAME_BYTES;
    uint64_t objects = !told ? 0 : fit < most ? fit : most;
    return (struct shape){(uint16_t)objects, (uint16_t)pages};
}

static uint64_t waste(const struct class *c, struct shape s)
{
    return s.pages * FRAME_BYTES - (uint64_t)s.objects * c->bytes;
}

/* The better of two, the first of which may have no objects. */
static struct shape better(const struct class *c, struct shape a, struct shape b)
{
    bool less = b.objects > 0 && (uint64_t)waste(c, b) * a.pages <= (uint64_t)waste(c, a) * b.pages;
    return a.objects == 0 || less ? b : a;
}

/* Of up to that many pages, but not less than half, those of which the least part is wasted; if that
 * is much, more pages. Where nothing can be told apart in so many pages, fewer. */
static struct shape best_shape(const struct class *c, uint64_t pages)
{
    struct shape best = {0, 1};
    for (uint64_t n = (pages + 1) / 2; n <= RUN_PAGES_MAX; n++) {
        best = better(c, best, cut(c, n));
        if (best.objects > 0 && n >= pages && waste(c, best) * 16 <= best.pages * FRAME_BYTES)
            break;
    }
    for (uint64_t n = 1; best.objects == 0 || n < pages / 2; n++) {
        if (best.objects > 0 && best.pages >= (pages + 1) / 2)
            break;
        best = better(c, best, cut(c, n));
    }
    return best;
}

void class_make(struct class *c, size_t bytes)
{
    *c = (struct class){.bytes = (uint32_t)bytes,
                        .reciprocal = (uint32_t)(((1ull << 32) + bytes - 1) / bytes)};
}

/* Two who ask at the same time find the same. */
struct shape class_shape(struct class *c, unsigned level)
{
    struct shape shape;
    __atomic_load(&c->shapes[level], &shape, __ATOMIC_RELAXED);
    if (shape.objects != 0)
        return shape;
    uint64_t most = c->bytes < CLASS_WIDE ? SLAB_OBJECTS : SLAB_NARROW;
    uint64_t full = bytes_to_frames(most * c->bytes),
             least = bytes_to_frames(SLAB_LEAST * c->bytes);
    if (full > SLAB_PAGES)
        full = SLAB_PAGES;
    if (full < least)
        full = least;
    uint64_t pages = full >> (SHAPE_LEVELS - 1 - level);
    shape = best_shape(c, pages == 0 ? 1 : pages);
    __atomic_store(&c->shapes[level], &shape, __ATOMIC_RELAXED);
    return shape;
}

void classes_init(void)
{
    memset(heap_classes, 0, sizeof heap_classes);
    for (unsigned i = 0; i < CLASS_SIZES; i++)
        class_make(&heap_classes[i], class_size(i));
}
