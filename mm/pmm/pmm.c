/* Owns: the calls of the pmm, and their fast ways.
 * Relies on: caches; alloc and free for all that is not fast. Stage: "frames", and everything after.
 *
 * The fast way of one frame: the bit of a row in this CPU's cache. No locked instruction, and no
 * line that another CPU writes to, unless it frees into the same block. */
#include "mm/pmm.h"

#include "check.h"
#include "mm/hhdm.h"
#include "mm/string.h"
#include "poison.h"
#include "state.h"

#define SUSPICIONS_MAX 8 /* each is a coincidence, or the frame is freed over and over */

struct pmm pmm;

mm_status_t pmm_misuse(const char *what, unsigned long address, unsigned long nframes)
{
    if (nframes != 0)
        port_misuse("pmm: bad free of %lu frames at 0x%lx: %s", nframes, address, what);
    else
        port_misuse("pmm: at 0x%lx: %s", address, what);
    return MM_INVAL;
}

struct zone *pmm_find_block(uint64_t number, uint64_t *index)
{
    for (unsigned i = 0; i < pmm_nzones(); i++)
        if (zone_find_block(&pmm.zones[i], number, index))
            return &pmm.zones[i];
    return NULL;
}

/* --- Allocating ------------------------------------------------------------ */

/* Take one frame of the lane's row. False if it is empty. */
LOCK_INLINE bool pop(struct lane *lane, uint64_t *frame)
{
    uint64_t free = *lane->row;
    if (free == 0)
        return false;
    CACHE_SET(*lane->row, free & (free - 1));
    *frame = lane->frame + (unsigned)__builtin_ctzll(free);
    return true;
}

/* Take a run of up to a row from the lane's row. */
LOCK_INLINE bool pop_run(struct lane *lane, unsigned n, uint64_t *frame)
{
    uint64_t free = *lane->row;
    uint64_t fits = n & (n - 1) ? row_fits(free, n) : row_runs(free, (unsigned)__builtin_ctz(n));
    if (fits == 0)
        return false;
    unsigned first = (unsigned)__builtin_ctzll(fits);
    CACHE_SET(*lane->row, free & ~row_mask(first, n));
    *frame = lane->frame + first;
    return true;
}

static mm_status_t finish(const struct request *req, const struct pmm_limits *limits,
                          uint64_t frame, paddr_t *out)
{
    poison_check(frame, req->n);
    *out = frame_address(frame);
    if (limits != NULL && limits->zeroed)
        memset64(phys_to_virt(*out), 0, req->n * (FRAME_BYTES / sizeof(uint64_t)));
    return MM_OK;
}

/* noinline: the fast ways need no stack frame. */
__attribute__((noinline)) static mm_status_t
alloc_slowly(const struct request *req, const struct pmm_limits *limits, paddr_t *out)
{
    uint64_t frame;
    if (!alloc_request(req, &frame))
        return MM_NOMEM;
    return finish(req, limits, frame, out);
}

static const struct request one_frame = {.n = 1, .align = 1, .high = ANY_FRAME, .lane = LANE_SHORT};

/* One frame from the next row of the lane's slot that has any: those that came back since then are
 * found when there is none. */
static bool pop_next_row(struct lane *lane, uint64_t *frame)
{
    struct slot *s = lane->slot;
    while (s != NULL && s->rows != 0) {
        unsigned r = (unsigned)__builtin_ctz(s->rows);
        s->rows &= s->rows - 1;
        if (s->free[r] == 0)
            continue;
        lane_use_row(lane, s, r);
        return pop(lane, frame);
    }
    return false;
}

__attribute__((noinline)) static mm_status_t alloc_one_slowly(paddr_t *out)
{
    uint64_t frame;
    irq_state_t irq = irq_save();
    struct pmm_cache *c = cache_enter();
    bool found = pop_next_row(&c->lanes[LANE_SHORT], &frame) ||
                 (!c->failed && alloc_inside(c, &one_frame, &frame));
    cache_leave(c);
    irq_restore(irq);
    if (!found)
        return alloc_slowly(&one_frame, NULL, out);
    return finish(&one_frame, NULL, frame, out);
}

/* No call but the last, so that no register need be saved. */
mm_status_t pmm_alloc_frame(paddr_t *out)
{
    uint64_t frame;
    irq_state_t irq = irq_save();
    struct pmm_cache *c = cache_approach();
    bool found = !cache_is_stolen(c) && pop(&c->lanes[LANE_SHORT], &frame);
    cache_leave(c);
    irq_restore(irq);
    if (__builtin_expect(!found, 0))
        return alloc_one_slowly(out);
    poison_check(frame, 1);
    *out = frame_address(frame);
    return MM_OK;
}

/* One frame with a limit by address only: from the row that the last such came from, if all of that
 * is inside. A limit of 0 is none, and minus 1 the last byte. */
LOCK_INLINE bool alloc_limited(const struct pmm_limits *l, uint64_t *frame)
{
    irq_state_t irq = irq_save();
    struct pmm_cache *c = cache_approach();
    struct lane *lane = &c->lanes[LANE_LIMITED];
    uint64_t first = frame_number(l->min_addr), last = frame_number(pa_sub(l->max_addr, 1));
    bool found = !cache_is_stolen(c) && lane->frame > first && lane->frame + ROW_FRAMES <= last &&
                 pop(lane, frame);
    cache_leave(c);
    irq_restore(irq);
    return found;
}

LOCK_INLINE bool is_by_address(const struct pmm_limits *l)
{
    return l->align_frames <= 1 && (l->node_rule | (unsigned)l->kind | l->zeroed) == 0;
}

__attribute__((noinline)) static mm_status_t
alloc_limits(uint64_t nframes, const struct pmm_limits *limits, paddr_t *out)
{
    struct request req;
    if (!request_make(nframes, limits, &req))
        return MM_INVAL;
    return alloc_slowly(&req, limits, out);
}

/* A run without limits: what the lane's row, a hint or the window has. */
__attribute__((noinline)) static mm_status_t alloc_run(uint64_t n, paddr_t *out)
{
    uint64_t frame;
    bool found = false;
    irq_state_t irq = irq_save();
    struct pmm_cache *c = cache_approach();
    if (!cache_is_stolen(c)) {
        if (n == BLOCK_FRAMES)
            found = cache_pop_block(c, &frame);
        else
            found = cache_pop_hinted(c, (unsigned)n, &frame) ||
                    (n <= ROW_FRAMES && pop_run(&c->lanes[LANE_SHORT], (unsigned)n, &frame));
    }
    cache_leave(c);
    irq_restore(irq);
    if (!found)
        return alloc_limits(n, NULL, out);
    poison_check(frame, n);
    *out = frame_address(frame);
    return MM_OK;
}

mm_status_t pmm_alloc_frames(uint64_t nframes, const struct pmm_limits *limits, paddr_t *out)
{
    uint64_t frame;
    if (limits == NULL && nframes - 1 < BLOCK_FRAMES)
        return nframes == 1 ? pmm_alloc_frame(out) : alloc_run(nframes, out);
    if (limits == NULL || nframes != 1 || !is_by_address(limits) || !alloc_limited(limits, &frame))
        return alloc_limits(nframes, limits, out);
    poison_check(frame, 1);
    *out = frame_address(frame);
    return MM_OK;
}

mm_status_t pmm_alloc_order(unsigned order, const struct pmm_limits *limits, paddr_t *out)
{
    if (order > PMM_ORDER_MAX)
        return MM_INVAL;
    if (order <= PMM_ORDER_BLOCK && limits == NULL)
        return pmm_alloc_frames(1ull << order, NULL, out); /* aligned as it is */
    struct pmm_limits aligned = limits != NULL ? *limits : (struct pmm_limits){0};
    if ((aligned.align_frames & (aligned.align_frames - 1)) != 0)
        return MM_INVAL;
    if (aligned.align_frames < 1ull << order)
        aligned.align_frames = 1ull << order;
    return alloc_limits(1ull << order, &aligned, out);
}

mm_status_t pmm_try_mark_used(paddr_t base, uint64_t nframes)
{
    uint64_t frame = frame_number(base);
    if (!pa_aligned(base, FRAME_BYTES) || nframes - 1 >= BLOCK_FRAMES - frame % BLOCK_FRAMES)
        return MM_INVAL;
    irq_state_t irq = irq_save();
    struct pmm_cache *c = cache_enter();
    bool taken = take_inside(c, frame, (unsigned)nframes);
    cache_leave(c);
    irq_restore(irq);
    if (!taken)
        return MM_EXISTS;
    poison_check(frame, nframes);
    return MM_OK;
}

/* --- Batches ----------------------------------------------------------------- */

#define BATCH_AT_ONCE 512 /* frames with interrupts off */

/* As many as this CPU and the shared blocks have, up to n. */
static size_t alloc_some(const struct request *req, size_t n, paddr_t *out)
{
    size_t count = 0;
    irq_state_t irq = irq_save();
    struct pmm_cache *c = cache_enter();
    struct lane *lane = &c->lanes[req->lane];
    for (uint64_t frame; count < n; count++) {
        if (!(request_allows(req, lane->frame, ROW_FRAMES) && pop(lane, &frame)) &&
            !alloc_inside(c, req, &frame))
            break;
        out[count] = frame_address(frame);
    }
    cache_leave(c);
    irq_restore(irq);
    return count;
}

mm_status_t pmm_alloc_batch(size_t n, const struct pmm_limits *limits, paddr_t *out)
{
    struct request req;
    if (!request_make(1, limits, &req))
        return MM_INVAL;
    for (size_t done = 0; done < n;) {
        size_t some = n - done < BATCH_AT_ONCE ? n - done : BATCH_AT_ONCE;
        some = alloc_some(&req, some, out + done);
        uint64_t frame;
        if (some == 0 && alloc_request(&req, &frame)) { /* from the other CPUs */
            out[done] = frame_address(frame);
            some = 1;
        }
        if (some == 0) {
            pmm_free_batch(out, done);
            return MM_NOMEM;
        }
        for (size_t i = done; i < done + some; i++)
            finish(&req, limits, frame_number(out[i]), &out[i]);
        done += some;
    }
    return MM_OK;
}

/* --- Freeing ------------------------------------------------------------------ */

/* A run of one block that has a slot here, or is all of a block in the window. */
static bool free_run(uint64_t frame, unsigned n)
{
    irq_state_t irq = irq_save();
    struct pmm_cache *c = cache_approach();
    bool done = false;
    if (!cache_is_stolen(c))
        done = cache_push_run(c, frame, n) || (n == BLOCK_FRAMES && cache_push_block(c, frame));
    cache_leave(c);
    irq_restore(irq);
    return done;
}

/* Runs of several blocks are looked at as a whole first, so that all is freed or nothing. */
static const char *free_blocks(uint64_t *frame, uint64_t end)
{
    const char *why = NULL;
    irq_state_t irq = irq_save();
    struct pmm_cache *c = cache_enter();
    if (end - *frame > BLOCK_FRAMES - *frame % BLOCK_FRAMES)
        why = free_check(c, *frame, end - *frame);
    while (*frame < end && why == NULL) {
        uint64_t room = BLOCK_FRAMES - *frame % BLOCK_FRAMES;
        unsigned part = (unsigned)(end - *frame < room ? end - *frame : room);
        why = free_inside(c, *frame, part);
        *frame += why == NULL ? part : 0;
    }
    cache_leave(c);
    irq_restore(irq);
    return why;
}

__attribute__((noinline)) static mm_status_t free_slowly(paddr_t base, uint64_t nframes)
{
    uint64_t frame = frame_number(base), end = frame + nframes;
    if (nframes == 0 || !pa_aligned(base, FRAME_BYTES) || !range_fits(frame, nframes, ANY_FRAME))
        return pmm_misuse("not a range of frames", pa_number(base), nframes);
    const char *why = free_blocks(&frame, end);
    for (unsigned i = 0; why == free_suspect && i < SUSPICIONS_MAX; i++) {
        pmm_drain(); /* what any CPU kept is in the lines now */
        why = free_blocks(&frame, end);
    }
    return why == NULL ? MM_OK : pmm_misuse(why, pa_number(base), nframes);
}

mm_status_t pmm_free_frames(paddr_t base, uint64_t nframes)
{
    uint64_t frame = frame_number(base);
    if (pa_aligned(base, FRAME_BYTES) && nframes - 1 < BLOCK_FRAMES - frame % BLOCK_FRAMES &&
        free_run(frame, (unsigned)nframes))
        return MM_OK;
    return free_slowly(base, nframes);
}

/* The frame's number; that of no frame if the address is misaligned: its low bits become the high
 * ones, so that whoever looks for the number's block finds none. */
static inline uint64_t aligned_number(paddr_t pa)
{
    return pa.v >> FRAME_SHIFT | pa.v << (64 - FRAME_SHIFT);
}

mm_status_t pmm_free_frame(paddr_t frame)
{
    uint64_t number = aligned_number(frame), row = number / ROW_FRAMES % LINE_ROWS;
    irq_state_t irq = irq_save();
    struct pmm_cache *c = cache_approach();
    struct slot *s = cache_slot(c, number >> BLOCK_SHIFT);
    bool fast = false;
    /* One branch for both; read in this order, or the tag may be from before a thief came and went. */
    uint64_t stolen = __atomic_load_n(&c->steal, __ATOMIC_ACQUIRE);
    if (((cache_tag(c, number >> BLOCK_SHIFT) ^ number >> BLOCK_SHIFT) | stolen) == 0) {
        uint64_t *free = &s->free[row], bit = 1ull << number % ROW_FRAMES;
        fast = (slot_freeable(s, row) & bit) != 0;
        if (fast) {
            poison_fill(number, 1);
            CACHE_SET(*free, *free | bit);
            cache_may(c, s);
        }
    }
    cache_leave(c);
    irq_restore(irq);
    return fast ? MM_OK : free_slowly(frame, 1);
}

mm_status_t pmm_free_order(paddr_t base, unsigned order)
{
    if (order > PMM_ORDER_MAX || !pa_aligned(base, FRAME_BYTES << order))
        return pmm_misuse("no run of such an order", pa_number(base), 1ull << (order & 63));
    return pmm_free_frames(base, 1ull << order);
}

mm_status_t pmm_free_batch(const paddr_t *frames, size_t n)
{
    mm_status_t status = MM_OK;
    for (size_t i = 0; i < n; i++)
        if (pmm_free_frame(frames[i]) != MM_OK)
            status = MM_INVAL;
    return status;
}
