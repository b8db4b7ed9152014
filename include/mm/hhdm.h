/* The higher-half direct map: every byte of RAM at a constant offset. One door in, one door out. */
#ifndef QL_MM_HHDM_H
#define QL_MM_HHDM_H

#include "check.h"
#include "mm/addr.h"

struct hhdm {
    vaddr_t base;   /* virtual address of physical 0; 4 KiB aligned, never 0 */
    uint64_t bytes; /* [0, bytes) of physical memory may be reached: end of the last RAM frame */
};
extern struct hhdm hhdm;

/* Set the window. Once, before any other mm call (stage "boot context"). */
void hhdm_init(vaddr_t base, uint64_t bytes);

/* Where pa is in the direct map, as a number: nothing need be mapped there yet. */
static inline vaddr_t hhdm_address(paddr_t pa)
{
    return va_add(hhdm.base, pa.v);
}

/* A pointer into the direct map. The caller knows that pa is RAM that is mapped there. */
static inline void *phys_to_virt(paddr_t pa)
{
    ASSERT(pa.v < hhdm.bytes);
    return (void *)(uintptr_t)(hhdm.base.v + pa.v); /* the door itself */
}

/* True if p lies in the window; it may still be a hole between RAM ranges. */
static inline bool hhdm_contains(const void *p)
{
    return va_of(p).v - hhdm.base.v < hhdm.bytes;
}

/* The physical address behind a direct-map pointer. Not for image or stack addresses. */
static inline paddr_t virt_to_phys(const void *p)
{
    ASSERT(hhdm_contains(p));
    return PA(va_of(p).v - hhdm.base.v);
}

#endif
