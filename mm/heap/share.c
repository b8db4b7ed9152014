/* Owns: what all CPUs' shares have in common.
 * Relies on: the pmm for frames. Stage: "heap". */
#include "shared.h"

#include "../pmm/state.h"
#include "debug/records.h"
#include "mm/pmm.h"

struct heap_tuning heap_tuning = {
    .reserve_pages = CONFIG_HEAP_RESERVE_PAGES,
    .cache_depth = CONFIG_HEAP_CACHE_DEPTH,
    .sample_rate = CONFIG_HEAP_SAMPLE_RATE,
#ifdef QL_DEBUG_MEMORY
    .debug_level = CONFIG_HEAP_DEBUG_LEVEL,
#endif
};

uint32_t heap_users;

#define STORE_PAGES_MAX 128 /* that are taken at once */

static const struct pmm_limits stays = {.kind = PMM_LONG};

struct share *share_enter(irq_state_t *irq) NO_LOCK_ANALYSIS
{
    *irq = irq_save();
    struct share *s = share_self();
    if (!s->ready) {
        (void)port_cpu_id(); /* says what is missing, or makes the thread a CPU */
        s = share_self();
        if (!s->ready)
            port_panic("heap: CPU %u has no share of the memory manager; call mm_cpu_create first",
                       port_cpu_id());
    }
    (void)spin_lock(&s->lock); /* interrupts are off already */
    return s;
}

void share_leave(struct share *s, irq_state_t irq) NO_LOCK_ANALYSIS
{
    spin_unlock(&s->lock, irq);
}

struct share *share_at(unsigned number)
{
    if (number >= CONFIG_CPUS_MAX)
        return node_share(number - CONFIG_CPUS_MAX);
    struct pmm_cache *c = __atomic_load_n(&pmm.caches[number], __ATOMIC_ACQUIRE);
    return c == NULL ? NULL : &mm_cpu_of(c)->heap;
}

/* Not spin_lock: the order of locks knows one of a kind at a time. */
void heap_lock_all(void)
{
    for (unsigned i = 0; i < SHARES_MAX; i++)
        if (share_at(i) != NULL)
            ticket_take(&share_at(i)->lock.ticket);
    ticket_take(&shared.lock.ticket);
#ifdef QL_DEBUG_MEMORY
    ticket_take(&records_lock.ticket);
#endif
}

void heap_unlock_all(void)
{
#ifdef QL_DEBUG_MEMORY
    ticket_give(&records_lock.ticket);
#endif
    ticket_give(&shared.lock.ticket);
    for (unsigned i = SHARES_MAX; i-- > 0;)
        if (share_at(i) != NULL)
            ticket_give(&share_at(i)->lock.ticket);
}

/* --- Descriptors --------------------------------------------------------------------------------- */

mm_status_t share_take_frame(struct share *s, paddr_t *out)
{
    if (s->store_pages == 0) {
        uint64_t n = s->descriptor_pages / 2;
        n = n < 1 ? 1 : n < STORE_PAGES_MAX ? n : STORE_PAGES_MAX;
        mm_status_t status = pmm_alloc_frames(n, &stays, &s->store);
        if (status != MM_OK && n > 1) {
            n = 1;
            status = pmm_alloc_frames(n, &stays, &s->store);
        }
        if (status != MM_OK)
            return status;
        s->store_pages = n;
        s->descriptor_pages += n;
    }
    *out = s->store;
    s->store = pa_add(s->store, FRAME_BYTES);
    s->store_pages--;
    return MM_OK;
}

void share_untake_frame(struct share *s)
{
    s->store = pa_sub(s->store, FRAME_BYTES);
    s->store_pages++;
}

struct slab *share_take_spare(struct share *s)
{
    if (s->spare == NULL) {
        paddr_t frame;
        if (share_take_frame(s, &frame) != MM_OK)
            return NULL;
        struct slab *slabs = phys_to_virt(frame);
        for (unsigned i = FRAME_BYTES / sizeof *slabs; i-- > 0;) {
            slabs[i] = (struct slab){.class = CLASS_COUNT};
            share_give_spare(s, &slabs[i]);
        }
    }
    struct slab *slab = s->spare;
    s->spare = slab->next;
    slab_expect_free(slab);
    return slab;
}

/* Its pending link stays as it is: others may still look at it. */
void share_give_spare(struct share *s, struct slab *slab)
{
    SLAB_SET(slab->owner, 0);
    SLAB_SET(slab->state, SLAB_SPARE);
    slab->next = s->spare;
    s->spare = slab;
}

/* Each of a frame's first is the frame's. */
void share_drop_spares(struct share *s)
{
    struct slab *frames = NULL;
    for (struct slab *slab = s->spare, *next; slab != NULL; slab = next) {
        next = slab->next;
        if ((uintptr_t)slab % FRAME_BYTES != 0)
            continue;
        slab->next = frames;
        frames = slab;
    }
    while (frames != NULL) {
        struct slab *slab = frames;
        frames = slab->next;
        pmm_free_frame(virt_to_phys(slab));
    }
    if (s->store_pages > 0)
        pmm_free_frames(s->store, s->store_pages);
    s->spare = NULL;
    s->descriptor_pages = s->store_pages = 0;
}

void share_rearm(void)
{
    irq_state_t irq;
    struct share *s = share_enter(&irq);
    for (unsigned i = 0; i < CLASS_COUNT; i++) {
        struct heap_lane *lane = &s->lanes[i];
        lane_settle(s, lane, !share_wants_sample(s));
        if (lane->current != NULL) {
            lane_count(s, lane, lane->current);
            slab_arm(lane->current, current_left(s));
        }
    }
    share_leave(s, irq);
}

_Static_assert(offsetof(struct slab, free) == SLAB_FREE_AT, "recent_none relies on it");

/* --- Counting ------------------------------------------------------------------------------------ */

void lane_count(struct share *s, struct heap_lane *lane, struct slab *slab)
{
    int frees = slab_frees(slab);
    int used = (int)(slab->objects - slab_count_free(slab)), taken = used + frees - slab->used;
    SLAB_SET(slab->mark, SLAB_GET(slab->left));
    slab->used = (uint16_t)used;
    SLAB_SET(lane->frees, lane->frees + (uint64_t)frees);
    SLAB_SET(lane->allocations, lane->allocations + (uint64_t)taken);
    s->until_sample -= taken;
    int64_t live = (int64_t)(lane->allocations - lane->frees) + lane->moved;
    if (live > (int64_t)lane->peak)
        SLAB_SET(lane->peak, (uint64_t)live);
}

void lane_forget(struct share *s, struct heap_lane *lane, const struct slab *slab)
{
    for (unsigned i = 0; i < RECENT; i++)
        if (((uint64_t)(lane->recent[i].place >> RECENT_SHIFT) & ~(sizeof *slab - 1)) ==
            (uintptr_t)slab)
            lane->recent[i].place = recent_none(s);
}

void lane_settle(struct share *s, struct heap_lane *lane, bool open)
{
    int32_t until = SLAB_GET(lane->until), taken = lane->armed - (until < 0 ? 0 : until);
    SLAB_SET(lane->allocations, lane->allocations + (uint64_t)taken);
    SLAB_SET(lane->frees, lane->frees + (uint64_t)taken);
    s->until_sample -= taken;
    uint32_t rate = SLAB_GET(heap_tuning.sample_rate);
    uint32_t next = rate == 0 ? INT32_MAX : share_jitter(s, rate);
    SLAB_SET(lane->armed, open ? (int32_t)next : 0);
    SLAB_SET(lane->until, lane->armed);
}
