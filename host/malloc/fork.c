/* Owns: nothing; what happens around a fork.
 * Relies on: heap_lock_all: all calls into the frames are made with a lock of the heap held.
 *
 * The thread that forks takes all locks, so that the child finds everything at rest. Others go on in
 * the heap's short ways: in the child, what they were in the middle of is mended. */
#include <pthread.h>

#include "../../mm/heap/sample.h"
#include "parts.h"
#include "../../mm/heap/shared.h"

/* --- What the others were in the middle of --------------------------------------------------------- */

/* Who frees an object of another CPU's sets a bit, and tells the owner by more stores. So a slab may say
 * that it is in a list of pending ones and be in none, or have bits that its owner never hears of: its
 * objects would be lost. The lists begin anew, and every slab is looked at. */

static void visit_list(struct share *s, const struct slab_list *list,
                       void (*see)(struct share *s, struct slab *slab))
{
    for (struct slab *slab = list->first, *next; slab != NULL; slab = next) {
        next = list_next(slab);
        see(s, slab);
    }
}

static void visit_share(struct share *s, void (*see)(struct share *s, struct slab *slab))
{
    for (unsigned i = 0; i < CLASS_COUNT; i++) {
        struct heap_lane *lane = &s->lanes[i];
        if (!share_has_lane(s, i))
            continue;
        if (lane->current != NULL)
            see(s, lane->current);
        visit_list(s, &lane->partial, see);
        visit_list(s, &lane->full, see); /* some become partial */
    }
}

static void visit_shared(void (*see)(struct share *s, struct slab *slab))
{
    for (unsigned i = 0; i < CLASS_COUNT; i++)
        visit_list(NULL, &shared.classes[i].list, see);
}

/* Only what must be is written: each page that is, is copied. */
static void forget_pending(struct share *s, struct slab *slab)
{
    (void)s;
    if (SLAB_GET(slab->pending) != NULL)
        SLAB_SET(slab->pending, NULL);
}

static void forget_all_pending(void)
{
    for (struct share *s = NULL; (s = share_next(s)) != NULL;) {
        SLAB_SET(s->pending, NULL);
        visit_share(s, forget_pending);
    }
    visit_shared(forget_pending);
}

static void collect_own(struct share *s, struct slab *slab)
{
    if (slab_count_remote(slab) != 0 && share_collect(s, slab, false) &&
        slab->state != SLAB_CURRENT)
        share_look(s, slab);
}

static void collect_shared(struct share *none, struct slab *slab)
{
    (void)none;
    if (slab_count_remote(slab) != 0)
        shared_freed(slab, true);
}

static void collect_all(void)
{
    bool common = thread_enter();
    for (struct share *s = NULL; (s = share_next(s)) != NULL;) {
        irq_state_t irq = spin_lock(&s->lock);
        visit_share(s, collect_own);
        spin_unlock(&s->lock, irq);
    }
    visit_shared(collect_shared);
    thread_exit(common);
}

/* --- Around the fork ------------------------------------------------------------------------------- */

static void prepare(void)
{
    threads_lock();
    recycle_lock();
    heap_lock_all();
    sample_hold();
}

static void parent(void)
{
    sample_let();
    heap_unlock_all();
    recycle_unlock();
    threads_unlock();
}

static void child(void)
{
    bool others = threads_count() > (port_self != NO_CPU);
    sample_let();
    heap_unlock_all();
    recycle_unlock();
    if (others)
        forget_all_pending();
    threads_forget_others();
    threads_unlock();
    if (others)
        collect_all();
}

void fork_init(void)
{
    static bool done;
    if (!__atomic_exchange_n(&done, true, __ATOMIC_RELAXED))
        pthread_atfork(prepare, parent, child); /* may call malloc */
}
