/* Owns: nothing; the runs that CPUs keep; see kept.h.
 * Relies on: shares. Stage: "heap".
 *
 * A run is free if it says so itself (kept), and says whose it is; an entry of a stack is only where
 * to look. Another CPU that frees the run takes it away by changing its state, and its owner then;
 * if both free it at the same time, neither need see the other, but the entry is out of date
 * when it is come to, and is told of. */
#include "kept.h"

#include "mm/kasan.h"
#include "runs.h"

/* --- Lengths -------------------------------------------------------------------------------------- */

/* The stack of runs that are long enough, of 9 to RUN_PAGES_MAX pages; size classes count so. */
static inline unsigned stack_for(uint64_t pages)
{
    unsigned shift = 60 - (unsigned)__builtin_clzll(pages - 1);
    return 8 * shift + (unsigned)((pages - 1) >> shift) - 8;
}

static uint32_t length_of(unsigned stack)
{
    return (stack % 8 + 9) << stack / 8;
}

static inline bool has_stack(uint64_t pages)
{
    return pages - KEPT_PAGES_MIN <= RUN_PAGES_MAX - KEPT_PAGES_MIN;
}

uint64_t kept_length(uint64_t pages)
{
    return has_stack(pages) ? length_of(stack_for(pages)) : pages;
}

uint16_t kept_stack_of(uint64_t pages)
{
    return (uint16_t)(has_stack(pages) && kept_length(pages) == pages ? stack_for(pages)
                                                                      : KEPT_STACKS);
}

/* --- The biased lock ------------------------------------------------------------------------------- */

LOCK_INLINE bool begin(struct share *s)
{
    SLAB_SET(s->busy, 1);
    __atomic_signal_fence(__ATOMIC_SEQ_CST); /* the barrier of who stops us does the rest */
    return __atomic_load_n(&s->stopped, __ATOMIC_ACQUIRE) == 0;
}

LOCK_INLINE void end(struct share *s)
{
    __atomic_store_n(&s->busy, 0, __ATOMIC_RELEASE);
}

void kept_halt(struct share *s)
{
    __atomic_store_n(&s->stopped, 1, __ATOMIC_SEQ_CST);
}

void kept_wait(const struct share *s)
{
    while (__atomic_load_n(&s->busy, __ATOMIC_ACQUIRE) != 0)
        port_relax();
}

void kept_go(struct share *s)
{
    __atomic_store_n(&s->stopped, 0, __ATOMIC_RELEASE);
}

/* --- Stacks ---------------------------------------------------------------------------------------- */

/* This CPU and another have freed it at the same time; so it is the other's. */
__attribute__((noinline, cold)) static void tell_twice(struct share *s, unsigned stack,
                                                       const struct slab *run)
{
    struct heap_lane *lane = &s->lanes[CLASS_RUNS];
    SLAB_SET(s->kept_pages, s->kept_pages - length_of(stack));
    SLAB_SET(lane->frees, lane->frees - 1);
    port_misuse("heap: 0x%lx: freed twice (a double free); class runs", run->base);
}

/* Inside, or with the lock held. Its pages count as this CPU's all the time. */
LOCK_INLINE struct slab *pop(struct share *s, unsigned stack, uint64_t pages)
{
    struct kept_runs *k = &s->kept[stack];
    if (k->count == 0)
        return NULL;
    SLAB_SET(k->count, k->count - 1);
    struct slab *run = k->runs[k->count];
    if (__builtin_expect(SLAB_GET(run->owner) != ((uintptr_t)s | SLAB_WHOLE) ||
                             !SLAB_GET(run->kept) || run->pages < pages,
                         0)) {
        tell_twice(s, stack, run);
        return NULL;
    }
    SLAB_SET(run->kept, false);
    SLAB_SET(s->kept_pages, s->kept_pages - length_of(stack));
    return run;
}

void *kept_take(size_t bytes)
{
    uint64_t pages = bytes_to_frames(bytes);
    struct slab *run = NULL;
    if (KASAN || !has_stack(pages))
        return NULL;
    unsigned stack = stack_for(pages);
    irq_state_t irq = irq_save();
    struct share *s = share_self();
    if (begin(s))
        run = pop(s, stack, pages);
    if (run != NULL)
        SLAB_SET(s->lanes[CLASS_RUNS].allocations, s->lanes[CLASS_RUNS].allocations + 1);
    end(s);
    irq_restore(irq);
    return run == NULL ? NULL : (void *)run->base; /* where its frames are in the direct map */
}

/* True if it has a stack, which has not enough of them. The stack is read once: if another CPU frees the
 * run at this very moment, the descriptor may become anything. */
static inline bool is_wanted(const struct share *s, const struct slab *run, unsigned *stack)
{
    *stack = SLAB_GET(run->out);
    return !KASAN && *stack < KEPT_STACKS && s->kept[*stack].count < KEPT_DEPTH;
}

/* Inside, or with the lock held. */
LOCK_INLINE void push(struct share *s, struct slab *run, unsigned stack)
{
    struct kept_runs *k = &s->kept[stack];
    SLAB_SET(run->kept, true);
    k->runs[k->count] = run;
    SLAB_SET(k->count, k->count + 1);
    SLAB_SET(s->kept_pages, s->kept_pages + length_of(stack));
}

static inline bool is_own(const struct share *s, const struct slab *run, const void *p)
{
    return SLAB_GET(run->owner) == ((uintptr_t)s | SLAB_WHOLE) && run->base == (uintptr_t)p &&
           !SLAB_GET(run->kept);
}

static inline bool has_room(const struct share *s, unsigned stack)
{
    return s->kept_pages + length_of(stack) + SLAB_GET(s->reserve_pages) <=
           SLAB_GET(heap_tuning.reserve_pages);
}

bool kept_put(struct slab *run, const void *p)
{
    unsigned stack;
    irq_state_t irq = irq_save();
    struct share *s = share_self();
    if (!is_own(s, run, p)) {
        irq_restore(irq);
        return false;
    }
    bool done = begin(s) && is_wanted(s, run, &stack) && has_room(s, stack);
    if (done) {
        push(s, run, stack);
        struct heap_lane *lane = &s->lanes[CLASS_RUNS];
        int64_t live = (int64_t)(lane->allocations - lane->frees);
        if (live > (int64_t)lane->peak)
            SLAB_SET(lane->peak, (uint64_t)live);
        SLAB_SET(lane->frees, lane->frees + 1);
    }
    end(s);
    irq_restore(irq);
    return done;
}

bool kept_add(struct share *s, struct slab *run)
{
    unsigned stack;
    uint64_t most = SLAB_GET(heap_tuning.reserve_pages);
    if (!is_wanted(s, run, &stack) || run->pages > most)
        return false;
    share_trim(s, most - run->pages);
    push(s, run, stack);
    SLAB_SET(run->owner, (uintptr_t)s | SLAB_WHOLE);
    SLAB_SET(run->state, SLAB_RUN);
    return true;
}

void kept_drop(struct share *s)
{
    struct heap_lane *lane = &s->lanes[CLASS_RUNS];
    do
        s->kept_hand = (s->kept_hand + 1) % KEPT_STACKS;
    while (s->kept[s->kept_hand].count == 0);
    struct slab *run = pop(s, s->kept_hand, 0);
    if (run == NULL)
        return;
    SLAB_SET(lane->pages, lane->pages - run->pages);
    run_destroy(s, run);
}

void kept_drop_all(struct share *s)
{
    if (SLAB_GET(s->kept_pages) == 0)
        return;
    kept_halt(s);
    port_barrier_all();
    kept_wait(s);
    while (s->kept_pages > 0)
        kept_drop(s);
    kept_go(s);
}

bool kept_is_sound(const struct share *s)
{
    uint64_t pages = 0;
    for (unsigned i = 0; i < KEPT_STACKS; i++)
        for (uint64_t k = 0; k < s->kept[i].count; k++) {
            const struct slab *run = s->kept[i].runs[k];
            if (k >= KEPT_DEPTH || run->state != SLAB_RUN || !run->kept ||
                run->owner != ((uintptr_t)s | SLAB_WHOLE) || run->pages != length_of(i))
                return false;
            pages += run->pages;
        }
    return pages == s->kept_pages && s->stopped == 0;
}
