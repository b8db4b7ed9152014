/* One function per feature: it makes the response, or says no by NULL. Addresses in responses are
 * the kernel's: HHDM, unless the base revision says physical. Stage: boot services alive, except
 * responses_finish. source: Limine "Feature List". */
#include "bytes.h"
#include "clock.h"
#include "acpi.h"
#include "cpu.h"
#include "entropy.h"
#include "fail.h"
#include "firmware.h"
#include "plan.h"
#include "tables.h"
#include "version.h"

#define ENTROPY_VALUES_MAX 512 /* a block of the generator each; nobody seeds with more */

/* A response with its revision. */
static void *new_response(struct boot_plan *plan, size_t bytes, uint64_t revision)
{
    struct limine_response *response = arena_alloc(&plan->arena, bytes);
    if (response)
        response->revision = revision;
    return response;
}
#define NEW(plan, type, revision) ((struct type *)new_response(plan, sizeof(struct type), revision))

static uint64_t text(struct boot_plan *plan, const char *from)
{
    return plan_hhdm(plan, arena_text(&plan->arena, from));
}

static uint64_t cmdline(struct boot_plan *plan)
{
    if (!plan->cmdline)
        plan->cmdline = arena_text(&plan->arena, plan->options->cmdline);
    return plan_hhdm(plan, plan->cmdline);
}

/* Firmware's tables are named by physical or HHDM address, depending on the base revision. */
static uint64_t table_address(const struct boot_plan *plan, const void *table,
                              uint64_t virtual_from)
{
    if (table && plan->requests.base_revision >= virtual_from)
        return plan_hhdm(plan, table);
    return (uintptr_t)table;
}

static void *bootloader_info(struct boot_plan *plan, const void *request)
{
    (void)request;
    struct limine_bootloader_info_response *r = NEW(plan, limine_bootloader_info_response, 0);
    if (r) {
        r->name = text(plan, QL_NAME);
        r->version = text(plan, QL_VERSION);
    }
    return r;
}

static void *executable_cmdline(struct boot_plan *plan, const void *request)
{
    (void)request;
    struct limine_executable_cmdline_response *r = NEW(plan, limine_executable_cmdline_response, 0);
    if (r)
        r->cmdline = cmdline(plan);
    return r;
}

static void *firmware_type(struct boot_plan *plan, const void *request)
{
    (void)request;
    struct limine_firmware_type_response *r = NEW(plan, limine_firmware_type_response, 0);
    if (r)
        r->firmware_type = LIMINE_FIRMWARE_EFI64;
    return r;
}

/* Features whose whole answer is that they were honoured: stack size, entry point, keep IOMMU. */
static void *acknowledge(struct boot_plan *plan, const void *request)
{
    (void)request;
    return NEW(plan, limine_response, 0);
}

static void *hhdm(struct boot_plan *plan, const void *request)
{
    (void)request;
    struct limine_hhdm_response *r = NEW(plan, limine_hhdm_response, 0);
    if (r)
        r->offset = plan->hhdm;
    return r;
}

static void *paging_mode(struct boot_plan *plan, const void *request)
{
    (void)request;
    struct limine_paging_mode_response *r = NEW(plan, limine_paging_mode_response, 0);
    if (r)
        r->mode = plan->tables.levels - 4;
    return r;
}

/* Every mode with a linear framebuffer, as pointers to structures. */
static void list_modes(struct boot_plan *plan, struct limine_framebuffer *fb)
{
    EFI_GRAPHICS_OUTPUT_PROTOCOL *gop;
    if (EFI_ERROR(gop_open(&gop)) || gop->Mode->MaxMode == 0)
        return;
    UINT32 count = gop->Mode->MaxMode;
    struct limine_video_mode *modes = arena_alloc(&plan->arena, count * sizeof *modes);
    uint64_t *pointers = arena_alloc(&plan->arena, count * sizeof *pointers);
    if (!modes || !pointers)
        return;
    for (UINT32 i = 0; i < count; i++) {
        if (!gop_describe(gop, i, &modes[fb->mode_count]))
            continue;
        pointers[fb->mode_count] = plan_hhdm(plan, &modes[fb->mode_count]);
        fb->mode_count++;
    }
    fb->modes = plan_hhdm(plan, pointers);

    UINTN bytes;
    const uint8_t *edid = gop_edid(gop, &bytes);
    void *copy = edid ? arena_alloc(&plan->arena, bytes) : NULL;
    if (copy) {
        memcpy(copy, edid, bytes);
        fb->edid = plan_hhdm(plan, copy);
        fb->edid_size = bytes;
    }
}

static void *framebuffer(struct boot_plan *plan, const void *request)
{
    (void)request;
    if (!plan->have_framebuffer)
        return NULL;
    struct limine_framebuffer_response *r = NEW(plan, limine_framebuffer_response, 1);
    struct limine_framebuffer *fb = arena_alloc(&plan->arena, sizeof *fb);
    uint64_t *pointer = arena_alloc(&plan->arena, sizeof *pointer);
    if (!r || !fb || !pointer)
        return NULL;
    const struct limine_video_mode *m = &plan->mode;
    *fb = (struct limine_framebuffer){
        .address = plan->hhdm + plan->framebuffer_base,
        .width = m->width,
        .height = m->height,
        .pitch = m->pitch,
        .bpp = m->bpp,
        .memory_model = m->memory_model,
        .red_mask_size = m->red_mask_size,
        .red_mask_shift = m->red_mask_shift,
        .green_mask_size = m->green_mask_size,
        .green_mask_shift = m->green_mask_shift,
        .blue_mask_size = m->blue_mask_size,
        .blue_mask_shift = m->blue_mask_shift,
    };
    list_modes(plan, fb);
    *pointer = plan_hhdm(plan, fb);
    r->framebuffer_count = 1;
    r->framebuffers = plan_hhdm(plan, pointer);
    return r;
}

static void *memory_map(struct boot_plan *plan, const void *request)
{
    (void)request;
    plan->memmap_pointers =
        arena_alloc(&plan->arena, plan->map.edge_capacity * sizeof *plan->memmap_pointers);
    if (!plan->memmap_pointers)
        return NULL;
    plan->memmap_response = NEW(plan, limine_memmap_response, 0);
    return plan->memmap_response;
}

static void *efi_memory_map(struct boot_plan *plan, const void *request)
{
    (void)request;
    plan->efi_memmap_response = NEW(plan, limine_efi_memmap_response, 0);
    return plan->efi_memmap_response;
}

static void *executable_file(struct boot_plan *plan, const void *request)
{
    (void)request;
    struct limine_executable_file_response *r = NEW(plan, limine_executable_file_response, 0);
    struct limine_file *file = arena_alloc(&plan->arena, sizeof *file);
    if (!r || !file)
        return NULL;
    file->address = plan_hhdm(plan, plan->file.data);
    file->size = plan->file.bytes;
    file->path = text(plan, plan->file.path);
    file->string = cmdline(plan);
    kernel_file_volume(file);
    r->executable_file = plan_hhdm(plan, file);
    return r;
}

static void *executable_address(struct boot_plan *plan, const void *request)
{
    (void)request;
    struct limine_executable_address_response *r = NEW(plan, limine_executable_address_response, 0);
    if (r) {
        r->physical_base = (uintptr_t)plan->image;
        r->virtual_base = plan->elf.base + plan->slide;
    }
    return r;
}

static void *rsdp(struct boot_plan *plan, const void *request)
{
    (void)request;
    if (!acpi_rsdp())
        return NULL;
    struct limine_rsdp_response *r = NEW(plan, limine_rsdp_response, 0);
    if (r)
        r->address = table_address(plan, acpi_rsdp(), 4);
    return r;
}

static void *smbios(struct boot_plan *plan, const void *request)
{
    (void)request;
    struct smbios found = tables_smbios();
    if (!found.entry_32 && !found.entry_64)
        return NULL;
    struct limine_smbios_response *r = NEW(plan, limine_smbios_response, 0);
    if (r) {
        r->entry_32 = table_address(plan, found.entry_32, 5);
        r->entry_64 = table_address(plan, found.entry_64, 5);
    }
    return r;
}

static void *efi_system_table(struct boot_plan *plan, const void *request)
{
    (void)request;
    struct limine_efi_system_table_response *r = NEW(plan, limine_efi_system_table_response, 0);
    if (r)
        r->address = table_address(plan, ST, 5);
    return r;
}

static void *date_at_boot(struct boot_plan *plan, const void *request)
{
    (void)request;
    int64_t now;
    if (!clock_date(&now))
        return NULL;
    struct limine_date_at_boot_response *r = NEW(plan, limine_date_at_boot_response, 0);
    if (r)
        r->timestamp = now;
    return r;
}

static void *tsc_frequency(struct boot_plan *plan, const void *request)
{
    (void)request;
    uint64_t hz = clock_tsc_hz();
    if (!hz)
        return NULL;
    struct limine_tsc_frequency_response *r = NEW(plan, limine_tsc_frequency_response, 0);
    if (r)
        r->frequency = hz;
    return r;
}

static void *mp(struct boot_plan *plan, const void *request)
{
    (void)request;
    return mp_answer(plan);
}

/* The TSC counts from reset, so reset is the moment 0. */
static void *performance(struct boot_plan *plan, const void *request)
{
    (void)request;
    if (!clock_tsc_hz())
        return NULL;
    plan->performance_response = NEW(plan, limine_bootloader_performance_response, 0);
    if (plan->performance_response)
        plan->performance_response->init_usec = clock_usec(carried->start_tsc);
    return plan->performance_response;
}

static void *entropy(struct boot_plan *plan, const void *request)
{
    uint64_t count = ((const struct limine_entropy_request *)request)->value_count;
    if (count > ENTROPY_VALUES_MAX)
        count = ENTROPY_VALUES_MAX;
    struct limine_entropy_response *r = NEW(plan, limine_entropy_response, 0);
    uint64_t *values = arena_alloc(&plan->arena, (count + 1) * sizeof *values);
    if (!r || !values)
        return NULL;
    for (uint64_t i = 0; i < count; i++)
        values[i] = entropy_next();
    r->value_count = count;
    r->values = plan_hhdm(plan, values);
    return r;
}

/* What we answer; the features that are not here stay unanswered, as the protocol allows. */
static void *(*const answers[FEATURE_COUNT])(struct boot_plan *, const void *) = {
    [FEATURE_BOOTLOADER_INFO] = bootloader_info,
    [FEATURE_EXECUTABLE_CMDLINE] = executable_cmdline,
    [FEATURE_FIRMWARE_TYPE] = firmware_type,
    [FEATURE_STACK_SIZE] = acknowledge,
    [FEATURE_HHDM] = hhdm,
    [FEATURE_FRAMEBUFFER] = framebuffer,
    [FEATURE_PAGING_MODE] = paging_mode,
    [FEATURE_MP] = mp,
    [FEATURE_MEMMAP] = memory_map,
    [FEATURE_ENTRY_POINT] = acknowledge,
    [FEATURE_EXECUTABLE_FILE] = executable_file,
    [FEATURE_RSDP] = rsdp,
    [FEATURE_SMBIOS] = smbios,
    [FEATURE_EFI_SYSTEM_TABLE] = efi_system_table,
    [FEATURE_EFI_MEMMAP] = efi_memory_map,
    [FEATURE_DATE_AT_BOOT] = date_at_boot,
    [FEATURE_EXECUTABLE_ADDRESS] = executable_address,
    [FEATURE_BOOTLOADER_PERFORMANCE] = performance,
    [FEATURE_TSC_FREQUENCY] = tsc_frequency,
    [FEATURE_ENTROPY] = entropy,
    [FEATURE_KEEP_IOMMU] = acknowledge,
};

EFI_STATUS responses_answer(struct boot_plan *plan)
{
    for (size_t i = 0; i < plan->requests.count; i++) {
        struct found_request *found = &plan->requests.found[i];
        uint8_t *request = plan->image + found->offset;
        void *response = answers[found->feature] ? answers[found->feature](plan, request) : NULL;
        if (plan->arena.failed)
            return FAIL(EFI_OUT_OF_RESOURCES, "answer the kernel's request for %s",
                        feature_name(found->feature));
        if (!response)
            continue;
        store64(request + offsetof(struct limine_request, response), plan_hhdm(plan, response));
        found->answered = true;
    }
    return EFI_SUCCESS;
}

void responses_finish(struct boot_plan *plan)
{
    struct limine_memmap_response *memmap = plan->memmap_response;
    if (memmap) {
        for (size_t i = 0; i < plan->map.count; i++)
            plan->memmap_pointers[i] = plan_hhdm(plan, &plan->map.entries[i]);
        memmap->entry_count = plan->map.count;
        memmap->entries = plan_hhdm(plan, plan->memmap_pointers);
    }
    struct limine_efi_memmap_response *efi = plan->efi_memmap_response;
    if (efi) {
        efi->memmap = plan_hhdm(plan, plan->efi_map.descriptors);
        efi->memmap_size = plan->efi_map.bytes;
        efi->desc_size = plan->efi_map.descriptor_bytes;
        efi->desc_version = plan->efi_map.version;
    }
    if (plan->performance_response)
        plan->performance_response->exec_usec = clock_usec(cpu_rdtsc());
}
