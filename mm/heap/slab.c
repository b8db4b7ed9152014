/* Owns: the descriptor of what is no slab.
 * Relies on: classes. Stage: "heap". */
#include "slab.h"

#include "lane.h"
#include "mm/kasan.h"
#include "mm/string.h"

struct slab slab_nobody = {.class = CLASS_COUNT, .pending = &slab_nobody};

void slab_cut(struct slab *s, unsigned class, unsigned objects)
{
    /* Who has just freed the last object of what the descriptor was before may still look at it. */
    SLAB_SET(s->class, (uint8_t) class);
    s->lane = LANE_OFFSET(class);
    SLAB_SET(s->objects, (uint16_t)objects);
    s->reciprocal = heap_classes[class].reciprocal;
    SLAB_SET(s->exact, class_exact(&heap_classes[class], objects));
    s->out = 0;
    for (unsigned i = 0; i < (s->wide ? SLAB_OBJECTS : SLAB_NARROW); i++)
        SLAB_SET(s->idle[i], i < objects);
    const void *memory = (void *)s->base; /* frames in the direct map */
    if (class < CLASS_CACHES)
        kasan_forbid(memory, s->pages * FRAME_BYTES, KASAN_HEAP_UNUSED);
    else /* a constructor may write to objects that nobody has allocated */
        kasan_allow(memory, s->pages * FRAME_BYTES);
}
