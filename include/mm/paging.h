/* Page tables of one address space: 4 or 5 levels, as the CPU uses when the space is made; pages of
 * 4 KiB, 2 MiB and 1 GiB chosen by alignment. Range operations happen whole or not at all. Tables
 * come from the pmm and go back when empty. A change has reached all CPUs that may hold old
 * translations when the function returns.
 * locking: operations wait for each other only where they meet in a table: each locks the smallest
 *          table that covers its range, and those below that the range touches. paging_query,
 *          paging_translate and paging_next take no lock and never wait. LOCK_SPACE in the order.
 * Stage: from "frames" on.
 * source:  Intel SDM Vol. 3A "4-Level Paging and 5-Level Paging", "Page Attribute Table"; that the
 *          tables are the only record of a space and carry the locks: CortenMM (SOSP 2025) */
#ifndef QL_MM_PAGING_H
#define QL_MM_PAGING_H

#include "cpu_set.h"
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
/* The protection key of a page, 0 .. 15; another than 0 only if the CPU has keys. */
#define PROT_KEY(key)     (((prot_t)(key)&15u) << 8)
#define PROT_KEY_OF(prot) ((prot) >> 8 & 15u)

/* Memory types; the value is the index into the PAT, which we keep as the Limine protocol says. */
typedef enum cache {
    CACHE_WB = 0,
    CACHE_WT = 1,
    CACHE_UC_MINUS = 2,
    CACHE_UC = 3,
    CACHE_WP = 4,
    CACHE_WC = 5,
} cache_t;

/* What a CPU has noted in a page's entry: that it was read or written since the note was cleared. */
#define USED_ACCESSED 1u
#define USED_DIRTY    2u

struct space {
    paddr_t root;     /* the PML4 or PML5 */
    uint64_t changes; /* grows before a table is freed: who reads without a lock starts again */
    uint32_t levels;  /* 4 or 5 */
    uint32_t frozen;  /* paging_validate keeps operations out */
    bool allow_wx;    /* only for the space in which firmware runtime services run */
    bool kernel; /* global translations outlive a switch: a CPU that had it loaded keeps them */
    struct cpu_set cpus;                    /* that may hold translations of it */
    pte_t top __attribute__((aligned(64))); /* what would lead to the root: its lock and count */
    uint64_t ntables;                       /* tables in use, the root included */
};

/* What is mapped at an address: one entry, or one maximal run of alike entries. */
struct mapping {
    vaddr_t va;
    paddr_t pa;
    uint64_t bytes;      /* of the entry or run */
    uint64_t page_bytes; /* 4 KiB, 2 MiB or 1 GiB */
    prot_t prot;
    cache_t cache;
    unsigned used; /* USED_...: of any page in it */
};

/* Make an empty space (one root table), for as many levels as port_cpu says. errors: MM_NOMEM */
mm_status_t paging_create(struct space *out) MUST_USE;

/* Free every table of the space; not what its pages map. No CPU may have it loaded any more. */
void paging_destroy(struct space *space);

/* Map npages 4 KiB pages from va to pa, with the largest page size alignment and count allow.
 * errors:  MM_INVAL (misaligned, zero count, unknown flag or key), MM_RANGE (not canonical, crosses
 *          the canonical hole, beyond the CPU's physical width), MM_EXISTS (a page is mapped
 *          already, or reserved by somebody),
 *          MM_DENIED (writable and executable, or for users in the kernel half), MM_NOMEM.
 *          On failure nothing has changed. */
mm_status_t paging_map(struct space *space, vaddr_t va, paddr_t pa, uint64_t npages, prot_t prot,
                       cache_t cache) MUST_USE;

/* Unmap npages from va; every one must be mapped. Splits larger pages at the edges, frees tables
 * that become empty.
 * errors:  MM_NOTFOUND, MM_INVAL, MM_RANGE, MM_NOMEM (splitting needs a table). On failure
 *          nothing has changed. */
mm_status_t paging_unmap(struct space *space, vaddr_t va, uint64_t npages) MUST_USE;

/* Change protection and memory type of npages mapped pages. What CPUs have noted is kept.
 * errors:  as paging_unmap, and MM_DENIED */
mm_status_t paging_protect(struct space *space, vaddr_t va, uint64_t npages, prot_t prot,
                           cache_t cache) MUST_USE;

/* Read what CPUs have noted in the pages of a range, and clear it: after that they note it anew. A
 * larger page that only lies partly in the range counts as a whole; what is not mapped is passed
 * over.
 * units:   which: USED_ACCESSED, USED_DIRTY or both
 * out:     which of them any page had; untouched on failure
 * errors:  MM_INVAL, MM_RANGE */
mm_status_t paging_clear_used(struct space *space, vaddr_t va, uint64_t npages, unsigned which,
                              unsigned *out) MUST_USE;

/* Fold the range back into larger pages wherever all that one would cover lies in the range, is
 * contiguous and alike, and free the tables. What is not, or not mapped, stays as it is.
 * out:     the number of tables freed; untouched on failure
 * errors:  MM_INVAL, MM_RANGE */
mm_status_t paging_merge(struct space *space, vaddr_t va, uint64_t npages, uint64_t *out) MUST_USE;

/* The entry that maps va. out->va, pa and bytes describe the whole entry (a 2 MiB page gives its
 * 2 MiB-aligned base). errors: MM_NOTFOUND, MM_RANGE */
mm_status_t paging_query(struct space *space, vaddr_t va, struct mapping *out) MUST_USE;

/* The physical address behind va: paging_query in short. errors: MM_NOTFOUND, MM_RANGE */
mm_status_t paging_translate(struct space *space, vaddr_t va, paddr_t *out) MUST_USE;

/* Iterate: the first maximal run of contiguous, alike pages (same size, protection, cache) that
 * starts at or after *cursor. Start with VA(0). On MM_OK *cursor is moved behind the run. Each entry
 * is as it was when it was read: what others change meanwhile is seen or not.
 * errors:  MM_NOTFOUND when there is no further one */
mm_status_t paging_next(struct space *space, vaddr_t *cursor, struct mapping *out) MUST_USE;

/* Use the space on this CPU instead of the one before, forgetting every cached translation. */
void paging_switch(struct space *space);

/* This CPU uses no space of ours any more: it goes offline, or has loaded other tables itself. */
void paging_leave(void);

/* O(tables): every table reachable once, reserved bits clear, no empty table, all counts exact.
 * Operations of others wait meanwhile. */
bool paging_validate(struct space *space);

#endif
