/* Owns: nothing; where objects come from when none is at hand.
 * Relies on: the pmm for slabs. Stage: "heap".
 *
 * In this order: what others have freed into the current slab, that slab, what others have freed into
 * any of this CPU's, partial slabs, those that are nobody's, empty ones of the reserve, new ones. */
#include "mm/pmm.h"
#include "mm/string.h"
#include "object_cache.h"
#include "shared.h"

static void retire_current(struct heap_lane *lane)
{
    struct slab *slab = lane->current;
    if (slab == NULL)
        return;
    lane->current = NULL;
    SLAB_SET(slab->state, SLAB_FULL);
    list_add_first(&lane->full, slab);
}

static void make_current(struct heap_lane *lane, struct slab *slab)
{
    lane->current = slab;
    SLAB_SET(slab->state, SLAB_CURRENT);
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
    lane->slabs++;
    lane->started += lane->started < 4;
    lane->pages += slab->pages;
    lane_make_room(s, lane, true);
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
    SLAB_SET(s->reserve_pages, s->reserve_pages - pages);
    slab_expect_free(slab);
    return slab;
}

static struct slab *new_run(struct share *s, unsigned pages, bool wide)
{
    paddr_t frames;
    struct slab *slab = share_take_spare(s, wide);
    if (slab == NULL)
        return NULL;
    if (pmm_alloc_frames(pages, &s->limits, &frames) == MM_OK) {
        if (page_map_prepare(s, frames) == MM_OK) {
            slab->base = va_number(va_of(phys_to_virt(frames)));
            slab->pages = pages;
            page_map_set(frames, pages, slab);
            s->grown += pages;
            return slab;
        }
        pmm_free_frames(frames, pages);
    }
    share_give_spare(s, slab);
    return NULL;
}

/* Another descriptor for an empty slab. NULL, and the slab is gone: there is none. */
static struct slab *widen(struct share *s, struct slab *slab)
{
    struct slab *wide = share_take_spare(s, true);
    if (wide == NULL) {
        share_destroy(s, slab);
        return NULL;
    }
    wide->base = slab->base;
    wide->pages = slab->pages;
    page_map_set(virt_to_phys((void *)slab->base), slab->pages, wide); /* its frames */
    share_give_spare(s, slab);
    return wide;
}

#define LONG_SLAB_BYTES 2048u /* of an object */

/* How far the slabs of a class have grown: as many as it has had, so that who frees all and begins again
 * has large ones at once; if they are long, as many as it has. */
static unsigned next_level(const struct heap_lane *lane, size_t bytes)
{
    uint64_t slabs = bytes > LONG_SLAB_BYTES ? lane->slabs : lane->started;
    return slabs < 4 ? (unsigned)(slabs + 1) / 2 : SHAPE_LEVELS - 1;
}

/* One that has as many objects as pays, or, where there is no memory, at least one. */
static struct slab *new_slab(struct share *s, struct heap_lane *lane)
{
    if (!s->in_use) {
        s->in_use = true;
        __atomic_fetch_add(&heap_users, 1, __ATOMIC_RELAXED);
    }
    struct class *c = &heap_classes[lane_class(s, lane)];
    for (unsigned i = next_level(lane, c->bytes) + 1; i-- > 0;) {
        struct shape shape = class_shape(c, i);
        bool wide = shape.objects > SLAB_NARROW;
        struct slab *slab = share_take_reserve(s, shape.pages);
        if (slab != NULL && wide && !slab->wide)
            slab = widen(s, slab);
        if (slab == NULL)
            slab = new_run(s, shape.pages, wide);
        if (slab != NULL)
            return start_slab(s, lane, slab, shape.objects);
    }
    return NULL;
}

/* Without memory for a new one: a full slab that has a free object after all. */
static struct slab *search_full(struct share *s, struct heap_lane *lane)
{
    struct slab *slab = lane->full.first;
    while (slab != NULL && slab_count_idle(slab) == 0 && !share_collect(s, slab, false))
        slab = list_next(slab);
    if (slab != NULL)
        list_remove(&lane->full, slab);
    return slab;
}

/* Memory grows: what lies idle in other lanes may do. */
static void reclaim(struct share *s, const struct heap_lane *lane)
{
    uint64_t pages = 0;
    if (s->grown <= CONFIG_HEAP_RESERVE_PAGES)
        return;
    for (unsigned i = 0; i < CLASS_COUNT; i++)
        pages += i == CLASS_RUNS || i == CLASS_RANGES ? 0 : s->lanes[i].pages;
    if (s->grown <= pages / 8)
        return;
    s->grown = 0;
    share_flush(s, lane);
}

static struct slab *next_slab(struct share *s, struct heap_lane *lane)
{
    struct slab *slab = lane->partial.first;
    if (slab != NULL) {
        list_remove(&lane->partial, slab);
        lane->partials--;
        lane_make_room(s, lane, false);
        return slab;
    }
    bool cpu = s->cpu < CONFIG_CPUS_MAX; /* who asks for a node will not have just anything */
    slab = cpu ? shared_take(s, lane_class(s, lane)) : NULL;
    if (slab != NULL)
        return slab;
    reclaim(s, lane);
    slab = new_slab(s, lane);
    return slab != NULL ? slab : search_full(s, lane);
}

/* The object at the top, or from wherever. */
static void *take(struct share *s, struct heap_lane *lane)
{
    void *p;
    if (lane_pop(lane, &p))
        return p;
    if (lane->top != lane->bottom)
        port_panic("heap: what CPU %u has at hand of class %s is destroyed at 0x%lx", s->cpu,
                   heap_class_name(lane_class(s, lane)), va_number(va_of(lane->top)));
    if (lane->current != NULL && SLAB_GET(lane->current->exact) == 0)
        (void)share_collect(s, lane->current, true);
    while (lane->top == lane->bottom && !lane_refill(lane)) {
        retire_current(lane);
        if (share_collect_pending(s) && lane->top != lane->bottom)
            break;
        struct slab *slab = next_slab(s, lane);
        if (slab == NULL)
            return NULL;
        make_current(lane, slab);
    }
    return lane_pop(lane, &p) ? p : NULL;
}

/* While a sample is due, all that the lane gives goes this long way. */
void *share_take(struct share *s, unsigned class)
{
    struct heap_lane *lane = share_lane(s, class);
    void *p = take(s, lane);
    if (p != NULL)
        SLAB_SET(lane->until, lane->until - 1);
    uint32_t rate = SLAB_GET(heap_tuning.sample_rate);
    bool retuned = rate != 0 && lane->until > (int64_t)rate;
    if (lane->until <= 0 || retuned || share_wants_sample(s))
        lane_settle(s, lane);
    return p;
}

mm_status_t share_stock(struct share *s, unsigned pages)
{
    for (unsigned i = 0; i < pages; i++) {
        struct slab *slab = new_run(s, 1, false);
        if (slab == NULL)
            return MM_NOMEM;
        slab_cut(slab, 0, 1);
        share_add_reserve(s, slab);
    }
    return MM_OK;
}
