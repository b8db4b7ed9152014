/* Quicklime's frame allocator through its library, and what the baselines share. */
#include "contestant.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

static uint64_t ours_start(uint64_t ram_bytes, unsigned cpus)
{
    return ql_host_start(ram_bytes, cpus, 1) == 0 ? ql_host_init_ns() + 1 : 0;
}

static uint64_t ours_metadata(void)
{
    struct pmm_stats stats;
    pmm_get_stats(&stats);
    return stats.metadata_kib * 1024;
}

const struct contestant ours = {
    .name = "ours",
    .start = ours_start,
    .start_again = ql_host_init_again_ns,
    .stop = ql_host_stop,
    .bind_cpu = ql_host_bind_cpu,
    .metadata_bytes = ours_metadata,
    .complaint = ql_host_last_misuse,
    .alloc_frame = pmm_alloc_frame,
    .free_frame = pmm_free_frame,
    .alloc_order = pmm_alloc_order,
    .free_order = pmm_free_order,
    .alloc_frames = pmm_alloc_frames,
    .free_frames = pmm_free_frames,
    .alloc_batch = pmm_alloc_batch,
    .free_batch = pmm_free_batch,
};

/* --- For the baselines -------------------------------------------------------------------------- */

_Thread_local unsigned baseline_cpu;

void baseline_bind_cpu(unsigned cpu)
{
    baseline_cpu = cpu;
}

void *baseline_map(uint64_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);
    if (p == MAP_FAILED) {
        fprintf(stderr, "bench-frames: no %lu bytes of address space\n", bytes);
        exit(2);
    }
    return p;
}

void baseline_unmap(void *p, uint64_t bytes)
{
    munmap(p, bytes);
}
