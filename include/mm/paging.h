/* Page tables of one address space: 4 or 5 levels, as the CPU uses when the space is made; pages of
 * 4 KiB, 2 MiB and 1 GiB chosen by alignment. Range operations happen whole or not at all. Tables
 * come from the pmm and go back when empty. A change has reached all CPUs that may hold old
 * translations when the function returns.
 * locking: operations wait for each other only where they meet in a table: each locks the smallest
 *          table that covers its range, and those below that the range touches. What only reads
 *          (paging_look, _query, _translate, _next, _next_of, _find_empty) takes no lock and never
 *          waits. LOCK_SPACE in the order.
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

/* Notes of whoever maps, in bits that the CPU ignores. They are part of a mapping: kept when it is
 * split, and alike pages have the same. */
#define PROT_OWNED  0x10000u /* its frames belong to the space: they go to hooks->release with it */
#define PROT_COPY   0x20000u /* shared: whatever PROT_WRITE says, the CPU may not write it */
#define PROT_LOCKED 0x40000u /* stays as it is: never to be taken out on our own account */
#define PROT_NOTES  (PROT_OWNED | PROT_COPY | PROT_LOCKED)

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

/* What an entry is. The numbers from 1 to 7 are states: entries that are not present and say what a
 * range is that has no page. Which is which is up to who sets them; paging knows only that. */
#define ENTRY_EMPTY  0u
#define ENTRY_STATES 7u /* 1 .. 7 */
#define ENTRY_PAGE   8u

/* A set of kinds of entries. */
#define KIND(kind)  (1u << (kind))
#define KINDS_ALL   0x1ffu
#define KINDS_STATE 0x0feu
/* Beside them, of paging_set: what is replaced must also have the protection and memory type of the new
 * state. Notes do not count, nor what this CPU's pages cannot tell: NX, PROT_GLOBAL. */
#define KINDS_ALIKE 0x200u

/* Who owns frames that are mapped with PROT_OWNED. Called under the locks of tables with interrupts
 * off, or by paging_destroy: may take locks behind LOCK_SPACE, and must not touch a space.
 * units:   nframes is 512 or 512 * 512 for one page of 2 MiB or 1 GiB, and less than 512 for a run of
 *          4 KiB pages. A page that is split is not told: each of its frames has as many mappings as before */
struct frame_hooks {
    /* One mapping more of each frame. Either for all or for none. errors: MM_NOMEM */
    mm_status_t (*share)(paddr_t base, uint64_t nframes);
    /* One mapping less; no CPU can use it any more. */
    void (*release)(paddr_t base, uint64_t nframes);
};

struct space {
    paddr_t root;     /* the PML4 or PML5 */
    uint64_t changes; /* grows before a table is freed: who reads without a lock starts again */
    uint32_t levels;  /* 4 or 5 */
    uint32_t frozen;  /* paging_validate keeps operations out */
    bool allow_wx;    /* only for the space in which firmware runtime services run */
    bool kernel; /* global translations outlive a switch: a CPU that had it loaded keeps them */
    bool sealed; /* its root's entries in the upper half stay as they are: paging_seal */
    bool user;   /* its upper half is that of 'upper': paging_create_user */
    struct space *upper;
    const struct frame_hooks *hooks;        /* NULL: nothing may be PROT_OWNED */
    struct cpu_set cpus;                    /* that may hold translations of it */
    pte_t top __attribute__((aligned(64))); /* what would lead to the root: its lock and count */
    uint64_t ntables;                       /* tables in use, the root included */
};

/* What a state says beside its kind; for paging these are just values. prot and cache are what
 * pages will have that take its place. */
struct page_state {
    unsigned kind;  /* 1 .. ENTRY_STATES, or ENTRY_EMPTY for none; then all else is 0 */
    uint64_t value; /* anything below 2^40 */
    prot_t prot;
    cache_t cache;
};

/* What is at an address: one entry, or one maximal run of alike entries. */
struct mapping {
    vaddr_t va;
    paddr_t pa;          /* of a page */
    uint64_t bytes;      /* of the entry or run */
    uint64_t page_bytes; /* of one entry: 4 KiB, 2 MiB or 1 GiB if it is a page */
    unsigned kind;       /* ENTRY_... */
    uint64_t value;      /* of a state */
    prot_t prot;         /* of a page or state */
    cache_t cache;
    unsigned used; /* USED_...: of any page in it */
};

/* Make an empty space (one root table), for as many levels as port_cpu says. errors: MM_NOMEM */
mm_status_t paging_create(struct space *out) MUST_USE;

/* Make a space whose upper half is the kernel's, for ever: the kernel's must be sealed. Its own
 * operations are confined to the lower half. errors: MM_NOMEM */
mm_status_t paging_create_user(struct space *out, struct space *kernel) MUST_USE;

/* From now on the entries of the root in the kernel's upper half do not change, so that others can
 * have copies of them: there is a table for each that the range touches or that is in use, and it
 * stays even when it is empty. Operations that would need one more fail as MM_RANGE.
 * errors: MM_NOMEM, MM_INVAL, MM_RANGE; nothing has changed then */
mm_status_t paging_seal(struct space *kernel, vaddr_t va, uint64_t npages) MUST_USE;

/* Free every table of the space, of a user space those of its own half; owned frames are released.
 * No CPU may have it loaded any more. */
void paging_destroy(struct space *space);

/* Map npages 4 KiB pages from va to pa, with the largest page size alignment and count allow.
 * errors:  MM_INVAL (misaligned, zero count, unknown flag or key, owned without hooks), MM_RANGE (not
 *          canonical, crosses the canonical hole, beyond the CPU's physical width), MM_EXISTS (there
 *          is something already: a page or a state),
 *          MM_DENIED (writable and executable, for users in the kernel half, or global in the lower
 *          half beside a kernel's that is sealed), MM_NOMEM.
 *          On failure nothing has changed. */
mm_status_t paging_map(struct space *space, vaddr_t va, paddr_t pa, uint64_t npages, prot_t prot,
                       cache_t cache) MUST_USE;

/* Unmap npages from va; every one must be mapped. Splits larger pages at the edges, frees tables
 * that become empty.
 * errors:  MM_NOTFOUND, MM_INVAL, MM_RANGE, MM_NOMEM (splitting needs a table). On failure
 *          nothing has changed. */
mm_status_t paging_unmap(struct space *space, vaddr_t va, uint64_t npages) MUST_USE;

/* Change protection and memory type of npages mapped pages. What CPUs have noted is kept, and so are
 * our own notes, which prot must not have. Of another memory type CPUs must have nothing cached: to
 * write their caches back, before and after, is the caller's.
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
 * contiguous and alike, and free the tables. What is not, or not mapped, stays as it is, and so does
 * what is owned or PROT_COPY.
 * out:     the number of tables freed; untouched on failure
 * errors:  MM_INVAL, MM_RANGE */
mm_status_t paging_merge(struct space *space, vaddr_t va, uint64_t npages, uint64_t *out) MUST_USE;

/* --- States, and pages that belong to a space --------------------------------- */

/* Put a state (or nothing, ENTRY_EMPTY) in the place of all that is in the range, in as few entries
 * as there can be. Larger pages and states are split at the edges; owned frames are released when
 * all CPUs have forgotten them.
 * units:   over: KIND(..) of all that may be there, and perhaps KINDS_ALIKE; a state's prot is 0 or
 *          what a page may have
 * errors:  MM_EXISTS (there is something else), MM_INVAL, MM_DENIED, MM_RANGE, MM_NOMEM. On failure
 *          nothing has changed. */
mm_status_t paging_set(struct space *space, vaddr_t va, uint64_t npages, unsigned over,
                       const struct page_state *state) MUST_USE;

/* Change the protection of pages, and that of states, for the pages to come; memory types, notes and
 * values stay, and PROT_COPY goes on keeping the CPU from writing. All must be of these kinds.
 * units:   prot: without the notes (PROT_OWNED ..)
 * errors:  as paging_set, and MM_DENIED */
mm_status_t paging_set_prot(struct space *space, vaddr_t va, uint64_t npages, unsigned over,
                            prot_t prot) MUST_USE;

/* Set or clear notes (PROT_OWNED .. of 'set' and 'clear') in pages and states of these kinds; all
 * others in the range stay as they are. errors: as paging_set, but for MM_EXISTS */
mm_status_t paging_note(struct space *space, vaddr_t va, uint64_t npages, unsigned in, prot_t set,
                        prot_t clear) MUST_USE;

/* Put pages in the place of states of one kind, inside of one 2 MiB: each page in the range that is
 * such a state gets the next frame, and the state's protection, cache and notes, with 'notes' added. What
 * is something else stays as it is.
 * out:     how many frames are used now: the first ones. Untouched on failure
 * errors:  MM_INVAL, MM_RANGE, MM_NOMEM. On failure nothing has changed. */
mm_status_t paging_fill(struct space *space, vaddr_t va, uint64_t npages, unsigned kind,
                        prot_t notes, const paddr_t *frames, uint64_t *out) MUST_USE;

/* Replace one page, or a piece of a larger entry, if all is still as expected: compare and
 * exchange. Everything in [va, va + page_bytes) must be one entry, or part of one, that says what
 * 'expected', from paging_look, does: kind; of a page the memory and prot, whatever CPUs have noted;
 * of a state value, prot and cache. A larger page or state is split. The old frames are not
 * released: they are the caller's, and no CPU uses them any more. What CPUs have noted stays with a
 * page that keeps its frame. Nothing is flushed if there was no page, or one that only becomes
 * writable: a CPU that finds the old one cached faults, and looks again.
 * units:   page_bytes: 4 KiB or 2 MiB, of which va is a multiple
 * confirm: if not NULL, called with 'argument' under the lock, when all is as expected and nothing
 *          else can fail: false says no. As in struct frame_hooks. The place to copy a PROT_COPY page:
 *          before, a CPU may still write it by what it has cached.
 * errors:  MM_NOTFOUND (not as expected, or not confirmed), MM_INVAL, MM_RANGE, MM_DENIED, MM_NOMEM */
mm_status_t paging_exchange(struct space *space, vaddr_t va, uint64_t page_bytes,
                            const struct mapping *expected, paddr_t pa, prot_t prot, cache_t cache,
                            bool (*confirm)(void *), void *argument) MUST_USE;

/* Make the lower half of an empty user space the same as another's. Owned pages are shared: in both
 * they become PROT_COPY. All else is copied as it stands. For others it happens in one moment; nobody
 * may use 'to' meanwhile.
 * errors:  MM_NOMEM (also from the hooks), MM_INVAL (not two user spaces of one kernel and with the
 *          same hooks; 'to' is not empty). On failure nothing has changed. */
mm_status_t paging_clone(struct space *from, struct space *to) MUST_USE;

/* The first npages empty ones in [from, limit), aligned. Others may take them meanwhile.
 * units:   align in pages, a power of two
 * errors:  MM_NOTFOUND, MM_INVAL, MM_RANGE (not all in one half) */
mm_status_t paging_find_empty(struct space *space, vaddr_t from, vaddr_t limit, uint64_t npages,
                              uint64_t align, vaddr_t *out) MUST_USE;

/* What is at va, whatever it is: the whole entry, also of an empty one. A page that an operation is
 * about to free is there until all CPUs have forgotten it. errors: MM_RANGE */
mm_status_t paging_look(struct space *space, vaddr_t va, struct mapping *out) MUST_USE;

/* The nearest entry of one of these kinds (ENTRY_EMPTY may be one) that is at va or in front of it,
 * but not wholly below floor. errors: MM_NOTFOUND, MM_RANGE */
mm_status_t paging_look_back(struct space *space, unsigned kinds, vaddr_t va, vaddr_t floor,
                             struct mapping *out) MUST_USE;

/* Iterate as paging_next does, over runs of all these kinds; a run has one kind, and states in it
 * say the same. ENTRY_EMPTY cannot be iterated over. errors: MM_NOTFOUND */
mm_status_t paging_next_of(struct space *space, unsigned kinds, vaddr_t *cursor,
                           struct mapping *out) MUST_USE;

/* --- Reading ------------------------------------------------------------------ */

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

/* An entry on the way down to an address, as the CPU reads it. */
struct paging_step {
    paddr_t table;  /* that it is in */
    unsigned level; /* of that: 1 PT, 2 PD, 3 PDPT, 4 PML4, 5 PML5 */
    unsigned slot;
    uint64_t raw;
    bool is_table;    /* it leads to the table of the next step, of which it says: */
    unsigned entries; /* in use */
    bool has_states;  /* or had */
    bool stays;       /* also when it is empty */
    bool locked;      /* by an operation, at that moment */
};
#define PAGING_STEPS 5u

/* The way to va, for people: the entries from the root down to what paging_look looks at.
 * out: their number; 0 if va is not canonical */
unsigned paging_walk(struct space *space, vaddr_t va, struct paging_step steps[PAGING_STEPS]);

/* Use the space on this CPU instead of the one before, forgetting every cached translation; but for the
 * global ones of the upper half, if both have the same. */
void paging_switch(struct space *space);

/* This CPU uses no space of ours any more: it goes offline, or has loaded other tables itself, ones that
 * stay. That must come first: from now on the tables that it had may be freed. */
void paging_leave(void);

/* O(tables): every table reachable once, reserved bits clear, no empty table, all counts exact.
 * Operations of others wait meanwhile. */
bool paging_validate(struct space *space);

#endif
