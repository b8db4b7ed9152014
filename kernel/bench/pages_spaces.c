/* Owns: the workloads of address spaces: copied, switched, changed while several CPUs use them, and
 * read and written by the kernel. Relies on: pages.c, pages_walk.c, cpus.h. */
#include "bench/pages_parts.h"
#include "cpu/cpus.h"
#include "cpu/crew.h"
#include "mm/hhdm.h"
#include "mm/string.h"
#include "user/copy.h"

/* ---- copies ---------------------------------------------------------------------------------- */

/* Section 0: a page of the copy; 1: a page, while the copy is destroyed; 2: the whole copy. */
static void count_clone(struct bench_worker *w, uint64_t entries)
{
    w->sections[2] = (struct bench_section){w->sections[0].sum, 1};
    w->sections[0].ops = w->sections[1].ops = entries;
}

/* Each page loses its write permission and gets one owner more, in a count of its frame. */
static bool walk_clone(const struct walk *from, const struct walk *to, uint32_t *owners,
                       paddr_t first, uint64_t pages, unsigned level)
{
    for (uint64_t i = 0; i < BENCH_PAGES; i += pages) {
        vaddr_t va = page_at(BENCH_VA, i);
        walk_protect(from, va, level, false);
        uint64_t entry = *walk_slot(from, va, level, false);
        uint64_t *slot = walk_slot(to, va, level, true);
        if (slot == NULL)
            return false;
        owners[pa_diff(first, walk_frame(entry)) / FRAME_BYTES]++;
        *slot = entry;
    }
    return true;
}

static void walk_drop(struct walk *walk, uint32_t *owners, paddr_t first, uint64_t pages,
                      unsigned level)
{
    for (uint64_t i = 0; i < BENCH_PAGES; i += pages) {
        uint64_t *slot = walk_slot(walk, page_at(BENCH_VA, i), level, false);
        if (slot != NULL && *slot != 0)
            owners[pa_diff(first, walk_frame(*slot)) / FRAME_BYTES]--;
    }
    walk_close(walk);
}

static void clone_baseline(struct bench_worker *w, uint64_t pages, unsigned level)
{
    static const struct pmm_limits limits = {.align_frames = PAGES_A_BLOCK, .zeroed = true};
    const uint64_t count_frames = bytes_to_frames(BENCH_PAGES * sizeof(uint32_t));
    struct place place;
    struct walk copy;
    paddr_t first, counts;
    if (!pages_good(w, pmm_alloc_frames(BENCH_PAGES, &limits, &first) == MM_OK))
        return;
    if (pages_good(w, pmm_alloc_frames(count_frames, &limits, &counts) == MM_OK)) {
        if (place_open(&place, w)) {
            uint32_t *owners = phys_to_virt(counts);
            bool good = true;
            for (uint64_t i = 0; good && i < BENCH_PAGES; i += pages)
                good = walk_map(&place.walk, page_at(BENCH_VA, i), pa_add(first, i * FRAME_BYTES),
                                level);
            bench_begin(w);
            bool made = walk_open(&copy);
            good = made && good && walk_clone(&place.walk, &copy, owners, first, pages, level);
            bench_end(w, 0, 0);
            bench_begin(w);
            if (made)
                walk_drop(&copy, owners, first, pages, level);
            bench_end(w, 1, 0);
            (void)pages_good(w, good);
            place_close(&place);
        }
        (void)pmm_free_frames(counts, count_frames);
    }
    (void)pmm_free_frames(first, BENCH_PAGES);
}

void spaces_clone(struct bench_worker *w)
{
    unsigned flags = (unsigned)bench_current->argument;
    uint64_t pages = (flags & VMM_SMALL_PAGES) != 0 ? 1 : PAGES_A_BLOCK;
    struct place place;
    struct vm copy;
    vaddr_t va;
    if (w->baseline) {
        clone_baseline(w, pages, pages == 1 ? WALK_4K : WALK_2M);
    } else if (place_open(&place, w)) {
        if (pages_alloc(w, &place.vm, BENCH_PAGES, VMM_NOW, flags, &va)) {
            bench_begin(w);
            bool good = pages_good(w, vmm_clone(&place.vm, &copy, "bench copy") == MM_OK);
            bench_end(w, 0, 0);
            bench_begin(w);
            if (good)
                vmm_destroy(&copy);
            bench_end(w, 1, 0);
        }
        place_close(&place);
    }
    count_clone(w, BENCH_PAGES / pages);
}

/* ---- switching ------------------------------------------------------------------------------- */

#define SWITCHES 10000u

void spaces_switch(struct bench_worker *w)
{
    struct place a, b;
    if (!place_open(&a, w))
        return;
    if (place_open(&b, w)) {
        paddr_t roots[2] = {a.walk.root, b.walk.root};
        struct vm *spaces[2] = {&a.vm, &b.vm};
        bench_begin(w);
        for (unsigned i = 0; i < SWITCHES; i++)
            if (w->baseline)
                port_set_root(roots[i % 2]);
            else
                vmm_switch(spaces[i % 2]);
        bench_end(w, 0, SWITCHES);
        place_close(&b);
    }
    place_close(&a);
}

/* ---- what all CPUs have to forget ------------------------------------------------------------ */

#define PROTECTIONS 500u

static struct vm *held;
static uint32_t holding, let_go; /* atomic */

/* Interrupts are on, as for any work: this is what a program of a user is for who asks. */
static void hold(void *argument)
{
    (void)argument;
    vmm_switch(held);
    __atomic_fetch_add(&holding, 1, __ATOMIC_RELEASE);
    while (__atomic_load_n(&let_go, __ATOMIC_ACQUIRE) == 0)
        __builtin_ia32_pause();
    vmm_switch(vmm_kernel());
}

/* How many CPUs hold it besides this one. Those that were asked are the first that are online. */
static unsigned start_holding(struct vm *vm, unsigned wanted)
{
    unsigned others = 0;
    held = vm;
    holding = let_go = 0;
    for_each_cpu(cpu, cpus_online()) if (others < wanted && cpu != cpu_current()->id &&
                                         cpus_run(cpu, hold, NULL)) others++;
    crew_await(&holding, others);
    return others;
}

static void stop_holding(void)
{
    __atomic_store_n(&let_go, 1, __ATOMIC_RELEASE);
    for_each_cpu(cpu, cpus_online()) if (cpu != cpu_current()->id) cpus_wait(cpu);
}

static void shootdown_baseline(struct bench_worker *w)
{
    struct place place;
    paddr_t frame;
    if (!pages_good(w, pmm_alloc_frame(&frame) == MM_OK))
        return;
    if (place_open(&place, w)) {
        bool good = pages_good(w, walk_map(&place.walk, BENCH_VA, frame, WALK_4K));
        for (unsigned i = 0; good && i < PROTECTIONS; i++) {
            page_touch(BENCH_VA);
            bench_begin(w);
            walk_protect(&place.walk, BENCH_VA, WALK_4K, false);
            bench_end(w, 0, 1);
            walk_protect(&place.walk, BENCH_VA, WALK_4K, true);
        }
        place_close(&place);
    }
    (void)pmm_free_frame(frame);
}

/* The page becomes read-only; that it can be written again need not be told to anybody. */
void spaces_shootdown(struct bench_worker *w)
{
    unsigned cpus = (unsigned)bench_current->argument;
    struct place place;
    vaddr_t va;
    if (w->baseline) {
        if (cpus == 1)
            shootdown_baseline(w);
        return;
    }
    if (!place_open(&place, w))
        return;
    if (pages_alloc(w, &place.vm, 1, VMM_NOW, 0, &va)) {
        bool good = start_holding(&place.vm, cpus - 1) == cpus - 1;
        for (unsigned i = 0; good && i < PROTECTIONS; i++) {
            good = user_clear(va, 1) == 0;
            bench_begin(w);
            good = vmm_protect(&place.vm, va, 1, PROT_READ) == MM_OK && good;
            bench_end(w, 0, 1);
            good = vmm_protect(&place.vm, va, 1, BENCH_RW) == MM_OK && good;
        }
        stop_holding();
        if (!good)
            w->broken = "a CPU is busy, or a page cannot be changed";
    }
    place_close(&place);
}

/* ---- the kernel's access to memory of a user ------------------------------------------------- */

#define COPIES 2000u

/* Section 0: in; 1: out. The baseline copies within the kernel's memory. */
static bool copy_all(struct bench_worker *w, unsigned section, uint8_t *kernel, vaddr_t user)
{
    uint64_t bytes = bench_current->argument;
    bool good = true;
    bench_begin(w);
    for (unsigned i = 0; i < COPIES; i++)
        if (w->baseline)
            memcpy(section == 0 ? kernel : kernel + FRAME_BYTES,
                   section == 0 ? kernel + FRAME_BYTES : kernel, bytes);
        else if (section == 0)
            good = user_copy_in(kernel, user, bytes) == 0 && good;
        else
            good = user_copy_out(user, kernel, bytes) == 0 && good;
    bench_end(w, section, COPIES);
    return good;
}

void spaces_copy(struct bench_worker *w)
{
    struct place place;
    vaddr_t va = VA(0);
    paddr_t frames;
    if (!pages_good(w, pmm_alloc_frames(2, NULL, &frames) == MM_OK))
        return;
    if (place_open(&place, w)) {
        if (w->baseline || pages_alloc(w, &place.vm, 1, VMM_NOW, 0, &va))
            if (!copy_all(w, 0, phys_to_virt(frames), va) ||
                !copy_all(w, 1, phys_to_virt(frames), va))
                w->broken = "a page cannot be copied";
        place_close(&place);
    }
    (void)pmm_free_frames(frames, 2);
}
