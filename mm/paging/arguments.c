/* Owns: nothing; what callers may ask for. Relies on: the port. Stage: "frames". */
#include "range.h"

mm_status_t check_range(const struct space *space, vaddr_t va, uint64_t npages)
{
    if (!va_aligned(va, PAGE_BYTES) || npages == 0)
        return MM_INVAL;
    const uint64_t half_pages = half_bytes(space) / PAGE_BYTES;
    uint64_t first = va.v / PAGE_BYTES % half_pages;
    bool mine = canonical(space, va) && !is_kernels(space, va);
    return mine && npages <= half_pages - first ? MM_OK : MM_RANGE;
}

mm_status_t check_attributes(const struct space *space, vaddr_t va, prot_t prot, cache_t cache)
{
    const prot_t known =
        PROT_READ | PROT_WRITE | PROT_EXEC | PROT_USER | PROT_GLOBAL | PROT_KEY(15);
    if ((prot & known) == 0 || (prot & ~(known | PROT_NOTES)) != 0 || (unsigned)cache > CACHE_WC)
        return MM_INVAL;
    if ((PROT_KEY_OF(prot) != 0 && !port_cpu()->pkeys) ||
        ((prot & PROT_OWNED) != 0 && space->hooks == NULL))
        return MM_INVAL;
    bool wx = (prot & PROT_WRITE) != 0 && (prot & PROT_EXEC) != 0;
    bool user_in_kernel_half = (prot & PROT_USER) != 0 && in_upper_half(va);
    /* It would outlive a switch to another space with the same kernel half. */
    bool stays = (prot & PROT_GLOBAL) != 0 && !in_upper_half(va) && (space->sealed || space->user);
    return (wx && !space->allow_wx) || user_in_kernel_half || stays ? MM_DENIED : MM_OK;
}

mm_status_t check_state(const struct space *space, vaddr_t va, const struct page_state *s)
{
    if (s->kind > ENTRY_STATES || s->value >> 40 != 0 || (unsigned)s->cache > CACHE_WC ||
        (s->kind == ENTRY_EMPTY && (s->value != 0 || s->prot != 0 || s->cache != CACHE_WB)))
        return MM_INVAL;
    return s->prot == 0 ? MM_OK : check_attributes(space, va, s->prot, s->cache);
}

mm_status_t check_physical(paddr_t pa, uint64_t npages)
{
    if (!pa_aligned(pa, FRAME_BYTES))
        return MM_INVAL;
    uint64_t limit = 1ull << port_cpu()->phys_bits;
    return range_fits(pa.v / FRAME_BYTES, npages, limit / FRAME_BYTES) ? MM_OK : MM_RANGE;
}
