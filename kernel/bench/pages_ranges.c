/* Owns: the workloads of ranges: mapped, backed, made and freed.
 * Relies on: pages.c, pages_walk.c. */
#include "bench/pages_parts.h"
#include "mm/hhdm.h"
#include "mm/string.h"

/* ---- given frames ---------------------------------------------------------------------------- */

/* A run of frames, at an address that lets no larger page show it. Ours in one call; the baseline
 * page by page. */
void pages_map(struct bench_worker *w)
{
    struct place place;
    paddr_t pa;
    bool good = true;
    if (!pages_good(w, pmm_alloc_frames(BENCH_PAGES, NULL, &pa) == MM_OK))
        return;
    uint64_t skew = pa_number(pa) / PAGE_BYTES % PAGES_A_BLOCK + 1;
    vaddr_t va = page_at(BENCH_VA, skew);
    if (place_open(&place, w)) {
        bench_begin(w);
        if (!w->baseline)
            good = paging_map(&place.vm.space, va, pa, BENCH_PAGES, BENCH_RW | PROT_USER,
                              CACHE_WB) == MM_OK;
        else
            for (uint64_t i = 0; good && i < BENCH_PAGES; i++)
                good = walk_map(&place.walk, page_at(va, i), pa_add(pa, i * PAGE_BYTES), WALK_4K);
        bench_end(w, 0, BENCH_PAGES);
        bench_begin(w);
        if (pages_good(w, good) && !w->baseline)
            good = paging_unmap(&place.vm.space, va, BENCH_PAGES) == MM_OK;
        else
            for (uint64_t i = 0; good && i < BENCH_PAGES; i++)
                (void)walk_unmap(&place.walk, page_at(va, i), WALK_4K);
        bench_end(w, 1, BENCH_PAGES);
        (void)pages_good(w, good);
        place_close(&place);
    }
    (void)pmm_free_frames(pa, BENCH_PAGES);
}

/* ---- frames of a range's own ----------------------------------------------------------------- */

/* Frame by frame, as many as there are: the number of them. */
static uint64_t walk_back(const struct walk *walk, vaddr_t va, uint64_t npages, bool touch)
{
    paddr_t frame;
    for (uint64_t i = 0; i < npages; i++) {
        if (pmm_alloc_frame(&frame) != MM_OK)
            return i;
        memset64(phys_to_virt(frame), 0, FRAME_BYTES / 8);
        if (!walk_map(walk, page_at(va, i), frame, WALK_4K)) {
            (void)pmm_free_frame(frame);
            return i;
        }
        if (touch)
            page_touch(page_at(va, i));
    }
    return npages;
}

static void walk_free(const struct walk *walk, vaddr_t va, uint64_t npages)
{
    for (uint64_t i = 0; i < npages; i++)
        (void)pmm_free_frame(walk_unmap(walk, page_at(va, i), WALK_4K));
}

static void memory_baseline(struct bench_worker *w)
{
    struct place place;
    if (!place_open(&place, w))
        return;
    bench_begin(w);
    uint64_t n = walk_back(&place.walk, BENCH_VA, BENCH_PAGES, true);
    bench_end(w, 0, n);
    (void)pages_good(w, n == BENCH_PAGES);
    bench_begin(w);
    walk_free(&place.walk, BENCH_VA, n);
    bench_end(w, 1, n);
    place_close(&place);
}

/* A kernel range, every page of which is touched. */
void pages_memory(struct bench_worker *w)
{
    vaddr_t va;
    if (w->baseline) {
        memory_baseline(w);
        return;
    }
    bench_begin(w);
    if (!pages_alloc(w, vmm_kernel(), BENCH_PAGES, (enum vmm_backing)(bench_current->argument >> 8),
                     bench_current->argument & 0xff, &va))
        return;
    for (uint64_t i = 0; i < BENCH_PAGES; i++)
        page_touch(page_at(va, i));
    bench_end(w, 0, BENCH_PAGES);
    bench_begin(w);
    vmm_free_range(va);
    bench_end(w, 1, BENCH_PAGES);
}

/* ---- small ranges, among few and many others ------------------------------------------------- */

#define PAIRS       1000u
#define PAIRS_LARGE 50u

/* An address that is known: nothing is searched for. */
static void pairs_baseline(struct bench_worker *w, uint64_t npages, unsigned rounds)
{
    struct place place;
    if (!place_open(&place, w))
        return;
    bool good =
        walk_back(&place.walk, page_at(BENCH_VA, npages), 1, false) == 1; /* keeps the table */
    bench_begin(w);
    for (unsigned i = 0; good && i < rounds; i++) {
        uint64_t n = walk_back(&place.walk, BENCH_VA, npages, false);
        walk_free(&place.walk, BENCH_VA, n);
        good = n == npages;
    }
    bench_end(w, 0, rounds);
    if (pages_good(w, good))
        walk_free(&place.walk, page_at(BENCH_VA, npages), 1);
    place_close(&place);
}

static void free_others(const char *name)
{
    struct vmm_range range = {0};
    while (vmm_next_range(&range))
        if (strcmp(range.name, name) == 0)
            vmm_free_range(range.va);
}

void pages_pairs(struct bench_worker *w)
{
    static const struct vmm_want other = {
        .name = "bench other", .npages = 1, .prot = BENCH_RW, .backing = VMM_RESERVED};
    uint64_t npages = bench_current->argument & 0xffff, others = bench_current->argument >> 16;
    unsigned rounds = npages < PAGES_A_BLOCK ? PAIRS : PAIRS_LARGE;
    vaddr_t va;
    if (w->baseline) {
        pairs_baseline(w, npages, rounds);
        return;
    }
    bool good = true;
    for (uint64_t i = 0; good && i < others; i++)
        good = vmm_alloc(vmm_kernel(), &other, &va) == MM_OK;
    bench_begin(w);
    for (unsigned i = 0; pages_good(w, good) && i < rounds; i++) {
        good = pages_alloc(w, vmm_kernel(), npages, VMM_NOW, 0, &va);
        if (good)
            vmm_free_range(va);
    }
    bench_end(w, 0, rounds);
    free_others(other.name);
}
