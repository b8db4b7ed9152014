/* Owns: the answer to a page fault. Relies on: populate.c. Takes no lock to find out what it is.
 * Stage: from vmm_init on. */
#include "vmm_state.h"

/* The protection as it is meant: PROT_COPY aside. The kernel does not run code of users. */
static bool allows(prot_t prot, unsigned access)
{
    bool user = (access & VMM_USER) != 0;
    if ((access & VMM_KEY) != 0 || (user && (prot & PROT_USER) == 0))
        return false;
    if ((access & VMM_FETCH) != 0)
        return (prot & PROT_EXEC) != 0 && user == ((prot & PROT_USER) != 0);
    return (access & VMM_WRITE) == 0 || (prot & PROT_WRITE) != 0;
}

/* A stack grows to a page if another is there not far above it, or nothing more of the stack. */
static bool stack_reaches(struct vm *vm, vaddr_t page)
{
    for (uint64_t above = PAGE_BYTES; above <= VMM_STACK_GAP; above += PAGE_BYTES) {
        struct mapping m;
        mm_status_t status = paging_look(&vm->space, va_add(page, above), &m);
        if (status == MM_OK && m.kind == ENTRY_PAGE)
            return true;
        if (status != MM_OK || m.kind != STATE_STACK)
            return above == PAGE_BYTES;
    }
    return false;
}

static enum vmm_fault give_page(struct vm *vm, vaddr_t va, const struct mapping *m, unsigned access)
{
    if (!allows(m->prot, access))
        return VMM_FORBIDDEN;
    mm_status_t status = MM_OK;
    if (m->kind != ENTRY_PAGE) {
        if (m->kind == STATE_STACK && !stack_reaches(vm, va_align_down(va, PAGE_BYTES)))
            return VMM_STACK_SKIPPED;
        status = populate_page(vm, va, m);
    } else if ((access & VMM_WRITE) != 0 && (m->prot & PROT_COPY) != 0) {
        status = unshare(vm, va, m);
    } else {
        /* The CPU went by what it was before; or somebody is freeing the page, and waits for us. */
        port_relax();
    }
    if (status != MM_OK)
        return VMM_NO_MEMORY;
    __atomic_fetch_add(&vm->faults, 1, __ATOMIC_RELAXED);
    return VMM_RESOLVED;
}

/* Somebody else may have changed the page since it was looked at. Then nothing happens here, and
 * the access faults again or not: so there is no loop. */
enum vmm_fault vmm_fault(struct vm *vm, vaddr_t va, unsigned access)
{
    struct mapping m;
    if (in_kernel_half(va))
        vm = vmm_kernel();
    if (vm->space.levels == 0 || paging_look(&vm->space, va, &m) != MM_OK)
        return VMM_NOT_MAPPED; /* no space yet, or not canonical */
    switch (m.kind) {
    case STATE_LAZY:
    case STATE_STACK:
    case ENTRY_PAGE:
        return give_page(vm, va, &m, access);
    case STATE_RESERVED:
        return VMM_IS_RESERVED;
    case STATE_GUARD:
        return VMM_GUARD_HIT;
    default:
        return VMM_NOT_MAPPED;
    }
}
