/* Owns: nothing; changes the size of kernel ranges without copying what is in them.
 * Relies on: paging, record.c, populate.c. Stage: from vmm_init on.
 *
 * A range that grows moves: its frames are mapped a second time, in a larger range, and then change
 * their owner by two notes in the entries, which take no memory. So whatever fails comes before. */
#include "check.h"
#include "vmm_state.h"

#define FRAMES_AT_ONCE 64

/* One page of 2 MiB in the place of a state. */
static mm_status_t show_large(vaddr_t va, paddr_t pa)
{
    struct mapping state;
    mm_status_t status = paging_look(&vmm_kernel()->space, va, &state);
    if (status != MM_OK)
        return status;
    return paging_exchange(&vmm_kernel()->space, va, HUGE_2M, &state, pa, state.prot, state.cache,
                           NULL, NULL);
}

/* At most FRAMES_AT_ONCE pages, inside of one 2 MiB. */
static mm_status_t show_small(vaddr_t va, paddr_t pa, uint64_t n)
{
    paddr_t frames[FRAMES_AT_ONCE];
    uint64_t used = 0;
    for (uint64_t i = 0; i < n; i++)
        frames[i] = pa_add(pa, i * FRAME_BYTES);
    mm_status_t status = paging_fill(&vmm_kernel()->space, va, n, STATE_RESERVED, 0, frames, &used);
    ASSERT(status != MM_OK || used == n);
    return status;
}

/* Map what a run of pages shows at another place too, which is reserved, without owning it there. */
static mm_status_t show_run(const struct mapping *m, vaddr_t va)
{
    for (uint64_t done = 0, n; done < m->bytes; done += n * PAGE_BYTES) {
        vaddr_t at = va_add(va, done);
        paddr_t pa = pa_add(m->pa, done);
        uint64_t left = (m->bytes - done) / PAGE_BYTES;
        uint64_t room = va_pages(at, va_add(va_align_down(at, HUGE_2M), HUGE_2M));
        mm_status_t status;
        if (left >= PAGES_2M && va_aligned(at, HUGE_2M) && pa_aligned(pa, HUGE_2M)) {
            n = PAGES_2M;
            status = show_large(at, pa);
        } else {
            n = left < room ? left : room;
            n = n < FRAMES_AT_ONCE ? n : FRAMES_AT_ONCE;
            status = show_small(at, pa, n);
        }
        if (status != MM_OK)
            return status;
    }
    return MM_OK;
}

/* The pages of the range must all be there, and its own. */
static mm_status_t show_range(const struct vmm_range *from, vaddr_t to)
{
    vaddr_t end = va_page(from->va, from->npages), va = from->va;
    struct mapping m;
    for (; va_lt(va, end); va = mapping_end(&m)) {
        if (run_next(vmm_kernel(), KINDS_ALL, va, end, &m) != MM_OK)
            return MM_NOTFOUND;
        if (m.kind != ENTRY_PAGE || (m.prot & PROT_NOTES) != PROT_OWNED)
            return MM_DENIED;
        mm_status_t status = show_run(&m, va_add(to, va_diff(from->va, va)));
        if (status != MM_OK)
            return status;
    }
    return MM_OK;
}

static void set_owned(vaddr_t va, uint64_t npages, bool owned)
{
    mm_status_t status = paging_note(&vmm_kernel()->space, va, npages, KIND(ENTRY_PAGE),
                                     owned ? PROT_OWNED : 0, owned ? 0 : PROT_OWNED);
    ASSERT(status == MM_OK); /* whole entries: nothing is split */
}

static mm_status_t grow(const struct record *r, uint64_t npages, vaddr_t *out)
{
    struct mapping first;
    vaddr_t old = r->range.va, new;
    mm_status_t status = paging_look(&vmm_kernel()->space, old, &first);
    if (status != MM_OK)
        return status;
    const struct vmm_want want = {.name = r->range.name,
                                  .npages = npages,
                                  .prot = prot_meant(first.prot) & (PROT_READ | PROT_WRITE),
                                  .backing = VMM_RESERVED};
    status = vmm_alloc(vmm_kernel(), &want, &new);
    if (status != MM_OK)
        return status;
    uint64_t kept = r->range.npages;
    status = show_range(&r->range, new);
    if (status == MM_OK)
        status = populate(vmm_kernel(), va_page(new, kept), npages - kept, KIND(STATE_RESERVED));
    if (status != MM_OK) {
        vmm_free_range(new);
        return status;
    }
    set_owned(old, kept, false);
    set_owned(new, kept, true);
    vmm_free_range(old);
    *out = new;
    return MM_OK;
}

mm_status_t vmm_resize(vaddr_t va, uint64_t npages, vaddr_t *out)
{
    struct record r;
    if (npages == 0)
        return MM_INVAL;
    if (!record_find(va, &r) || !va_eq(va, r.range.va))
        return MM_NOTFOUND;
    mm_status_t status = MM_OK;
    if (npages > r.range.npages)
        return grow(&r, npages, out);
    if (npages < r.range.npages)
        status = vmm_free(vmm_kernel(), va_page(va, npages), r.range.npages - npages);
    if (status == MM_OK)
        *out = va;
    return status;
}
