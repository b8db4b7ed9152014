/* memmap: the firmware's memory map as it is, then summed up by type, then what is wrong with it.
 * The map comes from firmware, so nothing about it is taken for granted. Stage: boot services
 * alive. */
#include "bytes.h"
#include "commands.h"
#include "firmware.h"
#include "memmap.h"
#include "print.h"

#define PAGE_SHIFT      12
#define PAGE_MASK       0xfffull
#define TYPES_MAX       24
#define FAULTS_SHOWN    12
#define PERSISTENT_TYPE 14 /* EfiPersistentMemory, which gnu-efi 3.0.15 does not know */

#define ADDRESS_DIGITS 12 /* at least: 48 bits. Lying firmware gets up to 16 */

/* Columns of a line between the addresses and the attributes, and how much of a line is used at
 * all: a character in the very last column makes some consoles wrap. */
#define MIDDLE_COLUMNS    31
#define ATTRIBUTES_COLUMN 56 /* with addresses of 12 digits; print_attributes indents by it */
#define LINE_COLUMNS      79

struct type_sum {
    UINT32 type;
    UINTN ranges;
    UINT64 pages;
};

struct summary {
    struct type_sum types[TYPES_MAX]; /* sorted by type */
    UINTN ntypes;
    struct type_sum others; /* of the types that found no room */
    UINTN faults;
};

/* source: UEFI "EFI_BOOT_SERVICES.GetMemoryMap()", Memory Attribute Definitions */
static const struct {
    UINT64 bit;
    const char *name;
} attribute_names[] = {
    {1ull << 0, "UC"},  {1ull << 1, "WC"},  {1ull << 2, "WT"},  {1ull << 3, "WB"},
    {1ull << 4, "UCE"}, {1ull << 12, "WP"}, {1ull << 13, "RP"}, {1ull << 14, "XP"},
    {1ull << 15, "NV"}, {1ull << 16, "MR"}, {1ull << 17, "RO"}, {1ull << 18, "SP"},
    {1ull << 19, "CC"}, {1ull << 63, "RT"},
};

static UINT64 saturating_add(UINT64 a, UINT64 b)
{
    UINT64 sum;
    return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

static struct size_text pages_text(UINT64 pages)
{
    return size_text(pages > UINT64_MAX >> PAGE_SHIFT ? UINT64_MAX : pages << PAGE_SHIFT);
}

static UINT64 last_byte(const EFI_MEMORY_DESCRIPTOR *d)
{
    return d->PhysicalStart + (d->NumberOfPages << PAGE_SHIFT) - 1;
}

/* ---- by address ----------------------------------------------------------------------------- */

static void print_attributes(UINT64 attributes, UINTN first_column)
{
    UINTN column = first_column;
    for (UINTN i = 0; i < sizeof attribute_names / sizeof attribute_names[0]; i++) {
        if (!(attributes & attribute_names[i].bit))
            continue;
        UINTN length = 1 + strlen(attribute_names[i].name);
        if (column + length > LINE_COLUMNS) {
            print("\n%56s", "");
            column = ATTRIBUTES_COLUMN;
        }
        print(" %s", attribute_names[i].name);
        column += length;
    }
    print("\n");
}

static UINTN address_columns(UINT64 address)
{
    UINTN digits = ADDRESS_DIGITS;
    while (digits < 16 && address >> 4 * digits)
        digits++;
    return digits;
}

static void print_descriptor(const EFI_MEMORY_DESCRIPTOR *d)
{
    UINT64 first = d->PhysicalStart, last = last_byte(d);
    print("%012lx-%012lx %10s ", first, last, pages_text(d->NumberOfPages).text);
    const char *name = memmap_type_name(d->Type);
    if (name)
        print("%-19s", name);
    else
        print("type 0x%-12x", d->Type);
    print_attributes(d->Attribute,
                     address_columns(first) + 1 + address_columns(last) + MIDDLE_COLUMNS);
}

/* ---- by type -------------------------------------------------------------------------------- */

static void add_to_summary(struct summary *sum, const EFI_MEMORY_DESCRIPTOR *d)
{
    UINTN at = 0;
    while (at < sum->ntypes && sum->types[at].type < d->Type)
        at++;
    struct type_sum *entry = &sum->types[at];
    if (at == sum->ntypes || entry->type != d->Type) {
        if (sum->ntypes == TYPES_MAX) {
            entry = &sum->others;
        } else {
            for (UINTN i = sum->ntypes++; i > at; i--)
                sum->types[i] = sum->types[i - 1];
            *entry = (struct type_sum){.type = d->Type};
        }
    }
    entry->ranges++;
    entry->pages = saturating_add(entry->pages, d->NumberOfPages);
}

/* name may be NULL: the type's number stands for it. */
static void print_sum(const char *name, const struct type_sum *sum)
{
    if (name)
        print("%-24s", name);
    else
        print("type 0x%-17x", sum->type);
    print(" %11lu %15lu %12s\n", sum->ranges, sum->pages, pages_text(sum->pages).text);
}

static void add_sum(struct type_sum *to, const struct type_sum *from)
{
    to->ranges += from->ranges;
    to->pages = saturating_add(to->pages, from->pages);
}

static bool is_free_after_boot(UINT32 type)
{
    return type == EfiConventionalMemory || type == EfiLoaderCode || type == EfiLoaderData ||
           type == EfiBootServicesCode || type == EfiBootServicesData;
}

static bool is_kept_ram(UINT32 type)
{
    return type == EfiRuntimeServicesCode || type == EfiRuntimeServicesData ||
           type == EfiACPIReclaimMemory || type == EfiACPIMemoryNVS;
}

static void print_summary(const struct summary *sum)
{
    struct type_sum all = sum->others, ram = {0}, freed = {0}, kept = {0};
    print("\n%-24s %11s %15s %12s\n", "Type", "Descriptors", "Pages", "Size");
    for (UINTN i = 0; i < sum->ntypes; i++) {
        const struct type_sum *entry = &sum->types[i];
        print_sum(memmap_type_name(entry->type), entry);
        add_sum(&all, entry);
        if (is_free_after_boot(entry->type))
            add_sum(&freed, entry);
        if (is_kept_ram(entry->type))
            add_sum(&kept, entry);
    }
    if (sum->others.ranges)
        print_sum("other types", &sum->others);
    print_sum("Total", &all);

    add_sum(&ram, &freed);
    add_sum(&ram, &kept);
    print("\n");
    print_sum("RAM", &ram);
    print_sum("  free after the boot", &freed);
    print_sum("  kept for the firmware", &kept);
}

/* ---- what is wrong -------------------------------------------------------------------------- */

/* Count a fault; true while there are few enough to print. */
static bool fault(struct summary *sum)
{
    if (sum->faults++ == 0)
        print("\n");
    return sum->faults <= FAULTS_SHOWN;
}

/* Faults of one descriptor. False if its range means nothing, so that it cannot overlap. */
static bool check_range(struct summary *sum, const EFI_MEMORY_DESCRIPTOR *d, UINTN i)
{
    UINT64 start = d->PhysicalStart;
    if (start & PAGE_MASK && fault(sum))
        print("Descriptor %lu does not begin at a page: 0x%lx.\n", i, start);
    if (d->NumberOfPages == 0) {
        if (fault(sum))
            print("Descriptor %lu at 0x%lx has no pages.\n", i, start);
        return false;
    }
    if (d->NumberOfPages - 1 > (UINT64_MAX - start) >> PAGE_SHIFT) {
        if (fault(sum))
            print("Descriptor %lu wraps around: 0x%lx pages at 0x%lx.\n", i, d->NumberOfPages,
                  start);
        return false;
    }
    return true;
}

/* Faults of descriptor i against those before it. */
static void check_against_others(struct summary *sum, const struct efi_memmap *map, UINTN i)
{
    const EFI_MEMORY_DESCRIPTOR *d = memmap_at(map, i);
    UINT64 start = d->PhysicalStart, last = last_byte(d);
    for (UINTN j = 0; j < i; j++) {
        const EFI_MEMORY_DESCRIPTOR *other = memmap_at(map, j);
        UINT64 other_last = last_byte(other);
        if (other->NumberOfPages == 0 || other_last < other->PhysicalStart ||
            last < other->PhysicalStart || other_last < start)
            continue;
        if (fault(sum))
            print("Descriptors %lu and %lu overlap: %lx-%lx\n  and %lx-%lx.\n", j, i,
                  other->PhysicalStart, other_last, start, last);
    }
}

/* The specification promises no order, and OVMF lists its MMIO behind all RAM: worth knowing for
 * whoever writes a loader, but no fault. */
static void print_order(const struct efi_memmap *map)
{
    const EFI_MEMORY_DESCRIPTOR *d;
    UINT64 highest = 0;
    for (UINTN i = 0; (d = memmap_at(map, i)); i++) {
        if (d->PhysicalStart < highest) {
            print("\nNote: not sorted by address, from descriptor %lu at 0x%lx on.\n", i,
                  d->PhysicalStart);
            return;
        }
        highest = d->PhysicalStart;
    }
}

static void print_faults(struct summary *sum, const struct efi_memmap *map)
{
    const EFI_MEMORY_DESCRIPTOR *d;
    for (UINTN i = 0; (d = memmap_at(map, i)); i++)
        if (check_range(sum, d, i))
            check_against_others(sum, map, i);
    if (sum->faults > FAULTS_SHOWN)
        print("... and %lu more.\n", sum->faults - FAULTS_SHOWN);
}

EFI_STATUS command_memmap(const struct options *options)
{
    (void)options;
    struct efi_memmap map;
    EFI_STATUS status = memmap_get(&map);
    if (EFI_ERROR(status)) {
        print("The firmware does not give its memory map: %s.\n", status_name(status));
        return status;
    }
    struct summary sum = {0};
    const EFI_MEMORY_DESCRIPTOR *d;
    print("%-25s %10s %-19s %s\n", "First and last byte", "Size", "Type", "Attributes");
    for (UINTN i = 0; (d = memmap_at(&map, i)); i++) {
        print_descriptor(d);
        add_to_summary(&sum, d);
    }
    print_summary(&sum);
    print_order(&map);
    print_faults(&sum, &map);
    return sum.faults ? EXIT_FOUND : EXIT_FINE;
}
