/* Owns: nothing; the pages of sampled objects in a Linux process, in the place of
 * mm/heap/sample_pages.c. Relies on: mmap. */
#include "../mm/heap/sample.h"

#include <sys/mman.h>

#include "mm/addr.h"

void *sample_pages_reserve(uint64_t npages)
{
    void *base = mmap(NULL, npages * PAGE_BYTES, PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return base == MAP_FAILED ? NULL : base;
}

bool sample_page_open(void *page)
{
    return mprotect(page, PAGE_BYTES, PROT_READ | PROT_WRITE) == 0;
}

/* The memory goes back, as it does in the kernel. */
bool sample_page_close(void *page)
{
    return mprotect(page, PAGE_BYTES, PROT_NONE) == 0 &&
           madvise(page, PAGE_BYTES, MADV_DONTNEED) == 0;
}
