/* Owns: the benchmark of page tables and virtual memory: its workloads, the spaces they run in.
 * Relies on: bench.c, the vmm, the kernel's handler of page faults. Stage: after cpus_start. */
#include "bench/pages_parts.h"
#include "cpu/cpus.h"

#define MIB       (1ull << 20)
#define BYTES_ALL (BENCH_PAGES * PAGE_BYTES)
#define SPARE     (8 * MIB) /* for tables and the rest of the kernel */

#define ALL .bytes = BYTES_ALL, .cpus_max = 1
#define PAIR_ROW(npages, others)                                       \
    {                                                                  \
        .rows = {"pair-" #npages "-of-" #others}, .body = pages_pairs, \
        .argument = PAIR(npages, others), .cpus_max = 1                \
    }
#define SHOOTDOWN_ROW(cpus)                                                                       \
    {                                                                                             \
        .rows = {"shootdown-" #cpus}, .body = spaces_shootdown, .argument = (cpus), .cpus_max = 1 \
    }

static const struct bench_workload workloads[] = {
    {.rows = {"map-64M-4k", "unmap-64M-4k"}, .body = pages_map, ALL},
    {.rows = {"alloc-64M-4k", "free-64M-4k"},
     .body = pages_memory,
     .argument = MEMORY(VMM_NOW, VMM_SMALL_PAGES),
     ALL},
    {.rows = {"alloc-64M-2m", "free-64M-2m"},
     .body = pages_memory,
     .argument = MEMORY(VMM_NOW, 0),
     ALL},
    {.rows = {"alloc-64M-lazy", "free-64M-lazy"},
     .body = pages_memory,
     .argument = MEMORY(VMM_LAZY, VMM_SMALL_PAGES),
     ALL},
    PAIR_ROW(1, 10),
    PAIR_ROW(1, 10000),
    PAIR_ROW(16, 10),
    PAIR_ROW(16, 10000),
    PAIR_ROW(512, 10),
    PAIR_ROW(512, 10000),
    {.rows = {"fault-bare"}, .body = faults_bare, .cpus_max = 1},
    {.rows = {"fault-lazy"}, .body = faults_fill},
    {.rows = {"fault-lazy-same"}, .body = faults_fill, .argument = FAULTS_SAME, .cpus_min = 2},
    {.rows = {"fault-stack"}, .body = faults_fill, .argument = FAULTS_STACK, .cpus_max = 1},
    {.rows = {"fault-copy", "fault-last-owner"}, .body = faults_copy, .cpus_max = 1},
    {.rows = {"clone-64M-4k", "destroy-64M-4k", "clone-64M-4k-total"},
     .body = spaces_clone,
     .argument = VMM_SMALL_PAGES,
     ALL},
    {.rows = {"clone-64M-2m", "destroy-64M-2m", "clone-64M-2m-total"}, .body = spaces_clone, ALL},
    {.rows = {"switch"}, .body = spaces_switch, .cpus_max = 1},
    SHOOTDOWN_ROW(1),
    SHOOTDOWN_ROW(2),
    SHOOTDOWN_ROW(4),
    SHOOTDOWN_ROW(8),
    SHOOTDOWN_ROW(16),
    {.rows = {"copy-in-64", "copy-out-64"}, .body = spaces_copy, .argument = 64, .cpus_max = 1},
    {.rows = {"copy-in-4k", "copy-out-4k"}, .body = spaces_copy, .argument = 4096, .cpus_max = 1},
};

/* ---- around a workload ----------------------------------------------------------------------- */

/* What says which frames are shared stays for the next time. */
static uint64_t used_kib(void)
{
    struct pmm_stats stats;
    pmm_get_stats(&stats);
    return stats.used_kib - vmm_share_frames() * (FRAME_BYTES / 1024);
}

/* Some baselines need the whole in one piece. */
static bool have_piece(uint64_t nframes)
{
    static const struct pmm_limits limits = {.align_frames = PAGES_A_BLOCK};
    paddr_t pa;
    bool have = pmm_alloc_frames(nframes, &limits, &pa) == MM_OK;
    if (have)
        (void)pmm_free_frames(pa, nframes);
    return have;
}

static const char *pages_open(const struct bench_workload *workload, unsigned cpus)
{
    struct pmm_stats stats;
    pmm_get_stats(&stats);
    uint64_t bytes = workload->bytes ? workload->bytes : cpus * SPARE;
    if (workload->body == spaces_shootdown && workload->argument > cpu_set_count(cpus_online()))
        return "too few CPUs";
    bool enough = stats.free_kib >= (bytes + SPARE) / 1024 && have_piece(bytes / FRAME_BYTES);
    return enough ? NULL : "too little memory";
}

const struct bench_suite bench_pages = {
    .name = "pages",
    .summary = "page tables and virtual memory, against tables filled page by page",
    .workloads = workloads,
    .n = sizeof workloads / sizeof workloads[0],
    .open = pages_open,
    .usage = used_kib,
};

/* ---- for the workloads ----------------------------------------------------------------------- */

bool pages_good(struct bench_worker *w, bool good)
{
    if (!good)
        w->broken = "out of memory";
    return good;
}

bool place_open(struct place *place, struct bench_worker *w)
{
    place->baseline = w->baseline;
    bool good = w->baseline ? walk_open(&place->walk) : vmm_create(&place->vm, "bench") == MM_OK;
    if (!pages_good(w, good))
        return false;
    if (w->baseline)
        walk_use(&place->walk);
    else
        vmm_switch(&place->vm);
    return true;
}

void place_close(struct place *place)
{
    vmm_switch(vmm_kernel());
    if (place->baseline)
        walk_close(&place->walk);
    else
        vmm_destroy(&place->vm);
}

bool pages_alloc(struct bench_worker *w, struct vm *vm, uint64_t npages, enum vmm_backing backing,
                 unsigned flags, vaddr_t *out)
{
    const struct vmm_want want = {
        .name = "bench", .npages = npages, .prot = BENCH_RW, .backing = backing, .flags = flags};
    return pages_good(w, vmm_alloc(vm, &want, out) == MM_OK);
}
