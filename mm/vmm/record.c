/* Owns: the records of the kernel's ranges, in the guards in front of them.
 * Relies on: paging for the entries, the window for the addresses. Stage: from vmm_init on.
 *
 *     guard    range            guard  range                 free
 *   | A, 5   | . . . . .      | B, 3 | . . . |
 *
 * A guard says how many pages follow. None of them is free: when a part in the middle is given back,
 * its last page becomes the guard of what is behind it.
 *
 * Who reads takes no lock, and may find a record that is about to change. */
#include "check.h"
#include "lock.h"
#include "names.h"
#include "vmm_state.h"
#include "window.h"

static const struct page_state nothing = {.kind = ENTRY_EMPTY};

/* Two CPUs that free parts of the same range change one record. */
static struct spinlock records_lock = SPINLOCK_INIT(LOCK_RANGES, "kernel ranges");

/* False, too, while there is no space at all: panics ask at any time. */
static bool look(vaddr_t va, struct mapping *out)
{
    return in_windows(va) && vmm_kernel()->space.levels != 0 &&
           paging_look(&vmm_kernel()->space, va, out) == MM_OK;
}

/* A guard like another one beside it. */
static bool is_same_guard(vaddr_t va, uint64_t value, struct mapping *out)
{
    return look(va, out) && out->kind == STATE_GUARD && out->value == value;
}

bool record_find(vaddr_t va, struct record *out)
{
    struct mapping m, beside;
    if (!look(va, &m) ||
        paging_look_back(&vmm_kernel()->space, KIND(STATE_GUARD) | KIND(ENTRY_EMPTY), va,
                         VA(VMM_WINDOW_BASE), &m) != MM_OK ||
        m.kind == ENTRY_EMPTY)
        return false;
    struct record r = {.guard = m.va, .name = record_name(m.value)};
    vaddr_t first = mapping_end(&m);
    while (is_same_guard(first, m.value, &beside))
        first = mapping_end(&beside);
    while (is_same_guard(va_sub(r.guard, PAGE_BYTES), m.value, &beside))
        r.guard = beside.va;
    r.range = (struct vmm_range){name_of(r.name), first, record_pages(m.value)};
    if (!va_lt(va, va_page(first, r.range.npages)))
        return false;
    *out = r;
    return true;
}

bool vmm_find(vaddr_t va, struct vmm_range *out)
{
    struct record r;
    if (!record_find(va, &r))
        return false;
    *out = r.range;
    return true;
}

/* Others free and allocate meanwhile: a range is only believed where it is behind the guard that
 * was found. */
bool vmm_next_range(struct vmm_range *range)
{
    vaddr_t at = range->npages > 0 ? va_page(range->va, range->npages) : VA(VMM_WINDOW_BASE);
    struct mapping guard;
    struct vmm_range r;
    for (; run_next(vmm_kernel(), KIND(STATE_GUARD), at, VA(VMM_DEVICE_END), &guard) == MM_OK;
         at = mapping_end(&guard))
        if (vmm_find(guard.va, &r) && va_lt(guard.va, r.va)) {
            *range = r;
            return true;
        }
    return false;
}

mm_status_t record_put(const char *name, vaddr_t guard, uint64_t npages,
                       const struct content *content)
{
    struct vm *kernel = vmm_kernel();
    const struct content record = {.state = record_make(name_number(name), npages)};
    mm_status_t status = put(kernel, guard, 1, &record);
    if (status != MM_OK)
        return status;
    status = put(kernel, va_page(guard, 1), npages, content);
    if (status != MM_OK)
        (void)!paging_set(&kernel->space, guard, 1, KIND(STATE_GUARD), &nothing);
    return status;
}

/* --- Freeing ------------------------------------------------------------------ */

static mm_status_t set(vaddr_t va, vaddr_t end, unsigned over, const struct page_state *state)
{
    return paging_set(&vmm_kernel()->space, va, va_pages(va, end), over, state);
}

/* Addresses go back where they came from: those of devices are free by being empty. */
static mm_status_t addresses_cut(vaddr_t va, vaddr_t end)
{
    bool any = va_lt(va, end) && va_lt(va, VA(VMM_WINDOW_END));
    return any ? window_cut(va, va_pages(va, end)) : MM_OK;
}

static mm_status_t addresses_free(vaddr_t va, vaddr_t end)
{
    bool any = va_lt(va, end) && va_lt(va, VA(VMM_WINDOW_END));
    return any ? window_free(va, va_pages(va, end)) : MM_OK;
}

mm_status_t record_free_all(const struct record *r, bool must)
{
    vaddr_t end = va_page(r->range.va, r->range.npages);
    mm_status_t status = addresses_cut(r->guard, end), cut = status;
    if (status == MM_OK || must)
        status = set(r->guard, end, KINDS_RANGE, &nothing);
    if (status != MM_OK)
        return as_not_found(status);
    status = addresses_free(r->guard, end); /* with the memory that has come back */
    ASSERT(status == MM_OK || cut == MM_NOMEM);
    return MM_OK;
}

/* Free the pages from va to end, which are not all of the range. */
static mm_status_t free_part(const struct record *r, vaddr_t va, vaddr_t end)
{
    vaddr_t range_end = va_page(r->range.va, r->range.npages);
    uint64_t front = va_pages(r->range.va, va), rest = va_pages(end, range_end);
    vaddr_t hole = front > 0 ? va : r->guard, hole_end = rest > 0 ? va_sub(end, PAGE_BYTES) : end;
    const struct page_state record = rest > 0 ? record_make(r->name, rest) : nothing;

    mm_status_t status = addresses_cut(hole, hole_end);
    if (status == MM_OK)
        status = set(hole, end, front > 0 ? KINDS_OWN : KINDS_RANGE, &record);
    if (status != MM_OK)
        return as_not_found(status);
    /* First nobody may believe that the hole is the range's: then its addresses can be given out. */
    const struct page_state shorter = record_make(r->name, front);
    if (front > 0) /* its entries are there and change whole: this takes no memory */
        status = set(r->guard, r->range.va, KIND(STATE_GUARD), &shorter);
    if (status != MM_OK)
        return as_not_found(status);
    /* Now all of the hole is guard. It stays so if there is no memory to cut off the last page. */
    if (rest == 0 ||
        (va_lt(hole, hole_end) && set(hole, hole_end, KIND(STATE_GUARD), &nothing) == MM_OK))
        ASSERT(addresses_free(hole, hole_end) == MM_OK);
    return MM_OK;
}

mm_status_t record_free(vaddr_t va, uint64_t npages)
{
    vaddr_t end = va_page(va, npages);
    mm_status_t status = MM_NOTFOUND;
    struct record r;
    irq_state_t irq = spin_lock(&records_lock);
    if (record_find(va, &r) && va_le(r.range.va, va) &&
        npages <= r.range.npages - va_pages(r.range.va, va))
        status = npages == r.range.npages ? record_free_all(&r, false) : free_part(&r, va, end);
    spin_unlock(&records_lock, irq);
    return status;
}
