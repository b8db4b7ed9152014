/* Owns: nothing; the heap's ranges are the vmm's, which keeps them apart by guard pages and knows them by
 * name. Relies on: the vmm. Stage: from vmm_init on; before, nothing is found. */
#include "ranges.h"

#include "mm/string.h"
#include "mm/vmm.h"

/* A range of the vmm's, mapped now. */
static void *range_pointer(vaddr_t va)
{
    return (void *)(uintptr_t)va_number(va);
}

void *ranges_alloc(const char *name, uint64_t npages, uint64_t align_pages)
{
    vaddr_t va;
    const struct vmm_want want = {
        .name = name,
        .npages = npages,
        .align = align_pages > 1 ? align_pages : 0,
        .prot = PROT_READ | PROT_WRITE,
        .flags = strcmp(name, RANGES_OBJECT) == 0 ? 0 : VMM_SMALL_PAGES,
    };
    return vmm_alloc(vmm_kernel(), &want, &va) == MM_OK ? range_pointer(va) : NULL;
}

void ranges_free(void *base, uint64_t npages)
{
    (void)npages; /* the guard says it */
    vmm_free_range(va_of(base));
}

void *ranges_resize(void *base, uint64_t npages, uint64_t new_npages)
{
    vaddr_t va;
    (void)npages;
    return vmm_resize(va_of(base), new_npages, &va) == MM_OK ? range_pointer(va) : NULL;
}

bool ranges_find_object(const void *p, void **base, uint64_t *npages)
{
    struct vmm_range range;
    vaddr_t va = va_of(p);
    if (!vmm_find(va, &range) || va_lt(va, range.va) || strcmp(range.name, RANGES_OBJECT) != 0)
        return false;
    *base = range_pointer(range.va);
    *npages = range.npages;
    return true;
}

bool ranges_next_object(void **base, uint64_t *npages)
{
    struct vmm_range range = {.va = va_of(*base), .npages = *npages};
    while (vmm_next_range(&range)) {
        if (strcmp(range.name, RANGES_OBJECT) != 0)
            continue;
        *base = range_pointer(range.va);
        *npages = range.npages;
        return true;
    }
    return false;
}
