/* Owns: what the firmware's tables say of processors and nodes.
 * Relies on: acpi_tables.c to find them, madt.c and srat.c to read them, the pmm to know of it.
 * Stage: after acpi_init. */
#include "firmware/nodes.h"

#include "boot/memory.h"
#include "check.h"
#include "console/print.h"
#include "firmware/acpi_tables.h"
#include "firmware/srat.h"
#include "mm/pmm.h"

static struct madt madt;
static struct srat srat;
static struct slit slit;

void nodes_init(void)
{
    size_t bytes;
    const void *table = acpi_find_table("APIC", &bytes);

    madt_read(table, bytes, &madt);
    table = acpi_find_table("SRAT", &bytes);
    srat_read(table, bytes, &srat);
    table = acpi_find_table("SLIT", &bytes);
    slit_read(table, bytes, &srat, &slit);
    if (srat.nranges == 0)
        return;
    mm_status_t status = pmm_set_nodes(srat.ranges, srat.nranges);
    if (status != MM_OK)
        kprintf("nodes: all frames are node 0's: %s\n", mm_status_name(status));
}

unsigned nodes_count(void)
{
    return (unsigned)srat.nnodes;
}

unsigned nodes_distance(unsigned from, unsigned to)
{
    ASSERT(from < srat.nnodes && to < srat.nnodes);
    return slit.distance[from][to];
}

uint32_t nodes_of_cpu(uint32_t lapic_id)
{
    return srat_node_of_cpu(&srat, lapic_id);
}

/* Bytes that two regions have in common. */
static uint64_t shared_bytes(const struct mem_region *region, const struct mem_node *range)
{
    paddr_t a = pa_end(region->base, region->bytes), b = pa_end(range->base, range->bytes);
    paddr_t base = pa_lt(region->base, range->base) ? range->base : region->base;
    paddr_t end = pa_lt(a, b) ? a : b;
    return pa_lt(base, end) ? pa_diff(base, end) : 0;
}

uint64_t nodes_memory_bytes(unsigned node)
{
    size_t n;
    const struct mem_region *map = memory_map(&n);
    uint64_t mine = 0, unnamed = 0;

    for (size_t i = 0; i < n; i++) {
        if (!mem_type_is_ram(map[i].type))
            continue;
        unnamed += map[i].bytes;
        for (size_t r = 0; r < srat.nranges; r++) {
            uint64_t bytes = shared_bytes(&map[i], &srat.ranges[r]);
            unnamed -= bytes;
            if (srat.ranges[r].node == node)
                mine += bytes;
        }
    }
    return node == 0 ? mine + unnamed : mine;
}

const struct madt *nodes_madt(void)
{
    return &madt;
}
