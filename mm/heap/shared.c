/* Owns: the slabs that are no CPU's: what a CPU has too much of, or had when it left.
 * Relies on: shares. Stage: "heap".
 *
 * All frees into such a slab are by the locked instruction. Whoever frees the first object of one
 * since it came here moves it to the front of its list, so that who looks for one need not search;
 * and whoever frees the last takes it away. The lists have a lock of their own, taken with that of
 * the own share held. */
#include "shared.h"

#include "mm/string.h"

struct shared shared = {.lock = SPINLOCK_INIT(LOCK_HEAP_SHARED, "shared slabs")};

/* How many slabs that are full a CPU looks at before it gives up. */
#define SHARED_LOOKS 4

void shared_init(void)
{
    if (heap_users != 0) /* again: else there never was any */
        memset(shared.classes, 0, sizeof shared.classes);
    shared.spare[0] = shared.spare[1] = NULL;
    heap_users = 0;
}

static bool has_free(const struct slab *slab)
{
    return slab_count_idle(slab) + slab_count_remote(slab) > 0;
}

/* One by one: of two that free the same object at the same time, each may have noted it. */
static bool is_empty(const struct slab *slab)
{
    unsigned i = 0, objects = SLAB_GET(slab->objects);
    while (i < objects && slab_is_free(slab, i))
        i++;
    return i == objects;
}

static void count(const struct slab *slab, int sign) REQUIRES(shared.lock)
{
    struct shared_class *c = &shared.classes[slab->class];
    SLAB_SET(c->slabs, c->slabs + (uint64_t)sign);
    c->pages += (uint64_t)(sign * (int)slab->pages);
    c->used += (uint64_t)(sign * (int)slab->out);
}

/* The slab is this CPU's now. */
static void own(struct share *s, struct slab *slab)
{
    struct heap_lane *lane = share_lane(s, slab->class);
    __atomic_store_n(&slab->owner, (uintptr_t)s | slab_tags(slab->class), __ATOMIC_SEQ_CST);
    lane->slabs++;
    lane->pages += slab->pages;
    lane->moved += slab->out;
    lane->out += slab->out;
    share_collect(s, slab, false);
}

void shared_put(struct share *s, struct slab *slab)
{
    struct heap_lane *lane = &s->lanes[slab->class];
    struct slab_list *list = &shared.classes[slab->class].list;
    lane_forget(lane, slab);
    share_collect(s, slab, false);
    lane->slabs--;
    lane->pages -= slab->pages;
    lane->moved -= slab->out;
    lane->out -= slab->out;
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

/* --- Descriptors ------------------------------------------------------------------------------------- */

#define SPARES_TAKEN 16u /* at a time */

void shared_take_spare(struct share *s, bool wide)
{
    if (SLAB_GET(shared.spare[wide]) == NULL)
        return;
    irq_state_t irq = spin_lock(&shared.lock);
    for (unsigned i = 0; i < SPARES_TAKEN && shared.spare[wide] != NULL; i++) {
        struct slab *slab = shared.spare[wide];
        SLAB_SET(shared.spare[wide], slab->next);
        slab->next = s->spare[wide];
        s->spare[wide] = slab;
        s->spares[wide]++;
    }
    spin_unlock(&shared.lock, irq);
}

void shared_give_spares(struct share *s, bool wide, uint32_t keep)
{
    irq_state_t irq = spin_lock(&shared.lock);
    for (; s->spares[wide] > keep; s->spares[wide]--) {
        struct slab *slab = s->spare[wide];
        s->spare[wide] = slab->next;
        slab->next = shared.spare[wide];
        SLAB_SET(shared.spare[wide], slab);
    }
    spin_unlock(&shared.lock, irq);
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
        lane->current = NULL;
        shared_put(s, slab);
    }
    leave_list(s, &lane->partial);
    lane->partials = 0;
    leave_list(s, &lane->full);
}

static uint64_t recount(struct slab *slab)
{
    SLAB_SET(slab->out, (uint16_t)(slab->objects - slab_count_idle(slab)));
    return slab->out;
}

static uint64_t recount_list(const struct slab_list *list)
{
    uint64_t out = 0;
    for (struct slab *slab = list->first; slab != NULL; slab = list_next(slab))
        out += recount(slab);
    return out;
}

void share_recover(struct share *s)
{
    SLAB_SET(s->busy, 0);
    for (unsigned i = 0; i < CLASS_COUNT; i++) {
        struct heap_lane *lane = &s->lanes[i];
        if (!share_has_lane(s, i) || i == CLASS_RUNS || i == CLASS_RANGES)
            continue;
        lane->top = lane->bottom;
        lane->out = recount_list(&lane->partial) + recount_list(&lane->full);
        if (lane->current != NULL)
            lane->out += recount(lane->current);
    }
}

void share_abandon(struct share *s)
{
    share_collect_pending(s);
    share_flush(s, NULL);
    for (unsigned i = 0; i < CLASS_COUNT; i++) {
        if (!share_has_lane(s, i))
            continue;
        leave_lane(s, &s->lanes[i]);
        lane_drop(s, &s->lanes[i]);
    }
    share_collect_pending(s); /* what came meanwhile is in no list then */
    share_trim(s, 0);
    shared_give_spares(s, false, 0);
    shared_give_spares(s, true, 0);
}
