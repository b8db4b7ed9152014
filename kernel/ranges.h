/* Every range of the kernel's half of the address space: those of the boot (mapper.h) and those
 * that were allocated since (vmm.h), as one list by address; and where an address lies among them.
 * locking: none: for panics, too. What others allocate meanwhile is seen or not.
 * Stage: any; empty before the take-over. */
#ifndef QL_KERNEL_RANGES_H
#define QL_KERNEL_RANGES_H

#include "mm/mapper.h"
#include "mm/vmm.h"

struct range {
    const char *name;
    vaddr_t va;
    uint64_t npages;
    bool allocated; /* by the vmm: what its pages are, vmm_next knows. Else all is as said here: */
    prot_t prot;    /* 0: a guard, never mapped */
    cache_t cache;
    paddr_t pa;
};

/* The range behind *range, by address; with npages = 0, the first. */
bool ranges_next(struct range *range) MUST_USE;

/* The range that va is in, or the allocated one in whose guard page, in front of it, va is: then
 * va < out->va. */
bool ranges_find(vaddr_t va, struct range *out) MUST_USE;

#define RANGES_WORDS 128 /* bytes that are enough for the words below */

/* The guard page that va is in: "boot stack guard page", "guard page of CPU 1 stack". False if it
 * is in none. */
bool ranges_guard(vaddr_t va, char *words, size_t bytes) MUST_USE;

/* What the heap has at va: "12 bytes inside an object of 64 bytes (class 64)", "in a free object of
 * class 64". False if it has nothing there. */
bool ranges_heap(vaddr_t va, char *words, size_t bytes) MUST_USE;

/* Where va is, in words: "in kernel rodata", "in the guard page of heap", "16 bytes behind heap"; and
 * what the heap has there. "" if there is nothing to say. */
void ranges_place(vaddr_t va, char *words, size_t bytes);

#endif
