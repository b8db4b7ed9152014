/* The kernel's address space as a table: which ranges exist, where, and how they are protected.
 * Built once at stage "frames"; after mapper_switch the inherited tables are out of use.
 * locking: each function takes the mapper's lock (LOCK_MAPPER), for reading where that is
 * enough. */
#ifndef QL_MM_MAPPER_H
#define QL_MM_MAPPER_H

#include <stddef.h>

#include "mm/paging.h"
#include "mm/region.h"

/* One part of the kernel image, as the linker laid it out: page-aligned. */
struct image_part {
    vaddr_t start;
    vaddr_t end;
};

/* Everything that the table of ranges is made from. */
struct mapper_input {
    struct image_part text, rodata, data; /* data: .data and .bss, without the guard pages inside */
    const struct image_part *guards;      /* pages inside data that stay unmapped, ascending */
    const char *const *guard_names;       /* one per guard */
    size_t nguards;
    vaddr_t image_va; /* virtual and physical base of the image */
    paddr_t image_pa;
    const struct mem_region *map; /* normalised */
    size_t nmap;
    bool have_framebuffer;
    paddr_t framebuffer_pa;
    uint64_t framebuffer_bytes;
};

/* One range of the address space: what the report, the JSON and a panic show. */
struct map_range {
    const char *name; /* "kernel text", "direct map", "framebuffer", "null page", ... */
    vaddr_t va;
    paddr_t pa; /* meaningless for a guard */
    uint64_t npages;
    prot_t prot; /* 0: a guard, never mapped */
    cache_t cache;
};

/* Where the framebuffer is mapped: first page of the device window. */
#define MAPPER_DEVICE_BASE 0xffffe00000000000ull

/* Build the kernel's tables from the const rules in mapper.c. Page 0 and all guards stay unmapped.
 * errors: MM_NOMEM, MM_INVAL (a part is misaligned or overlaps),
 * MM_RANGE; everything freed again */
mm_status_t mapper_build(const struct mapper_input *input, struct space *out) MUST_USE;

/* Load the tables and make them the kernel's space. Other CPUs join with paging_switch. */
void mapper_switch(struct space *space);

/* The kernel's space; valid after mapper_switch. */
struct space *mapper_kernel_space(void);

/* Add a device range (uncached MMIO) to the kernel's space at the next free device address; for a
 * range that need not be page-aligned, out is the address of pa itself.
 * errors: MM_NOMEM, MM_INVAL, MM_RANGE */
mm_status_t mapper_map_device(const char *name, paddr_t pa, uint64_t bytes, cache_t cache,
                              vaddr_t *out) MUST_USE;

/* Add memory for a stack, npages from pa, to the device window, and a page that stays unmapped
 * below it: one range each, under these names. Where nothing else is added in between, stacks
 * follow each other without a hole. out: the address of the guard.
 * errors: MM_NOMEM, MM_RANGE */
mm_status_t mapper_map_stack(const char *guard_name, const char *name, paddr_t pa, uint64_t npages,
                             vaddr_t *out) MUST_USE;

/* The range behind *range, by address; with npages = 0, the first. False, and *range untouched, if
 * there is none. A range that comes meanwhile is seen or not; no other is missed or repeated. */
bool mapper_next_range(struct map_range *range) MUST_USE;

/* The range that covers va, guards included. False if none does. */
bool mapper_find(vaddr_t va, struct map_range *out) MUST_USE;

/* The same without the lock, which whoever panics may hold; other CPUs have stopped. */
bool mapper_find_in_panic(vaddr_t va, struct map_range *out) MUST_USE;

/* What an audit of the live tables found. */
struct mapper_audit {
    uint64_t pages_4k, pages_2m, pages_1g;
    uint64_t writable_executable; /* entries that break W^X */
    uint64_t user_accessible;
    uint64_t outside_ranges; /* 4 KiB pages that are mapped though no range covers them */
    uint64_t mismatched;     /* 4 KiB pages of a range that are not mapped as it says */
    vaddr_t first_bad;       /* the first mapping of the first three kinds */
};

/* Walk every entry of the kernel's space. True if all four of the bad counts are zero. A CPU
 * without NX cannot enforce W^X: nothing counts as breaking it there. */
bool mapper_audit(struct space *space, struct mapper_audit *out);

#endif
