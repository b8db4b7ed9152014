/* The boot, step by step. boot_prepare does all that can fail; boot_enter fetches the final memory
 * map, lays it out in storage made before, and leaves. The layout is done before ExitBootServices
 * is called with that map's key, not after: if the call succeeds the map is final, and nothing
 * behind it can fail. Stage: boot services alive. */
#include "boot.h"

#include "acpi.h"
#include "bytes.h"
#include "clock.h"
#include "cpu.h"
#include "entropy.h"
#include "fail.h"
#include "firmware.h"
#include "image.h"
#include "paging_mode.h"
#include "plan.h"
#include "tables.h"

/* Runs of mapped memory that the map may gain between making room for the tables and the end. */
#define RUN_HEADROOM  8
#define EXIT_ATTEMPTS 8

bool plan_carve(struct boot_plan *plan, uint64_t base, uint64_t bytes, enum limine_type type)
{
    uint64_t end;
    if (bytes == 0)
        return true;
    if (plan->ncarve_outs == CARVE_OUTS_MAX || !add_ok(base, bytes, &end))
        return false;
    plan->carve_outs[plan->ncarve_outs++] = (struct carve_out){base, end, type};
    return true;
}

static EFI_STATUS step_machine(struct boot_plan *plan)
{
    if (!plan->dry) /* a boot manager gives an application five minutes */
        (void)BS->SetWatchdogTimer(0, 0, 0, NULL);
    if (!acpi_init())
        VERBOSE(plan, "There are no ACPI tables.\n");
    clock_start();
    entropy_init();
    return EFI_SUCCESS;
}

static EFI_STATUS step_file(struct boot_plan *plan)
{
    EFI_STATUS status = kernel_file_open(plan->options, &plan->file);
    if (!EFI_ERROR(status))
        VERBOSE(plan, "Kernel: %s%s, %lu bytes.\n", plan->file.inside ? "inside " : "",
                plan->file.path, plan->file.bytes);
    return status;
}

/* The entry point by the ELF header or by request; it must be something that can be executed. */
static EFI_STATUS step_entry(struct boot_plan *plan)
{
    const struct limine_entry_point_request *request =
        requests_get(&plan->requests, FEATURE_ENTRY_POINT, plan->image);
    plan->entry = request ? request->entry : plan->elf.entry + plan->slide;
    if (!elf_is_executable(&plan->elf, plan->entry - plan->slide))
        return FAIL(EFI_LOAD_ERROR, "boot %s: %s 0x%lx is not in an executable segment",
                    plan->file.path, request ? "entry point request" : "e_entry",
                    request ? request->entry : plan->elf.entry);
    return EFI_SUCCESS;
}

/* Where the direct map begins. With 5 levels there is room to slide it, in steps of 512 GiB: large
 * pages fit as they do without. */
static uint64_t choose_hhdm(const struct boot_plan *plan)
{
    if (plan->tables.levels == 4)
        return HHDM_BASE_4;
    return HHDM_BASE_5 +
           (plan->options->kaslr ? entropy_next() % HHDM_SLIDES_5 * HHDM_SLIDE_BYTES : 0);
}

/* The levels are the kernel's choice, or the user's within what it allows. */
static EFI_STATUS step_paging_mode(struct boot_plan *plan)
{
    const struct options *o = plan->options;
    struct paging_modes kernel =
        paging_modes_of(requests_get(&plan->requests, FEATURE_PAGING_MODE, plan->image));
    const uint64_t now = cpu_read_cr4() & CR4_LA57 ? LIMINE_PAGING_5LEVEL : LIMINE_PAGING_4LEVEL;
    uint64_t lowest = LIMINE_PAGING_4LEVEL, highest = cpu_has_la57(), mode = now;
    if (o->paging)
        kernel.mode = o->paging - 4;
    bool possible = paging_mode_choose(&kernel, lowest, highest, &mode);
    if (possible && mode != now && !handover_alloc_step(plan)) {
        print("No memory below 4 GiB is free: page tables keep their %lu levels.\n", 4 + now);
        lowest = highest = now;
        possible = paging_mode_choose(&kernel, lowest, highest, &mode);
    }
    if (!possible)
        return FAIL(EFI_UNSUPPORTED,
                    "boot %s: paging mode request, min_mode %lu, max_mode %lu: this machine has "
                    "modes %lu to %lu (%lu to %lu levels)",
                    plan->file.path, kernel.min, kernel.max, lowest, highest, 4 + lowest,
                    4 + highest);
    plan->tables.levels = 4 + (unsigned)mode;
    plan->hhdm = choose_hhdm(plan);
    if (o->paging && o->paging != plan->tables.levels)
        print("paging=%ulevel is not possible with this kernel and CPU; using %u levels.\n",
              o->paging, plan->tables.levels);
    return EFI_SUCCESS;
}

static EFI_STATUS step_stack(struct boot_plan *plan)
{
    const struct limine_stack_size_request *request =
        requests_get(&plan->requests, FEATURE_STACK_SIZE, plan->image);
    uint64_t bytes = request ? request->stack_size : 0;
    if (bytes < STACK_BYTES_MIN)
        bytes = STACK_BYTES_MIN;
    if (bytes > STACK_BYTES_MAX)
        return FAIL(EFI_UNSUPPORTED,
                    "boot %s: stack size request, stack_size 0x%lx is more than 256 MiB",
                    plan->file.path, bytes);
    bytes = round_up(bytes, PAGE_BYTES);
    void *stack;
    EFI_STATUS status = firmware_alloc_raw(bytes / PAGE_BYTES, PAGE_BYTES, &stack);
    if (EFI_ERROR(status))
        return FAIL(status, "allocate a stack of 0x%lx bytes", bytes);
    plan->stack_bytes = bytes;
    plan->stack_top = plan_hhdm(plan, stack) + bytes;
    return EFI_SUCCESS;
}

/* Set the mode that is wanted and look at what we got; dry: look at what we would get. */
static void step_set_mode(struct boot_plan *plan, EFI_GRAPHICS_OUTPUT_PROTOCOL *gop)
{
    UINT32 chosen;
    const struct options *o = plan->options;
    if (!gop_choose(gop, o, &chosen))
        return;
    bool change = chosen != gop->Mode->Mode;
    if (change && !plan->dry) {
        EFI_STATUS status = gop->SetMode(gop, chosen);
        if (EFI_ERROR(status))
            print("The display refuses mode %u (%s); going on with mode %u.\n", chosen,
                  status_name(status), gop->Mode->Mode);
    }
    plan->have_framebuffer = change && plan->dry ? gop_describe(gop, chosen, &plan->mode)
                                                 : gop_current(gop, &plan->mode);
    plan->framebuffer_base = gop->Mode->FrameBufferBase;
    if (o->width && (plan->mode.width != o->width || plan->mode.height != o->height))
        print("resolution=%ux%u is not a mode of this display; using %lux%lu.\n", o->width,
              o->height, plan->mode.width, plan->mode.height);
}

static EFI_STATUS step_framebuffer(struct boot_plan *plan)
{
    EFI_GRAPHICS_OUTPUT_PROTOCOL *gop;
    if (!requests_get(&plan->requests, FEATURE_FRAMEBUFFER, plan->image))
        return EFI_SUCCESS;
    if (EFI_ERROR(gop_open(&gop)))
        VERBOSE(plan, "There is no graphics output.\n");
    else
        step_set_mode(plan, gop);
    return EFI_SUCCESS;
}

static EFI_STATUS step_carve(struct boot_plan *plan)
{
    uint64_t image = plan->elf.end - plan->elf.base;
    bool ok = plan_carve(plan, (uintptr_t)plan->image, image, LIMINE_EXECUTABLE);
    if (plan->have_framebuffer)
        ok = ok && plan_carve(plan, plan->framebuffer_base, plan->mode.pitch * plan->mode.height,
                              LIMINE_FRAMEBUFFER_MEMORY);
    if (!ok || !tables_carve(plan))
        return FAIL(EFI_UNSUPPORTED,
                    "lay out memory: there are more than %u firmware tables, or one "
                    "wraps around",
                    CARVE_OUTS_MAX - 2);
    bool keep = requests_get(&plan->requests, FEATURE_KEEP_IOMMU, plan->image);
    quiesce_prepare(&plan->quiesce, plan->requests.base_revision, keep);
    if (plan->quiesce.overflow)
        return FAIL(EFI_UNSUPPORTED,
                    "silence the interrupts: there are more than %u I/O APICs or IOMMUs",
                    IO_APICS_MAX);
    return EFI_SUCCESS;
}

static EFI_STATUS alloc_for(void *out, size_t bytes, const char *what)
{
    EFI_STATUS status =
        firmware_alloc_raw((bytes + PAGE_BYTES - 1) / PAGE_BYTES, PAGE_BYTES, (void **)out);
    return EFI_ERROR(status) ? FAIL(status, "allocate 0x%lx bytes for %s", bytes, what) : status;
}

/* Storage for the final memory map, sized by the map of now. */
static EFI_STATUS step_map_storage(struct boot_plan *plan)
{
    EFI_STATUS status = memmap_get(&plan->efi_map);
    if (EFI_ERROR(status))
        return FAIL(status, "get the firmware's memory map");
    struct limine_map *map = &plan->map;
    size_t descriptors = plan->efi_map.capacity / plan->efi_map.descriptor_bytes;
    map->edge_capacity = LIMINE_MAP_EDGES(descriptors, plan->ncarve_outs);
    status = alloc_for(&map->edges, map->edge_capacity * sizeof *map->edges, "the memory map");
    if (EFI_ERROR(status))
        return status;
    return alloc_for(&map->entries, map->edge_capacity * sizeof *map->entries, "the memory map");
}

static bool convert_map(struct boot_plan *plan)
{
    return limine_map_build(&plan->map, plan->efi_map.descriptors, plan->efi_map.bytes,
                            plan->efi_map.descriptor_bytes, plan->requests.base_revision,
                            plan->carve_outs, plan->ncarve_outs);
}

static EFI_STATUS step_table_storage(struct boot_plan *plan)
{
    struct page_tables *t = &plan->tables;
    t->nx = cpu_has_nx();
    t->huge_1gib = cpu_has_1gib_pages();
    if (!convert_map(plan))
        return FAIL(EFI_OUT_OF_RESOURCES, "convert a memory map of %lu bytes", plan->efi_map.bytes);
    t->capacity = tables_bound(t, plan->elf.end - plan->elf.base, &plan->map,
                               plan->requests.base_revision, plan->hhdm, RUN_HEADROOM);
    /* The other CPUs load the root in 32-bit mode, and this one if it changes the levels. */
    bool low = plan->mp.count > 1 || plan->step;
    EFI_STATUS status = firmware_alloc_below(t->capacity, low ? 1ull << 32 : 0, (void **)&t->pool);
    if (EFI_ERROR(status))
        return FAIL(status, "allocate %lu pages for page tables", t->capacity);
    plan->handover = arena_alloc(&plan->arena, sizeof *plan->handover);
    if (!plan->handover)
        return FAIL(EFI_OUT_OF_RESOURCES, "allocate the hand-over's data");
    handover_prepare(plan);
    return EFI_SUCCESS;
}

EFI_STATUS plan_lay_out(struct boot_plan *plan)
{
    struct page_tables *t = &plan->tables;
    if (!convert_map(plan))
        return EFI_OUT_OF_RESOURCES;
    tables_reset(t);
    if (!tables_map_image(t, &plan->elf, plan->slide, (uintptr_t)plan->image) ||
        !tables_map_hhdm(t, &plan->map, plan->requests.base_revision, plan->hhdm) ||
        !handover_map(plan) || !mp_map(plan))
        return EFI_OUT_OF_RESOURCES;
    return EFI_SUCCESS;
}

/* Do once what boot_enter will do, while a failure can still be told. */
static EFI_STATUS step_rehearse(struct boot_plan *plan)
{
    EFI_STATUS status = memmap_refresh(&plan->efi_map);
    if (EFI_ERROR(status))
        return FAIL(status, "get the firmware's memory map");
    status = plan_lay_out(plan);
    if (EFI_ERROR(status))
        return FAIL(status, "build the page tables in 0x%lx bytes",
                    plan->tables.capacity * PAGE_BYTES);
    responses_finish(plan);
    VERBOSE(plan, "Entering at 0x%lx with %lu pages of tables.\n", plan->entry, plan->tables.used);
    return EFI_SUCCESS;
}

EFI_STATUS boot_prepare(const struct options *options, bool dry, struct boot_plan **out)
{
    static EFI_STATUS (*const steps[])(struct boot_plan *) = {
        step_machine,     step_file,        image_load,         image_find_requests, step_entry,
        step_paging_mode, step_stack,       mp_prepare,         step_framebuffer,    step_carve,
        step_map_storage, responses_answer, step_table_storage, step_rehearse,
    };
    UINTN mark = firmware_mark();
    struct boot_plan *plan;
    *out = NULL;
    EFI_STATUS status = firmware_alloc_pages((sizeof *plan + PAGE_BYTES - 1) / PAGE_BYTES,
                                             PAGE_BYTES, (void **)&plan);
    if (EFI_ERROR(status))
        return FAIL(status, "allocate %lu bytes for the boot's own data", sizeof *plan);
    plan->options = options;
    plan->dry = dry;
    plan->mark = mark;
    *out = plan; /* also when a step fails: boot_discard frees it */
    for (UINTN i = 0; i < sizeof steps / sizeof steps[0] && !EFI_ERROR(status); i++)
        status = steps[i](plan);
    return status;
}

void boot_discard(struct boot_plan *plan)
{
    if (plan)
        firmware_free_since(plan->mark);
}

EFI_STATUS boot_enter(struct boot_plan *plan)
{
    EFI_STATUS status = EFI_ABORTED;
    for (int attempt = 0; attempt < EXIT_ATTEMPTS; attempt++) {
        /* After a failed attempt only the memory map may be asked for;
         * nothing is allocated here. */
        status = memmap_refresh(&plan->efi_map);
        if (!EFI_ERROR(status))
            status = plan_lay_out(plan);
        if (EFI_ERROR(status))
            return status;
        status = BS->ExitBootServices(image_handle, plan->efi_map.key);
        if (!EFI_ERROR(status)) {
            handover_quiesce(plan);
            mp_start(plan);
            responses_finish(plan);
            handover_enter(plan);
        }
        if (status != EFI_INVALID_PARAMETER) /* anything but a stale key will not go away */
            return status;
    }
    return status;
}
