/* Owns: a contestant that stands in front of another and keeps a bit for each frame, 1 = handed out.
 * The bits are atomic: who hands out a frame twice is caught whichever CPUs are involved. */
#include <stdio.h>

#include "worker.h"

/* Our machine has a hole of 1 GiB below 4 GiB. */
#define HOLE_BYTES (1ull << 30)

static struct {
    const struct contestant *inner;
    struct contestant outer;
    uint64_t *bits;
    uint64_t nframes, end; /* RAM, and where addresses end */
    uint64_t handed_out;
    char complaint[128];
    unsigned complaints;
} check;

static void complain(const char *what, uint64_t frame)
{
    if (__atomic_fetch_add(&check.complaints, 1, __ATOMIC_RELAXED) == 0)
        snprintf(check.complaint, sizeof check.complaint, "frame 0x%lx %s", frame, what);
}

static void note_taken(paddr_t base, uint64_t n, uint64_t align)
{
    uint64_t first = frame_number(base);
    if (!pa_aligned(base, FRAME_BYTES) || first % align != 0)
        complain("is misaligned", first);
    __atomic_fetch_add(&check.handed_out, n, __ATOMIC_RELAXED);
    for (uint64_t frame = first; frame < first + n; frame++) {
        uint64_t bit = 1ull << frame % 64;
        if (frame >= check.end)
            complain("does not exist", frame);
        else if (__atomic_fetch_or(&check.bits[frame / 64], bit, __ATOMIC_ACQ_REL) & bit)
            complain("was handed out twice", frame);
    }
}

/* Before it is freed: afterwards somebody else may have it. */
static void note_given(paddr_t base, uint64_t n)
{
    uint64_t first = frame_number(base);
    for (uint64_t frame = first; frame < first + n && frame < check.end; frame++) {
        uint64_t bit = 1ull << frame % 64;
        if (!(__atomic_fetch_and(&check.bits[frame / 64], ~bit, __ATOMIC_ACQ_REL) & bit))
            complain("is freed by the bench twice", frame);
    }
}

static mm_status_t checked_free(mm_status_t status, paddr_t base)
{
    if (status != MM_OK)
        complain("could not be freed", frame_number(base));
    return status;
}

static mm_status_t alloc_frame(paddr_t *out)
{
    mm_status_t status = check.inner->alloc_frame(out);
    if (status == MM_OK)
        note_taken(*out, 1, 1);
    return status;
}

static mm_status_t free_frame(paddr_t frame)
{
    note_given(frame, 1);
    return checked_free(check.inner->free_frame(frame), frame);
}

static mm_status_t alloc_order(unsigned order, const struct pmm_limits *limits, paddr_t *out)
{
    mm_status_t status = check.inner->alloc_order(order, limits, out);
    if (status == MM_OK)
        note_taken(*out, 1ull << order, 1ull << order);
    return status;
}

static mm_status_t free_order(paddr_t base, unsigned order)
{
    note_given(base, 1ull << order);
    return checked_free(check.inner->free_order(base, order), base);
}

static mm_status_t alloc_frames(uint64_t n, const struct pmm_limits *limits, paddr_t *out)
{
    mm_status_t status = check.inner->alloc_frames(n, limits, out);
    if (status == MM_OK)
        note_taken(*out, n, 1);
    return status;
}

static mm_status_t free_frames(paddr_t base, uint64_t n)
{
    note_given(base, n);
    return checked_free(check.inner->free_frames(base, n), base);
}

static mm_status_t alloc_batch(size_t n, const struct pmm_limits *limits, paddr_t *out)
{
    mm_status_t status = check.inner->alloc_batch(n, limits, out);
    for (size_t i = 0; status == MM_OK && i < n; i++)
        note_taken(out[i], 1, 1);
    return status;
}

static mm_status_t free_batch(const paddr_t *frames, size_t n)
{
    for (size_t i = 0; i < n; i++)
        note_given(frames[i], 1);
    return checked_free(check.inner->free_batch(frames, n), frames[0]);
}

const struct contestant *checked_wrap(const struct contestant *a, uint64_t ram_bytes)
{
    check.inner = a;
    check.outer = *a;
    check.outer.alloc_frame = alloc_frame;
    check.outer.free_frame = free_frame;
    check.outer.alloc_order = alloc_order;
    check.outer.free_order = free_order;
    check.outer.alloc_frames = alloc_frames;
    check.outer.free_frames = free_frames;
    check.outer.alloc_batch = a->alloc_batch == NULL ? NULL : alloc_batch;
    check.outer.free_batch = a->free_batch == NULL ? NULL : free_batch;
    check.end = (ram_bytes + HOLE_BYTES) / FRAME_BYTES;
    check.bits = baseline_map(check.end / 8 + 8);
    check.handed_out = 0;
    check.complaints = 0;
    return &check.outer;
}

const char *checked_verdict(uint64_t *frames)
{
    baseline_unmap(check.bits, check.end / 8 + 8);
    *frames = check.handed_out;
    return check.complaints > 0 ? check.complaint : NULL;
}
