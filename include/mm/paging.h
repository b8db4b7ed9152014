/* Page tables of one address space: 4 levels, pages of 4 KiB, 2 MiB and 1 GiB chosen by alignment.
 * Range operations happen whole or not at all. Tables come from the pmm and go back when empty.
 * A change has reached all CPUs that may hold old translations when the function returns.
 * locking: each function takes the space's lock (LOCK_SPACE) and waits for other CPUs under it.
 * Stage: from "frames" on.
 * source:  Intel SDM Vol. 3A "4-Level Paging", "Page Attribute Table". */
#ifndef QL_MM_PAGING_H
#define QL_MM_PAGING_H

#include "cpu_set.h"
#include "lock.h"
#include "mm/addr.h"
#include "status.h"

/* What a page may be used for; present is implied. Read is implied by the hardware: any protection
 * but 0, which is no mapping, can be read. */
typedef uint32_t prot_t;
#define PROT_READ   0x01u
#define PROT_WRITE  0x02u
#define PROT_EXEC   0x04u /* absent: NX, where the CPU has it */
#define PROT_USER   0x08u
#define PROT_GLOBAL 0x10u

/* Memory types; the value is the index into the PAT, which we keep as the Limine protocol says. */
typedef enum cache {
    CACHE_WB = 0,
    CACHE_WT = 1,
    CACHE_UC_MINUS = 2,
    CACHE_UC = 3,
    CACHE_WP = 4,
    CACHE_WC = 5,
} cache_t;

struct space {
    paddr_t root;     /* the PML4 */
    uint64_t ntables; /* tables in use, the root included */
    bool allow_wx;    /* only for the space in which firmware runtime services run */
    bool kernel; /* global translations outlive a switch: a CPU that had it loaded keeps them */
    struct spinlock lock;
    struct cpu_set cpus; /* that may hold translations of it */
};

/* What is mapped at an address: one entry, or one maximal run of alike entries. */
struct mapping {
    vaddr_t va;
    paddr_t pa;
    uint64_t bytes;      /* of the entry or run */
    uint64_t page_bytes; /* 4 KiB, 2 MiB or 1 GiB */
    prot_t prot;
    cache_t cache;
};

/* Make an empty space (one root table). errors: MM_NOMEM */
mm_status_t paging_create(struct space *out) MUST_USE;

/* Free every table of the space; not what its pages map. No CPU may have it loaded any more. */
void paging_destroy(struct space *space);

/* Map npages 4 KiB pages from va to pa, with the largest page size alignment and count allow.
 * errors:  MM_INVAL (misaligned, zero count, unknown flag), MM_RANGE (not canonical, crosses the
 *          canonical hole, beyond the CPU's physical width), MM_EXISTS (a page is mapped already),
 *          MM_DENIED (writable and executable, or for users in the kernel half), MM_NOMEM.
 *          On failure nothing has changed. */
mm_status_t paging_map(struct space *space, vaddr_t va, paddr_t pa, uint64_t npages, prot_t prot,
                       cache_t cache) MUST_USE;

/* Unmap npages from va; every one must be mapped. Splits larger pages at the edges, frees tables
 * that become empty.
 * errors:  MM_NOTFOUND, MM_INVAL, MM_RANGE, MM_NOMEM (splitting needs a table). On failure
 *          nothing has changed. */
mm_status_t paging_unmap(struct space *space, vaddr_t va, uint64_t npages) MUST_USE;

/* Change protection and memory type of npages mapped pages.
 * errors:  as paging_unmap, and MM_DENIED */
mm_status_t paging_protect(struct space *space, vaddr_t va, uint64_t npages, prot_t prot,
                           cache_t cache) MUST_USE;

/* The entry that maps va. out->va, pa and bytes describe the whole entry (a 2 MiB page gives its
 * 2 MiB-aligned base). errors: MM_NOTFOUND, MM_RANGE */
mm_status_t paging_query(struct space *space, vaddr_t va, struct mapping *out) MUST_USE;

/* Iterate: the first maximal run of contiguous, alike pages (same size, protection, cache) that
 * starts at or after *cursor. Start with VA(0). On MM_OK *cursor is moved behind the run.
 * errors:  MM_NOTFOUND when there is no further one */
mm_status_t paging_next(struct space *space, vaddr_t *cursor, struct mapping *out) MUST_USE;

/* Use the space on this CPU instead of the one before, forgetting every cached translation. */
void paging_switch(struct space *space);

/* This CPU uses no space of ours any more: it goes offline, or has loaded other tables itself. */
void paging_leave(void);

/* O(tables): every table reachable once, reserved bits clear, no empty table, ntables exact. */
bool paging_validate(struct space *space);

#endif
