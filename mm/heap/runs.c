/* Owns: nothing; objects that are runs of frames, or virtual ranges.
 * Relies on: the pmm, ranges.h. Stage: "heap"; ranges from vmm_init on.
 *
 * A run has a descriptor like a slab of one object; the page map leads to it from its first frame. Short
 * ones are kept when they are freed: kept.c. From HEAP_RANGE_BYTES on an object is whole blocks of 2 MiB
 * if it fills them, which memory has or has not; else a range, for which any frames will do, and which
 * grows without being copied.
 * The frames are of PMM_SHORT: large objects come and go, and shall not lie among slabs. */
#include "runs.h"

#include "kept.h"
#include "mm/kasan.h"
#include "mm/pmm.h"
#include "ranges.h"

#define RUN_PAGES_LIMIT (1ull << 32) /* a descriptor has no room for more */
#define BLOCK_PAGES     (HUGE_2M / FRAME_BYTES)

size_t large_range_bytes = HEAP_RANGE_BYTES;

/* --- Counting ------------------------------------------------------------------------------- */

/* pages: more or less than before. */
static void count(struct share *s, unsigned class, int64_t objects, int64_t pages)
{
    struct heap_lane *lane = share_lane(s, class);
    if (objects > 0)
        SLAB_SET(lane->allocations, lane->allocations + 1);
    if (objects < 0)
        SLAB_SET(lane->frees, lane->frees + 1);
    SLAB_SET(lane->pages, lane->pages + (uint64_t)pages);
    uint64_t live = lane->allocations - lane->frees;
    if ((int64_t)live > (int64_t)lane->peak)
        SLAB_SET(lane->peak, live);
}

static void count_range(int64_t objects, int64_t pages)
{
    irq_state_t irq;
    struct share *s = share_enter(&irq);
    count(s, CLASS_RANGES, objects, pages);
    share_leave(s, irq);
}

/* --- Runs ------------------------------------------------------------------------------------- */

static struct slab *new_run(struct share *s, uint64_t pages, const struct pmm_limits *limits)
{
    paddr_t frames;
    struct slab *run = share_take_spare(s, false);
    if (run == NULL)
        return NULL;
    if (pmm_alloc_frames(pages, limits, &frames) == MM_OK) {
        if (page_map_prepare(s, frames) == MM_OK) {
            run->base = va_number(va_of(phys_to_virt(frames)));
            run->pages = (uint32_t)pages;
            page_map_set(frames, 1, run);
            return run;
        }
        pmm_free_frames(frames, pages);
    }
    share_give_spare(s, run);
    return NULL;
}

static struct slab *start_run(struct share *s, struct slab *run)
{
    SLAB_SET(run->class, CLASS_RUNS);
    SLAB_SET(run->objects, 1);
    SLAB_SET(run->idle[0], 0); /* for who walks the heap */
    SLAB_SET(run->remote[0], 0);
    SLAB_SET(run->kept, false);
    SLAB_SET(run->out, kept_stack_of(run->pages));
    SLAB_SET(run->owner, (uintptr_t)s | SLAB_WHOLE);
    SLAB_SET(run->state, SLAB_RUN);
    return run;
}

static bool on_some_node(const struct heap_want *want)
{
    return want->on_node && want->node < NUMA_NODES_MAX;
}

static bool is_any(const struct heap_want *want)
{
    return want->align <= FRAME_BYTES && !on_some_node(want);
}

static void *run_alloc(uint64_t pages, const struct heap_want *want)
{
    const struct pmm_limits limits = {
        .align_frames = want->align / FRAME_BYTES,
        .node_rule = on_some_node(want) ? PMM_NODE_PREFERRED : PMM_NODE_ANY,
        .node = want->node,
    };
    irq_state_t irq;
    bool any = is_any(want);
    struct share *s = share_enter(&irq);
    struct slab *run = new_run(s, any ? kept_length(pages) : pages, any ? NULL : &limits);
    if (run != NULL)
        count(s, CLASS_RUNS, 1, start_run(s, run)->pages);
    share_leave(s, irq);
    return run == NULL ? NULL : (void *)run->base; /* where its frames are in the direct map */
}

void run_destroy(struct share *s, struct slab *run)
{
    uint64_t pages = run->pages;
    paddr_t frames = virt_to_phys((void *)run->base); /* of the direct map */
    page_map_set(frames, 1, &slab_nobody);
    share_give_spare(s, run);
    pmm_free_frames(frames, pages);
    s->given += pages;
}

/* Of two who free it, one is first. */
const char *run_free(struct slab *run)
{
    irq_state_t irq;
    uint8_t live = SLAB_RUN;
    if (kept_put(run, (void *)run->base)) /* of the direct map */
        return NULL;
    if (SLAB_GET(run->kept) || !__atomic_compare_exchange_n(&run->state, &live, SLAB_SPARE, false,
                                                            __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
        return "freed already (a double free)";
    struct share *s = share_enter(&irq);
    kasan_free((void *)run->base, run->pages * FRAME_BYTES); /* its frames */
    bool kept = kept_add(s, run);
    count(s, CLASS_RUNS, -1, kept ? 0 : -(int64_t)run->pages);
    if (!kept)
        run_destroy(s, run);
    share_leave(s, irq);
    return NULL;
}

/* All of a run is in one block, or it begins with one: run_around relies on it. */
static bool in_block(paddr_t base, uint64_t pages)
{
    uint64_t first = pa_diff(pa_align_down(base, HUGE_2M), base) / FRAME_BYTES;
    return first == 0 || first + pages <= BLOCK_PAGES;
}

/* Give the end back, or take what is free behind it. */
static bool run_resize(struct slab *run, uint64_t pages)
{
    irq_state_t irq;
    struct share *s = share_enter(&irq);
    uint64_t had = run->pages;
    paddr_t base = virt_to_phys((void *)run->base); /* of the direct map */
    bool done = true;
    if (pages > had)
        done = in_block(base, pages) &&
               pmm_try_mark_used(pa_add(base, had * FRAME_BYTES), pages - had) == MM_OK;
    if (done) {
        run->pages = (uint32_t)pages;
        SLAB_SET(run->out, kept_stack_of(pages));
        count(s, CLASS_RUNS, 0, (int64_t)(pages - had));
    }
    if (pages < had)
        pmm_free_frames(pa_add(base, pages * FRAME_BYTES), had - pages);
    share_leave(s, irq);
    return done;
}

/* --- Ranges ------------------------------------------------------------------------------------- */

static void *range_alloc(uint64_t pages, uint64_t align)
{
    void *p = ranges_alloc(RANGES_OBJECT, pages, align > FRAME_BYTES ? align / FRAME_BYTES : 1);
    if (p != NULL)
        count_range(1, (int64_t)pages);
    return p;
}

static void *range_resize(const struct large *object, uint64_t pages)
{
    void *p = ranges_resize(object->base, object->pages, pages);
    if (p != NULL)
        count_range(0, (int64_t)(pages - object->pages));
    return p;
}

/* --- Either --------------------------------------------------------------------------------------- */

/* Whole blocks that an object of so many pages fills but for an eighth; 0: it does not. */
static uint64_t as_blocks(uint64_t pages)
{
    uint64_t whole = (pages + BLOCK_PAGES - 1) / BLOCK_PAGES * BLOCK_PAGES;
    return whole - pages <= whole / 8 ? whole : 0;
}

static void *range_if(bool may, uint64_t pages, const struct heap_want *want, bool *zeroed)
{
    void *p = may ? range_alloc(pages, want->align) : NULL;
    *zeroed = p != NULL;
    return p;
}

/* Blocks first, but for what grows; a range can be on no node of its own. */
void *large_alloc(size_t bytes, const struct heap_want *want, bool *zeroed)
{
    uint64_t pages = bytes == 0 ? 1 : bytes / FRAME_BYTES + (bytes % FRAME_BYTES != 0);
    bool big = bytes >= large_range_bytes, range = big && (want->flags & HEAP_NOWAIT) == 0;
    uint64_t blocks = big && (want->flags & LARGE_GROWS) == 0 ? as_blocks(pages) : 0;
    *zeroed = false;
    void *p = is_any(want) ? kept_take(bytes) : NULL;
    if (p != NULL || pages >= RUN_PAGES_LIMIT)
        return p;
    if (blocks != 0)
        p = run_alloc(blocks, want);
    if (p == NULL)
        p = range_if(range && !want->on_node, pages, want, zeroed);
    if (p == NULL)
        p = run_alloc(pages, want);
    return p != NULL ? p : range_if(range && want->on_node, pages, want, zeroed);
}

/* The run that has the page, by looking at the pages in front, from one first frame to the one before;
 * who is there has them all in one block, or begins with one. For misuse only. */
static struct slab *run_around(const void *p)
{
    uint64_t offset = page_map_offset(p), block = offset & ~(HUGE_2M - 1);
    struct slab *found = &slab_nobody;
    if (!hhdm_contains(p))
        return NULL;
    for (;;) {
        found = page_map_find(offset);
        if (found != &slab_nobody || offset < FRAME_BYTES)
            break;
        if (offset - block < FRAME_BYTES) { /* a run of several blocks begins with one */
            block -= HUGE_2M;
            offset = block;
        } else {
            offset -= FRAME_BYTES;
        }
    }
    bool inside = SLAB_GET(found->state) == SLAB_RUN &&
                  va_number(va_of(p)) - found->base < found->pages * FRAME_BYTES;
    return inside ? found : NULL;
}

bool run_is_free(const void *p)
{
    const struct slab *run = run_around(p);
    return run != NULL && !run_is_live(run);
}

bool large_find(const void *p, struct large *out)
{
    out->run = NULL;
    if (!hhdm_contains(p))
        return ranges_find_object(p, &out->base, &out->pages);
    struct slab *run = page_map_find(page_map_offset(p));
    if (run == &slab_nobody)
        run = run_around(p);
    if (run == NULL || !run_is_live(run))
        return false;
    *out = (struct large){(void *)run->base, run->pages, run};
    return true;
}

const char *large_free(const struct large *object)
{
    if (object->run != NULL)
        return run_free(object->run);
    count_range(-1, -(int64_t)object->pages);
    ranges_free(object->base, object->pages);
    return NULL;
}

/* What grows will grow again: an eighth more, or, if that is not to be had, just enough. What
 * shrinks by less than that stays as it is. */
bool large_resize(const struct large *object, size_t bytes, void **out)
{
    uint64_t pages = bytes / FRAME_BYTES + (bytes % FRAME_BYTES != 0);
    uint64_t more = object->pages + object->pages / 8;
    *out = object->base;
    if (pages <= object->pages && pages >= object->pages - object->pages / 8)
        return true;
    if (object->run == NULL) {
        bool grows = pages > object->pages && more > pages;
        do {
            *out = grows ? range_resize(object, more) : NULL;
            if (*out == NULL)
                *out = range_resize(object, pages);
        } while (*out == NULL && share_relieve(true) > 0);
        return *out != NULL;
    }
    if (pages > object->pages && run_resize(object->run, kept_length(more > pages ? more : pages)))
        return true;
    return run_resize(object->run, pages);
}
