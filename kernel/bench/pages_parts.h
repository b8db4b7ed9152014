/* What the benchmark of page tables and virtual memory is made of. Private to pages*.c.
 *
 * A workload of a space runs in a space of its own, which this CPU has loaded: ours in one of
 * vmm_create, the baseline in tables of its own (pages_walk.c). So neither has to ask other CPUs to
 * forget something. Kernel ranges are in all CPUs' tables: there the others are asked. */
#ifndef QL_KERNEL_BENCH_PAGES_H
#define QL_KERNEL_BENCH_PAGES_H

#include "bench/bench_parts.h"
#include "mm/vmm.h"

#define BENCH_PAGES    16384u /* 64 MiB */
#define BENCH_RW       (PROT_READ | PROT_WRITE)
#define BENCH_VA       VA(1ull << 40) /* where a space has what it is about */
#define PAGES_A_BLOCK  512u
#define FRAMES_A_CHUNK (FRAME_BYTES / sizeof(paddr_t))

/* --- The baseline: tables filled page by page from the root (pages_walk.c) -------------------- */

struct walk {
    paddr_t root;
    unsigned levels;
    uint64_t attributes; /* of each page */
};

/* Levels count from the page up, as for the CPU. */
#define WALK_4K 1u
#define WALK_2M 2u

#define WALK_PRESENT  1ull
#define WALK_WRITABLE 2ull

/* Empty tables with the kernel's half. False: out of memory. */
bool walk_open(struct walk *walk);

/* Free the tables; what is mapped is the caller's. */
void walk_close(struct walk *walk);

/* Use them on this CPU; vmm_switch ends that. */
void walk_use(const struct walk *walk);

/* The entry for va of that level; tables above are made if that is wanted. NULL: there is none, or
 * no memory. */
uint64_t *walk_slot(const struct walk *walk, vaddr_t va, unsigned level, bool make);
paddr_t walk_frame(uint64_t entry);

/* One page, writable, for the kernel. False: out of memory. */
bool walk_map(const struct walk *walk, vaddr_t va, paddr_t pa, unsigned level);

/* Take a page out. Its frame. */
paddr_t walk_unmap(const struct walk *walk, vaddr_t va, unsigned level);

/* Make a page read-only, or writable. */
void walk_protect(const struct walk *walk, vaddr_t va, unsigned level, bool write);

/* --- A space for a workload (pages.c) --------------------------------------------------------- */

struct place {
    bool baseline;
    struct vm vm;
    struct walk walk;
};

/* Make the space of ours, or of the baseline, and use it on this CPU. False, and w->broken says so:
 * out of memory. */
bool place_open(struct place *place, struct bench_worker *w);
void place_close(struct place *place); /* the kernel's space is in use again */

/* Set a user range aside, or one of the kernel. False, and w->broken says so. */
bool pages_alloc(struct bench_worker *w, struct vm *vm, uint64_t npages, enum vmm_backing backing,
                 unsigned flags, vaddr_t *out);

/* False, and w->broken says so. */
bool pages_good(struct bench_worker *w, bool good);

static inline vaddr_t page_at(vaddr_t va, uint64_t n)
{
    return va_add(va, n * PAGE_BYTES);
}

static inline void page_touch(vaddr_t va)
{
    *(volatile uint64_t *)(uintptr_t)va_number(va) = 1; /* mapped, or to be filled by the fault */
}

/* --- Workloads -------------------------------------------------------------------------------- */

/* pages_ranges.c */
void pages_map(struct bench_worker *w);
void pages_memory(struct bench_worker *w); /* argument: MEMORY(..) */
void pages_pairs(struct bench_worker *w);  /* argument: PAIR(..) */
#define MEMORY(backing, flags) ((uint64_t)(backing) << 8 | (flags))
#define PAIR(npages, others)   ((uint64_t)(others) << 16 | (npages))

/* pages_faults.c */
enum faults { FAULTS_OWN, FAULTS_SAME, FAULTS_STACK };
void faults_fill(struct bench_worker *w); /* argument: enum faults: each CPU's own range, .. */
void faults_copy(struct bench_worker *w);
void faults_bare(struct bench_worker *w);
void faults_real(void); /* the kernel's own handler takes page faults again */

/* pages_spaces.c */
void spaces_clone(struct bench_worker *w); /* argument: flags of vmm_alloc */
void spaces_switch(struct bench_worker *w);
void spaces_shootdown(struct bench_worker *w); /* argument: CPUs that have the space loaded */
void spaces_copy(struct bench_worker *w);      /* argument: bytes */

#endif
