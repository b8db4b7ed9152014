/* Owns: the tables of captured memory maps, and how they become what a kernel is given. */
#include "maps.h"

#include "../machine.h"
#include "../test.h"

/* A line of GetMemoryMap. */
struct efi_row {
    unsigned type;
    uint64_t base;
    uint64_t npages;
};

static const struct efi_row ovmf_q35_256m[] = {
#include "ovmf_q35_256m.inc"
};
static const struct efi_row ovmf_pc_4g[] = {
#include "ovmf_pc_4g.inc"
};
static const struct efi_row uboot_pc_512m[] = {
#include "uboot_pc_512m.inc"
};
static const struct efi_row uboot_pc_6g[] = {
#include "uboot_pc_6g.inc"
};

static const struct {
    const char *name;
    const struct efi_row *rows;
    size_t n;
} captured[CAPTURED_MAPS] = {
    {"OVMF q35 256 MiB", ovmf_q35_256m, COUNT(ovmf_q35_256m)},
    {"OVMF pc 4 GiB", ovmf_pc_4g, COUNT(ovmf_pc_4g)},
    {"U-Boot pc 512 MiB", uboot_pc_512m, COUNT(uboot_pc_512m)},
    {"U-Boot pc 6 GiB", uboot_pc_6g, COUNT(uboot_pc_6g)},
};

/* source: Limine "Memory Map Feature"; UEFI "AllocatePages" for the numbers */
static enum mem_type limine_type(unsigned efi_type)
{
    switch (efi_type) {
    case 1: /* loader code and data */
    case 2:
    case 3: /* boot services code and data */
    case 4:
        return MEM_BOOTLOADER_RECLAIMABLE;
    case 5: /* runtime services code and data */
    case 6:
        return MEM_RESERVED_MAPPED;
    case 7:
        return MEM_USABLE;
    case 9:
        return MEM_ACPI_RECLAIMABLE;
    case 10:
        return MEM_ACPI_NVS;
    default:
        return MEM_RESERVED;
    }
}

static void normalise(struct test_map *map)
{
    size_t fixed;
    assert_int_equal(MM_OK, region_normalise(map->regions, map->n, MAPS_CAPACITY, &map->n, &fixed));
}

static void add(struct test_map *map, uint64_t base, uint64_t bytes, enum mem_type type)
{
    map->regions[map->n++] = (struct mem_region){PA(base), bytes, type};
}

void captured_map(size_t i, struct test_map *out)
{
    *out = (struct test_map){.name = captured[i].name};
    for (size_t row = 0; row < captured[i].n; row++) {
        const struct efi_row *r = &captured[i].rows[row];
        add(out, r->base, r->npages * PAGE_BYTES, limine_type(r->type));
    }
    normalise(out);

    const struct mem_region *largest = out->regions;
    for (size_t j = 0; j < out->n; j++)
        if (out->regions[j].type == MEM_USABLE && out->regions[j].bytes > largest->bytes)
            largest = &out->regions[j];
    out->image_pa = pa_add(pa_align_up(largest->base, HUGE_2M), PAGE_BYTES);
    out->image_bytes = HUGE_2M - PAGE_BYTES;
    paddr_t behind = pa_add(out->image_pa, out->image_bytes);
    add(out, out->image_pa.v, out->image_bytes, MEM_EXECUTABLE_AND_MODULES);
    add(out, behind.v, 16 * PAGE_BYTES, MEM_BOOTLOADER_RECLAIMABLE);
    normalise(out);
}

void map_of_500_entries(struct test_map *out)
{
    static const enum mem_type types[] = {
        MEM_USABLE,
        MEM_RESERVED,
        MEM_BOOTLOADER_RECLAIMABLE,
        MEM_USABLE,
        MEM_ACPI_NVS,
        MEM_RESERVED_MAPPED,
        MEM_ACPI_RECLAIMABLE,
        MEM_USABLE,
        MEM_BAD,
        MEM_EXECUTABLE_AND_MODULES,
    };
    *out = (struct test_map){.name = "500 entries"};
    uint64_t at = MIB;
    for (size_t i = 0; i < 500; i++) {
        uint64_t pages = 1 + i % 7;
        add(out, at, pages * PAGE_BYTES, types[i % COUNT(types)]);
        at += (pages + (i % 3 == 0)) * PAGE_BYTES;
    }
    normalise(out);
    assert_int_equal(500, out->n);
}

void map_with_a_1_tib_hole(struct test_map *out)
{
    *out = (struct test_map){.name = "a hole of 1 TiB"};
    add(out, MIB, MIB, MEM_USABLE);
    add(out, 2 * MIB + TIB, 64 * MIB, MEM_USABLE);
    normalise(out);
}

void map_of_10_mib(struct test_map *out)
{
    *out = (struct test_map){.name = "10 MiB in all"};
    add(out, 0, 640 * 1024, MEM_USABLE);
    add(out, 640 * 1024, 384 * 1024, MEM_RESERVED);
    add(out, MIB, 4 * MIB, MEM_USABLE);
    add(out, 5 * MIB, MIB, MEM_EXECUTABLE_AND_MODULES);
    add(out, 6 * MIB, MIB, MEM_BOOTLOADER_RECLAIMABLE);
    add(out, 7 * MIB, 3 * MIB, MEM_USABLE);
    normalise(out);
}
