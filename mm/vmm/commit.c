/* Owns: nothing; changes what backs a range that is there. Relies on: populate.c.
 * Stage: from vmm_init on.
 *
 * A range may be of many kinds and protections, so this takes several operations. It happens whole
 * or not at all just the same: what can fail comes first, and is no change to who looks; the rest
 * takes no memory, because states take the place of whole entries. */
#include "vmm_state.h"

/* All must be of ranges. errors: MM_NOTFOUND */
static mm_status_t check_ranges(struct vm *vm, vaddr_t va, uint64_t npages)
{
    struct mapping m;
    vaddr_t end = va_page(va, npages);
    unsigned kinds = vm->space.user ? KINDS_RANGE : KINDS_OWN;
    mm_status_t status = check_pages(vm, va, npages);
    for (; status == MM_OK && va_lt(va, end); va = mapping_end(&m))
        if (run_next(vm, kinds, va, end, &m) != MM_OK || !va_eq(m.va, va))
            status = MM_NOTFOUND;
    return status;
}

/* If an entry lies across the end of the range, split it, by a note that changes nothing: it may be
 * something else by now. One across its beginning needs no care: what is done there is done first,
 * and that may fail. */
static mm_status_t cut_end(struct vm *vm, vaddr_t va, vaddr_t end)
{
    struct mapping m;
    if (paging_look(&vm->space, end, &m) != MM_OK || va_eq(m.va, end) || m.kind == ENTRY_EMPTY)
        return MM_OK;
    vaddr_t from = va_lt(va, m.va) ? m.va : va;
    return paging_note(&vm->space, from, va_pages(from, end), KINDS_RANGE, 0, 0);
}

/* A CPU without global pages has none to tell. */
static struct page_state state_like(const struct vm *vm, const struct mapping *m, unsigned kind,
                                    uint64_t value)
{
    prot_t prot = prot_meant(m->prot) & ~PROT_NOTES;
    return (struct page_state){kind, m->value | value, prot | (vm->space.user ? 0 : PROT_GLOBAL),
                               m->cache};
}

/* Put states of one kind in the place of all that is of 'kinds', their value with more bits at will;
 * protections stay, also those that others change meanwhile. */
static mm_status_t convert(struct vm *vm, vaddr_t va, vaddr_t end, unsigned kinds, unsigned kind,
                           uint64_t value)
{
    struct mapping m, next;
    while (run_next(vm, kinds, va, end, &m) == MM_OK) {
        const struct page_state state = state_like(vm, &m, kind, value);
        for (va = mapping_end(&m); run_next(vm, kinds, va, end, &next) == MM_OK;
             va = mapping_end(&next)) {
            const struct page_state other = state_like(vm, &next, kind, value);
            if (!va_eq(next.va, va) || other.value != state.value || other.prot != state.prot ||
                other.cache != state.cache)
                break;
        }
        mm_status_t status =
            paging_set(&vm->space, m.va, va_pages(m.va, va), kinds | KINDS_ALIKE, &state);
        if (status == MM_EXISTS)
            va = m.va; /* others were quicker: look again */
        else if (status != MM_OK)
            return status;
    }
    return MM_OK;
}

/* --- Committing ------------------------------------------------------------------ */

/* Two bits for each page: 1 for those that were reserved, 2 if with 4 KiB pages to come. So a failure
 * can make them so again. */
static void note_reserved(struct vm *vm, vaddr_t va, vaddr_t end, uint64_t *bits)
{
    struct mapping m;
    vaddr_t at = va;
    for (; run_next(vm, KIND(STATE_RESERVED), at, end, &m) == MM_OK; at = mapping_end(&m))
        for (uint64_t i = va_pages(va, m.va); i < va_pages(va, mapping_end(&m)); i++)
            bits[i / 32] |= (1 + m.value) << i % 32 * 2;
}

static unsigned noted(const uint64_t *bits, uint64_t i)
{
    return bits[i / 32] >> i % 32 * 2 & 3;
}

static void reserve_again(struct vm *vm, vaddr_t va, vaddr_t end, const uint64_t *bits)
{
    uint64_t npages = va_pages(va, end);
    for (uint64_t i = 0, n; i < npages; i += n) {
        unsigned was = noted(bits, i);
        for (n = 1; i + n < npages && noted(bits, i + n) == was;)
            n++;
        if (was != 0)
            (void)!convert(vm, va_page(va, i), va_page(va, i + n), KINDS_BACKED, STATE_RESERVED,
                           was - 1);
    }
}

static mm_status_t commit_now(struct vm *vm, vaddr_t va, vaddr_t end)
{
    static const struct pmm_limits zeroed = {.zeroed = true};
    uint64_t npages = va_pages(va, end), nframes = bytes_to_frames(npages / 4 + 1);
    paddr_t frames;
    mm_status_t status = pmm_alloc_frames(nframes, &zeroed, &frames);
    if (status != MM_OK)
        return status;
    uint64_t *bits = phys_to_virt(frames);
    note_reserved(vm, va, end, bits);
    status = populate(vm, va, npages, KIND(STATE_RESERVED));
    if (status != MM_OK)
        reserve_again(vm, va, end, bits);
    pmm_free_frames(frames, nframes);
    return status;
}

mm_status_t vmm_commit(struct vm *vm, vaddr_t va, uint64_t npages, enum vmm_backing backing)
{
    vaddr_t end = va_page(va, npages);
    if (backing != VMM_NOW && backing != VMM_LAZY)
        return MM_INVAL;
    mm_status_t status = check_ranges(vm, va, npages);
    if (status == MM_OK)
        status = cut_end(vm, va, end);
    if (status == MM_OK && backing == VMM_LAZY)
        status = convert(vm, va, end, KIND(STATE_RESERVED), STATE_LAZY, 0);
    else if (status == MM_OK)
        status = commit_now(vm, va, end);
    return status;
}

mm_status_t vmm_decommit(struct vm *vm, vaddr_t va, uint64_t npages)
{
    struct mapping m;
    vaddr_t end = va_page(va, npages), at = va;
    mm_status_t status = check_ranges(vm, va, npages);
    for (; status == MM_OK && run_next(vm, KINDS_BACKED, at, end, &m) == MM_OK;
         at = mapping_end(&m))
        if ((m.prot & PROT_LOCKED) != 0 || (m.kind == ENTRY_PAGE && (m.prot & PROT_OWNED) == 0))
            status = MM_DENIED;
    if (status == MM_OK)
        status = cut_end(vm, va, end);
    return status == MM_OK ? convert(vm, va, end, KINDS_BACKED, STATE_RESERVED, 0) : status;
}

/* --- Locking --------------------------------------------------------------------- */

static mm_status_t unshare_all(struct vm *vm, vaddr_t va, vaddr_t end)
{
    struct mapping m;
    mm_status_t status = MM_OK;
    while (status == MM_OK && va_lt(va, end) && paging_look(&vm->space, va, &m) == MM_OK) {
        if (m.kind == ENTRY_PAGE && (m.prot & PROT_COPY) != 0 && (m.prot & PROT_WRITE) != 0)
            status = unshare(vm, va, &m); /* and look again */
        else
            va = mapping_end(&m);
    }
    return status;
}

mm_status_t vmm_lock(struct vm *vm, vaddr_t va, uint64_t npages)
{
    mm_status_t status = check_ranges(vm, va, npages);
    if (status == MM_OK)
        status = populate(vm, va, npages, KIND(STATE_LAZY) | KIND(STATE_STACK));
    if (status == MM_OK)
        status = unshare_all(vm, va, va_page(va, npages));
    if (status == MM_OK)
        status = paging_note(&vm->space, va, npages, KIND(ENTRY_PAGE), PROT_LOCKED, 0);
    return status;
}

mm_status_t vmm_unlock(struct vm *vm, vaddr_t va, uint64_t npages)
{
    mm_status_t status = check_ranges(vm, va, npages);
    if (status == MM_OK)
        status = paging_note(&vm->space, va, npages, KINDS_RANGE, 0, PROT_LOCKED);
    return status;
}
