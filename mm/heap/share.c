/* Owns: what all CPUs' shares have in common.
 * Relies on: the pmm for frames. Stage: "heap". */
#include "kept.h"
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

struct share *share_next(const struct share *s)
{
    struct share *next = NULL;
    for (unsigned i = s == NULL ? 0 : s->cpu + 1u; next == NULL && i < SHARES_MAX; i++) {
        if (i >= CACHE_GET(pmm.cpu_limit) && i < CONFIG_CPUS_MAX)
            i = CONFIG_CPUS_MAX;
        next = share_at(i);
    }
    return next;
}

/* Not spin_lock: the order of locks knows one of a kind at a time. */
void heap_lock_all(void)
{
    for (struct share *s = NULL; (s = share_next(s)) != NULL;)
        ticket_take(&s->lock.ticket);
    for (struct share *s = NULL; (s = share_next(s)) != NULL;)
        kept_halt(s);
    port_barrier_all();
    for (struct share *s = NULL; (s = share_next(s)) != NULL;)
        kept_wait(s);
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
    for (struct share *s = NULL; (s = share_next(s)) != NULL;) {
        kept_go(s);
        ticket_give(&s->lock.ticket);
    }
}

/* --- Lanes --------------------------------------------------------------------------------------- */

/* Sizes lead to the lane from now on. */
static void lead_to_lane(struct share *s, unsigned class)
{
    uint16_t offset = LANE_OFFSET(class);
    size_t low = class == 0 ? 0 : class_size(class - 1) + 1, high = class_size(class);
    for (size_t bytes = low; bytes <= high && bytes <= CLASS_TABLE_BYTES; bytes++)
        SLAB_SET(s->lane_of[bytes], offset);
    for (size_t i = low / CLASS_MORE_STEP; high > CLASS_TABLE_BYTES && i < high / CLASS_MORE_STEP;
         i++)
        SLAB_SET(s->lane_of_more[i], offset);
}

struct heap_lane *share_lane(struct share *s, unsigned class)
{
    struct heap_lane *lane = &s->lanes[class];
    if (share_has_lane(s, class))
        return lane;
    s->made[class / 64] |= 1ull << class % 64;
    lane_init(s, lane, heap_classes[class].bytes);
    if (class < CLASS_SIZES)
        lead_to_lane(s, class);
    return lane;
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

/* Cut a frame into descriptors: of a wide one's sort, and what is left. */
static void cut_frame(struct share *s, char *frame, bool wide)
{
    unsigned n = FRAME_BYTES / SLAB_UNIT_BYTES, step = wide ? 2 : 1;
    for (unsigned i = (n - 1) / step + 1; i-- > 0;) {
        struct slab *slab = (struct slab *)(void *)(frame + i * step * SLAB_UNIT_BYTES);
        *slab = (struct slab){.class = CLASS_COUNT, .wide = wide && (i + 1) * step <= n};
        share_give_spare(s, slab);
    }
}

struct slab *share_take_spare(struct share *s, bool wide)
{
    if (s->spare[wide] == NULL)
        shared_take_spare(s, wide);
    if (s->spare[wide] == NULL) {
        paddr_t frame;
        if (share_take_frame(s, &frame) != MM_OK)
            return NULL;
        cut_frame(s, phys_to_virt(frame), wide);
    }
    struct slab *slab = s->spare[wide];
    s->spare[wide] = slab->next;
    s->spares[wide]--;
    slab_expect_free(slab);
    return slab;
}

#define SPARES_MAX 64u /* that a CPU keeps: who frees what others allocate has ever more */

/* Its pending link stays as it is: others may still look at it. */
void share_give_spare(struct share *s, struct slab *slab)
{
    SLAB_SET(slab->owner, 0);
    SLAB_SET(slab->state, SLAB_SPARE);
    slab->next = s->spare[slab->wide];
    s->spare[slab->wide] = slab;
    if (++s->spares[slab->wide] > SPARES_MAX)
        shared_give_spares(s, slab->wide, SPARES_MAX / 2);
}

/* Each of a frame's first is the frame's. */
void share_drop_spares(struct share *s)
{
    struct slab *frames = NULL;
    for (unsigned wide = 0; wide < 2; wide++)
        for (struct slab *slab = s->spare[wide], *next; slab != NULL; slab = next) {
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
    s->spare[0] = s->spare[1] = NULL;
    s->spares[0] = s->spares[1] = 0;
    s->descriptor_pages = s->store_pages = 0;
}

void share_rearm(void)
{
    irq_state_t irq;
    struct share *s = share_enter(&irq);
    for (unsigned i = 0; i < CLASS_COUNT; i++)
        if (share_has_lane(s, i)) {
            lane_settle(s, &s->lanes[i]);
            lane_limit(s, &s->lanes[i]);
            share_keep_few(s, &s->lanes[i]);
        }
    share_leave(s, irq);
}
