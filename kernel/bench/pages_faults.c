/* Owns: the workloads of page faults, and their baseline: what no handler can do without, which is
 * the way into the kernel and back (trap_stubs.S), zeroing or copying the page, and a store to the
 * entry. The frame, and where the entry is, are known to it beforehand.
 * Relies on: pages.c, pages_walk.c, the kernel's handler of page faults. */
#include "bench/pages_parts.h"
#include "cpu/crew.h"
#include "cpu/traps.h"
#include "mm/hhdm.h"
#include "mm/string.h"
#include "user/copy.h"
#include "user/fault.h"

#define TABLES 4u
#define FAULTS (TABLES * PAGES_A_BLOCK) /* 8 MiB */

static const char not_filled[] = "a page cannot be filled";

/* ---- the baseline ---------------------------------------------------------------------------- */

enum bare_work { BARE_STORE, BARE_ZERO, BARE_COPY };

/* What a CPU of the baseline faults on: its pages lie 1 TiB behind those of the CPU before it. */
struct bare {
    enum bare_work work;
    paddr_t frames;
    uint64_t *tables[TABLES];
};
static struct bare bares[BENCH_CPUS_MAX];

static vaddr_t bare_va(unsigned number)
{
    return va_add(BENCH_VA, (uint64_t)number << 40);
}

static void on_bare_fault(struct trap_frame *frame)
{
    uint64_t address;
    __asm__ volatile("movq %%cr2, %0" : "=r"(address));
    uint64_t number = (address >> 40) - 1, page = address % (1ull << 40) / PAGE_BYTES;
    if (number >= BENCH_CPUS_MAX || page >= FAULTS) {
        traps_fail(frame);
        return;
    }
    struct bare *bare = &bares[number];
    void *memory = phys_to_virt(pa_add(bare->frames, page * FRAME_BYTES));
    if (bare->work == BARE_ZERO)
        memset64(memory, 0, FRAME_BYTES / 8);
    else if (bare->work == BARE_COPY)
        memcpy(memory, phys_to_virt(pa_add(bare->frames, (FAULTS - 1 - page) * FRAME_BYTES)),
               FRAME_BYTES);
    bare->tables[page / PAGES_A_BLOCK][page % PAGES_A_BLOCK] |= WALK_PRESENT;
}

void faults_real(void)
{
    fault_init();
}

/* Touch all pages, none of which is present at first. */
static void bare_run(struct bench_worker *w, enum bare_work work, unsigned section)
{
    struct bare *bare = &bares[w->number];
    vaddr_t va = bare_va(w->number);
    struct place place;
    bare->work = work;
    bool got = pages_good(w, pmm_alloc_frames(FAULTS, NULL, &bare->frames) == MM_OK);
    bool open = got && place_open(&place, w), good = open;
    for (uint64_t i = 0; good && i < FAULTS; i++) {
        good = pages_good(w, walk_map(&place.walk, page_at(va, i),
                                      pa_add(bare->frames, i * FRAME_BYTES), WALK_4K));
        uint64_t *slot = walk_slot(&place.walk, page_at(va, i), WALK_4K, false);
        if (good)
            *slot &= ~WALK_PRESENT;
        if (i % PAGES_A_BLOCK == 0)
            bare->tables[i / PAGES_A_BLOCK] = slot;
    }
    bench_begin(w);
    for (uint64_t i = 0; good && i < FAULTS; i++)
        page_touch(page_at(va, i));
    bench_end(w, section, FAULTS);
    if (open)
        place_close(&place);
    if (got)
        (void)pmm_free_frames(bare->frames, FAULTS);
}

/* The handler is every CPU's. */
static void run_bare(struct bench_worker *w, enum bare_work work, unsigned section)
{
    traps_set(TRAP_PAGE_FAULT, on_bare_fault);
    bare_run(w, work, section);
    crew_meet();
    faults_real();
}

/* ---- pages that come when they are touched --------------------------------------------------- */

struct touched {
    vaddr_t va;
    bool good;
};

/* A stack is touched downwards, from below the page that is there from the start. */
void faults_fill(struct bench_worker *w)
{
    static struct touched same;
    struct touched own, *range = &own;
    bool first = true, stack = bench_current->argument == FAULTS_STACK;
    if (bench_current->argument == FAULTS_SAME) {
        range = &same;
        first = w->number == 0;
    } else if (w->baseline) {
        run_bare(w, BARE_ZERO, 0);
    }
    if (w->baseline)
        return;
    if (first)
        range->good = pages_alloc(w, vmm_kernel(), FAULTS + 1, stack ? VMM_STACK : VMM_LAZY,
                                  stack ? 0 : VMM_SMALL_PAGES, &range->va);
    bench_begin(w);
    for (uint64_t i = 0; range->good && i < FAULTS; i++)
        page_touch(page_at(range->va, stack ? FAULTS - 1 - i : i));
    bench_end(w, 0, FAULTS);
    crew_meet();
    if (first && range->good)
        vmm_free_range(range->va);
}

/* Write each page of a space once, as the kernel writes a user's memory. */
static bool write_all(vaddr_t va)
{
    bool good = true;
    for (uint64_t i = 0; i < FAULTS; i++)
        good = user_clear(page_at(va, i), 1) == 0 && good;
    return good;
}

/* Section 0: pages that a copy of the space has, too. 1: the copy is gone, the pages still say that
 * they are shared. */
void faults_copy(struct bench_worker *w)
{
    struct place place;
    struct vm copy;
    vaddr_t va;
    if (w->baseline) {
        run_bare(w, BARE_COPY, 0);
        run_bare(w, BARE_STORE, 1);
        return;
    }
    if (!place_open(&place, w))
        return;
    bool good = pages_alloc(w, &place.vm, FAULTS, VMM_NOW, VMM_SMALL_PAGES, &va);
    for (unsigned section = 0; good && section < 2; section++) {
        good = pages_good(w, vmm_clone(&place.vm, &copy, "bench copy") == MM_OK);
        if (good && section == 1)
            vmm_destroy(&copy);
        bench_begin(w);
        if (good && !write_all(va))
            w->broken = not_filled;
        bench_end(w, section, FAULTS);
        if (good && section == 0)
            vmm_destroy(&copy);
    }
    place_close(&place);
}

/* Nothing but the exception and a store: what every fault costs on this CPU. There is no ours. */
void faults_bare(struct bench_worker *w)
{
    if (w->baseline)
        run_bare(w, BARE_STORE, 0);
}
