/* Owns: nothing; the invariants of the heap, as executable text.
 * Relies on: shares, the page map. Stage: "heap". */
#include "mm/heap.h"

#include "shared.h"

/* Slabs of the page map by state, and pages, against those of the lists. */
struct tally {
    uint64_t slabs, pages, empty, empty_pages;
};

static bool slab_is_sound(const struct slab *slab, enum slab_state state, unsigned class,
                          const struct share *s)
{
    if (slab->state != state || share_of(slab->owner) != s)
        return false;
    if (state != SLAB_EMPTY && (slab->class != class || slab->used > slab->objects))
        return false;
    if (slab->objects == 0 || slab->objects > SLAB_OBJECTS ||
        (state != SLAB_EMPTY && /* of a class that may be gone */
         (uint64_t)slab->objects * slab_size(slab) > slab->pages * FRAME_BYTES))
        return false;
    for (unsigned w = 0; w < SLAB_WORDS; w++) {
        uint64_t mask = w < slab_words(slab) ? slab_mask(slab, w) : 0;
        uint64_t free = slab->free[w];
        if (((free | slab->remote[w]) & ~mask) != 0 || (free & slab->remote[w]) != 0)
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
        int used = (int)(slab->objects - slab_count_free(slab));
        if (state == SLAB_SHARED && used != slab->used)
            return false;
        if ((state == SLAB_FULL || state == SLAB_PARTIAL) &&
            (slab->left == 0 || used + slab_frees(slab) != slab->used))
            return false;
        if (state == SLAB_PARTIAL && slab->left != used)
            return false;
        tally->pages += slab->pages;
        tally->slabs++;
        ++*count;
        last = slab;
    }
    return last == list->last;
}

static bool lane_is_sound(const struct share *s, unsigned class, struct tally *tally)
{
    const struct heap_lane *lane = &s->lanes[class];
    uint64_t slabs = 0, partials = 0, pages = tally->pages;
    if (lane->current == NULL) {
        if (lane->word != &s->nothing)
            return false;
    } else {
        const struct slab *slab = lane->current;
        if (!slab_is_sound(slab, SLAB_CURRENT, class, s) || lane->size != slab_size(slab))
            return false;
        if (lane->word != &s->nothing && /* a sample is due */
            (lane->word < slab->free || lane->word >= slab->free + slab_words(slab) ||
             lane->base != slab->base + (uint64_t)(lane->word - slab->free) * 64 * lane->size))
            return false;
        tally->pages += slab->pages;
        tally->slabs++;
        slabs++;
    }
    if (!list_is_sound(s, &lane->partial, SLAB_PARTIAL, class, tally, &partials) ||
        !list_is_sound(s, &lane->full, SLAB_FULL, class, tally, &slabs))
        return false;
    return partials == lane->partials && slabs + partials == lane->slabs &&
           tally->pages - pages == lane->pages;
}

static bool share_is_sound(const struct share *s, struct tally *tally)
{
    uint64_t count = 0;
    if (s->nothing != 0)
        return false;
    for (unsigned class = 0; class < CLASS_COUNT; class ++)
        if (class != CLASS_RUNS && class != CLASS_RANGES && !lane_is_sound(s, class, tally))
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
    for (unsigned i = 0; i < SHARES_MAX; i++) {
        struct share *s = share_at(i);
        if (s == NULL)
            continue;
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
