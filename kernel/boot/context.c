/* Owns: the boot context, and the distrust of everything that the loader says.
 * Relies on: requests.c for the raw answers, the early arena for copies, traps and print for what
 * is so wrong that it faults. Stage: "boot context", on the loader's page tables.
 *
 * Responses lie in the loader's direct map. The memory map is read first, so that every further
 * pointer can be held against it: what we read must lie in memory that the protocol lets a response
 * lie in. Nothing of it is touched after boot_context_read. */
#include "boot/context.h"

#include "boot/limine.h"
#include "boot/memory.h"
#include "boot/requests.h"
#include "config.h"
#include "cpu/cpu.h"
#include "layout.h"
#include "mm/early.h"
#include "mm/hhdm.h"
#include "mm/string.h"
#include "mm/vmm.h"
#include "panic/panic.h"

#define COMPLAINTS_MAX 8  /* about one response; a map can have hundreds of bad entries */
#define FRAMEBUFFERS   16 /* looked at */

#define FRAMEBUFFER_BYTES_MAX HUGE_1G /* of pixels: 16384 x 16384; more is no screen */

static struct boot_context context;
static unsigned complaints;

const struct boot_context *boot_context(void)
{
    return &context;
}

/* One sentence about a field that is wrong. */
static void complain(enum request request, const char *field, uint64_t value, const char *why)
{
    if (complaints++ < COMPLAINTS_MAX)
        kprintf("boot context: %s: %s 0x%lx %s\n", request_name(request), field, value, why);
    else if (complaints == COMPLAINTS_MAX + 1)
        kprintf("boot context: %s: more of the same is not listed\n", request_name(request));
}

/* --- Pointers -------------------------------------------------------------------------------- */

/* Is memory of this type in every direct map? A response belongs into reclaimable memory, but as
 * all is copied before anything is given away, any memory that is mapped will do. */
static bool holds_responses(enum mem_type type)
{
    return type != MEM_RESERVED && type != MEM_BAD && type != MEM_FRAMEBUFFER;
}

/* True if [base, base + bytes) is in the loader's direct map, by the map's entries or because its
 * base revision says so: Limine 8 has its EFI memory map in memory that it calls reserved. */
static bool map_covers(uint64_t base, uint64_t bytes)
{
    uint64_t end = base + bytes;
    if (context.base_revision < 3 && end <= 4 * HUGE_1G)
        return true;
    for (size_t i = 0; i < context.nmemory && base < end; i++) { /* ascending */
        const struct mem_region *r = &context.memory[i];
        if (holds_responses(r->type) && base >= r->base.v && base - r->base.v < r->bytes)
            base = pa_end(r->base, r->bytes).v;
    }
    return base >= end;
}

/* bytes bytes of the loader's memory, NULL (with a sentence) if they cannot be there. */
static const void *readable(enum request request, const char *field, uint64_t address,
                            uint64_t bytes)
{
    uint64_t hhdm_base = context.hhdm_base.v ? context.hhdm_base.v : -cpu_lower_end();
    const char *why = NULL;
    if (address < hhdm_base)
        why = "is below the direct map";
    else if (!range_fits(address - hhdm_base, bytes, VMM_DEVICE_BASE - hhdm_base))
        why = "is beyond the direct map";
    else if (address % 8 != 0 && bytes > 1)
        why = "is not aligned";
    else if (context.nmemory > 0 && !map_covers(address - hhdm_base, bytes))
        why = "is not in memory that the loader maps";
    if (!why)
        return memory_of_loader(address);
    complain(request, field, address, why);
    return NULL;
}

/* The response with at least bytes bytes, NULL if there is none or its address is wrong. */
static const void *response(enum request request, size_t bytes)
{
    complaints = 0;
    uint64_t address = request_response(request);
    return address ? readable(request, "response", address, bytes) : NULL;
}

/* The same for what the machine cannot boot without. */
static const void *needed_response(enum request request, size_t bytes)
{
    const void *r = response(request, bytes);
    if (!r)
        panic("boot context: the loader gave no valid %s response", request_name(request));
    return r;
}

/* Copy a string byte by byte: where it ends is not known before. Control characters would play with
 * the terminal. */
static void copy_string(enum request request, const char *field, uint64_t address, char *out,
                        size_t bytes)
{
    size_t n = 0;
    for (; address != 0 && n < bytes - 1; n++) {
        const char *c = readable(request, field, address + n, 1);
        if (!c || *c == '\0')
            break;
        out[n] = (unsigned char)*c < ' ' || *c == 0x7f ? ' ' : *c;
    }
    out[n] = '\0';
    if (n < bytes - 1)
        return;
    const char *next = readable(request, field, address + n, 1);
    if (next && *next != '\0')
        complain(request, field, address, "is a string that is too long: cut off");
}

/* --- What the machine cannot boot without ---------------------------------------------------- */

static void read_hhdm(void)
{
    const struct limine_hhdm_response *r = needed_response(REQUEST_HHDM, sizeof *r);
    uint64_t offset = r->offset;
    if (offset < -cpu_lower_end() || offset >= VMM_WINDOW_BASE || offset % PAGE_BYTES != 0)
        panic("boot context: HHDM: offset 0x%lx is not a page in the higher half below 0x%llx",
              offset, VMM_WINDOW_BASE);
    context.hhdm_base = VA(offset);
}

/* Say what is wrong with an entry; region_normalise repairs it. previous_end: of all before. */
static void check_entry(const struct limine_memmap_entry *entry, uint64_t previous_base,
                        uint64_t previous_end)
{
    bool ram = entry->type == MEM_USABLE || entry->type == MEM_BOOTLOADER_RECLAIMABLE;
    if (entry->length == 0)
        complain(REQUEST_MEMMAP, "base", entry->base, "has length 0");
    if (!range_fits(entry->base, entry->length, PADDR_LIMIT))
        complain(REQUEST_MEMMAP, "base", entry->base, "has a length that leaves the address space");
    if (entry->type >= MEM_TYPES)
        complain(REQUEST_MEMMAP, "type", entry->type, "is unknown: taken as reserved");
    if (ram && (entry->base | entry->length) % FRAME_BYTES != 0)
        complain(REQUEST_MEMMAP, "base", entry->base, "is RAM that is not whole frames");
    if (entry->base < previous_base)
        complain(REQUEST_MEMMAP, "base", entry->base, "is out of order");
    else if (entry->base < previous_end)
        complain(REQUEST_MEMMAP, "base", entry->base, "overlaps an entry before it");
}

/* Into its place in the ascending copy, behind its equals. */
static void insert_region(struct mem_region region)
{
    size_t at = context.nmemory++;
    for (; at > 0 && pa_lt(region.base, context.memory[at - 1].base); at--)
        context.memory[at] = context.memory[at - 1];
    context.memory[at] = region;
}

static void read_memory_map(void)
{
    const struct limine_memmap_response *r = needed_response(REQUEST_MEMMAP, sizeof *r);
    uint64_t count = r->entry_count;
    if (count == 0 || count > CONFIG_MEMORY_ENTRIES)
        panic(
            "boot context: memory map: %lu entries; at most CONFIG_MEMORY_ENTRIES (%d) can be used",
            count, CONFIG_MEMORY_ENTRIES);
    const uint64_t *entries =
        readable(REQUEST_MEMMAP, "entries", r->entries, count * sizeof *entries);
    if (!entries)
        panic("boot context: the memory map cannot be read");

    context.memory = early_alloc(count * sizeof *context.memory, _Alignof(struct mem_region));
    struct mem_region *copy = context.memory;
    uint64_t previous_base = 0, previous_end = 0;
    size_t n = 0;
    for (uint64_t i = 0; i < count; i++) {
        const struct limine_memmap_entry *entry =
            readable(REQUEST_MEMMAP, "entry", entries[i], sizeof *entry);
        if (!entry)
            continue;
        check_entry(entry, previous_base, previous_end);
        enum mem_type type = entry->type < MEM_TYPES ? (enum mem_type)entry->type : MEM_RESERVED;
        copy[n++] = (struct mem_region){PA(entry->base), entry->length, type};
        previous_base = entry->base;
        previous_end = pa_max(PA(previous_end), pa_end(PA(entry->base), entry->length)).v;
    }
    /* Only now: from here on readable() holds pointers against the map, which must be whole. */
    for (size_t i = 0; i < n; i++)
        insert_region(copy[i]);
}

static void read_executable_address(void)
{
    const struct limine_executable_address_response *r =
        needed_response(REQUEST_EXECUTABLE_ADDRESS, sizeof *r);
    context.image_va = layout_image_start();
    context.image_pa = PA(r->physical_base);
    if (!va_eq(VA(r->virtual_base), context.image_va))
        panic("boot context: executable address: virtual base 0x%lx, but we run at 0x%lx",
              r->virtual_base, context.image_va.v);
    if (r->physical_base % FRAME_BYTES != 0 ||
        !range_fits(r->physical_base, layout_image_bytes(), PADDR_LIMIT))
        panic("boot context: executable address: physical base 0x%lx cannot be", r->physical_base);
}

static void check_paging_mode(void)
{
    const struct limine_paging_mode_response *r = response(REQUEST_PAGING_MODE, sizeof *r);
    if (r &&
        r->mode != (cpu_control().cr4 & CR4_LA57 ? LIMINE_PAGING_5LEVEL : LIMINE_PAGING_4LEVEL))
        complain(REQUEST_PAGING_MODE, "mode", r->mode, "is not that of the CPU");
}

/* --- What may be missing --------------------------------------------------------------------- */

/* Where loaders that do not know the command line request (Limine before 9) have it. */
static void read_file_cmdline(void)
{
    const enum request request = REQUEST_EXECUTABLE_FILE;
    const struct limine_executable_file_response *r = response(request, sizeof *r);
    const struct limine_file *file =
        r ? readable(request, "file", r->executable_file, sizeof *file) : NULL;
    if (file)
        copy_string(request, "string", file->string, context.cmdline, sizeof context.cmdline);
}

static void read_loader(void)
{
    const struct limine_bootloader_info_response *info =
        response(REQUEST_BOOTLOADER_INFO, sizeof *info);
    if (info) {
        copy_string(REQUEST_BOOTLOADER_INFO, "name", info->name, context.loader_name,
                    sizeof context.loader_name);
        copy_string(REQUEST_BOOTLOADER_INFO, "version", info->version, context.loader_version,
                    sizeof context.loader_version);
    }
    const struct limine_executable_cmdline_response *cmdline =
        response(REQUEST_CMDLINE, sizeof *cmdline);
    if (cmdline)
        copy_string(REQUEST_CMDLINE, "cmdline", cmdline->cmdline, context.cmdline,
                    sizeof context.cmdline);
    else
        read_file_cmdline();
    const struct limine_firmware_type_response *firmware =
        response(REQUEST_FIRMWARE_TYPE, sizeof *firmware);
    if (firmware)
        context.firmware_type = firmware->firmware_type;
}

/* Why a colour's bits cannot be drawn with, NULL if they can; *taken collects the bits of all
 * three. */
static const char *bad_mask(uint8_t size, uint8_t shift, uint32_t *taken)
{
    if (size == 0 || size > 16 || shift > 32 - size)
        return "colour mask is outside of 32 bits";
    uint32_t mask = ((1u << size) - 1) << shift;
    if (*taken & mask)
        return "colour masks overlap";
    *taken |= mask;
    return NULL;
}

/* True if the two overlap; neither wraps. */
static bool overlap(uint64_t a, uint64_t a_bytes, uint64_t b, uint64_t b_bytes)
{
    return a < b + b_bytes && b < a + a_bytes;
}

/* False, after a sentence, if it cannot be drawn on. */
static bool framebuffer_is_usable(const struct limine_framebuffer *f)
{
    const enum request request = REQUEST_FRAMEBUFFER;
    uint64_t base = f->address - context.hhdm_base.v; /* wraps below the direct map: too large */
    uint32_t taken = 0;
    const char *red = bad_mask(f->red_mask_size, f->red_mask_shift, &taken);
    const char *green = bad_mask(f->green_mask_size, f->green_mask_shift, &taken);
    const char *blue = bad_mask(f->blue_mask_size, f->blue_mask_shift, &taken);
    const char *mask = red ? red : green ? green : blue;
    unsigned complaints_before = complaints;

    if (f->memory_model != LIMINE_MEMORY_MODEL_RGB)
        complain(request, "memory model", f->memory_model, "is not RGB");
    else if (f->bpp != 32)
        complain(request, "bpp", f->bpp, "is not 32");
    else if (mask)
        complain(request, "shifts",
                 f->red_mask_shift << 16 | f->green_mask_shift << 8 | f->blue_mask_shift, mask);
    else if (f->width == 0 || f->width > UINT16_MAX)
        complain(request, "width", f->width, "cannot be");
    else if (f->height == 0 || f->height > UINT16_MAX)
        complain(request, "height", f->height, "cannot be");
    else if (f->pitch < f->width * 4 || f->pitch > FRAMEBUFFER_BYTES_MAX / f->height)
        complain(request, "pitch", f->pitch, "does not fit the width and height");
    else if (!range_fits(base, f->pitch * f->height, VMM_DEVICE_BASE - context.hhdm_base.v))
        complain(request, "address", f->address, "is not in the direct map");
    else if (!range_fits(base, f->pitch * f->height, 1ull << cpu_info()->phys_bits))
        complain(request, "address", f->address, "is beyond what the CPU can address");
    else if (overlap(base, f->pitch * f->height, context.image_pa.v, layout_image_bytes()))
        complain(request, "address", f->address, "is the kernel's own memory");
    return complaints == complaints_before;
}

static void copy_framebuffer(const struct limine_framebuffer *f)
{
    context.framebuffer = (struct boot_framebuffer){
        .pixels = (void *)(uintptr_t)f->address, /* the loader maps every framebuffer there */
        .base = PA(f->address - context.hhdm_base.v),
        .width = f->width,
        .height = f->height,
        .pitch = f->pitch,
        .red_size = f->red_mask_size,
        .red_shift = f->red_mask_shift,
        .green_size = f->green_mask_size,
        .green_shift = f->green_mask_shift,
        .blue_size = f->blue_mask_size,
        .blue_shift = f->blue_mask_shift,
    };
    context.have_framebuffer = true;
}

/* The first one that can be used. */
static void read_framebuffers(void)
{
    const struct limine_framebuffer_response *r = response(REQUEST_FRAMEBUFFER, sizeof *r);
    if (!r || r->framebuffer_count == 0)
        return;
    uint64_t count = r->framebuffer_count < FRAMEBUFFERS ? r->framebuffer_count : FRAMEBUFFERS;
    const uint64_t *list =
        readable(REQUEST_FRAMEBUFFER, "framebuffers", r->framebuffers, count * sizeof *list);
    for (uint64_t i = 0; list && i < count && !context.have_framebuffer; i++) {
        const struct limine_framebuffer *f =
            readable(REQUEST_FRAMEBUFFER, "framebuffer", list[i],
                     offsetof(struct limine_framebuffer, mode_count));
        if (f && framebuffer_is_usable(f))
            copy_framebuffer(f);
    }
}

/* Addresses of firmware tables are physical in base revision 3 and virtual again later: tell by
 * value. */
static bool read_table(enum request request, const char *field, uint64_t address, paddr_t *out)
{
    if (address == 0)
        return false;
    uint64_t pa = address >= context.hhdm_base.v ? address - context.hhdm_base.v : address;
    if (pa == 0 || pa >= PADDR_LIMIT) {
        complain(request, field, address, "is no physical address");
        return false;
    }
    *out = PA(pa);
    return true;
}

static void read_tables(void)
{
    const struct limine_rsdp_response *rsdp = response(REQUEST_RSDP, sizeof *rsdp);
    if (rsdp)
        context.have_rsdp = read_table(REQUEST_RSDP, "address", rsdp->address, &context.rsdp);
    const struct limine_smbios_response *smbios = response(REQUEST_SMBIOS, sizeof *smbios);
    if (smbios) {
        context.have_smbios_32 =
            read_table(REQUEST_SMBIOS, "entry_32", smbios->entry_32, &context.smbios_32);
        context.have_smbios_64 =
            read_table(REQUEST_SMBIOS, "entry_64", smbios->entry_64, &context.smbios_64);
    }
    const struct limine_efi_system_table_response *efi =
        response(REQUEST_EFI_SYSTEM_TABLE, sizeof *efi);
    if (efi)
        context.have_efi_system_table = read_table(REQUEST_EFI_SYSTEM_TABLE, "address",
                                                   efi->address, &context.efi_system_table);
}

static void read_efi_memmap(void)
{
    const struct limine_efi_memmap_response *r = response(REQUEST_EFI_MEMMAP, sizeof *r);
    if (!r)
        return;
    uint64_t bytes = r->memmap_size;
    if (r->desc_size < 40 || r->desc_size > PAGE_BYTES || r->desc_size % 8 != 0) {
        complain(REQUEST_EFI_MEMMAP, "desc_size", r->desc_size,
                 "cannot be: at least 40 are needed");
    } else if (bytes < r->desc_size || bytes > CONFIG_EFI_MEMMAP_BYTES) {
        complain(REQUEST_EFI_MEMMAP, "memmap_size", bytes,
                 "is empty or more than CONFIG_EFI_MEMMAP_BYTES: left out");
    } else {
        const void *map = readable(REQUEST_EFI_MEMMAP, "memmap", r->memmap, bytes);
        if (!map)
            return;
        void *copy = early_alloc(bytes, 8);
        memcpy(copy, map, bytes);
        context.efi_memmap = (struct boot_efi_memmap){copy, bytes - bytes % r->desc_size,
                                                      r->desc_size, (uint32_t)r->desc_version};
    }
}

static void read_time(void)
{
    const struct limine_date_at_boot_response *date = response(REQUEST_DATE_AT_BOOT, sizeof *date);
    if (date && date->timestamp > 0)
        context.date_at_boot = date->timestamp;
    const struct limine_bootloader_performance_response *performance =
        response(REQUEST_PERFORMANCE, sizeof *performance);
    if (performance) {
        context.reset_usec = performance->reset_usec;
        context.init_usec = performance->init_usec;
        context.exec_usec = performance->exec_usec;
    }
    const struct limine_tsc_frequency_response *tsc = response(REQUEST_TSC_FREQUENCY, sizeof *tsc);
    if (!tsc)
        return;
    if (tsc->frequency >= 1000000 && tsc->frequency <= 100000000000ull)
        context.tsc_hz = tsc->frequency;
    else
        complain(REQUEST_TSC_FREQUENCY, "frequency", tsc->frequency, "cannot be");
}

static void read_entropy(void)
{
    const struct limine_entropy_response *r = response(REQUEST_ENTROPY, sizeof *r);
    if (!r || r->value_count == 0)
        return;
    size_t count =
        r->value_count < REQUEST_ENTROPY_VALUES ? r->value_count : REQUEST_ENTROPY_VALUES;
    const uint64_t *values = readable(REQUEST_ENTROPY, "values", r->values, count * sizeof *values);
    if (!values)
        return;
    memcpy(context.entropy, values, count * sizeof *values);
    context.nentropy = count;
}

/* --- The other CPUs -------------------------------------------------------------------------- */

/* A parked CPU reads its structure until it is released, when the loader's tables are long out of
 * our use: it must be in memory that our direct map has, writable. */
static bool can_be_written_later(uint64_t address, uint64_t bytes)
{
    uint64_t base = address - context.hhdm_base.v;
    for (size_t i = 0; i < context.nmemory; i++) {
        const struct mem_region *r = &context.memory[i];
        if ((r->type == MEM_BOOTLOADER_RECLAIMABLE || r->type == MEM_USABLE) && base >= r->base.v &&
            range_fits(base - r->base.v, bytes, r->bytes))
            return true;
    }
    return false;
}

static bool lapic_id_is_known(uint32_t id)
{
    for (size_t i = 0; i < context.ncpus; i++)
        if (context.cpus[i].lapic_id == id)
            return true;
    return false;
}

/* Why the CPU cannot be used, NULL if it can. */
static const char *bad_cpu(const struct limine_mp_info *info, uint64_t address, bool x2apic)
{
    if (lapic_id_is_known(info->lapic_id))
        return "is in the list twice: the second one is left out";
    if (!x2apic && info->lapic_id >= 255)
        return "cannot be reached in xAPIC mode";
    if (info->lapic_id == UINT32_MAX)
        return "means all CPUs";
    if (info->goto_address != 0)
        return "was released by the loader already";
    return can_be_written_later(address, sizeof *info) ? NULL
                                                       : "is not described in reclaimable memory";
}

/* Entries that are left out may stand for CPUs that wait in the loader's memory all the same. */
static void read_cpu(const struct limine_mp_response *r, uint64_t address, bool *have_boot_cpu)
{
    const struct limine_mp_info *info = readable(REQUEST_MP, "CPU", address, sizeof *info);
    if (info && info->lapic_id == r->bsp_lapic_id && !*have_boot_cpu) {
        *have_boot_cpu = true;
        context.bsp_acpi_uid = info->processor_id;
        return;
    }
    const char *why = info ? bad_cpu(info, address, r->flags & LIMINE_MP_X2APIC) : NULL;
    if (!info || info->lapic_id == r->bsp_lapic_id || why) {
        if (info)
            complain(REQUEST_MP, "lapic_id", info->lapic_id,
                     why ? why : "is the boot CPU's, again");
        context.cpus_lost = true;
        return;
    }
    context.cpus[context.ncpus++] = (struct boot_cpu){
        info->processor_id, info->lapic_id,
        (struct limine_mp_info *)(uintptr_t)address /* readable, and writable as was checked */};
}

static void read_cpus(void)
{
    const struct limine_mp_response *r = response(REQUEST_MP, sizeof *r);
    if (!r) {
        context.cpus_lost = request_response(REQUEST_MP) != 0; /* it is there, but where? */
        return;
    }
    uint64_t count = r->cpu_count;
    if (count == 0) {
        complain(REQUEST_MP, "cpu_count", count, "cannot be");
        return;
    }
    if (count > CONFIG_CPUS_MAX) {
        complain(REQUEST_MP, "cpu_count", count,
                 "is more than CONFIG_CPUS_MAX: the rest stays off");
        context.cpus_lost = true;
        count = CONFIG_CPUS_MAX;
    }
    const uint64_t *list = readable(REQUEST_MP, "cpus", r->cpus, count * sizeof *list);
    if (!list) {
        context.cpus_lost = true;
        return;
    }
    bool have_boot_cpu = false;
    context.have_cpus = true;
    context.bsp_lapic_id = r->bsp_lapic_id;
    context.cpus = early_alloc(count * sizeof *context.cpus, _Alignof(struct boot_cpu));
    for (uint64_t i = 0; i < count && context.ncpus < CONFIG_CPUS_MAX - 1; i++)
        read_cpu(r, list[i], &have_boot_cpu);
    if (!have_boot_cpu)
        complain(REQUEST_MP, "bsp_lapic_id", r->bsp_lapic_id, "is not in the list");
}

void boot_context_read(void)
{
    context.base_revision = request_base_revision();
    if (!request_base_revision_supported())
        kprintf("boot context: the loader does not know base revision 3 (it uses %lu): trying\n",
                context.base_revision);
    check_paging_mode();
    read_hhdm();
    read_memory_map();
    read_executable_address();
    read_loader();
    read_framebuffers();
    read_tables();
    read_efi_memmap();
    read_time();
    read_entropy();
    read_cpus();
}
