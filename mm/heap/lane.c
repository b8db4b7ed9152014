/* Owns: nothing; what a lane has at hand: where it comes from when there is nothing, and where it goes when
 * there is no room. Relies on: slabs, the pmm for frames. Stage: "heap".
 *
 * Objects come and go by the dozen, so that what a slab has to do with it costs each of them little: it
 * only counts those that are out. Where many go one after another, more room is made. */
#include "../pmm/state.h"
#include "share.h"

#define LANE_BYTES 0x100000u /* of objects that a lane has room for when it is at its largest */

static const struct pmm_limits stays = {.kind = PMM_LONG};

static size_t at_hand(const struct heap_lane *lane)
{
    return (size_t)(lane->top - lane->bottom);
}

static size_t room(const struct heap_lane *lane)
{
    return (size_t)(lane->end - lane->bottom);
}

/* Objects that go at a time: many, so that each costs little, but no call takes long, and of large
 * ones each may be a slab's last. */
#define BATCH_MAX   32u
#define BATCH_BYTES 0x10000u
static size_t batch(const struct heap_lane *lane)
{
    size_t n = (room(lane) + 1) / 2;
    n = n < BATCH_MAX ? n : BATCH_MAX;
    while (n > 2 && n * lane->size > BATCH_BYTES)
        n /= 2;
    return n;
}

static struct slab *slab_of(const struct ready *r)
{
    return page_map_entry(page_map_offset(r->object));
}

/* --- Counting ------------------------------------------------------------------------------------ */

static void note_peak(struct heap_lane *lane)
{
    uint64_t live = lane->out - at_hand(lane);
    if (live > lane->peak)
        SLAB_SET(lane->peak, live);
}

/* Armed for no more than what is left before a sample, or that would come too late. */
void lane_settle(struct share *s, struct heap_lane *lane)
{
    uint32_t rate = SLAB_GET(heap_tuning.sample_rate);
    int64_t until = SLAB_GET(lane->until), taken = lane->armed - until;
    SLAB_SET(lane->allocations, lane->allocations + (uint64_t)taken);
    bool sampled = lane_class(s, lane) < CLASS_SIZES; /* those of caches are not */
    s->until_sample -= sampled ? taken : 0;
    if (rate == 0)
        until = INT32_MAX;
    else if (until <= 0 || until > s->until_sample)
        until = s->until_sample > 0 && s->until_sample < rate ? s->until_sample : rate;
    SLAB_SET(lane->armed, sampled && share_wants_sample(s) ? 0 : (int32_t)until);
    SLAB_SET(lane->until, lane->armed);
}

/* --- Into the lane --------------------------------------------------------------------------------- */

bool lane_refill(struct heap_lane *lane)
{
    struct slab *slab = lane->current;
    if (slab == NULL || lane->top != lane->bottom)
        return false;
    note_peak(lane);
    size_t n = slab->objects - slab->out;
    if (n > batch(lane))
        n = batch(lane);
    SLAB_SET(slab->out, (uint16_t)(slab->out + n));
    SLAB_SET(lane->out, lane->out + n);
    struct ready *r = lane->bottom + n; /* the lowest address is the first to be taken */
    SLAB_SET(lane->top, r);
    for (unsigned group = 0; r != lane->bottom && group < SLAB_OBJECTS / IDLE_GROUP; group++)
        for (uint64_t bits = slab_idle_group(slab, group); bits != 0 && r != lane->bottom;
             bits &= bits - 1) {
            uint32_t index = IDLE_GROUP * group + (uint32_t)__builtin_ctzll(bits) / 8;
            void *object = (void *)(slab->base + index * lane->size);
            *r-- = (struct ready){object, ready_place(slab, index)};
        }
    if (r != lane->bottom)
        port_panic("heap: the descriptor at 0x%lx of the slab at 0x%lx was overwritten",
                   va_number(va_of(slab)), slab->base);
    return n > 0;
}

/* --- Room ------------------------------------------------------------------------------------------ */

#define LANE_PAGES 16u /* that a lane has when its room is worth a frame anyway */
#define WANTS_MUCH 64u

/* That a lane may have. */
static size_t most_room(const struct heap_lane *lane)
{
    size_t most = LANE_BYTES / (lane->size == 0 ? FRAME_BYTES : lane->size);
    size_t depth = SLAB_GET(heap_tuning.cache_depth);
    most = most < READY_MAX ? most : READY_MAX;
    return most < depth ? most : depth;
}

static void use_few(struct heap_lane *lane)
{
    size_t few = lane->size == 0 ? 0 : READY_FEW_BYTES / lane->size;
    few = few < 2 ? 2 : few < READY_FEW ? few : READY_FEW;
    lane->top = lane->bottom = lane->few;
    lane->end = lane->few + (few < most_room(lane) ? few : most_room(lane));
}

void lane_init(struct share *s, struct heap_lane *lane, size_t bytes)
{
    lane->size = bytes;
    lane->few[0].place = (uintptr_t)&s->nothing - offsetof(struct slab, idle);
    use_few(lane);
}

static void give_frames(struct share *s, struct heap_lane *lane)
{
    if (lane->frames == 0)
        return;
    pmm_free_frames(virt_to_phys(lane->bottom), lane->frames);
    s->descriptor_pages -= lane->frames;
    s->given += lane->frames;
    lane->frames = 0;
}

/* Frames for more of what is at hand. */
static void move(struct share *s, struct heap_lane *lane, uint64_t pages)
{
    paddr_t frames;
    if (pmm_alloc_frames(pages, &stays, &frames) != MM_OK)
        return;
    struct ready *bottom = phys_to_virt(frames);
    for (size_t i = 0; i <= at_hand(lane); i++)
        bottom[i] = lane->bottom[i];
    size_t had = room(lane);
    lane->top = bottom + at_hand(lane);
    give_frames(s, lane);
    lane->bottom = bottom;
    lane->end = bottom + had;
    lane->frames = (uint32_t)pages;
    s->descriptor_pages += pages;
}

/* Who frees an object does not take frames, which may be long: under Linux they are touched for the
 * first time. Who starts a slab waits for such anyway; another only if it pays for sure. */
void lane_make_room(struct share *s, struct heap_lane *lane, bool starts)
{
    uint64_t pages = lane->frames == 0 ? 1 : READY_PAGES;
    bool large = lane->frames == 0 && lane->pages >= LANE_PAGES;
    if (starts ? lane->wants == 0 && !large : lane->wants < WANTS_MUCH)
        return;
    if (pages > lane->frames)
        move(s, lane, pages);
    lane->wants = 0;
}

/* Twice as much. False: that is too much, for now or at all. */
static bool grow(struct heap_lane *lane)
{
    size_t most = most_room(lane), places = 2 * room(lane) + 1;
    size_t there =
        lane->frames == 0 ? READY_FEW : lane->frames * FRAME_BYTES / sizeof(struct ready) - 1;
    lane->wants += there < most && places > there;
    most = most < there ? most : there;
    places = places < most ? places : most;
    if (places <= room(lane))
        return false;
    lane->end = lane->bottom + places;
    return true;
}

void lane_drop(struct share *s, struct heap_lane *lane)
{
    if (lane->frames == 0)
        return;
    give_frames(s, lane);
    use_few(lane);
}

/* --- Out of the lane -------------------------------------------------------------------------------- */

/* Put so many back into their slabs, from the top: those at the bottom would have to be moved over. Then
 * there may be too many partial slabs: share_keep_few, once everything that is out of them is at hand. */
static void flush(struct share *s, struct heap_lane *lane, size_t n)
{
    struct ready *rest = lane->top - n;
    note_peak(lane);
    SLAB_SET(lane->out, lane->out - n);
    for (const struct ready *r = lane->top; r != rest; r--) {
        struct slab *slab = slab_of(r);
        SLAB_SET(slab->out, (uint16_t)(slab->out - 1));
        if (slab->state != SLAB_CURRENT)
            share_look(s, slab);
    }
    SLAB_SET(lane->top, rest);
}

void lane_limit(struct share *s, struct heap_lane *lane)
{
    size_t most = most_room(lane);
    if (room(lane) <= most)
        return;
    flush(s, lane, at_hand(lane));
    lane->end = lane->bottom + most;
}

__attribute__((noinline)) void lane_overflow(struct share *s, struct heap_lane *lane, void *object,
                                             uintptr_t place)
{
    irq_state_t irq = spin_lock(&s->lock);
    lane_limit(s, lane);
    if (lane->top == lane->end && !grow(lane))
        flush(s, lane, batch(lane));
    SLAB_SET(lane->top, lane->top + 1);
    *lane->top = (struct ready){object, place};
    share_keep_few(s, lane);
    spin_unlock(&s->lock, irq);
}

void share_flush(struct share *s, const struct heap_lane *but)
{
    for (unsigned i = 0; i < CLASS_COUNT; i++) {
        struct heap_lane *lane = &s->lanes[i];
        if (lane == but || at_hand(lane) == 0)
            continue;
        flush(s, lane, at_hand(lane));
        share_keep_few(s, lane);
    }
}

void lane_forget(struct heap_lane *lane, struct slab *slab)
{
    struct ready *to = lane->bottom;
    for (struct ready *r = to + 1; r <= lane->top; r++)
        if (slab_of(r) != slab) {
            *++to = *r;
        } else {
            SLAB_SET(slab->out, (uint16_t)(slab->out - 1));
            SLAB_SET(lane->out, lane->out - 1);
        }
    SLAB_SET(lane->top, to);
}
