/* Owns: the slabs that are no CPU's: what a CPU has too much of, or had when it left.
 * Relies on: shares. Stage: "heap".
 *
 * All frees into such a slab are by the locked instruction. Whoever frees the first object of one
 * since it came here moves it to the front of its list, so that who looks for one need not search;
 * and whoever frees the last takes it away. The lists have a lock of their own, taken with that of
 * the own share held. */
#include "shared.h"

struct shared shared;

/* How many slabs that are full a CPU looks at before it gives up. */
#define SHARED_LOOKS 4

void shared_init(void)
{
    shared = (struct shared){.lock = SPINLOCK_INIT(LOCK_HEAP_SHARED, "shared slabs")};
    heap_users = 0;
}

static bool has_free(const struct slab *slab)
{
    uint64_t any = 0;
    for (unsigned w = 0; w < slab_words(slab); w++)
        any |= SLAB_GET(slab->free[w]) | SLAB_GET(slab->remote[w]);
    return any != 0;
}

static bool is_empty(const struct slab *slab)
{
    uint64_t used = 0;
    for (unsigned w = 0; w < slab_words(slab); w++)
        used |= slab_mask(slab, w) & ~(SLAB_GET(slab->free[w]) | SLAB_GET(slab->remote[w]));
    return used == 0;
}

static void count(const struct slab *slab, int sign) REQUIRES(shared.lock)
{
    struct shared_class *c = &shared.classes[slab->class];
    SLAB_SET(c->slabs, c->slabs + (uint64_t)sign);
    c->pages += (uint64_t)(sign * (int)slab->pages);
    c->used += (uint64_t)(sign * (int)slab->used);
}

/* The slab is this CPU's now. */
static void own(struct share *s, struct slab *slab)
{
    struct heap_lane *lane = &s->lanes[slab->class];
    __atomic_store_n(&slab->owner, (uintptr_t)s | slab_tags(slab->class), __ATOMIC_SEQ_CST);
    lane->slabs++;
    lane->pages += slab->pages;
    lane->moved += slab->used;
    slab_arm(slab, slab->used);
    share_collect(s, slab);
}

void shared_put(struct share *s, struct slab *slab)
{
    struct heap_lane *lane = &s->lanes[slab->class];
    struct slab_list *list = &shared.classes[slab->class].list;
    lane_forget(s, lane, slab);
    share_collect(s, slab);
    lane->slabs--;
    lane->pages -= slab->pages;
    lane->moved -= slab->used;
    irq_state_t irq = spin_lock(&shared.lock);
    /* From here on nobody tells us of frees; what was freed before is seen below. */
    __atomic_store_n(&slab->owner, 0, __ATOMIC_SEQ_CST);
    bool empty = is_empty(slab);
    if (!empty) {
        SLAB_SET(slab->state, SLAB_SHARED);
        count(slab, 1);
        if (has_free(slab))
            list_add_first(list, slab);
        else
            list_add_last(list, slab);
    }
    spin_unlock(&shared.lock, irq);
    if (empty) {
        own(s, slab);
        share_keep_empty(s, slab);
    }
    if (SLAB_GET(slab->pending) != NULL) /* perhaps here, where its next owner would not see it */
        share_pass_pending(s);
}

struct slab *shared_take(struct share *s, unsigned class)
{
    struct slab_list *list = &shared.classes[class].list;
    if (SLAB_GET(shared.classes[class].slabs) == 0)
        return NULL;
    irq_state_t irq = spin_lock(&shared.lock);
    struct slab *slab = list->first;
    for (unsigned i = 1; slab != NULL && !has_free(slab); i++)
        slab = i < SHARED_LOOKS ? list_next(slab) : NULL;
    if (slab != NULL) {
        list_remove(list, slab);
        count(slab, -1);
        SLAB_SET(slab->state, SLAB_FULL); /* no longer to be found here */
    }
    spin_unlock(&shared.lock, irq);
    if (slab != NULL)
        own(s, slab);
    return slab;
}

void shared_adopt(struct share *s, unsigned class)
{
    struct slab_list *list = &shared.classes[class].list;
    for (;;) {
        irq_state_t irq = spin_lock(&shared.lock);
        struct slab *slab = list->first;
        if (slab != NULL) {
            list_remove(list, slab);
            count(slab, -1);
            SLAB_SET(slab->state, SLAB_FULL);
        }
        spin_unlock(&shared.lock, irq);
        if (slab == NULL)
            return;
        own(s, slab);
        list_add_first(&s->lanes[class].full, slab);
    }
}

void shared_freed(struct slab *slab, bool first)
{
    irq_state_t outer;
    if (!first && !is_empty(slab))
        return;
    struct share *s = share_enter(&outer);
    irq_state_t irq = spin_lock(&shared.lock);
    bool here = SLAB_GET(slab->state) == SLAB_SHARED, empty = here && is_empty(slab);
    if (here)
        list_remove(&shared.classes[slab->class].list, slab);
    if (empty) {
        count(slab, -1);
        SLAB_SET(slab->state, SLAB_FULL);
    } else if (here) {
        list_add_first(&shared.classes[slab->class].list, slab);
    }
    spin_unlock(&shared.lock, irq);
    if (empty) {
        own(s, slab);
        share_keep_empty(s, slab);
    }
    share_leave(s, outer);
}

/* --- A CPU that leaves ------------------------------------------------------------------------------ */

static void leave_list(struct share *s, struct slab_list *list)
{
    while (list->first != NULL) {
        struct slab *slab = list->first;
        list_remove(list, slab);
        shared_put(s, slab);
    }
}

static void leave_lane(struct share *s, struct heap_lane *lane)
{
    struct slab *slab = lane->current;
    if (slab != NULL) {
        lane_stop(s, lane);
        shared_put(s, slab);
    }
    leave_list(s, &lane->partial);
    lane->partials = 0;
    leave_list(s, &lane->full);
}

void share_abandon(struct share *s)
{
    share_collect_pending(s);
    for (unsigned i = 0; i < CLASS_COUNT; i++)
        leave_lane(s, &s->lanes[i]);
    share_collect_pending(s); /* what came meanwhile is in no list then */
    share_trim(s, 0);
}
