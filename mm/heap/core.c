/* Owns: whether the heap is there.
 * Relies on: shares for size classes, runs for what is larger. Stage: heap_init opens "heap". */
#include "core.h"

#include "debug/debug.h"
#include "mm/heap_debug.h"
#include "mm/kasan.h"
#include "mm/pmm.h"
#include "mm/string.h"
#include "runs.h"
#include "sample.h"
#include "shared.h"

static mm_status_t stock(void)
{
    irq_state_t irq;
    struct share *s = share_enter(&irq);
    mm_status_t status = share_stock(s, CONFIG_HEAP_INITIAL_BYTES / FRAME_BYTES);
    if (status != MM_OK) {
        share_trim(s, 0);
        share_drop_spares(s);
        page_map_drop();
    }
    share_leave(s, irq);
    return status;
}

mm_status_t heap_init(void)
{
    sample_init();
#ifdef QL_DEBUG_MEMORY
    debug_init();
#endif
    classes_init();
    shared_init();
    node_shares_init();
    mm_status_t status = page_map_init();
    return status == MM_OK ? stock() : status;
}

void *class_alloc(unsigned class)
{
    void *p;
    irq_state_t irq = irq_save();
    struct share *s = share_self();
    struct heap_lane *lane = &s->lanes[class];
    bool done = lane_take(lane, &p) || (lane_refill(lane) && lane_take(lane, &p));
    irq_restore(irq);
    if (done)
        return p;
    s = share_enter(&irq);
    p = share_take(s, class);
    share_leave(s, irq);
    return p;
}

static void *alloc_on_node(unsigned class, const struct heap_want *want)
{
    void *p = want->on_node ? node_take(want->node, class) : NULL;
    return p != NULL ? p : class_alloc(class);
}

/* want->align is a power of two. */
static void *alloc_once(size_t bytes, const struct heap_want *want, bool *zeroed)
{
    *zeroed = false;
    if (bytes <= HEAP_CLASS_BYTES && want->align <= FRAME_BYTES) {
        unsigned class = class_of_aligned(bytes, want->align);
        if (class < CLASS_SIZES)
            return alloc_on_node(class, want);
    }
    return large_alloc(bytes, want, zeroed);
}

static unsigned class_for(size_t bytes)
{
    if (bytes <= HEAP_CLASS_BYTES)
        return class_of(bytes);
    return bytes < HEAP_RANGE_BYTES ? CLASS_RUNS : CLASS_RANGES;
}

/* Who cannot wait is ready for it, and says so himself if it matters. */
static void note_failure(size_t bytes, size_t align, bool log)
{
    static bool said;
    irq_state_t irq;
    struct share *s = share_enter(&irq);
    share_lane(s, class_for(bytes))->failures++;
    share_leave(s, irq);
    if (log && !__atomic_exchange_n(&said, true, __ATOMIC_RELAXED))
        port_log("heap: no %lu bytes aligned to %lu (said once)", bytes, align);
}

/* With interrupts as the caller of the heap has them. Where it cannot be, later ones may. A slab that
 * is looked at when something is freed shows that it is time; who frees first and then allocates
 * would have its first object sampled each time, but for those that are skipped. */
static void *sample(size_t bytes, const struct heap_want *want)
{
    irq_state_t irq = irq_save();
    struct share *s = share_self();
    bool due = (want->flags & HEAP_NOWAIT) == 0 && share_wants_sample(s), skip = due && s->skip > 0;
    s->skip -= skip;
    irq_restore(irq);
    if (!due || skip)
        return NULL;
    void *p = sample_alloc(bytes, want->align);
    uint32_t rate = SLAB_GET(heap_tuning.sample_rate);
    irq = irq_save();
    s = share_self();
    if (s->until_sample <
        -(int64_t)rate) /* many lanes were not counted for long: not one after another */
        s->until_sample = -(int64_t)rate;
    s->until_sample += share_jitter(s, p != NULL ? rate : rate / 4);
    s->skip = share_jitter(s, 16) % 8;
    irq_restore(irq);
    return p;
}

void *core_alloc(size_t bytes, const struct heap_want *want)
{
    /* Mostly kmalloc's lane is empty, and that is all. */
    if (want == NULL && bytes <= HEAP_CLASS_BYTES && !KASAN && !share_wants_sample(share_self())) {
        void *object = class_alloc(class_of(bytes));
        if (object != NULL)
            return object;
    }
    bool zeroed;
    void *p = NULL;
    struct heap_want w = want != NULL ? *want : (struct heap_want){0};
    if (w.align < HEAP_ALIGN)
        w.align = w.align == 0 || (w.align & (w.align - 1)) == 0 ? HEAP_ALIGN : w.align;
    if ((w.align & (w.align - 1)) == 0 && w.align <= HEAP_ALIGN_MAX) {
        zeroed = false;
        p = sample(bytes, &w);
        if (p == NULL)
            p = alloc_once(bytes, &w, &zeroed);
        while (p == NULL && share_relieve(!(w.flags & HEAP_NOWAIT)) > 0)
            p = alloc_once(bytes, &w, &zeroed);
    }
    if (p == NULL) {
        note_failure(bytes, w.align, !(w.flags & HEAP_NOWAIT));
        if (w.flags & HEAP_NOFAIL)
            port_panic("heap: no %lu bytes for %s", bytes, w.what != NULL ? w.what : "a caller");
        return NULL;
    }
    if (KASAN)
        kasan_alloc(p, bytes, core_size(p));
    if ((w.flags & HEAP_ZERO) != 0 && !zeroed)
        memset(p, 0, bytes);
    return p;
}

void core_free(void *p)
{
    free_otherwise(p, SIZE_UNKNOWN);
}

size_t core_size(const void *p)
{
    struct slab *slab;
    uint32_t index;
    if (sample_owns(p))
        return sample_size(p);
    const char *why = object_find(p, &slab, &index);
    if (why != NULL) {
        heap_misuse("kmalloc_size", p, why);
        return 0;
    }
    struct large large;
    return large_find(p, &large) ? large.pages * FRAME_BYTES : slab_size(slab);
}

uint64_t heap_shrink(void)
{
    (void)heap_drain_delayed();
    return share_shrink(true);
}

void heap_leave_cpu(void)
{
    irq_state_t irq;
    struct share *s = share_enter(&irq);
    share_abandon(s);
    share_leave(s, irq);
}
