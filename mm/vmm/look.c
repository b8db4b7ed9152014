/* Owns: nothing; reading what a space has. Relies on: paging. Takes no lock.
 * Stage: from vmm_init on; of the kernel's space, since it is in use. */
#include "vmm_state.h"

mm_status_t run_next(struct vm *vm, unsigned kinds, vaddr_t va, vaddr_t end, struct mapping *out)
{
    struct mapping m;
    vaddr_t cursor = va;
    if (!va_lt(va, end))
        return MM_NOTFOUND;
    /* Iterating finds what begins at va or behind: a larger entry around it has to be looked at. */
    if (paging_look(&vm->space, va, &m) != MM_OK || va_eq(m.va, va) ||
        (KIND(m.kind) & kinds) == 0) {
        mm_status_t status = paging_next_of(&vm->space, kinds, &cursor, &m);
        if (status != MM_OK || !va_lt(m.va, end))
            return MM_NOTFOUND;
    }
    if (va_lt(m.va, va)) {
        uint64_t off = va_diff(m.va, va);
        m.pa = m.kind == ENTRY_PAGE ? pa_add(m.pa, off) : m.pa;
        m.va = va;
        m.bytes -= off;
    }
    if (va_lt(end, va_add(m.va, m.bytes - 1)))
        m.bytes = va_diff(m.va, end);
    *out = m;
    return MM_OK;
}

static enum vmm_kind kind_of(unsigned kind)
{
    static const uint8_t kinds[] = {
        [ENTRY_EMPTY] = VMM_IS_FREE,  [STATE_RESERVED] = VMM_IS_SET_ASIDE,
        [STATE_GUARD] = VMM_IS_GUARD, [STATE_LAZY] = VMM_IS_LAZY,
        [STATE_STACK] = VMM_IS_STACK, [ENTRY_PAGE] = VMM_IS_PAGE,
    };
    return kinds[kind];
}

mm_status_t vmm_next(struct vm *vm, vaddr_t *cursor, struct vmm_run *out)
{
    struct mapping m;
    vaddr_t end = vm->space.user ? vm->end : VA(UINT64_MAX);
    mm_status_t status = run_next(vm, KINDS_ALL & ~KIND(ENTRY_EMPTY), *cursor, end, &m);
    if (status != MM_OK)
        return status;
    *out = (struct vmm_run){
        .va = m.va,
        .npages = m.bytes / PAGE_BYTES,
        .kind = kind_of(m.kind),
        .pa = m.pa,
        .page_bytes = m.page_bytes,
        .prot = m.prot,
        .cache = m.cache,
        .used = m.used,
    };
    *cursor = va_eq(mapping_end(&m), VA(0)) ? VA(UINT64_MAX) : mapping_end(&m);
    return MM_OK;
}
