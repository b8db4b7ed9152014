/* Owns: nothing; where freed objects and empty slabs go.
 * Relies on: the pmm for slabs. Stage: "heap". */
#include "kept.h"
#include "mm/kasan.h"
#include "mm/pmm.h"
#include "runs.h"
#include "sample.h"
#include "shared.h"

/* --- Empty slabs ---------------------------------------------------------------------------------- */

void share_destroy(struct share *s, struct slab *slab)
{
    paddr_t frames = PA(slab->base - va_number(hhdm_address(PA(0)))); /* of the direct map */
    uint64_t pages = slab->pages;
    page_map_set(frames, pages, &slab_nobody);
    share_give_spare(s, slab);
    pmm_free_frames(frames, pages);
    s->given += pages;
}

/* Each length in turn, the one that has not been asked for longest first. */
static void drop_empty(struct share *s)
{
    uint64_t above = s->reserved & ~0ull << s->hand;
    unsigned i = (unsigned)__builtin_ctzll(above != 0 ? above : s->reserved);
    struct slab *slab = s->reserve[i].last;
    list_remove(&s->reserve[i], slab);
    if (s->reserve[i].first == NULL)
        s->reserved &= ~(1ull << i);
    SLAB_SET(s->reserve_pages, s->reserve_pages - slab->pages);
    s->hand = (i + 1) % RUN_PAGES_MAX;
    share_destroy(s, slab);
}

void share_trim(struct share *s, uint64_t keep_pages)
{
    while (s->reserve_pages + s->kept_pages > keep_pages)
        if (s->kept_pages > s->reserve_pages)
            kept_drop(s);
        else
            drop_empty(s);
}

/* All of another CPU's. */
static void take_reserve(struct share *s)
{
    kept_drop_all(s);
    while (s->reserve_pages > 0)
        drop_empty(s);
}

void share_add_reserve(struct share *s, struct slab *slab)
{
    SLAB_SET(slab->state, SLAB_EMPTY);
    SLAB_SET(slab->owner, (uintptr_t)s | SLAB_NO_LANE);
    list_add_first(&s->reserve[slab->pages - 1], slab);
    s->reserved |= 1ull << (slab->pages - 1);
    SLAB_SET(s->reserve_pages, s->reserve_pages + slab->pages);
}

void share_keep_empty(struct share *s, struct slab *slab)
{
    struct heap_lane *lane = &s->lanes[slab->class];
    lane->slabs--;
    lane->pages -= slab->pages;
    share_add_reserve(s, slab);
    if (s->reserve_pages + s->kept_pages > SLAB_GET(heap_tuning.reserve_pages))
        share_trim(s, SLAB_GET(heap_tuning.reserve_pages));
}

/* Slabs that objects are taken from, but none has been. */
static void drop_idle(struct share *s)
{
    for (unsigned class = 0; class < CLASS_COUNT; class ++) {
        struct heap_lane *lane = &s->lanes[class];
        struct slab *slab = share_has_lane(s, class) ? lane->current : NULL;
        if (share_has_lane(s, class))
            lane->started = 0;
        if (slab == NULL)
            continue;
        share_collect(s, slab, false);
        if (slab->out != 0)
            continue;
        lane->current = NULL;
        share_keep_empty(s, slab);
    }
}

/* Nothing stays in lanes that need not. */
static void tidy(struct share *s)
{
    share_collect_pending(s);
    share_flush(s, NULL);
    for (unsigned i = 0; i < CLASS_COUNT; i++)
        lane_drop(s, &s->lanes[i]);
    drop_idle(s);
}

/* What all CPUs keep, or only this one. Slabs that become empty on the way may go at once, so what was
 * there before and is not there afterwards is not all. */
uint64_t share_shrink(bool all)
{
    irq_state_t irq;
    struct share *self = share_enter(&irq);
    uint64_t given = self->given, pages;
    tidy(self);
    share_trim(self, 0);
    pages = self->given - given;
    share_leave(self, irq);
    for (struct share *s = NULL; all && (s = share_next(s)) != NULL;) {
        if (s == self)
            continue;
        irq = spin_lock(&s->lock);
        given = s->given;
        if (s->cpu >= CONFIG_CPUS_MAX) /* a node's: nobody else will */
            tidy(s);
        take_reserve(s);
        pages += s->given - given;
        spin_unlock(&s->lock, irq);
    }
    return pages;
}

uint64_t heap_shrinks;

uint64_t share_relieve(bool all)
{
    uint64_t pages = share_shrink(all);
    if (pages > 0)
        __atomic_fetch_add(&heap_shrinks, 1, __ATOMIC_RELAXED);
    return pages;
}

/* --- Slabs that have changed ------------------------------------------------------------------------ */

/* More partial slabs than this CPU should keep to itself. */
static void share_oldest(struct share *s, struct heap_lane *lane)
{
    struct slab *slab = lane->partial.first;
    list_remove(&lane->partial, slab);
    lane->partials--;
    shared_put(s, slab);
}

void share_keep_few(struct share *s, struct heap_lane *lane)
{
    while (lane->partials > SLAB_GET(heap_tuning.cache_depth) && SLAB_GET(heap_users) > 1)
        share_oldest(s, lane);
}

/* Free objects that make it worth while to look at a full slab again: else a heap where each free is
 * followed by one allocation goes the long way every time. */
static unsigned full_left(const struct slab *slab)
{
    return slab->objects < 16 ? 1 : slab->objects / 8;
}

void share_look(struct share *s, struct slab *slab)
{
    struct heap_lane *lane = &s->lanes[slab->class];
    if (slab->state == SLAB_FULL && (unsigned)(slab->objects - slab->out) >= full_left(slab)) {
        list_remove(&lane->full, slab);
        SLAB_SET(slab->state, SLAB_PARTIAL);
        list_add_last(&lane->partial, slab);
        lane->partials++;
    }
    if (slab->state == SLAB_PARTIAL && slab->out == 0) {
        list_remove(&lane->partial, slab);
        lane->partials--;
        share_keep_empty(s, slab);
    }
}

/* Two CPUs have freed these at the same time, and neither saw the other. */
static void tell_twice(const struct slab *slab, unsigned word, uint64_t bits)
{
    for (; bits != 0; bits &= bits - 1) {
        unsigned index = 64 * word + (unsigned)__builtin_ctzll(bits);
        port_misuse("heap: 0x%lx: freed twice (a double free); class %s",
                    slab->base + (uint64_t)index * slab_size(slab), heap_class_name(slab->class));
    }
}

void slab_expect_free(struct slab *slab)
{
    for (unsigned w = 0; w < SLAB_WORDS; w++)
        if (__builtin_expect(SLAB_GET(slab->remote[w]) != 0, 0))
            tell_twice(slab, w, __atomic_exchange_n(&slab->remote[w], 0, __ATOMIC_ACQ_REL));
}

bool share_collect(struct share *s, struct slab *slab, bool at_hand)
{
    struct heap_lane *lane = &s->lanes[slab->class];
    unsigned count = 0, back = 0;
    SLAB_SET(slab->exact, class_exact(&heap_classes[slab->class], slab->objects));
    for (unsigned w = 0; w < slab_words(slab); w++) {
        if (SLAB_GET(slab->remote[w]) == 0)
            continue;
        uint64_t bits = __atomic_exchange_n(&slab->remote[w], 0, __ATOMIC_ACQ_REL);
        for (; bits != 0; bits &= bits - 1) {
            uint32_t index = 64 * w + (uint32_t)__builtin_ctzll(bits);
            if (__builtin_expect(slab_is_idle(slab, index), 0)) {
                tell_twice(slab, w, bits & -bits);
                continue;
            }
            SLAB_SET(slab->idle[index], 1);
            count++;
            back += !(at_hand && lane_add(lane, slab, index));
        }
    }
    SLAB_SET(slab->out, (uint16_t)(slab->out - back));
    SLAB_SET(lane->out, lane->out - back);
    SLAB_SET(lane->remote_frees, lane->remote_frees + count);
    return count != 0;
}

/* Whoever sets the link puts the slab into the list. After the bit in remote: either we see that the
 * slab is in no list any more, or the owner sees the bit. */
static void push_pending(struct share *s, struct slab *slab)
{
    struct slab *none = NULL, *head = SLAB_GET(s->pending);
    if (!__atomic_compare_exchange_n(&slab->pending, &none, slab, false, __ATOMIC_SEQ_CST,
                                     __ATOMIC_RELAXED))
        return;
    do
        __atomic_store_n(&slab->pending, head != NULL ? head : slab, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&s->pending, &head, slab, true, __ATOMIC_SEQ_CST,
                                        __ATOMIC_RELAXED));
}

static struct share *owner_of(const struct slab *slab)
{
    return share_of(__atomic_load_n(&slab->owner, __ATOMIC_SEQ_CST));
}

/* Put the slab into its owner's pending list if it is in none; NULL: it has no owner. If it has changed
 * hands when it is in the list, its old owner may have looked there for the last time. */
static struct share *pass_on(struct slab *slab)
{
    struct share *owner = owner_of(slab), *told = NULL;
    while (owner != NULL && owner != told && SLAB_GET(slab->pending) == NULL) {
        push_pending(owner, slab);
        told = owner;
        owner = owner_of(slab);
        if (owner != told)
            share_pass_pending(told);
    }
    return owner;
}

/* Take the slabs out of the pending list of any CPU, by whomever. Those of s are collected if s is
 * this CPU, its lock held; the others are put into the list of who owns them by now. */
static bool drain_pending(struct share *s, bool self)
{
    bool any = false;
    struct slab *slab = __atomic_exchange_n(&s->pending, NULL, __ATOMIC_SEQ_CST);
    while (slab != NULL) {
        struct slab *next = SLAB_GET(slab->pending);
        next = next != slab ? next : NULL; /* the last */
        __atomic_store_n(&slab->pending, NULL, __ATOMIC_SEQ_CST);
        struct share *owner = owner_of(slab);
        if (!(self && owner == s))
            (void)pass_on(slab);
        else if (slab->state < SLAB_EMPTY && share_collect(s, slab, true)) {
            any = true;
            struct heap_lane *lane = &s->lanes[slab->class];
            if (slab->state != SLAB_CURRENT)
                share_look(s, slab);
            share_keep_few(s, lane);
        }
        slab = next;
    }
    return any;
}

void share_pass_pending(struct share *s)
{
    drain_pending(s, false);
}

bool share_collect_pending(struct share *s)
{
    return SLAB_GET(s->pending) != NULL && drain_pending(s, true);
}

/* --- Frees that are not the owner's ------------------------------------------------------------------ */

static const char free_already[] = "freed already (a double free)";
static const char other_size[] = "of another size";
const char object_of_cache[] = "of an object cache: object_cache_free is for it";

static void tell_owner(struct slab *slab, bool first)
{
    if (pass_on(slab) == NULL)
        shared_freed(slab, first);
}

bool free_remote(struct slab *slab, uint32_t index)
{
    uint64_t bit = 1ull << index % 64;
    uint64_t before = __atomic_fetch_or(&slab->remote[index / 64], bit, __ATOMIC_SEQ_CST);
    if (before & bit)
        return false;
    if (before == 0) /* the owner's short way would not see that it is free */
        SLAB_SET(slab->exact, 0);
    else if (owner_of(slab) !=
             NULL) /* who set the first of the word has told him, or is about to */
        return true;
    tell_owner(slab, before == 0);
    return true;
}

/* Of this CPU's. */
static void collect_locked(struct share *s, struct slab *slab)
{
    irq_state_t irq = spin_lock(&s->lock);
    struct heap_lane *lane = &s->lanes[slab->class];
    if (share_collect(s, slab, false) && slab->state != SLAB_CURRENT)
        share_look(s, slab);
    share_keep_few(s, lane);
    spin_unlock(&s->lock, irq);
}

const char *slab_free(struct slab *slab, uint32_t index)
{
    irq_state_t irq = irq_save();
    struct share *s = share_self();
    if (KASAN && slab->class < CLASS_SIZES)
        kasan_free((void *)(slab->base + index * slab_size(slab)),
                   slab_size(slab)); /* the object */
    bool own = share_of(SLAB_GET(slab->owner)) == s, done = false;
    if (own && SLAB_GET(slab->exact) == 0) {
        collect_locked(s, slab); /* may give this very slab away */
        own = share_of(SLAB_GET(slab->owner)) == s;
    }
    if (own) {
        void *object = (void *)(slab->base + index * slab_size(slab));
        done = lane_put(s, slab, object, index);
    }
    irq_restore(irq);
    return done || (!own && free_remote(slab, index)) ? NULL : free_already;
}

void heap_misuse(const char *call, const void *p, const char *why)
{
    struct heap_place place;
    if (heap_find(p, &place))
        port_misuse("heap: %s(0x%lx): %s; class %s", call, va_number(va_of(p)), why,
                    heap_class_name(place.class));
    else
        port_misuse("heap: %s(0x%lx): %s", call, va_number(va_of(p)), why);
}

static const char inside[] = "inside an object, not at its start";

/* What is in no slab: a virtual range, or the inside of a run, or nothing. */
static const char *nobody_find(const void *p)
{
    struct large large;
    if (large_find(p, &large))
        return p == large.base ? NULL : inside;
    if (hhdm_contains(p) &&
        (run_is_free(p) || !pmm_is_used(pa_align_down(virt_to_phys(p), FRAME_BYTES))))
        return "in free memory: perhaps freed already (a double free)";
    return "not from this heap";
}

bool heap_has_kept;

/* A class that is too large may be what an alignment asked for. */
static bool size_is_right(const struct slab *slab, size_t size)
{
    size_t align = slab_size(slab) & -slab_size(slab);
    if (slab_suits(slab, size))
        return true;
    return size <= slab_size(slab) &&
           (SLAB_GET(heap_has_kept) ||
            class_of_aligned(size, align < FRAME_BYTES ? align : FRAME_BYTES) == slab->class);
}

/* A run or range that begins at p. */
static const char *free_large(void *p, size_t size)
{
    struct large large;
    if (!large_find(p, &large))
        return free_already;
    if (size != SIZE_UNKNOWN && size > large.pages * FRAME_BYTES)
        return other_size;
    /* What is small is large only for its alignment. */
    if (size <= HEAP_CLASS_BYTES && (uintptr_t)p % (2 * FRAME_BYTES) != 0 &&
        !SLAB_GET(heap_has_kept))
        return other_size;
    return large_free(&large);
}

const char *object_find(const void *p, struct slab **out, uint32_t *index)
{
    struct slab *slab = page_map_find(page_map_offset(p));
    *out = slab;
    if (slab == &slab_nobody)
        return nobody_find(p);
    if (SLAB_GET(slab->state) == SLAB_EMPTY)
        return free_already;
    if (slab->class == CLASS_RUNS)
        return (uintptr_t)p != slab->base ? inside : run_is_live(slab) ? NULL : free_already;
    if (!slab_divide_slowly(slab, p, index))
        return inside;
    if (slab_is_free(slab, *index))
        return free_already;
    return NULL;
}

void free_otherwise(void *p, size_t size)
{
    struct slab *slab;
    uint32_t index = 0;
    if (p == NULL)
        return;
    if (sample_free_sized(p, SLAB_GET(heap_has_kept) ? SIZE_UNKNOWN : size))
        return;
    const char *why = object_find(p, &slab, &index);
    if (why == NULL && slab->class == CLASS_RUNS && size == SIZE_UNKNOWN)
        why = run_free(slab);
    else if (why == NULL && (slab == &slab_nobody || slab->class == CLASS_RUNS))
        why = free_large(p, size);
    else if (why == NULL && slab->class >= CLASS_CACHES)
        why = object_of_cache;
    else if (why == NULL && size != SIZE_UNKNOWN && !size_is_right(slab, size))
        why = other_size;
    else if (why == NULL)
        why = slab_free(slab, index);
    if (why != NULL)
        heap_misuse(size == SIZE_UNKNOWN ? "kfree" : "kfree_sized", p, why);
}

void free_to_cache(void *p, unsigned class)
{
    struct slab *slab;
    uint32_t index = 0;
    if (p == NULL)
        return;
    const char *why = object_find(p, &slab, &index);
    if (why == NULL && slab->class != class)
        why = "not of the cache that it is freed to";
    if (why == NULL)
        why = slab_free(slab, index);
    if (why != NULL)
        heap_misuse("object_cache_free", p, why);
}
