/* Entry page tables. Pure; tables are reached by their physical
 * address, which firmware maps 1:1. */
#include "pagetables.h"

#include "boot/elf.h"
#include "bytes.h"

#define ENTRIES      512
#define PAGE_LARGE   0x80ull /* in a PD or PDPT entry; the PAT bit moves to 12 there */
#define PAGE_PAT     0x80ull /* in a PT entry */
#define PAGE_PAT_BIG (1ull << 12)
#define ADDRESS_MASK 0x000ffffffffff000ull

/* Bytes that one entry covers: level 0 is the page table, 3 or 4 the root. */
static uint64_t entry_bytes(int level)
{
    return PAGE_BYTES << (9 * level);
}

static uint64_t *new_table(struct page_tables *tables)
{
    if (tables->used == tables->capacity)
        return NULL;
    uint64_t *table = tables->pool + tables->used++ * ENTRIES;
    memset(table, 0, PAGE_BYTES); /* only now: most of the pool is never touched */
    return table;
}

void tables_reset(struct page_tables *tables)
{
    tables->used = 0;
    (void)new_table(tables);
}

/* The table below an entry, made if there is none; NULL if a page is there or the pool is empty. */
static uint64_t *table_below(struct page_tables *tables, uint64_t *entry, int level)
{
    if (*entry & PAGE_PRESENT) {
        if (level > 0 && *entry & PAGE_LARGE)
            return NULL;
        return (uint64_t *)(*entry & ADDRESS_MASK); /* pool pages are identity-mapped */
    }
    uint64_t *table = new_table(tables);
    if (table)
        *entry = (uint64_t)(uintptr_t)table | PAGE_WRITE | PAGE_PRESENT;
    return table;
}

static uint64_t leaf(uint64_t pa, uint64_t flags, int level)
{
    if (level == 0)
        return pa | flags;
    uint64_t pat = flags & PAGE_PAT ? PAGE_PAT_BIG : 0;
    return pa | (flags & ~PAGE_PAT) | pat | PAGE_LARGE;
}

static bool map_level(struct page_tables *tables, uint64_t *table, int level, uint64_t va,
                      uint64_t pa, uint64_t bytes, uint64_t flags)
{
    const uint64_t span = entry_bytes(level);
    const int largest = tables->huge_1gib ? 2 : 1;
    while (bytes) {
        uint64_t room = span - (va & (span - 1)), part = bytes < room ? bytes : room;
        uint64_t *entry = &table[va / span % ENTRIES];
        if (level == 0 || (level <= largest && part == span && pa % span == 0 && !*entry)) {
            if (*entry)
                return false;
            *entry = leaf(pa, flags, level);
        } else {
            uint64_t *below = table_below(tables, entry, level);
            if (!below || !map_level(tables, below, level - 1, va, pa, part, flags))
                return false;
        }
        va += part;
        pa += part;
        bytes -= part;
    }
    return true;
}

bool tables_map(struct page_tables *tables, uint64_t va, uint64_t pa, uint64_t bytes,
                uint64_t flags)
{
    if (!tables->nx)
        flags &= ~PAGE_NX;
    return map_level(tables, tables->pool, (int)tables->levels - 1, va, pa, bytes,
                     flags | PAGE_PRESENT);
}

/* Memory that is mapped alike without a gap: one large page may span several entries of the map. */
struct run {
    uint64_t base, end, flags;
};

static bool entry_run(const struct limine_memmap_entry *e, uint64_t base_revision, struct run *out)
{
    if (!limine_type_is_mapped(e->type, base_revision))
        return false;
    bool is_framebuffer = e->type == LIMINE_FRAMEBUFFER_MEMORY;
    *out = (struct run){e->base, e->base + e->length, PAGE_WRITE | (is_framebuffer ? PAGE_WC : 0)};
    return true;
}

/* The next run from entry *i on, which is moved behind it. False: there is none. */
static bool next_run(const struct limine_map *map, uint64_t base_revision, size_t *i,
                     struct run *out)
{
    while (*i < map->count && !entry_run(&map->entries[*i], base_revision, out))
        ++*i;
    if (*i == map->count)
        return false;
    struct run next;
    while (++*i < map->count && entry_run(&map->entries[*i], base_revision, &next) &&
           next.base == out->end && next.flags == out->flags)
        out->end = next.end;
    return true;
}

bool tables_map_hhdm(struct page_tables *tables, const struct limine_map *map,
                     uint64_t base_revision, uint64_t hhdm)
{
    const uint64_t end = tables->levels == 4 ? HHDM_BYTES_MAX_4 : HHDM_BYTES_MAX_5;
    struct run run;
    for (size_t i = 0; next_run(map, base_revision, &i, &run);) {
        if (run.end > end ||
            !tables_map(tables, hhdm + run.base, run.base, run.end - run.base, run.flags))
            return false;
    }
    return true;
}

bool tables_map_image(struct page_tables *tables, const struct elf_image *image, uint64_t slide,
                      uint64_t pa)
{
    struct elf_run runs[ELF_RUNS_MAX];
    size_t n = elf_runs(image, runs);
    for (size_t i = 0; i < n; i++) {
        uint64_t flags =
            (runs[i].flags & ELF_PF_W ? PAGE_WRITE : 0) | (runs[i].flags & ELF_PF_X ? 0 : PAGE_NX);
        if (!tables_map(tables, runs[i].va + slide, pa + (runs[i].va - image->base), runs[i].bytes,
                        flags))
            return false;
    }
    return true;
}

size_t tables_bound(const struct page_tables *tables, uint64_t image_bytes,
                    const struct limine_map *map, uint64_t base_revision, uint64_t hhdm,
                    size_t more_runs)
{
    /* A run needs at most a page table and a page directory at each of its ends, a PDPT per half
     * terabyte it touches and a PML4 per 256 of them, and without 1 GiB pages a directory per
     * GiB. */
    const unsigned levels = tables->levels;
    struct run run;
    uint64_t pages = 1 + levels * more_runs;
    for (size_t i = 0; next_run(map, base_revision, &i, &run);) {
        pages += 4;
        for (int level = 3; level < (int)levels; level++)
            pages +=
                (hhdm + run.end) / entry_bytes(level) - (hhdm + run.base) / entry_bytes(level) + 1;
        if (!tables->huge_1gib)
            pages += (run.end - run.base) / entry_bytes(2);
    }
    pages += image_bytes / entry_bytes(1) + 2 + levels - 1;
    /* 1:1: the bridge that enters, where the other CPUs begin, their APIC, where levels change */
    return pages + 4 * (levels - 1);
}
