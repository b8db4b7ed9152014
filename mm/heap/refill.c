/* Owns: nothing; where objects come from when the current word has none.
 * Relies on: the pmm for slabs. Stage: "heap".
 *
 * In this order: the other words of the current slab, what others have freed into it, partial slabs
 * of this CPU, those that are nobody's, empty ones of its reserve, new ones. */
#include "mm/pmm.h"
#include "mm/string.h"
#include "object_cache.h"
#include "shared.h"

static void *pop(struct heap_lane *lane)
{
    uint64_t free = *lane->word;
    SLAB_SET(*lane->word, free & (free - 1));
    /* The object of that bit. */
    return (void *)(lane->base + (unsigned)__builtin_ctzll(free) * lane->size);
}

/* Let the lane take from the first word of its current slab that has any. */
static bool use_word(struct heap_lane *lane)
{
    struct slab *slab = lane->current;
    for (unsigned w = 0; w < slab_words(slab); w++)
        if (slab->free[w] != 0) {
            SLAB_SET(lane->word, &slab->free[w]);
            lane->base = slab->base + w * 64 * lane->size;
            return true;
        }
    return false;
}

/* Free objects that make it worth while to look at a full slab again: else a heap where each free is
 * followed by one allocation goes the long way every time. */
static uint16_t full_left(const struct slab *slab)
{
    return slab->objects < 16 ? 1 : slab->objects / 8;
}

static void retire_current(struct share *s, struct heap_lane *lane)
{
    struct slab *slab = lane->current;
    if (slab == NULL)
        return;
    lane_count(s, lane, slab);
    lane_stop(s, lane);
    SLAB_SET(slab->state, SLAB_FULL);
    slab_arm(slab, full_left(slab));
    list_add_first(&lane->full, slab);
}

static void make_current(struct share *s, struct heap_lane *lane, struct slab *slab)
{
    lane->current = slab;
    SLAB_SET(slab->state, SLAB_CURRENT);
    slab_arm(slab, current_left(s));
    lane->size = slab_size(slab);
}

/* --- Slabs -------------------------------------------------------------------------------------- */

/* An empty slab becomes one of the class. */
static struct slab *start_slab(struct share *s, struct heap_lane *lane, struct slab *slab,
                               unsigned objects)
{
    slab_cut(slab, lane_class(s, lane), objects);
    if (slab->class >= CLASS_CACHES)
        cache_construct(slab);
    SLAB_SET(slab->owner, (uintptr_t)s | slab_tags(slab->class));
    slab_arm(slab, 0);
    lane->slabs++;
    lane->pages += slab->pages;
    return slab;
}

struct slab *share_take_reserve(struct share *s, unsigned pages)
{
    struct slab *slab = s->reserve[pages - 1].first;
    if (slab == NULL)
        return NULL;
    list_remove(&s->reserve[pages - 1], slab);
    if (s->reserve[pages - 1].first == NULL)
        s->reserved &= ~(1ull << (pages - 1));
    s->reserve_pages -= pages;
    slab_expect_free(slab);
    return slab;
}

static struct slab *new_run(struct share *s, unsigned pages)
{
    paddr_t frames;
    struct slab *slab = share_take_spare(s);
    if (slab == NULL)
        return NULL;
    if (pmm_alloc_frames(pages, &s->limits, &frames) == MM_OK) {
        if (page_map_prepare(s, frames) == MM_OK) {
            slab->base = va_number(va_of(phys_to_virt(frames)));
            slab->pages = pages;
            page_map_set(frames, pages, slab);
            return slab;
        }
        pmm_free_frames(frames, pages);
    }
    share_give_spare(s, slab);
    return NULL;
}

/* One that has as many objects as pays, or, where there is no memory, at least one. */
static struct slab *new_slab(struct share *s, struct heap_lane *lane)
{
    if (!s->in_use) {
        s->in_use = true;
        __atomic_fetch_add(&heap_users, 1, __ATOMIC_RELAXED);
    }
    const struct class *c = &heap_classes[lane_class(s, lane)];
    unsigned level = lane->slabs < 4 ? (unsigned)(lane->slabs + 1) / 2 : SHAPE_LEVELS - 1;
    for (unsigned i = level + 1; i-- > 0;) {
        struct slab *slab = share_take_reserve(s, c->shapes[i].pages);
        if (slab == NULL)
            slab = new_run(s, c->shapes[i].pages);
        if (slab != NULL)
            return start_slab(s, lane, slab, c->shapes[i].objects);
    }
    return NULL;
}

/* Without memory for a new one: a full slab that has a free object after all. */
static struct slab *search_full(struct share *s, struct heap_lane *lane)
{
    struct slab *slab = lane->full.first;
    while (slab != NULL && slab_count_free(slab) == 0 && !share_collect(s, slab))
        slab = list_next(slab);
    if (slab != NULL)
        list_remove(&lane->full, slab);
    return slab;
}

static struct slab *next_slab(struct share *s, struct heap_lane *lane)
{
    struct slab *slab = lane->partial.first;
    if (slab == NULL && share_collect_pending(s))
        slab = lane->partial.first;
    if (slab != NULL) {
        list_remove(&lane->partial, slab);
        lane->partials--;
    } else {
        bool cpu = s->cpu < CONFIG_CPUS_MAX; /* who asks for a node will not have just anything */
        slab = cpu ? shared_take(s, lane_class(s, lane)) : NULL;
        if (slab == NULL)
            slab = new_slab(s, lane);
        if (slab == NULL)
            slab = search_full(s, lane);
    }
    if (slab != NULL)
        lane_count(s, lane, slab);
    return slab;
}

static void *take(struct share *s, struct heap_lane *lane)
{
    if (*lane->word != 0)
        return pop(lane);
    if (lane->current != NULL &&
        (use_word(lane) || (SLAB_GET(lane->current->exact) == 0 &&
                            share_collect(s, lane->current) && use_word(lane))))
        return pop(lane);
    do { /* the free objects of a partial slab may all have been taken from recent */
        retire_current(s, lane);
        struct slab *slab = next_slab(s, lane);
        if (slab == NULL)
            return NULL;
        make_current(s, lane, slab);
    } while (!use_word(lane));
    return pop(lane);
}

/* While a sample is due, all that the lane gives goes this long way. */
void *share_take(struct share *s, unsigned class)
{
    struct heap_lane *lane = &s->lanes[class];
    void *p = take(s, lane);
    lane_settle(s, lane, !share_wants_sample(s));
    return p;
}

mm_status_t share_stock(struct share *s, unsigned pages)
{
    for (unsigned i = 0; i < pages; i++) {
        struct slab *slab = new_run(s, 1);
        if (slab == NULL)
            return MM_NOMEM;
        slab_cut(slab, 0, 1);
        share_add_reserve(s, slab);
    }
    return MM_OK;
}
