/* Owns: nothing; looks whether all spaces together are as they should be. Relies on: vmm_next.
 * Stage: from vmm_init on. */
#include "shares.h"
#include "vmm_state.h"

/* One audit under way: a bit for each frame that was met. */
struct walk {
    struct vmm_audit *out;
    uint64_t *seen;
    uint64_t mappings, expected; /* of owned frames: found, and as they are counted */
};

static void bad(struct walk *w, uint64_t *count, vaddr_t va)
{
    if (*count == 0 && va_eq(w->out->first_bad, VA(0)))
        w->out->first_bad = va;
    ++*count;
}

/* A frame that somebody owns, at va. */
static void look_at_frame(struct walk *w, paddr_t frame, vaddr_t va)
{
    uint64_t i = pa_diff(PA(0), frame) / FRAME_BYTES, shares;
    if (!pa_lt(frame, PA(hhdm.bytes)) || !pmm_is_used(frame)) {
        bad(w, &w->out->not_in_use, va);
        return;
    }
    shares = shares_of(frame);
    bool again = (w->seen[i / 64] >> i % 64 & 1) != 0;
    w->mappings++;
    w->seen[i / 64] |= 1ull << i % 64;
    if (again && shares == 1)
        bad(w, &w->out->mapped_twice, va);
    if (again)
        return;
    w->expected += shares;
    w->out->owned++;
    w->out->shared += shares > 1;
}

static void look_at_run(struct walk *w, const struct vm *vm, const struct vmm_run *run)
{
    struct vmm_audit *out = w->out;
    uint64_t entries = run->npages * PAGE_BYTES / run->page_bytes;
    uint64_t *pages = run->page_bytes == PAGE_BYTES ? &out->pages_4k
                      : run->page_bytes == HUGE_2M  ? &out->pages_2m
                                                    : &out->pages_1g;
    bool user = (run->prot & PROT_USER) != 0;
    *pages += entries;
    if (port_cpu()->nx && (run->prot & PROT_WRITE) != 0 && (run->prot & PROT_EXEC) != 0)
        bad(w, &out->writable_executable, run->va);
    if (user != vm->space.user)
        bad(w, &out->user_in_kernel, run->va);
    for (uint64_t i = 0; (run->prot & PROT_OWNED) != 0 && i < run->npages; i++)
        look_at_frame(w, pa_add(run->pa, i * PAGE_BYTES), va_page(run->va, i));
}

static void look_at_space(struct walk *w, struct vm *vm)
{
    vaddr_t cursor = VA(0);
    struct vmm_run run;
    w->out->spaces++;
    w->out->tables += vm->space.ntables;
    while (vmm_next(vm, &cursor, &run) == MM_OK)
        if (run.kind == VMM_IS_PAGE)
            look_at_run(w, vm, &run);
}

mm_status_t vmm_audit(struct vmm_audit *out, bool *good)
{
    static const struct pmm_limits zeroed = {.zeroed = true};
    uint64_t nframes = bytes_to_frames(hhdm.bytes / FRAME_BYTES / 8 + 1);
    paddr_t frames;
    mm_status_t status = pmm_alloc_frames(nframes, &zeroed, &frames);
    if (status != MM_OK)
        return status;
    *out = (struct vmm_audit){0};
    struct walk w = {.out = out, .seen = phys_to_virt(frames)};
    FOR_EACH_VM(vm)
    look_at_space(&w, vm);
    pmm_free_frames(frames, nframes);
    out->miscounted = w.mappings > w.expected ? w.mappings - w.expected : w.expected - w.mappings;
    *good = (out->writable_executable | out->user_in_kernel | out->mapped_twice | out->not_in_use |
             out->miscounted) == 0;
    return MM_OK;
}
