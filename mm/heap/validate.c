/* Owns: nothing; the invariants of the heap, as executable text.
 * Relies on: shares, the page map. Stage: "heap". */
#include "mm/heap.h"

#include "kept.h"
#include "shared.h"

/* Slabs of the page map by state, and pages, against those of the lists. */
struct tally {
    uint64_t slabs, pages;
    uint64_t out, used; /* objects */
};

static unsigned used_of(const struct slab *slab)
{
    return slab->objects - slab_count_idle(slab);
}

static bool slab_is_sound(const struct slab *slab, enum slab_state state, unsigned class,
                          const struct share *s)
{
    if (slab->state != state || share_of(slab->owner) != s)
        return false;
    if (state != SLAB_EMPTY && (slab->class != class || slab->out > slab->objects))
        return false;
    if (slab->objects == 0 || slab->objects > SLAB_OBJECTS ||
        (state != SLAB_EMPTY && /* of a class that may be gone */
         (uint64_t)slab->objects * slab_size(slab) > slab->pages * FRAME_BYTES))
        return false;
    for (unsigned i = 0; state != SLAB_EMPTY && i < (slab->wide ? SLAB_OBJECTS : SLAB_NARROW);
         i++) {
        bool idle = slab_is_idle(slab, i), remote = slab->remote[i / 64] >> i % 64 & 1;
        if (slab->idle[i] > 1 || (idle && remote) || (i >= slab->objects && (idle || remote)))
            return false;
    }
    const void *last = (const void *)(slab->base + (slab->pages - 1) * FRAME_BYTES);
    return page_map_find(page_map_offset((const void *)slab->base)) == slab &&
           page_map_find(page_map_offset(last)) == slab;
}

static bool list_is_sound(const struct share *s, const struct slab_list *list,
                          enum slab_state state, unsigned class, struct tally *tally,
                          uint64_t *count)
{
    const struct slab *last = NULL;
    for (const struct slab *slab = list->first; slab != NULL; slab = list_next(slab)) {
        if (!slab_is_sound(slab, state, class, s))
            return false;
        if (state == SLAB_SHARED && used_of(slab) != slab->out)
            return false;
        if (state != SLAB_EMPTY) {
            if (slab->out < used_of(slab) || (state == SLAB_PARTIAL && slab->out == 0))
                return false;
            tally->out += slab->out;
            tally->used += used_of(slab);
        }
        tally->pages += slab->pages;
        tally->slabs++;
        ++*count;
        last = slab;
    }
    return last == list->last;
}

/* What is at hand is an object of one of this CPU's slabs that nobody uses. */
static bool hand_is_sound(const struct share *s, const struct heap_lane *lane, unsigned class)
{
    if (lane->top < lane->bottom || lane->top > lane->end || *ready_idle(lane->bottom->place) != 0)
        return false;
    for (const struct ready *r = lane->bottom + 1; r <= lane->top; r++) {
        const struct slab *slab = page_map_find(page_map_offset(r->object));
        uint32_t index;
        if (SLAB_GET(slab->owner) != ((uintptr_t)s | slab_tags(class)) || slab->class != class ||
            !slab_divide_slowly(slab, r->object, &index) || r->place != ready_place(slab, index) ||
            !slab_is_idle(slab, index))
            return false;
    }
    return true;
}

static bool lane_is_sound(const struct share *s, unsigned class, struct tally *tally)
{
    const struct heap_lane *lane = &s->lanes[class];
    uint64_t slabs = 0, partials = 0, pages = tally->pages, out = tally->out, used = tally->used;
    if (!hand_is_sound(s, lane, class))
        return false;
    if (lane->current != NULL) {
        const struct slab *slab = lane->current;
        if (!slab_is_sound(slab, SLAB_CURRENT, class, s) || lane->size != slab_size(slab))
            return false;
        tally->pages += slab->pages;
        tally->out += slab->out;
        tally->used += used_of(slab);
        tally->slabs++;
        slabs++;
    }
    return list_is_sound(s, &lane->partial, SLAB_PARTIAL, class, tally, &partials) &&
           list_is_sound(s, &lane->full, SLAB_FULL, class, tally, &slabs) &&
           partials == lane->partials && slabs + partials == lane->slabs &&
           tally->pages - pages == lane->pages && tally->out - out == lane->out &&
           tally->used - used == lane->out - (uint64_t)(lane->top - lane->bottom);
}

static bool share_is_sound(const struct share *s, struct tally *tally)
{
    uint64_t count = 0;
    if (s->nothing != 0 || !kept_is_sound(s))
        return false;
    for (unsigned class = 0; class < CLASS_COUNT; class ++)
        if (share_has_lane(s, class) && class != CLASS_RUNS && class != CLASS_RANGES &&
            !lane_is_sound(s, class, tally))
            return false;
    uint64_t pages = tally->pages;
    for (unsigned i = 0; i < RUN_PAGES_MAX; i++) {
        if ((s->reserve[i].first != NULL) != (s->reserved >> i & 1) ||
            !list_is_sound(s, &s->reserve[i], SLAB_EMPTY, 0, tally, &count))
            return false;
    }
    return tally->pages - pages == s->reserve_pages;
}

static bool shared_is_sound(struct tally *tally)
{
    bool sound = true;
    irq_state_t irq = spin_lock(&shared.lock);
    for (unsigned class = 0; sound && class < CLASS_COUNT; class ++) {
        const struct shared_class *c = &shared.classes[class];
        uint64_t slabs = 0, pages = tally->pages;
        sound = list_is_sound(NULL, &c->list, SLAB_SHARED, class, tally, &slabs) &&
                slabs == c->slabs && tally->pages - pages == c->pages;
    }
    spin_unlock(&shared.lock, irq);
    return sound;
}

bool heap_validate(void)
{
    struct tally lists = {0}, map = {0};
    for (struct share *s = NULL; (s = share_next(s)) != NULL;) {
        irq_state_t irq = spin_lock(&s->lock);
        bool sound = share_is_sound(s, &lists);
        spin_unlock(&s->lock, irq);
        if (!sound)
            return false;
    }
    if (!shared_is_sound(&lists))
        return false;
    uint64_t offset = 0;
    struct slab *slab;
    while ((slab = page_map_next(&offset)) != NULL) {
        if (slab->state == SLAB_RUN)
            continue;
        map.slabs++;
        map.pages += slab->pages;
    }
    return map.slabs == lists.slabs && map.pages == lists.pages;
}
