/* Owns: the library's machine as a whole: switching on, in the kernel's order, and off.
 * Relies on: all of mm/. Stage: ql_host_start goes from nothing to "heap". */
#include <errno.h>
#include <time.h>

#include "host.h"
#include "machine.h"
#include "mm/mapper.h"
#include "mm/paging.h"
#include "mm/vmm.h"
#include "ranges.h"

#define IMAGE_VA 0xffffffff80000000ull

static struct {
    bool on;
    struct ram ram;
    struct mem_region map[MEMORY_MAP_ENTRIES];
    size_t nmap;
    uint64_t init_ns;
} host;

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000ull + (uint64_t)time.tv_nsec;
}

static mm_status_t start_frames(void)
{
    uint64_t before = now();
    mm_status_t status = pmm_init(host.map, host.nmap);
    host.init_ns = now() - before;
    return status;
}

/* Even shares, in whole 2 MiB where they are that large; the last node has what is left. */
static mm_status_t divide(uint64_t ram_bytes, unsigned nodes)
{
    struct mem_node table[NUMA_NODES_MAX];
    uint64_t share = ram_bytes / nodes;
    share -= share % (share >= HUGE_2M ? HUGE_2M : FRAME_BYTES);
    for (unsigned i = 0; i < nodes; i++) {
        paddr_t base = memory_map_address(i * share);
        paddr_t end = i + 1 < nodes ? memory_map_address((i + 1) * share) : PA(PADDR_LIMIT);
        table[i] = (struct mem_node){base, pa_diff(base, end), i};
    }
    return pmm_set_nodes(table, nodes);
}

/* The kernel's own space, as on a real machine. */
static mm_status_t start_tables(void)
{
    vaddr_t text = VA(IMAGE_VA), rodata = va_add(text, IMAGE_TEXT_BYTES),
            data = va_add(rodata, IMAGE_RODATA_BYTES);
    const struct mapper_input input = {
        .text = {text, rodata},
        .rodata = {rodata, data},
        .data = {data, va_add(data, IMAGE_DATA_BYTES)},
        .image_va = text,
        .image_pa = PA(IMAGE_PA),
        .map = host.map,
        .nmap = host.nmap,
        .windows = VA(VMM_WINDOW_BASE),
        .windows_end = VA(VMM_DEVICE_END),
    };
    mm_status_t status = mapper_build(&input, &vmm_kernel()->space);
    if (status != MM_OK)
        return status;
    mapper_switch(&vmm_kernel()->space);
    return vmm_init();
}

/* What was being done when it failed is in *what. */
static mm_status_t start_all(uint64_t ram_bytes, unsigned cpus, unsigned nodes, const char **what)
{
    *what = "frames";
    mm_status_t status = start_frames();
    if (status == MM_OK && nodes > 1) {
        *what = "nodes";
        status = divide(ram_bytes, nodes);
    }
    if (status == MM_OK) {
        *what = "CPUs";
        status = cpus_start(cpus);
    }
    if (status == MM_OK) {
        *what = "page tables";
        status = start_tables();
    }
    if (status == MM_OK) {
        *what = "heap";
        (void)pmm_reclaim();
        status = heap_init();
    }
    return status;
}

static int check_wishes(size_t ram_bytes, unsigned cpus, unsigned nodes)
{
    if (host.on) {
        say("the machine is on already: stop it first");
        return -EBUSY;
    }
    if (ram_bytes < QL_HOST_RAM_MIN || ram_bytes % FRAME_BYTES != 0 || ram_bytes > PADDR_LIMIT / 2)
        say("%zu bytes of RAM: it has to be a multiple of 4096 from 10 MiB", ram_bytes);
    else if (cpus < 1 || cpus > CONFIG_CPUS_MAX)
        say("%u CPUs: it has to be 1 to %u", cpus, CONFIG_CPUS_MAX);
    else if (nodes < 1 || nodes > NUMA_NODES_MAX)
        say("%u nodes: it has to be 1 to %u", nodes, NUMA_NODES_MAX);
    else
        return 0;
    return -EINVAL;
}

int ql_host_start(size_t ram_bytes, unsigned cpus, unsigned nodes)
{
    int bad = check_wishes(ram_bytes, cpus, nodes);
    if (bad != 0)
        return bad;
    if (!barrier_init()) {
        say("this Linux has no membarrier with private expedited commands (it came with 4.14)");
        return -ENOSYS;
    }
    host.nmap = memory_map_make(ram_bytes, host.map);
    if (ram_reserve(host.map, host.nmap, &host.ram) != MM_OK) {
        say("Linux gives no address space for %zu MiB of RAM (overcommit or a limit, see "
            "ulimit -v)",
            ram_bytes >> 20);
        return -ENOMEM;
    }
    misuse_forget();
    cpus_begin();
    hhdm_init(host.ram.base, host.ram.limit);
    host.on = true;
    const char *what;
    mm_status_t status = start_all(ram_bytes, cpus, nodes, &what);
    if (status == MM_OK)
        return 0;
    say("cannot start with %zu MiB of RAM, %u CPUs, %u nodes: %s: %s", ram_bytes >> 20, cpus, nodes,
        what, mm_status_name(status));
    ql_host_stop();
    return -ENOMEM;
}

void ql_host_stop(void)
{
    if (!host.on)
        return;
    cpus_begin(); /* whoever calls: the tables are left as CPU 0 */
    paging_leave();
    cpus_stop();
    ranges_forget();
    ram_release(&host.ram);
    host.on = false;
}

uint64_t ql_host_init_ns(void)
{
    return host.init_ns;
}

uint64_t ql_host_init_again_ns(void)
{
    if (!host.on || start_frames() != MM_OK)
        return 0;
    return host.init_ns;
}
