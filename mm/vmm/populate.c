/* Owns: nothing; gives ranges their frames. Relies on: the pmm; paging to put them in place of what
 * was there. Stage: from vmm_init on.
 *
 * Frames are allocated and zeroed before any lock is taken. Others may fill the same pages
 * meanwhile: the tables decide who was first, and the other's frames go back. */
#include "mm/string.h"
#include "shares.h"
#include "vmm_state.h"

#define FRAMES_AT_ONCE 64

static const struct pmm_limits zeroed = {.zeroed = true};

/* A fault wants one: that is the pmm's shortest way. */
static mm_status_t get_zeroed(uint64_t n, paddr_t *out)
{
    if (n > 1)
        return pmm_alloc_batch(n, &zeroed, out);
    mm_status_t status = pmm_alloc_frame(out);
    if (status == MM_OK)
        memset64(phys_to_virt(*out), 0, FRAME_BYTES / sizeof(uint64_t));
    return status;
}

/* n pages at most FRAMES_AT_ONCE, in one 2 MiB. */
static mm_status_t fill_small(struct vm *vm, vaddr_t va, uint64_t n, unsigned kind)
{
    paddr_t frames[FRAMES_AT_ONCE];
    uint64_t used = 0;
    mm_status_t status = get_zeroed(n, frames);
    if (status != MM_OK)
        return status;
    status = paging_fill(&vm->space, va, n, kind, PROT_OWNED, frames, &used);
    if (used < n)
        pmm_free_batch(frames + used, n - used);
    return status;
}

/* One 2 MiB page, in the place of the state m. errors: also MM_NOTFOUND (it is not there) */
static mm_status_t fill_large(struct vm *vm, vaddr_t va, const struct mapping *m)
{
    paddr_t block;
    mm_status_t status = pmm_alloc_order(PMM_ORDER_BLOCK, &zeroed, &block);
    if (status != MM_OK)
        return status;
    status = paging_exchange(&vm->space, va, HUGE_2M, m, block, m->prot | PROT_OWNED, m->cache,
                             NULL, NULL);
    if (status != MM_OK)
        pmm_free_order(block, PMM_ORDER_BLOCK);
    return status;
}

static bool may_be_large(const struct mapping *m)
{
    return m->kind != STATE_STACK && (m->value & VALUE_SMALL) == 0 && m->page_bytes >= HUGE_2M;
}

/* What lies in one 2 MiB of a run of states of one kind. */
static mm_status_t fill_piece(struct vm *vm, vaddr_t va, vaddr_t end, unsigned kind)
{
    struct mapping m;
    if (va_diff(va, end) == HUGE_2M && paging_look(&vm->space, va, &m) == MM_OK && m.kind == kind &&
        may_be_large(&m) && fill_large(vm, va, &m) == MM_OK)
        return MM_OK;
    mm_status_t status = MM_OK;
    while (status == MM_OK && va_lt(va, end)) {
        uint64_t n = va_pages(va, end) < FRAMES_AT_ONCE ? va_pages(va, end) : FRAMES_AT_ONCE;
        status = fill_small(vm, va, n, kind);
        va = va_page(va, n);
    }
    return status;
}

/* A run of states of one kind. */
static mm_status_t fill_run(struct vm *vm, vaddr_t va, vaddr_t end, unsigned kind)
{
    while (va_lt(va, end)) {
        vaddr_t piece_end = va_min(end, va_add(va_align_down(va, HUGE_2M), HUGE_2M));
        mm_status_t status = fill_piece(vm, va, piece_end, kind);
        if (status != MM_OK)
            return status;
        va = piece_end;
    }
    return MM_OK;
}

mm_status_t populate(struct vm *vm, vaddr_t va, uint64_t npages, unsigned kinds)
{
    vaddr_t end = va_page(va, npages);
    struct mapping m;
    while (run_next(vm, kinds, va, end, &m) == MM_OK) {
        va = mapping_end(&m);
        mm_status_t status = fill_run(vm, m.va, va, m.kind);
        if (status != MM_OK)
            return status;
    }
    return MM_OK;
}

mm_status_t populate_new(struct vm *vm, vaddr_t va, uint64_t npages)
{
    return fill_run(vm, va, va_page(va, npages), STATE_LAZY);
}

mm_status_t populate_page(struct vm *vm, vaddr_t va, const struct mapping *m)
{
    if (may_be_large(m)) {
        mm_status_t status = fill_large(vm, va_align_down(va, HUGE_2M), m);
        if (status == MM_OK || status == MM_NOTFOUND)
            return MM_OK;
    }
    return fill_small(vm, va_align_down(va, PAGE_BYTES), 1, m->kind);
}

/* --- Pages that are shared until they are written ----------------------------------- */

struct frames {
    paddr_t from, to;
    uint64_t nframes;
};

static bool is_exclusive(void *argument)
{
    const struct frames *f = argument;
    return shares_exclusive(f->from, f->nframes);
}

/* Under the table's lock: else the frame could have been given back, and be somebody else's. */
static bool copy(void *argument)
{
    const struct frames *f = argument;
    memcpy(phys_to_virt(f->to), phys_to_virt(f->from), FRAME_BYTES);
    return true;
}

/* The frame, in the page m, of what is at va. */
static paddr_t frame_at(const struct mapping *m, vaddr_t va)
{
    return pa_add(m->pa, va_diff(m->va, va));
}

/* What has one owner by now only becomes writable: the whole page, or else the small one in it.
 * Whether that is worth trying can be seen before the table is held. */
static mm_status_t take_over(struct vm *vm, vaddr_t va, uint64_t bytes, const struct mapping *m)
{
    vaddr_t base = va_align_down(va, bytes);
    struct frames f = {.from = frame_at(m, base), .nframes = bytes / FRAME_BYTES};
    if (!is_exclusive(&f))
        return MM_NOTFOUND;
    return paging_exchange(&vm->space, base, bytes, m, f.from, prot_meant(m->prot) & ~PROT_COPY,
                           m->cache, is_exclusive, &f);
}

mm_status_t unshare(struct vm *vm, vaddr_t va, const struct mapping *m)
{
    mm_status_t status = MM_NOTFOUND;
    if (m->page_bytes >= HUGE_2M)
        status = take_over(vm, va, HUGE_2M, m);
    if (status == MM_NOTFOUND)
        status = take_over(vm, va, PAGE_BYTES, m);
    if (status != MM_NOTFOUND)
        return status;

    vaddr_t page = va_align_down(va, PAGE_BYTES);
    struct frames f = {.from = frame_at(m, page)};
    status = pmm_alloc_frame(&f.to);
    if (status != MM_OK)
        return status;
    status = paging_exchange(&vm->space, page, PAGE_BYTES, m, f.to,
                             prot_meant(m->prot) & ~PROT_COPY, m->cache, copy, &f);
    if (status == MM_OK)
        shares_hooks.release(f.from, 1);
    else
        pmm_free_frame(f.to);
    return status == MM_NOTFOUND ? MM_OK : status;
}
