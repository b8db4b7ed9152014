/* Virtual memory: address spaces and the ranges in them. The page tables are the only record: an
 * entry that is not present says what its range is (reserved, to be filled with zeros, guard ..),
 * and a kernel range's name and size stand in the entry of the guard page in front of it.
 *
 * The kernel's upper half is part of every space. Kernel ranges are allocated in vmm_kernel(), each
 * between two pages that are never mapped; user ranges in the lower half of a space of their own.
 * Every operation happens whole or not at all, and has reached all CPUs when it returns.
 * Stage: from vmm_init on.
 * locking: any CPU, at the same time; operations wait for each other only where they meet in a
 *          table. Not from interrupt handlers, but for vmm_fault, vmm_find and vmm_next.
 * source:  the tables as the only record: CortenMM (SOSP 2025) */
#ifndef QL_MM_VMM_H
#define QL_MM_VMM_H

#include "mm/paging.h"
#include "mm/pmm.h"

/* The kernel's windows. The direct map lies below the first. */
#define VMM_WINDOW_BASE 0xffffc00000000000ull /* allocations, stacks, large heap blocks */
#define VMM_WINDOW_END  0xffffe00000000000ull
#define VMM_DEVICE_BASE 0xffffe00000000000ull /* device memory */
#define VMM_DEVICE_END  0xfffff00000000000ull

/* The lowest address that a user range may have; all below stays unmapped. */
#define VMM_USER_BASE 0x10000ull

/* An address space. */
struct vm {
    struct space space;
    const char *name; /* for reports; stays the caller's */
    vaddr_t end;      /* of what is given out */
    uint64_t hint;    /* where the search for a free range goes on */
    uint64_t faults;  /* that were resolved */
    struct vm *next;  /* all spaces */
};

/* How a range gets its frames. */
enum vmm_backing {
    VMM_NOW,      /* at once, zeroed */
    VMM_LAZY,     /* on the first touch, zeroed */
    VMM_RESERVED, /* not before vmm_commit: the addresses are set aside, touching one is a fault */
    VMM_STACK,    /* the last page at once, the others on touch, downwards, each at most
                     VMM_STACK_GAP bytes below one that is there; user ranges get a guard page in
                     front, inside of the range */
};
#define VMM_STACK_GAP 0x10000ull

/* 4 KiB only; else 2 MiB where size and alignment allow. Not for memory that the caller gives. */
#define VMM_SMALL_PAGES 1u
#define VMM_LOCKED      2u /* as vmm_lock; not with VMM_RESERVED or VMM_STACK */

/* What is wanted. Fields that are left out are 0: anywhere, write-back, at once. */
struct vmm_want {
    const char *name; /* of a kernel range: a string that stays. Not NULL there */
    uint64_t npages;
    uint64_t align; /* pages, a power of two; 0: as is best for large pages */
    vaddr_t at;     /* 0: anywhere. A user range: exactly there, MM_EXISTS if not all is free */
    prot_t prot;    /* PROT_READ, WRITE, EXEC, KEY; USER and GLOBAL follow from the space */
    cache_t cache;
    enum vmm_backing backing;
    unsigned flags; /* VMM_SMALL_PAGES, VMM_LOCKED */
};

/* Take the kernel's space over, vmm_kernel()->space, which is built and in use: seal its root for
 * the windows, of which a small machine uses a part, and make what keeps track of addresses.
 * errors: MM_NOMEM */
mm_status_t vmm_init(void) MUST_USE;

struct vm *vmm_kernel(void);

/* --- Address spaces ------------------------------------------------------------ */

/* An empty user space. errors: MM_NOMEM */
mm_status_t vmm_create(struct vm *out, const char *name) MUST_USE;

/* A copy: memory of its own is shared until either writes it; device memory and frames that were
 * given stay shared. What is locked is copied like the rest: the next write to it faults.
 * errors: MM_NOMEM */
mm_status_t vmm_clone(struct vm *from, struct vm *out, const char *name) MUST_USE;

/* Use it on this CPU; vmm_kernel() too. */
void vmm_switch(struct vm *vm);

/* The space that this CPU uses. */
struct vm *vmm_current(void);

/* Free everything in it. No CPU may use it any more. */
void vmm_destroy(struct vm *vm);

/* --- Ranges ------------------------------------------------------------------- */

/* Set a range aside and back it.
 * out:     its first page; untouched on failure
 * errors:  MM_NOMEM, MM_INVAL, MM_RANGE, MM_EXISTS, MM_DENIED (writable and executable; not of this
 *          space) */
mm_status_t vmm_alloc(struct vm *vm, const struct vmm_want *want, vaddr_t *out) MUST_USE;

/* The same, backed by frames that the caller has and keeps. want->backing is ignored. RAM can only
 * be mapped write-back: the direct map shows it so; device memory not in another way than
 * vmm_map_device has it mapped now. Nobody looks at what else vmm_map has mapped: who maps device
 * memory twice, for users or the kernel, sees to it that the types are the same. Who runs in a user
 * space, and may call vmm_protect there, can give himself any right to them.
 * errors:  also MM_DENIED for another type */
mm_status_t vmm_map(struct vm *vm, const struct vmm_want *want, paddr_t pa, vaddr_t *out) MUST_USE;

/* Map device registers or a framebuffer for the kernel, read and write, not executable. pa need not
 * be page-aligned, and out is the address of pa itself.
 * errors:  MM_NOMEM, MM_INVAL, MM_RANGE, MM_DENIED (vmm_map_device has it mapped with another
 *          cache type already, or RAM and not write-back; what vmm_map has mapped is not looked at) */
mm_status_t vmm_map_device(const char *name, paddr_t pa, uint64_t bytes, cache_t cache,
                           vaddr_t *out) MUST_USE;

/* A kernel range of contiguous, zeroed frames for a device, within limits (pmm.h), backed at once.
 * vmm_free frees both. out: the address, and that on the bus. errors: as vmm_alloc */
mm_status_t vmm_alloc_dma(const struct vmm_want *want, const struct pmm_limits *limits,
                          vaddr_t *out, paddr_t *pa) MUST_USE;

/* A kernel stack of npages, backed at once, with a guard in front. *out: its first page. It is
 * vmm_alloc in short. errors: as vmm_alloc */
mm_status_t vmm_alloc_stack(const char *name, uint64_t npages, vaddr_t *out) MUST_USE;

/* Give pages back: a whole range, or any part of ranges. All must be of ranges.
 * errors:  MM_NOTFOUND (part of it is no range), MM_INVAL, MM_RANGE, MM_NOMEM (a split takes a
 *          table) */
mm_status_t vmm_free(struct vm *vm, vaddr_t va, uint64_t npages) MUST_USE;

/* Free the whole kernel range that begins at va, as vmm_alloc and the like returned it (for a
 * device: anywhere in its first page). Anything else is misuse. */
void vmm_free_range(vaddr_t va);

/* Change the size of the whole kernel range at va without copying: of one that is backed at once by
 * frames of its own, none of them locked or shared. If it grows it moves, and the new pages are
 * zeroed. Nobody may use the range meanwhile.
 * out:     its first page; untouched on failure, and the range is as it was
 * errors:  MM_NOTFOUND (no range begins at va), MM_INVAL, MM_NOMEM, MM_DENIED (another kind) */
mm_status_t vmm_resize(vaddr_t va, uint64_t npages, vaddr_t *out) MUST_USE;

/* Change what pages may be used for, those to come included. errors: as vmm_free, and MM_DENIED */
mm_status_t vmm_protect(struct vm *vm, vaddr_t va, uint64_t npages, prot_t prot) MUST_USE;

/* Back reserved pages (others stay as they are): VMM_NOW or VMM_LAZY. If that fails all is reserved again
 * that was, what another CPU has asked for at the same time, too. errors: as vmm_free */
mm_status_t vmm_commit(struct vm *vm, vaddr_t va, uint64_t npages,
                       enum vmm_backing backing) MUST_USE;

/* The opposite: give frames back and keep the addresses reserved. That a range is one of
 * VMM_SMALL_PAGES is forgotten where it had pages: an entry has no room for it beside the frame.
 * errors: as vmm_free; MM_DENIED (locked, or not frames of the range's own) */
mm_status_t vmm_decommit(struct vm *vm, vaddr_t va, uint64_t npages) MUST_USE;

/* Fill pages in now and keep them: no access to them faults, but one that is not allowed. Copies of
 * shared pages are made if they are writable. vmm_unlock takes that back.
 * errors: as vmm_free; MM_NOMEM leaves all unlocked */
mm_status_t vmm_lock(struct vm *vm, vaddr_t va, uint64_t npages) MUST_USE;
mm_status_t vmm_unlock(struct vm *vm, vaddr_t va, uint64_t npages) MUST_USE;

/* --- Faults ------------------------------------------------------------------- */

#define VMM_READ  0u
#define VMM_WRITE 1u
#define VMM_FETCH 2u
#define VMM_USER  4u /* from user mode */
#define VMM_KEY   8u /* a protection key forbade it */

/* Why an access cannot be allowed. */
enum vmm_fault {
    VMM_RESOLVED,    /* it can: try again */
    VMM_NOT_MAPPED,  /* no range */
    VMM_IS_RESERVED, /* addresses that are set aside */
    VMM_GUARD_HIT,
    VMM_STACK_SKIPPED, /* too far below a growing stack */
    VMM_FORBIDDEN,     /* the range's protection forbids it */
    VMM_NO_MEMORY,     /* it would be filled, but there is no frame */
};

/* Resolve a page fault: an access ('VMM_WRITE | VMM_USER', ..) at va in the space that is in use,
 * or in the kernel's half. What the entry allows is resolved, too: the CPU may have gone by an old
 * one. So whoever calls must rule out what entries do not tell: SMAP, reserved bits. Any number of
 * CPUs, on the same page too. Not while locks of LOCK_SPACE or behind are held. */
enum vmm_fault vmm_fault(struct vm *vm, vaddr_t va, unsigned access);

/* --- Looking ------------------------------------------------------------------ */

/* What a run of pages is. */
enum vmm_kind {
    VMM_IS_FREE,
    VMM_IS_PAGE,  /* mapped */
    VMM_IS_LAZY,  /* zeroed on touch */
    VMM_IS_STACK, /* the same, if the stack has grown to it */
    VMM_IS_SET_ASIDE,
    VMM_IS_GUARD,
};

struct vmm_run {
    vaddr_t va;
    uint64_t npages;
    enum vmm_kind kind;
    paddr_t pa;          /* of a page */
    uint64_t page_bytes; /* of a page */
    prot_t prot;         /* with the notes: PROT_OWNED, PROT_COPY, PROT_LOCKED */
    cache_t cache;
    unsigned used;
};

/* The first run that is not free at or after *cursor, which moves behind it. errors: MM_NOTFOUND */
mm_status_t vmm_next(struct vm *vm, vaddr_t *cursor, struct vmm_run *out) MUST_USE;

/* A kernel range. */
struct vmm_range {
    const char *name;
    vaddr_t va; /* behind its guard */
    uint64_t npages;
};

/* The kernel range that va is in, or the one whose guard page va is in (then va < out->va). False
 * if there is none. Takes no lock: for panics, too. */
bool vmm_find(vaddr_t va, struct vmm_range *out) MUST_USE;

/* The kernel range behind *range, by address; with npages = 0, the first. Of the windows only: what
 * was there at boot is in mapper.h. */
bool vmm_next_range(struct vmm_range *range) MUST_USE;

/* Frames that say which others are shared: once taken, they are kept. */
uint64_t vmm_share_frames(void);

/* What an audit of all spaces found. */
struct vmm_audit {
    uint64_t spaces, tables;
    uint64_t pages_4k, pages_2m, pages_1g;
    uint64_t owned, shared;       /* frames of ranges; those of them with several mappings */
    uint64_t writable_executable; /* entries that break W^X */
    uint64_t user_in_kernel;      /* entries for users in the kernel's half, and the opposite */
    uint64_t mapped_twice;        /* mappings of owned frames that have one owner, beside his */
    uint64_t miscounted; /* mappings that nobody counted, or that are counted and nowhere */
    uint64_t not_in_use; /* owned frames that the pmm calls free */
    vaddr_t first_bad;
};

/* Walk every space. True if all of the bad counts are zero. Others must not change spaces
 * meanwhile. errors: MM_NOMEM (it takes a bit per frame) */
mm_status_t vmm_audit(struct vmm_audit *out, bool *good) MUST_USE;

#endif
