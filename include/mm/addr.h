/* Addresses and frame numbers as types of their own, so that a mix-up does not compile.
 *   paddr_t  byte address on the bus        vaddr_t  byte address before translation (a number)
 *   pfn_t    paddr >> 12                    pte_t    one page-table entry as the CPU reads it
 * A `T *` means: mapped now, safe to touch. Sizes are bytes; counts are nframes or npages; regions
 * are [base, end). `.v` and `.raw` are read here, in hhdm.h, in mm/paging/, in
 * the boot context and in efi/ only. */
#ifndef QL_MM_ADDR_H
#define QL_MM_ADDR_H

#include <stdbool.h>
#include <stdint.h>

typedef struct paddr {
    uint64_t v;
} paddr_t;

typedef struct vaddr {
    uint64_t v;
} vaddr_t;

typedef struct pfn {
    uint64_t v;
} pfn_t;

typedef struct pte {
    uint64_t raw;
} pte_t;

#define FRAME_SHIFT 12
#define FRAME_BYTES 4096ull
#define PAGE_BYTES  4096ull
#define HUGE_2M     (2ull << 20)
#define HUGE_1G     (1ull << 30)

/* Architectural limit: 52 physical address bits (Intel SDM Vol. 3A "4-Level Paging"). */
#define PADDR_LIMIT (1ull << 52)

#define PA(number) ((paddr_t){(number)})
#define VA(number) ((vaddr_t){(number)})

static inline paddr_t pa_add(paddr_t pa, uint64_t bytes)
{
    return PA(pa.v + bytes);
}
static inline paddr_t pa_sub(paddr_t pa, uint64_t bytes)
{
    return PA(pa.v - bytes);
}
static inline vaddr_t va_add(vaddr_t va, uint64_t bytes)
{
    return VA(va.v + bytes);
}
static inline vaddr_t va_sub(vaddr_t va, uint64_t bytes)
{
    return VA(va.v - bytes);
}

/* Bytes from a to b; the caller knows that a <= b. */
static inline uint64_t pa_diff(paddr_t a, paddr_t b)
{
    return b.v - a.v;
}
static inline uint64_t va_diff(vaddr_t a, vaddr_t b)
{
    return b.v - a.v;
}

static inline bool pa_lt(paddr_t a, paddr_t b)
{
    return a.v < b.v;
}
static inline bool pa_le(paddr_t a, paddr_t b)
{
    return a.v <= b.v;
}
static inline bool pa_eq(paddr_t a, paddr_t b)
{
    return a.v == b.v;
}
static inline bool va_lt(vaddr_t a, vaddr_t b)
{
    return a.v < b.v;
}
static inline bool va_le(vaddr_t a, vaddr_t b)
{
    return a.v <= b.v;
}
static inline bool va_eq(vaddr_t a, vaddr_t b)
{
    return a.v == b.v;
}

static inline paddr_t pa_min(paddr_t a, paddr_t b)
{
    return a.v < b.v ? a : b;
}
static inline paddr_t pa_max(paddr_t a, paddr_t b)
{
    return a.v > b.v ? a : b;
}

/* align is a power of two. Aligning up past 2^64 wraps to 0: check with pa_lt where it can be. */
static inline bool pa_aligned(paddr_t pa, uint64_t align)
{
    return (pa.v & (align - 1)) == 0;
}
static inline bool va_aligned(vaddr_t va, uint64_t align)
{
    return (va.v & (align - 1)) == 0;
}
static inline paddr_t pa_align_down(paddr_t pa, uint64_t align)
{
    return PA(pa.v & ~(align - 1));
}
static inline paddr_t pa_align_up(paddr_t pa, uint64_t align)
{
    return PA((pa.v + align - 1) & ~(align - 1));
}

static inline vaddr_t va_align_down(vaddr_t va, uint64_t align)
{
    return VA(va.v & ~(align - 1));
}
static inline vaddr_t va_align_up(vaddr_t va, uint64_t align)
{
    return VA((va.v + align - 1) & ~(align - 1));
}

static inline pfn_t pa_to_pfn(paddr_t pa)
{
    return (pfn_t){pa.v >> FRAME_SHIFT};
}
static inline paddr_t pfn_to_pa(pfn_t pfn)
{
    return PA(pfn.v << FRAME_SHIFT);
}

static inline vaddr_t va_of(const volatile void *p)
{
    return VA((uint64_t)(uintptr_t)p);
}

/* True if [base, base + bytes) does not wrap and ends at or below limit. */
static inline bool range_fits(uint64_t base, uint64_t bytes, uint64_t limit)
{
    return base <= limit && bytes <= limit - base;
}

/* The end of [base, base + bytes), or PADDR_LIMIT where that comes first or the sum wraps. */
static inline paddr_t pa_end(paddr_t base, uint64_t bytes)
{
    return PA(range_fits(base.v, bytes, PADDR_LIMIT) ? base.v + bytes : PADDR_LIMIT);
}

/* The address as a number, for messages. */
static inline unsigned long pa_number(paddr_t pa)
{
    return pa.v;
}
static inline unsigned long va_number(vaddr_t va)
{
    return va.v;
}

/* Bytes rounded up to whole frames; the caller knows that bytes <= 2^64 - 4096. */
static inline uint64_t bytes_to_frames(uint64_t bytes)
{
    return (bytes + FRAME_BYTES - 1) >> FRAME_SHIFT;
}

#endif
