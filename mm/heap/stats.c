/* Owns: nothing; what can be said of the heap.
 * Relies on: shares, the page map. Stage: "heap". */
#include "core.h"

#include "debug/debug.h"
#include "mm/string.h"
#include "object_cache.h"
#include "ranges.h"
#include "runs.h"
#include "sample.h"
#include "shared.h"

#ifdef QL_DEBUG_MEMORY
#define heap_find core_find
#define heap_walk core_walk
#endif

/* --- Classes -------------------------------------------------------------------------------------- */

unsigned heap_class_count(void)
{
    return CLASS_COUNT;
}

size_t heap_class_bytes(unsigned class)
{
    return class < CLASS_COUNT ? heap_classes[class].bytes : 0;
}

static void write_number(char *to, size_t n)
{
    unsigned digits = 1;
    for (size_t rest = n; rest >= 10; rest /= 10)
        digits++;
    for (; digits > 0; n /= 10)
        __atomic_store_n(&to[--digits], (char)('0' + n % 10), __ATOMIC_RELAXED);
}

/* Names of the size classes: written by whoever asks first, or by two, who write the same. */
static const char *size_name(unsigned class)
{
    static char names[CLASS_SIZES][sizeof "32768"];
    static bool made;
    if (!__atomic_load_n(&made, __ATOMIC_ACQUIRE)) {
        for (unsigned i = 0; i < CLASS_SIZES; i++)
            write_number(names[i], class_size(i));
        __atomic_store_n(&made, true, __ATOMIC_RELEASE);
    }
    return names[class];
}

const char *heap_class_name(unsigned class)
{
    if (class < CLASS_SIZES)
        return size_name(class);
    if (class == CLASS_RUNS)
        return "runs";
    return class == CLASS_RANGES ? "ranges" : cache_name(class);
}

/* --- Counts --------------------------------------------------------------------------------------- */

/* What others have freed into a slab that its owner has not seen yet, and what is wasted. */
static void add_slab(const struct slab *slab, struct heap_stats *out)
{
    out->waste_bytes += slab->pages * FRAME_BYTES - (uint64_t)slab->objects * slab_size(slab);
    out->remote_frees += slab_count_remote(slab);
}

static void add_list(const struct slab_list *list, struct heap_stats *out)
{
    for (const struct slab *slab = list->first; slab != NULL; slab = list_next(slab))
        add_slab(slab, out);
}

/* Of a CPU that has freed more runs of others than it has itself. */
static uint64_t not_negative(uint64_t n)
{
    return (int64_t)n < 0 ? 0 : n;
}

/* What its owner does meanwhile is seen in part only. Runs are counted when they go; of other objects it
 * is known how many are there. */
static struct heap_stats of_lane(const struct heap_lane *lane, bool whole)
{
    uint64_t taken = (uint64_t)(SLAB_GET(lane->armed) - SLAB_GET(lane->until));
    struct heap_stats one = {
        .peak = SLAB_GET(lane->peak),
        .allocations = SLAB_GET(lane->allocations) + taken,
        .failures = lane->failures,
        .slabs = lane->slabs,
        .slab_bytes = lane->pages * FRAME_BYTES,
    };
    if (lane->current != NULL)
        add_slab(lane->current, &one);
    add_list(&lane->partial, &one);
    add_list(&lane->full, &one);
    uint64_t at_hand = (uint64_t)(SLAB_GET(lane->top) - lane->bottom);
    one.live = whole ? one.allocations - SLAB_GET(lane->frees)
                     : SLAB_GET(lane->out) - at_hand - one.remote_frees;
    one.frees = whole ? SLAB_GET(lane->frees) : one.allocations + (uint64_t)lane->moved - one.live;
    one.remote_frees += lane->remote_frees;
    return one;
}

/* alone: not part of a sum of all CPUs, in which runs that others have freed cancel out. */
static void add_lane(const struct share *s, unsigned class, bool alone, struct heap_stats *out)
{
    bool whole = class == CLASS_RUNS || class == CLASS_RANGES;
    struct heap_stats one = of_lane(&s->lanes[class], whole);
    if (whole)
        one.slabs = one.live;
    if (class == CLASS_RUNS)
        one.slab_bytes -= SLAB_GET(s->kept_pages) * FRAME_BYTES;
    if (alone) {
        one.live = not_negative(one.live);
        one.slabs = not_negative(one.slabs);
        one.slab_bytes = not_negative(one.slab_bytes);
    }
    out->live += one.live;
    out->live_bytes += whole ? one.slab_bytes : one.live * heap_classes[class].bytes;
    out->peak += one.peak > one.live || (int64_t)one.live < 0 ? one.peak : one.live;
    out->allocations += one.allocations;
    out->frees += one.frees;
    out->remote_frees += one.remote_frees;
    out->failures += one.failures;
    out->slabs += one.slabs;
    out->slab_bytes += one.slab_bytes;
    out->waste_bytes += one.waste_bytes;
}

static void add_share(struct share *s, unsigned class, bool alone, struct heap_stats *out)
{
    irq_state_t irq = spin_lock(&s->lock);
    for (unsigned i = 0; i < CLASS_COUNT; i++)
        if (class == i || class == HEAP_ALL)
            add_lane(s, i, alone, out);
    spin_unlock(&s->lock, irq);
}

/* Slabs that are nobody's: on no CPU, but part of the sum. */
static void add_shared(unsigned class, struct heap_stats *out)
{
    const struct shared_class *c = &shared.classes[class];
    struct heap_stats freed = {0};
    add_list(&c->list, &freed);
    out->live += c->used - freed.remote_frees;
    out->live_bytes += (c->used - freed.remote_frees) * heap_classes[class].bytes;
    out->frees += freed.remote_frees;
    out->remote_frees += freed.remote_frees;
    out->slabs += c->slabs;
    out->slab_bytes += c->pages * FRAME_BYTES;
    out->waste_bytes += freed.waste_bytes;
}

static void add_all_shared(unsigned class, struct heap_stats *out)
{
    irq_state_t irq = spin_lock(&shared.lock);
    for (unsigned i = 0; i < CLASS_COUNT; i++)
        if (class == i || class == HEAP_ALL)
            add_shared(i, out);
    spin_unlock(&shared.lock, irq);
}

mm_status_t heap_get_stats(unsigned class, unsigned cpu, struct heap_stats *out)
{
    bool any = false;
    if (class != HEAP_ALL && heap_class_name(class) == NULL)
        return MM_NOTFOUND;
    struct heap_stats sum = {0};
    for (struct share *s = NULL; (s = share_next(s)) != NULL;) {
        if (cpu != HEAP_ALL && cpu != s->cpu)
            continue;
        add_share(s, class, cpu != HEAP_ALL, &sum);
        any = true;
    }
    if (!any)
        return MM_NOTFOUND;
    if (cpu == HEAP_ALL)
        add_all_shared(class, &sum);
    sum.live = not_negative(sum.live);
    sum.live_bytes = not_negative(sum.live_bytes);
    sum.slabs = not_negative(sum.slabs);
    sum.slab_bytes = not_negative(sum.slab_bytes);
    *out = sum;
    return MM_OK;
}

void heap_get_totals(struct heap_totals *out)
{
    *out = (struct heap_totals){0};
    (void)heap_get_stats(HEAP_ALL, HEAP_ALL, &out->all);
    out->descriptor_bytes = SLAB_GET(page_map.frames) * FRAME_BYTES;
    out->shrinks = SLAB_GET(heap_shrinks);
    struct sample_stats samples;
    sample_get_stats(&samples);
    out->samples = samples.samples;
    out->samples_live = samples.live;
    for (struct share *s = NULL; (s = share_next(s)) != NULL;) {
        irq_state_t irq = spin_lock(&s->lock);
        out->reserve_bytes += (s->reserve_pages + SLAB_GET(s->kept_pages)) * FRAME_BYTES;
        out->descriptor_bytes += s->descriptor_pages * FRAME_BYTES;
        spin_unlock(&s->lock, irq);
    }
#ifdef QL_DEBUG_MEMORY
    debug_adjust(out);
#endif
}

/* --- Objects -------------------------------------------------------------------------------------- */

static bool visit_slab(const struct slab *slab, heap_visit_t visit, void *argument)
{
    if (slab->state == SLAB_EMPTY || (slab->state == SLAB_RUN && !run_is_live(slab)))
        return true;
    size_t bytes = slab->class == CLASS_RUNS ? slab->pages * FRAME_BYTES : slab_size(slab);
    for (unsigned i = 0; i < slab->objects; i++) {
        struct heap_object object = {(void *)(slab->base + i * bytes), bytes, slab->class};
        if (!slab_is_free(slab, i) && !visit(&object, argument))
            return false;
    }
    return true;
}

struct sample_visit {
    heap_visit_t visit;
    void *argument;
};

static bool visit_sample(const struct heap_origin *sample, void *argument)
{
    const struct sample_visit *v = argument;
    const struct heap_object object = {sample->object, sample->bytes, class_of(sample->bytes)};
    return v->visit(&object, v->argument);
}

void heap_walk(heap_visit_t visit, void *argument)
{
    uint64_t offset = 0;
    struct slab *slab;
    while ((slab = page_map_next(&offset)) != NULL)
        if (!visit_slab(slab, visit, argument))
            return;
    void *base = NULL;
    for (uint64_t pages = 0; ranges_next_object(&base, &pages);) {
        struct heap_object object = {base, pages * FRAME_BYTES, CLASS_RANGES};
        if (!visit(&object, argument))
            return;
    }
    struct sample_visit sampled = {visit, argument};
    (void)sample_walk(visit_sample, &sampled);
}

static bool find_sample(const void *p, struct heap_place *out)
{
    struct heap_origin origin;
    if (sample_find(p, &origin) != MM_OK || (uintptr_t)p - (uintptr_t)origin.object >= origin.bytes)
        return false;
    *out = (struct heap_place){origin.object, origin.bytes, class_of(origin.bytes), origin.live};
    return true;
}

bool heap_find(const void *p, struct heap_place *out)
{
    if (sample_owns(p))
        return find_sample(p, out);
    struct large large;
    if (large_find(p, &large)) {
        unsigned class = large.run != NULL ? CLASS_RUNS : CLASS_RANGES;
        *out = (struct heap_place){large.base, large.pages * FRAME_BYTES, class, true};
        return true;
    }
    struct slab *slab = page_map_find(page_map_offset(p));
    unsigned class = slab->class;
    if (slab == &slab_nobody || class >= CLASS_COUNT)
        return false;
    size_t bytes = slab_size(slab);
    uint64_t index = bytes != 0 ? ((uintptr_t)p - slab->base) / bytes : 0;
    if (bytes == 0 || index >= slab->objects)
        return false;
    *out = (struct heap_place){(void *)(slab->base + index * bytes), bytes, class,
                               SLAB_GET(slab->state) != SLAB_EMPTY &&
                                   !slab_is_free(slab, (unsigned)index)};
    return true;
}

/* --- Tuning ----------------------------------------------------------------------------------------- */

void heap_get_tuning(struct heap_tuning *out)
{
    *out = heap_tuning;
}

mm_status_t heap_tune(const struct heap_tuning *t)
{
    if (t->reserve_pages > HEAP_RESERVE_PAGES_MAX || t->cache_depth < 1 ||
        t->cache_depth > HEAP_CACHE_DEPTH_MAX || t->debug_level > HEAP_DEBUG_LEVEL_MAX ||
        (t->sample_rate != 0 &&
         (t->sample_rate < HEAP_SAMPLE_RATE_MIN || t->sample_rate > HEAP_SAMPLE_RATE_MAX)))
        return MM_RANGE;
#ifdef QL_DEBUG_MEMORY
    if (t->debug_level > DEBUG_ALL)
        return MM_RANGE;
#else
    if (t->debug_level != heap_tuning.debug_level)
        return MM_INVAL;
#endif
    SLAB_SET(heap_tuning.reserve_pages, t->reserve_pages);
    SLAB_SET(heap_tuning.cache_depth, t->cache_depth);
    SLAB_SET(heap_tuning.sample_rate, t->sample_rate);
    SLAB_SET(heap_tuning.debug_level, t->debug_level);
    share_rearm();
    return MM_OK;
}
