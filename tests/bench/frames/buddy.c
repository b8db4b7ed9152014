/* Baseline: a binary buddy system under one lock, and in front of it a list of single frames for each
 * CPU, which is filled and emptied by the dozen. Links and orders are kept beside the frames.
 * source: Knuth, The Art of Computer Programming Vol. 1 "Dynamic Storage Allocation"; the lists in
 *         front are what Linux calls per-CPU page sets */
#include "contestant.h"

#include <string.h>

#include "spin.h"

#define ORDER_MAX  10 /* 4 MiB, as in Linux */
#define LIST_MAX   512
#define LIST_BATCH 64
#define CPUS       64
#define NIL        UINT32_MAX

struct frame {
    uint32_t next, prev; /* in the list of its order, while it is the head of a free block */
    uint8_t order;
    bool free; /* the head of a free block */
};

struct list {
    unsigned count;
    uint32_t frames[LIST_MAX];
} __attribute__((aligned(128)));

static struct {
    struct spin lock;
    uint32_t heads[ORDER_MAX + 1];
    struct frame *frames;
    uint64_t nframes;
    struct list lists[CPUS];
} system_;

/* --- Blocks; the caller holds the lock ---------------------------------------------------------- */

static void push(uint32_t at, unsigned order)
{
    uint32_t head = system_.heads[order];
    system_.frames[at] = (struct frame){head, NIL, (uint8_t)order, true};
    if (head != NIL)
        system_.frames[head].prev = at;
    system_.heads[order] = at;
}

static void unlink_block(uint32_t at)
{
    struct frame *frame = &system_.frames[at];
    frame->free = false;
    if (frame->prev != NIL)
        system_.frames[frame->prev].next = frame->next;
    else
        system_.heads[frame->order] = frame->next;
    if (frame->next != NIL)
        system_.frames[frame->next].prev = frame->prev;
}

static uint32_t take_block(unsigned order)
{
    unsigned found = order;
    while (found <= ORDER_MAX && system_.heads[found] == NIL)
        found++;
    if (found > ORDER_MAX)
        return NIL;
    uint32_t at = system_.heads[found];
    unlink_block(at);
    while (found > order) {
        found--;
        push(at + (1u << found), found);
    }
    return at;
}

static void give_block(uint32_t at, unsigned order)
{
    while (order < ORDER_MAX) {
        uint32_t other = at ^ 1u << order;
        if (other >= system_.nframes || !system_.frames[other].free ||
            system_.frames[other].order != order)
            break;
        unlink_block(other);
        at &= ~(1u << order);
        order++;
    }
    push(at, order);
}

/* --- Start -------------------------------------------------------------------------------------- */

static uint64_t buddy_start_again(void)
{
    uint64_t before = clock_wall();
    for (unsigned order = 0; order <= ORDER_MAX; order++)
        system_.heads[order] = NIL;
    for (unsigned cpu = 0; cpu < CPUS; cpu++)
        system_.lists[cpu].count = 0;
    memset(system_.frames, 0, system_.nframes * sizeof *system_.frames);
    uint64_t at = system_.nframes; /* downwards: the lists then begin with the lowest */
    while (at > 0) {
        unsigned order = 0;
        while (order < ORDER_MAX && (at & 1ull << order) == 0)
            order++;
        at -= 1ull << order;
        push((uint32_t)at, order);
    }
    return clock_wall() - before + 1;
}

static uint64_t buddy_start(uint64_t ram_bytes, unsigned cpus)
{
    if (cpus > CPUS || ram_bytes / FRAME_BYTES >= NIL)
        return 0;
    system_.nframes = ram_bytes / FRAME_BYTES;
    system_.frames = baseline_map(system_.nframes * sizeof *system_.frames);
    return buddy_start_again();
}

static void buddy_stop(void)
{
    baseline_unmap(system_.frames, system_.nframes * sizeof *system_.frames);
}

static uint64_t buddy_metadata(void)
{
    return system_.nframes * sizeof *system_.frames;
}

/* --- The lists of single frames ----------------------------------------------------------------- */

static void fill(struct list *list)
{
    spin_take(&system_.lock);
    while (list->count < LIST_BATCH) {
        uint32_t at = take_block(0);
        if (at == NIL)
            break;
        list->frames[list->count++] = at;
    }
    spin_give(&system_.lock);
    /* Handed out from the end: the lowest first, as it would be without the list. */
    for (unsigned i = 0; i < list->count / 2; i++) {
        uint32_t frame = list->frames[i];
        list->frames[i] = list->frames[list->count - 1 - i];
        list->frames[list->count - 1 - i] = frame;
    }
}

/* Give back those that have been in it for longest. */
static void empty(struct list *list)
{
    spin_take(&system_.lock);
    for (unsigned i = 0; i < LIST_BATCH; i++)
        give_block(list->frames[i], 0);
    spin_give(&system_.lock);
    list->count -= LIST_BATCH;
    memmove(list->frames, list->frames + LIST_BATCH, list->count * sizeof *list->frames);
}

static mm_status_t buddy_alloc_frame(paddr_t *out)
{
    struct list *list = &system_.lists[baseline_cpu];
    if (list->count == 0) {
        fill(list);
        if (list->count == 0)
            return MM_NOMEM;
    }
    *out = frame_address(list->frames[--list->count]);
    return MM_OK;
}

static mm_status_t buddy_free_frame(paddr_t frame)
{
    struct list *list = &system_.lists[baseline_cpu];
    if (list->count == LIST_MAX)
        empty(list);
    list->frames[list->count++] = (uint32_t)frame_number(frame);
    return MM_OK;
}

/* --- Runs --------------------------------------------------------------------------------------- */

static mm_status_t buddy_alloc_order(unsigned order, const struct pmm_limits *limits, paddr_t *out)
{
    if (limits != NULL || order > ORDER_MAX)
        return MM_INVAL;
    if (order == 0)
        return buddy_alloc_frame(out);
    spin_take(&system_.lock);
    uint32_t at = take_block(order);
    spin_give(&system_.lock);
    if (at == NIL)
        return MM_NOMEM;
    *out = frame_address(at);
    return MM_OK;
}

static mm_status_t buddy_free_order(paddr_t base, unsigned order)
{
    if (order == 0)
        return buddy_free_frame(base);
    spin_take(&system_.lock);
    give_block((uint32_t)frame_number(base), order);
    spin_give(&system_.lock);
    return MM_OK;
}

static mm_status_t buddy_alloc_frames(uint64_t n, const struct pmm_limits *limits, paddr_t *out)
{
    return buddy_alloc_order(order_for(n), limits, out);
}

static mm_status_t buddy_free_frames(paddr_t base, uint64_t n)
{
    return buddy_free_order(base, order_for(n));
}

const struct contestant buddy = {
    .name = "buddy",
    .start = buddy_start,
    .start_again = buddy_start_again,
    .stop = buddy_stop,
    .bind_cpu = baseline_bind_cpu,
    .metadata_bytes = buddy_metadata,
    .alloc_frame = buddy_alloc_frame,
    .free_frame = buddy_free_frame,
    .alloc_order = buddy_alloc_order,
    .free_order = buddy_free_order,
    .alloc_frames = buddy_alloc_frames,
    .free_frames = buddy_free_frames,
};
