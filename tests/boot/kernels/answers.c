/* The answers that are numbers and texts, and the firmware's tables. */
#include "kernel.h"

static bool same(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

static void check_framebuffer(void)
{
    const struct limine_framebuffer_response *r =
        (const void *)(uintptr_t)framebuffer_request.response;
    if (!r) {
        say("KERNEL no framebuffer\r\n");
        return;
    }
    check(r->revision == 1 && r->framebuffer_count == 1, "framebuffer count", r->framebuffer_count);
    const struct limine_framebuffer *fb = *(const struct limine_framebuffer **)r->framebuffers;
    check(fb->width && fb->height && fb->pitch >= fb->width * 4 && fb->bpp == 32,
          "framebuffer size", fb->width);
    check(fb->memory_model == 1 && fb->red_mask_size && fb->green_mask_size && fb->blue_mask_size,
          "framebuffer masks", fb->memory_model);
    check(fb->mode_count > 0, "framebuffer modes", fb->mode_count);
    bool found = false;
    for (uint64_t i = 0; i < fb->mode_count; i++) {
        const struct limine_video_mode *m = ((const struct limine_video_mode **)fb->modes)[i];
        found |= m->width == fb->width && m->height == fb->height;
    }
    check(found, "current mode listed", fb->width);
    for (uint64_t y = 0; y < fb->height; y += fb->height - 1) {
        struct mapping m = walk(fb->address + y * fb->pitch);
        check(m.present && m.pat == 5 && type_of(m.pa) == 7, "framebuffer mapped write-combining",
              m.pa);
        *(volatile uint32_t *)(fb->address + y * fb->pitch) = 0xffffff;
    }
    say("KERNEL framebuffer %ux%u, %u modes, EDID %u bytes\r\n", fb->width, fb->height,
        fb->mode_count, fb->edid_size);
}

static void check_file(const char *cmdline)
{
    const struct limine_executable_file_response *r = response_of(&file_request, "file response");
    const struct limine_file *f = (const void *)(uintptr_t)r->executable_file;
    check(!(f->address & 0xfff) && *(const uint32_t *)f->address == 0x464c457f,
          "the file is an ELF", f->address);
    check((const char *)f->string == cmdline, "file string is the command line", f->string);
    check(*(const char *)f->path == '/', "path begins with a slash", f->path);
    say("KERNEL file %s, %u bytes, partition %u, string \"%s\"\r\n", (const char *)f->path, f->size,
        (uint64_t)f->partition_index, (const char *)f->string);
    const uint32_t *disk = (const uint32_t *)&f->gpt_disk_uuid,
                   *part = (const uint32_t *)&f->gpt_part_uuid;
    say("KERNEL mbr id %x, gpt disk %x, partition %x\r\n", (uint64_t)f->mbr_disk_id,
        (uint64_t)*disk, (uint64_t)*part);
}

static void check_times(void)
{
    const struct limine_date_at_boot_response *date = response_of(&date_request, "date response");
    const struct limine_tsc_frequency_response *tsc = response_of(&tsc_request, "TSC response");
    const struct limine_bootloader_performance_response *p =
        response_of(&performance_request, "performance response");
    check(date->timestamp > 1600000000, "date", (uint64_t)date->timestamp);
    check(tsc->frequency > 10000000, "TSC frequency", tsc->frequency);
    check(p->init_usec >= p->reset_usec && p->exec_usec >= p->init_usec, "performance",
          p->exec_usec);
    say("KERNEL date %u, TSC %u Hz, init %u us, exec %u us\r\n", (uint64_t)date->timestamp,
        tsc->frequency, p->init_usec, p->exec_usec);
}

static void check_entropy(void)
{
    const struct limine_entropy_response *r =
        response_of(&entropy_request.head, "entropy response");
    const uint64_t *values = (const uint64_t *)r->values;
    check(r->value_count == 8, "entropy count", r->value_count);
    for (uint64_t i = 1; i < r->value_count; i++)
        check(values[i] && values[i] != values[i - 1], "entropy differs", values[i]);
}

void check_answers(void)
{
    const struct limine_bootloader_info_response *info =
        response_of(&info_request, "info response");
    const struct limine_executable_cmdline_response *line =
        response_of(&cmdline_request, "cmdline response");
    const struct limine_firmware_type_response *type =
        response_of(&firmware_request, "firmware type response");
    const struct limine_paging_mode_response *paging =
        response_of(&paging_request.head, "paging mode response");
    (void)response_of(&stack_request.head, "stack size response");
    check(same((const char *)info->name, "Quicklime"), "bootloader's name", info->name);
    check(type->firmware_type == 2, "firmware type", type->firmware_type);
    if (paging_request.head.revision)
        check(paging->mode >= paging_request.min_mode && paging->mode <= paging_request.max_mode,
              "paging mode", paging->mode);
    say("KERNEL on %u levels, HHDM at %x\r\n", (uint64_t)levels(), hhdm());
    say("KERNEL loaded by %s %s\r\n", (const char *)info->name, (const char *)info->version);
    check_framebuffer();
    check_file((const char *)line->cmdline);
    check_times();
    check_entropy();
}

/* ---- the firmware's tables
 * ------------------------------------------------------------------------- */
static void check_lies_mapped(uint64_t va, uint64_t bytes, const char *what)
{
    for (uint64_t at = va; at < va + bytes; at += 0x1000) {
        int64_t type = walk(at).present ? type_of(walk(at).pa) : -1;
        check(type == 2 || type == 3 || type == 8, what, at);
    }
}

static uint64_t load(const uint8_t *from, unsigned bytes)
{
    uint64_t value = 0;
    while (bytes)
        value = value << 8 | from[--bytes];
    return value;
}

static void check_acpi_table(uint64_t pa)
{
    if (!pa)
        return;
    const uint8_t *table = (const uint8_t *)(hhdm() + pa);
    check_lies_mapped((uintptr_t)table, 36, "ACPI table mapped");
    check_lies_mapped((uintptr_t)table, load(table + 4, 4), "whole ACPI table mapped");
    if (load(table, 4) == 0x50434146) { /* FACP */
        check_acpi_table(load(table + 36, 4));
        check_acpi_table(load(table + 40, 4));
    }
}

static void check_acpi(uint64_t address)
{
    if (REVISION < 4) {
        check(address < hhdm(), "RSDP address is physical", address);
        return;
    }
    const uint8_t *rsdp = (const uint8_t *)address;
    check(address >= hhdm(), "RSDP address is virtual", address);
    check_lies_mapped(address, 20, "RSDP mapped");
    check(load(rsdp, 8) == 0x2052545020445352, "RSDP signature", load(rsdp, 8));
    bool xsdt = rsdp[15] >= 2;
    uint64_t root = xsdt ? load(rsdp + 24, 8) : load(rsdp + 16, 4), size = xsdt ? 8 : 4, count = 0;
    check_acpi_table(root);
    const uint8_t *table = (const uint8_t *)(hhdm() + root);
    for (uint64_t at = 36; at + size <= load(table + 4, 4); at += size, count++)
        check_acpi_table(load(table + at, (unsigned)size));
    say("KERNEL %u ACPI tables, revision %u\r\n", count, (uint64_t)rsdp[15]);
}

static void check_smbios(const struct limine_smbios_response *r)
{
    uint64_t found = r->entry_64 ? r->entry_64 : r->entry_32;
    if (REVISION < 5) {
        check(found < hhdm(), "SMBIOS address is physical", found);
        return;
    }
    const uint8_t *entry = (const uint8_t *)found;
    check_lies_mapped(found, 24, "SMBIOS entry point mapped");
    check(load(entry, 4) == (r->entry_64 ? 0x334d535fu : 0x5f4d535fu), "SMBIOS anchor",
          load(entry, 4));
    uint64_t table = r->entry_64 ? load(entry + 16, 8) : load(entry + 24, 4);
    check_lies_mapped(hhdm() + table, 64, "SMBIOS structures mapped");
}

static void check_system_table(uint64_t address)
{
    if (REVISION < 5) {
        check(address < hhdm(), "system table address is physical", address);
        return;
    }
    const uint8_t *st = (const uint8_t *)address;
    check_lies_mapped(address, 120, "system table mapped");
    check(load(st, 8) == 0x5453595320494249, "system table signature", load(st, 8));
    check_lies_mapped(hhdm() + load(st + 24, 8), 8, "vendor string mapped");
    check_lies_mapped(hhdm() + load(st + 88, 8), 136, "runtime services table mapped");
    check_lies_mapped(hhdm() + load(st + 112, 8), 24 * load(st + 104, 8),
                      "configuration table mapped");
}

void check_tables(void)
{
    const struct limine_rsdp_response *rsdp = response_of(&rsdp_request, "RSDP response");
    const struct limine_smbios_response *smbios = response_of(&smbios_request, "SMBIOS response");
    const struct limine_efi_system_table_response *st =
        response_of(&system_table_request, "EFI system table response");
    const struct limine_efi_memmap_response *map =
        response_of(&efi_memmap_request, "EFI map response");
    check_acpi(rsdp->address);
    check_smbios(smbios);
    check_system_table(st->address);
    check(map->desc_size >= 40 && map->memmap_size % map->desc_size == 0 && map->desc_version == 1,
          "EFI memory map", map->desc_size);
    check(type_of(map->memmap - hhdm()) == 5, "EFI memory map in reclaimable memory", map->memmap);
    for (uint64_t at = 0; at < map->memmap_size; at += map->desc_size) {
        const uint64_t *d = (const uint64_t *)(map->memmap + at);
        int64_t type = type_of(d[1]);
        if ((uint32_t)d[0] == 7 && d[3])
            check(type == 0, "conventional memory is usable", d[1]);
        if ((uint32_t)d[0] == 5 || (uint32_t)d[0] == 6)
            check(type == (REVISION >= 5 ? 8 : 1) || (REVISION == 4 && type == 8),
                  "type of runtime services memory", d[1]);
    }
}
