/* What the parts of the virtual memory manager share: the states of a range, the records of kernel
 * ranges, and what an address may be. Internal to mm/vmm/. */
#ifndef QL_VMM_STATE_H
#define QL_VMM_STATE_H

#include "mm/hhdm.h"
#include "mm/vmm.h"

/* --- States ----------------------------------------------------------------- */

/* What an entry without a page is. Its protection, memory type and notes are those of the pages to
 * come. */
#define STATE_RESERVED 1u
#define STATE_GUARD    2u
#define STATE_LAZY     3u
#define STATE_STACK    4u

#define KINDS_BACKED (KIND(ENTRY_PAGE) | KIND(STATE_LAZY) | KIND(STATE_STACK))
#define KINDS_OWN    (KINDS_BACKED | KIND(STATE_RESERVED)) /* of a kernel range, its guard aside */
#define KINDS_RANGE  (KINDS_OWN | KIND(STATE_GUARD))       /* all but an empty entry */

/* The value of a state but a guard, or 0: 4 KiB pages only. */
#define VALUE_SMALL 1u

/* The value of the guard in front of a kernel range is its record: name and size. As a rule a guard
 * is one page; if there was no memory to cut a larger one, it has more, which say the same. */
#define RECORD_PAGES_MAX (1ull << 29)

static inline struct page_state record_make(unsigned name, uint64_t npages)
{
    return (struct page_state){STATE_GUARD, (uint64_t)name << 29 | (npages - 1), PROT_READ,
                               CACHE_WB};
}

static inline unsigned record_name(uint64_t value)
{
    return (unsigned)(value >> 29);
}

static inline uint64_t record_pages(uint64_t value)
{
    return value % RECORD_PAGES_MAX + 1;
}

/* --- Addresses ---------------------------------------------------------------- */

#define PAGES_2M (HUGE_2M / PAGE_BYTES)

static inline vaddr_t va_page(vaddr_t va, uint64_t pages)
{
    return va_add(va, pages * PAGE_BYTES);
}

static inline uint64_t va_pages(vaddr_t from, vaddr_t to)
{
    return va_diff(from, to) / PAGE_BYTES;
}

static inline vaddr_t va_min(vaddr_t a, vaddr_t b)
{
    return va_lt(a, b) ? a : b;
}

static inline vaddr_t mapping_end(const struct mapping *m)
{
    return va_add(m->va, m->bytes);
}

static inline bool in_kernel_half(vaddr_t va)
{
    return !va_lt(va, VA(1ull << 63));
}

/* In the window that window.h divides, or in that of the devices. */
static inline bool in_windows(vaddr_t va)
{
    return va_le(VA(VMM_WINDOW_BASE), va) && va_lt(va, VA(VMM_DEVICE_END));
}

static inline vaddr_t user_end(const struct vm *vm)
{
    return VA(vm->space.levels == 5 ? 1ull << 56 : 1ull << 47);
}

/* The range may be one of this space. errors: MM_INVAL, MM_RANGE, MM_DENIED (of another space) */
mm_status_t check_pages(const struct vm *vm, vaddr_t va, uint64_t npages) MUST_USE;

/* The protection of a page of the space. errors: MM_INVAL, MM_DENIED */
mm_status_t check_prot(const struct vm *vm, prot_t wanted, prot_t *out) MUST_USE;

/* The protection that a page was given: a CPU without NX can execute all. */
static inline prot_t prot_meant(prot_t prot)
{
    return (prot & PROT_WRITE) != 0 ? prot & ~PROT_EXEC : prot;
}

/* What paging finds in the place of what was expected is no range of the caller's. */
static inline mm_status_t as_not_found(mm_status_t status)
{
    return status == MM_EXISTS ? MM_NOTFOUND : status;
}

/* --- Runs (look.c) -------------------------------------------------------------- */

/* The first run of these kinds in [va, end), cut to it: out->va may be inside of a larger entry.
 * errors: MM_NOTFOUND */
mm_status_t run_next(struct vm *vm, unsigned kinds, vaddr_t va, vaddr_t end,
                     struct mapping *out) MUST_USE;

/* --- Ranges (range.c, device.c) ------------------------------------------------------- */

/* What a range begins as: a state; or, if the kind is ENTRY_PAGE, pages that show memory at pa. */
struct content {
    struct page_state state;
    paddr_t pa;
};

/* Where it lies best: 'offset' pages behind a multiple of 'align' pages. */
struct fit {
    uint64_t align, offset;
};
struct fit fit_of(const struct content *content, uint64_t npages, uint64_t align, uint64_t most);

/* Put it where nothing is. errors: as paging_map */
mm_status_t put(struct vm *vm, vaddr_t va, uint64_t npages, const struct content *content) MUST_USE;

/* Put what is wanted where it fits, or where it must be. errors: as put, MM_NOMEM */
mm_status_t place(struct vm *vm, const struct vmm_want *want, const struct content *content,
                  vaddr_t *out) MUST_USE;

/* The same for pages, if neither the direct map nor the window of devices shows any of that memory
 * with another type. errors: also MM_DENIED */
mm_status_t place_given(struct vm *vm, const struct vmm_want *want, const struct content *content,
                        vaddr_t *out) MUST_USE;

/* --- Kernel ranges (record.c) ----------------------------------------------------- */

/* A range and its guard. */
struct record {
    vaddr_t guard; /* its first page */
    struct vmm_range range;
    unsigned name;
};

/* The range that va is in, or whose guard. Takes no lock. */
bool record_find(vaddr_t va, struct record *out) MUST_USE;

/* Put a guard at an address that is set aside for it, and the range behind. On failure neither is
 * there. errors: as put */
mm_status_t record_put(const char *name, vaddr_t guard, uint64_t npages,
                       const struct content *content) MUST_USE;

/* Free a part of a kernel range, and write down what is left. errors: as vmm_free */
mm_status_t record_free(vaddr_t va, uint64_t npages) MUST_USE;

/* Free all of it. If nothing of it was freed before, this takes no memory; else, if it must be and
 * there is none, its addresses are lost. errors: MM_NOTFOUND (somebody else did), MM_NOMEM */
mm_status_t record_free_all(const struct record *record, bool must) MUST_USE;

/* --- Filling (populate.c) ----------------------------------------------------------- */

/* Put pages, zeroed, in a range that has just been made, all of it lazy. errors: as populate */
mm_status_t populate_new(struct vm *vm, vaddr_t va, uint64_t npages) MUST_USE;

/* Put pages, zeroed, in the place of all states of these kinds in the range. On failure some are
 * filled. errors: MM_NOMEM, MM_RANGE */
mm_status_t populate(struct vm *vm, vaddr_t va, uint64_t npages, unsigned kinds) MUST_USE;

/* The same for one page that is in *m, as it was when it was looked at; a larger one if that is
 * best. If it is something else by now, nothing happens. errors: MM_NOMEM, MM_RANGE */
mm_status_t populate_page(struct vm *vm, vaddr_t va, const struct mapping *m) MUST_USE;

/* Make the page at va, PROT_COPY in *m, one that can be written: a copy, if others share it. If it
 * is something else by now, nothing happens. errors: MM_NOMEM */
mm_status_t unshare(struct vm *vm, vaddr_t va, const struct mapping *m) MUST_USE;

/* --- Spaces (vmm.c) ------------------------------------------------------------------- */

/* The first of all spaces, the kernel's; the others behind it by vm->next. */
#define FOR_EACH_VM(vm) for (struct vm *vm = vmm_kernel(); vm != NULL; vm = vm->next)

#endif
