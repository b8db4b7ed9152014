/* Owns: reading SRAT and SLIT. Relies on: subtables.c for the walk. No stage. */
#include "firmware/srat.h"

#include "console/print.h"
#include "firmware/subtables.h"
#include "mm/string.h"

#define REVISION            8  /* offset of the table's revision */
#define SRAT_ENTRIES        48 /* header, two reserved fields */
#define WIDE_DOMAINS_SINCE  2  /* revision: before, a domain is one byte and the rest reserved */
#define SLIT_COUNT          36 /* offset of the number of domains; a matrix of bytes follows */
#define SLIT_DISTANCES      44
#define SLIT_DISTANCE_LEAST 10

enum entry_type { CPU_AFFINITY = 0, MEMORY_AFFINITY = 1, X2APIC_AFFINITY = 2 };

#define FLAG_ENABLED 1u

/* While the entries are read, domains stand where node numbers will be. */
struct walk {
    struct subtables table;
    struct srat *out;
    bool wide_domains;
};

/* True if the domain is in the list by now. */
static bool add_domain(struct walk *walk, size_t offset, uint32_t domain)
{
    struct srat *out = walk->out;
    size_t at = 0;

    while (at < out->nnodes && out->domains[at] < domain)
        at++;
    if (at < out->nnodes && out->domains[at] == domain)
        return true;
    if (out->nnodes == NUMA_NODES_MAX) {
        subtables_complain(&walk->table, offset,
                           "proximity domain %u: only %u are handled (NUMA_NODES_MAX)", domain,
                           NUMA_NODES_MAX);
        return false;
    }
    for (size_t i = out->nnodes++; i > at; i--)
        out->domains[i] = out->domains[i - 1];
    out->domains[at] = domain;
    return true;
}

/* ---- CPUs ------------------------------------------------------------------------------- */

static void add_cpu(struct walk *walk, size_t offset, uint32_t lapic_id, uint32_t domain)
{
    struct srat *out = walk->out;

    for (size_t i = 0; i < out->ncpus; i++) {
        if (out->cpus[i].lapic_id != lapic_id)
            continue;
        if (out->cpus[i].node != domain)
            subtables_complain(&walk->table, offset,
                               "local APIC id %u in proximity domain %u, but also in %u", lapic_id,
                               domain, out->cpus[i].node);
        return;
    }
    if (out->ncpus == CONFIG_CPUS_MAX)
        subtables_complain(&walk->table, offset,
                           "local APIC id %u: only %u CPUs are handled (CONFIG_CPUS_MAX)", lapic_id,
                           CONFIG_CPUS_MAX);
    else if (add_domain(walk, offset, domain))
        out->cpus[out->ncpus++] = (struct srat_cpu){lapic_id, domain};
}

static void read_apic(struct walk *walk, const struct subtable *entry)
{
    if (!(subtable_u32(entry, 4) & FLAG_ENABLED))
        return;
    uint32_t domain = entry->at[2];
    if (walk->wide_domains)
        domain |=
            subtable_u32(entry, 8) & 0xffffff00; /* bits 8-31; its first byte is the SAPIC's */
    add_cpu(walk, entry->offset, entry->at[3], domain);
}

static void read_x2apic(struct walk *walk, const struct subtable *entry)
{
    if (subtable_u32(entry, 12) & FLAG_ENABLED)
        add_cpu(walk, entry->offset, subtable_u32(entry, 8), subtable_u32(entry, 4));
}

/* ---- memory ----------------------------------------------------------------------------- */

/* Hot-pluggable memory (another flag) is listed like any: what is not there is not in the memory
 * map. */
static void read_memory(struct walk *walk, const struct subtable *entry)
{
    struct srat *out = walk->out;
    uint32_t domain = subtable_u32(entry, 2);
    uint64_t base = subtable_u64(entry, 8), bytes = subtable_u64(entry, 16);

    if (!(subtable_u32(entry, 28) & FLAG_ENABLED))
        return;
    if (!walk->wide_domains)
        domain &= UINT8_MAX;
    if (bytes == 0)
        subtables_complain(&walk->table, entry->offset, "memory at 0x%lx of 0 bytes", base);
    else if (!range_fits(base, bytes, PADDR_LIMIT))
        subtables_complain(&walk->table, entry->offset,
                           "memory at 0x%lx, 0x%lx bytes: ends beyond 52 bits", base, bytes);
    else if (out->nranges == SRAT_RANGES_MAX)
        subtables_complain(&walk->table, entry->offset,
                           "memory at 0x%lx: only %u ranges are handled (SRAT_RANGES_MAX)", base,
                           SRAT_RANGES_MAX);
    else if (add_domain(walk, entry->offset, domain))
        out->ranges[out->nranges++] = (struct mem_node){PA(base), bytes, domain};
}

static void sort_ranges(struct srat *out)
{
    for (size_t i = 1; i < out->nranges; i++) {
        struct mem_node range = out->ranges[i];
        size_t at = i;
        for (; at > 0 && pa_lt(range.base, out->ranges[at - 1].base); at--)
            out->ranges[at] = out->ranges[at - 1];
        out->ranges[at] = range;
    }
}

/* Of two ranges that overlap the one that starts first keeps what both claim: the other one is cut,
 * and lost if nothing is left. */
static void separate_ranges(struct srat *out)
{
    paddr_t end = PA(0); /* of those before */
    uint32_t owner = 0;  /* of the bytes before end */
    size_t kept = 0;

    sort_ranges(out);
    for (size_t i = 0; i < out->nranges; i++) {
        struct mem_node range = out->ranges[i];
        paddr_t last = pa_end(range.base, range.bytes);
        if (pa_lt(range.base, end)) {
            if (range.node != owner)
                kprintf("ACPI: SRAT: memory at 0x%lx, 0x%lx bytes, of proximity domain %u is also "
                        "of %u\n",
                        pa_number(range.base), range.bytes, range.node, owner);
            range.base = end;
        }
        if (!pa_lt(range.base, last))
            continue;
        range.bytes = pa_diff(range.base, last);
        end = last;
        owner = range.node;
        out->ranges[kept++] = range;
    }
    out->nranges = kept;
}

/* ---- the table -------------------------------------------------------------------------- */

static void visit(const struct subtable *entry, void *context)
{
    static const struct {
        uint8_t bytes;
        void (*read)(struct walk *walk, const struct subtable *entry);
    } kinds[] = {[CPU_AFFINITY] = {16, read_apic},
                 [MEMORY_AFFINITY] = {40, read_memory},
                 [X2APIC_AFFINITY] = {24, read_x2apic}};
    struct walk *walk = context;

    if (entry->type >= sizeof kinds / sizeof kinds[0])
        return; /* devices, and what other architectures have */
    if (entry->bytes < kinds[entry->type].bytes)
        subtables_complain(&walk->table, entry->offset, "type %u is only %u bytes long, not %u",
                           entry->type, entry->bytes, kinds[entry->type].bytes);
    else
        kinds[entry->type].read(walk, entry);
}

static uint32_t node_of_domain(const struct srat *srat, uint32_t domain)
{
    uint32_t node = 0;
    while (srat->domains[node] != domain)
        node++; /* it is in the list: every entry has put its own there */
    return node;
}

void srat_read(const void *table, size_t bytes, struct srat *out)
{
    struct walk walk = {.table = {"SRAT", 0}, .out = out};

    memset(out, 0, sizeof *out);
    if (bytes > 0 && bytes < SRAT_ENTRIES)
        kprintf("ACPI: SRAT: length %zu, at least %u are needed\n", bytes, SRAT_ENTRIES);
    if (bytes >= SRAT_ENTRIES) {
        walk.wide_domains = ((const uint8_t *)table)[REVISION] >= WIDE_DOMAINS_SINCE;
        subtables_each(&walk.table, table, bytes, SRAT_ENTRIES, visit, &walk);
        separate_ranges(out);
    }
    for (size_t i = 0; i < out->ncpus; i++)
        out->cpus[i].node = node_of_domain(out, out->cpus[i].node);
    for (size_t i = 0; i < out->nranges; i++)
        out->ranges[i].node = node_of_domain(out, out->ranges[i].node);
    if (out->nnodes == 0)
        out->nnodes = 1;
}

uint32_t srat_node_of_cpu(const struct srat *srat, uint32_t lapic_id)
{
    for (size_t i = 0; i < srat->ncpus; i++)
        if (srat->cpus[i].lapic_id == lapic_id)
            return srat->cpus[i].node;
    return 0;
}

/* ---- distances -------------------------------------------------------------------------- */

/* True if the matrix is whole and each of its distances can be one. */
static bool slit_is_sound(const uint8_t *table, size_t bytes, uint64_t count)
{
    if (count == 0 || count > bytes || count * count > bytes - SLIT_DISTANCES) {
        kprintf("ACPI: SLIT: %lu domains do not fit into its %zu bytes\n", count, bytes);
        return false;
    }
    for (uint64_t i = 0; i < count * count; i++) {
        uint64_t from = i / count, to = i % count;
        unsigned distance = table[SLIT_DISTANCES + i];
        if (from == to ? distance == SLIT_DISTANCE_LEAST : distance >= SLIT_DISTANCE_LEAST)
            continue;
        kprintf("ACPI: SLIT: the distance from %lu to %lu cannot be %u\n", from, to, distance);
        return false;
    }
    return true;
}

void slit_read(const void *table, size_t bytes, const struct srat *srat, struct slit *out)
{
    const uint8_t *at = table;
    uint64_t count = 0;

    for (size_t from = 0; from < NUMA_NODES_MAX; from++)
        for (size_t to = 0; to < NUMA_NODES_MAX; to++)
            out->distance[from][to] = from == to ? NODE_DISTANCE_SELF : NODE_DISTANCE_OTHER;
    if (bytes == 0)
        return;
    if (bytes < SLIT_DISTANCES) {
        kprintf("ACPI: SLIT: length %zu, at least %u are needed\n", bytes, SLIT_DISTANCES);
        return;
    }
    memcpy(&count, at + SLIT_COUNT, sizeof count);
    if (!slit_is_sound(at, bytes, count))
        return;
    for (size_t from = 0; from < srat->nnodes; from++)
        for (size_t to = 0; to < srat->nnodes; to++)
            if (srat->domains[from] < count && srat->domains[to] < count)
                out->distance[from][to] =
                    at[SLIT_DISTANCES + srat->domains[from] * count + srat->domains[to]];
}
