/* Owns: nothing; the pages of sampled objects, from the vmm. Under Linux host/sample_pages.c stands
 * in for this file, as the simulated tables map nothing a program could touch. */
#include "sample.h"

#include "mm/vmm.h"

void *sample_pages_reserve(uint64_t npages)
{
    const struct vmm_want want = {
        .name = "heap samples",
        .npages = npages,
        .prot = PROT_READ | PROT_WRITE,
        .backing = VMM_RESERVED,
        .flags = VMM_SMALL_PAGES,
    };
    vaddr_t va;
    if (vmm_alloc(vmm_kernel(), &want, &va) != MM_OK)
        return NULL;
    return (void *)(uintptr_t)va_number(va); /* where there will be pages */
}

bool sample_page_open(void *page)
{
    return vmm_commit(vmm_kernel(), va_of(page), 1, VMM_NOW) == MM_OK;
}

bool sample_page_close(void *page)
{
    return vmm_decommit(vmm_kernel(), va_of(page), 1) == MM_OK;
}
