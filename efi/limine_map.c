/* The firmware's map may be unsorted, overlapping or broken, and our own ranges lie on top of it.
 * All ranges are cut at all their edges; in each piece the strongest type that covers it wins. One
 * pass over the sorted edges with a counter per type does it, whatever the input looks like.
 * Pure. */
#include "limine_map.h"

#include "bytes.h"

#define ADDRESS_END (1ull << 52) /* no x86-64 has physical addresses above */

/* UEFI memory types that matter here. source: UEFI "AllocatePages" */
enum {
    EFI_LOADER_CODE = 1,
    EFI_LOADER_DATA = 2,
    EFI_BOOT_CODE = 3,
    EFI_BOOT_DATA = 4,
    EFI_RUNTIME_CODE = 5,
    EFI_RUNTIME_DATA = 6,
    EFI_CONVENTIONAL = 7,
    EFI_ACPI_RECLAIM = 9,
    EFI_ACPI_NVS = 10,
};

/* As GetMemoryMap writes it; the stride may be larger. */
struct descriptor {
    uint32_t type, pad;
    uint64_t base, virtual_base, npages, attribute;
};

/* Where ranges overlap, the first of these wins. Ours come first; then what must never be taken for
 * RAM; reserved-mapped beats what it is laid over (a table in boot-services memory) but not ACPI
 * memory. */
static const enum limine_type ranks[LIMINE_TYPES] = {
    LIMINE_FRAMEBUFFER_MEMORY, LIMINE_EXECUTABLE,       LIMINE_BAD,
    LIMINE_ACPI_NVS,           LIMINE_ACPI_RECLAIMABLE, LIMINE_RESERVED_MAPPED,
    LIMINE_RESERVED,           LIMINE_RECLAIMABLE,      LIMINE_USABLE,
};

enum limine_type limine_type_of(uint32_t efi_type, uint64_t base_revision)
{
    switch (efi_type) {
    case EFI_LOADER_CODE:
    case EFI_LOADER_DATA:
    case EFI_BOOT_CODE:
    case EFI_BOOT_DATA:
        return LIMINE_RECLAIMABLE;
    case EFI_RUNTIME_CODE:
    case EFI_RUNTIME_DATA:
        return base_revision >= 5 ? LIMINE_RESERVED_MAPPED : LIMINE_RESERVED;
    case EFI_CONVENTIONAL:
        return LIMINE_USABLE;
    case EFI_ACPI_RECLAIM:
        return LIMINE_ACPI_RECLAIMABLE;
    case EFI_ACPI_NVS:
        return LIMINE_ACPI_NVS;
    default:
        return LIMINE_RESERVED;
    }
}

bool limine_type_is_mapped(uint64_t type, uint64_t base_revision)
{
    switch (type) {
    case LIMINE_USABLE:
    case LIMINE_RECLAIMABLE:
    case LIMINE_EXECUTABLE:
    case LIMINE_FRAMEBUFFER_MEMORY:
        return true;
    case LIMINE_ACPI_RECLAIMABLE:
    case LIMINE_ACPI_NVS:
    case LIMINE_RESERVED_MAPPED:
        return base_revision >= 4;
    default:
        return false;
    }
}

static bool is_ram(enum limine_type type)
{
    return type == LIMINE_USABLE || type == LIMINE_RECLAIMABLE;
}

/* Add [base, end) grown to whole pages, or shrunk to them if it is RAM to be given away. */
static bool add_range(struct limine_map *map, size_t *nedges, uint64_t base, uint64_t end,
                      enum limine_type type)
{
    if (end > ADDRESS_END)
        end = ADDRESS_END;
    if (base >= end)
        return true;
    base = is_ram(type) ? round_up(base, PAGE_BYTES) : round_down(base, PAGE_BYTES);
    end = is_ram(type) ? round_down(end, PAGE_BYTES) : round_up(end, PAGE_BYTES);
    if (base >= end)
        return true;
    if (*nedges + 2 > map->edge_capacity)
        return false;
    map->edges[(*nedges)++] = (struct map_edge){base, (int16_t)type, 1};
    map->edges[(*nedges)++] = (struct map_edge){end, (int16_t)type, -1};
    return true;
}

static bool add_descriptor(struct limine_map *map, size_t *nedges, const struct descriptor *d,
                           uint64_t base_revision)
{
    enum limine_type type = limine_type_of(d->type, base_revision);
    if (d->npages == 0)
        return true;
    uint64_t bytes, end;
    bool wraps = __builtin_mul_overflow(d->npages, PAGE_BYTES, &bytes) ||
                 !add_ok(d->base, bytes, &end) || end > ADDRESS_END;
    if (wraps || d->base % PAGE_BYTES)
        map->odd++;
    if (wraps && is_ram(type))
        return true; /* nobody knows how much of it is RAM: none, then */
    return add_range(map, nedges, d->base, wraps ? ADDRESS_END : end, type);
}

static void sift_down(struct map_edge *edges, size_t root, size_t n)
{
    struct map_edge moved = edges[root];
    for (size_t child; (child = 2 * root + 1) < n; root = child) {
        if (child + 1 < n && edges[child + 1].address > edges[child].address)
            child++;
        if (edges[child].address <= moved.address)
            break;
        edges[root] = edges[child];
    }
    edges[root] = moved;
}

/* Heap sort: in place and O(n log n) also for a hostile map. */
static void sort_edges(struct map_edge *edges, size_t n)
{
    for (size_t i = n / 2; i-- > 0;)
        sift_down(edges, i, n);
    for (size_t i = n; i-- > 1;) {
        struct map_edge largest = edges[0];
        edges[0] = edges[i];
        edges[i] = largest;
        sift_down(edges, 0, i);
    }
}

/* The strongest type with a range open, LIMINE_TYPES if there is none. */
static enum limine_type strongest(const uint32_t open[static LIMINE_TYPES])
{
    for (size_t i = 0; i < LIMINE_TYPES; i++) {
        if (open[ranks[i]])
            return ranks[i];
    }
    return LIMINE_TYPES;
}

static void emit(struct limine_map *map, uint64_t base, uint64_t end, enum limine_type type)
{
    struct limine_memmap_entry *last = map->count ? &map->entries[map->count - 1] : NULL;
    if (last && last->type == type && last->base + last->length == base)
        last->length += end - base;
    else
        map->entries[map->count++] = (struct limine_memmap_entry){base, end - base, type};
}

bool limine_map_build(struct limine_map *map, const void *descriptors, size_t bytes, size_t stride,
                      uint64_t base_revision, const struct carve_out *carve_outs,
                      size_t ncarve_outs)
{
    size_t nedges = 0;
    map->count = map->odd = 0;
    for (size_t i = 0; i < bytes / stride; i++) {
        struct descriptor d;
        memcpy(&d, (const char *)descriptors + i * stride, sizeof d);
        if (!add_descriptor(map, &nedges, &d, base_revision))
            return false;
    }
    for (size_t i = 0; i < ncarve_outs; i++) {
        if (!add_range(map, &nedges, carve_outs[i].base, carve_outs[i].end, carve_outs[i].type))
            return false;
    }
    sort_edges(map->edges, nedges);

    uint32_t open[LIMINE_TYPES] = {0};
    for (size_t i = 0; i < nedges; i++) {
        const struct map_edge *edge = &map->edges[i];
        /* At one address ends may come before begins; the sum is right at every new address. */
        open[edge->type] += (uint32_t)edge->step;
        enum limine_type type = strongest(open);
        if (i + 1 < nedges && map->edges[i + 1].address > edge->address && type != LIMINE_TYPES)
            emit(map, edge->address, map->edges[i + 1].address, type);
    }
    return true;
}
