/* The kernel's address space at boot, as a table: which ranges exist, where, and how they are
 * protected. Built once at stage "frames"; after mapper_switch the inherited tables are out of use.
 * What comes later is in vmm.h, in windows that are free here.
 * locking: none, for nothing changes after mapper_switch. */
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
    vaddr_t windows, windows_end; /* the vmm's: no range may reach there */
};

/* One range of the address space: what the report, the JSON and a panic show. */
struct map_range {
    const char *name; /* "kernel text", "direct map", "null page", ... */
    vaddr_t va;
    paddr_t pa; /* meaningless for a guard */
    uint64_t npages;
    prot_t prot; /* 0: a guard, never mapped */
    cache_t cache;
};

/* Build the kernel's tables from the const rules in mapper.c. Page 0 and all guards stay unmapped.
 * errors: MM_NOMEM, MM_INVAL (a part is misaligned, overlaps or reaches into
 * a window), MM_RANGE; everything freed again */
mm_status_t mapper_build(const struct mapper_input *input, struct space *out) MUST_USE;

/* Load the tables and make them the kernel's space. Other CPUs join with paging_switch. */
void mapper_switch(struct space *space);

/* The kernel's space; valid after mapper_switch. */
struct space *mapper_kernel_space(void);

/* The range behind *range, by address; with npages = 0, the first. False, and *range untouched, if
 * there is none. */
bool mapper_next_range(struct map_range *range) MUST_USE;

/* The range that covers va, guards included. False if none does. */
bool mapper_find(vaddr_t va, struct map_range *out) MUST_USE;

/* What an audit of the live tables found. */
struct mapper_audit {
    uint64_t pages_4k, pages_2m, pages_1g;
    uint64_t writable_executable; /* entries that break W^X */
    uint64_t user_accessible;
    uint64_t
        outside_ranges;  /* 4 KiB pages that are mapped though neither in a range nor a window */
    uint64_t mismatched; /* 4 KiB pages of a range that are not mapped as it says */
    vaddr_t first_bad;   /* the first mapping of the first three kinds */
};

/* Walk every entry of the kernel's space, also in the windows. True if all four of the bad counts are zero. A CPU
 * without NX cannot enforce W^X: nothing counts as breaking it there. */
bool mapper_audit(struct space *space, struct mapper_audit *out);

#endif
