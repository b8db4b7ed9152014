/* From the file to the loaded, slid, relocated image. Stage: boot services alive. */
#include "image.h"

#include "boot/elf.h"
#include "bytes.h"
#include "entropy.h"
#include "fail.h"
#include "firmware.h"
#include "plan.h"

#define LARGE_PAGE_BYTES 0x200000ull

/* The sentence about a bad file. */
static EFI_STATUS fail_fault(const struct boot_plan *plan, const struct fault *f)
{
    const char *path = plan->file.path;
    if (f->where && f->index == FAULT_ONLY)
        return FAIL(EFI_LOAD_ERROR, "boot %s: %s: %s 0x%lx %s", path, f->where, f->field, f->value,
                    f->what);
    if (f->where)
        return FAIL(EFI_LOAD_ERROR, "boot %s: %s %lu: %s 0x%lx %s", path, f->where, f->index,
                    f->field, f->value, f->what);
    return FAIL(EFI_LOAD_ERROR, "boot %s: %s 0x%lx %s", path, f->field, f->value, f->what);
}

/* The grain of addresses, virtual and physical: what the file asks for, and for images that fill
 * one, a large page, which saves page tables. */
static uint64_t image_grain(const struct elf_image *elf)
{
    if (elf->end - elf->base >= LARGE_PAGE_BYTES && elf->align < LARGE_PAGE_BYTES)
        return LARGE_PAGE_BYTES;
    return elf->align;
}

/* Where a position-independent image goes: at least up into the window, at most to its end. */
static bool choose_slide(struct boot_plan *plan, uint64_t grain)
{
    const struct elf_image *elf = &plan->elf;
    if (!elf->movable)
        return true;
    uint64_t least = 0, size = elf->end - elf->base;
    if (elf->base < ELF_WINDOW_BASE)
        least = round_up(ELF_WINDOW_BASE - elf->base, grain);
    if (elf->base + least > ELF_WINDOW_END - size)
        return false;
    uint64_t places = (ELF_WINDOW_END - size - (elf->base + least)) / grain + 1;
    plan->slide = least + (plan->options->kaslr ? entropy_next() % places * grain : 0);
    return true;
}

/* Memory for the image, as far above a multiple of the grain as its address is. */
static EFI_STATUS place(struct boot_plan *plan, uint64_t grain)
{
    uint64_t lead = plan->elf.base % grain, size = plan->elf.end - plan->elf.base;
    void *memory;
    EFI_STATUS status = firmware_alloc_raw((lead + size) / PAGE_BYTES, grain, &memory);
    if (!EFI_ERROR(status))
        plan->image = (uint8_t *)memory + lead;
    return status;
}

static EFI_STATUS alloc_image(struct boot_plan *plan)
{
    uint64_t grain = image_grain(&plan->elf), size = plan->elf.end - plan->elf.base;
    if (!choose_slide(plan, grain))
        return FAIL(EFI_LOAD_ERROR, "boot %s: p_vaddr 0x%lx leaves no room for 0x%lx bytes",
                    plan->file.path, plan->elf.base, size);
    EFI_STATUS status = place(plan, grain);
    if (EFI_ERROR(status) && grain > plan->elf.align)
        status = place(plan, plan->elf.align); /* short of memory: do without large pages */
    if (EFI_ERROR(status))
        return FAIL(status, "allocate 0x%lx bytes in one piece for %s", size, plan->file.path);
    return status;
}

/* The protocol lets segments share pages; our own kernel is not built that way. */
static EFI_STATUS check_own(const struct boot_plan *plan)
{
    struct elf_run runs[ELF_RUNS_MAX];
    size_t n = plan->file.inside ? elf_runs(&plan->elf, runs) : 0;
    for (size_t i = 0; i < n; i++) {
        if (runs[i].flags & ELF_PF_W && runs[i].flags & ELF_PF_X)
            return FAIL(EFI_LOAD_ERROR, "boot %s: the pages at 0x%lx are writable and executable",
                        plan->file.path, runs[i].va);
    }
    return EFI_SUCCESS;
}

EFI_STATUS image_load(struct boot_plan *plan)
{
    struct fault fault;
    if (!elf_parse(plan->file.data, plan->file.bytes, &plan->elf, &fault))
        return fail_fault(plan, &fault);
    EFI_STATUS status = check_own(plan);
    if (!EFI_ERROR(status))
        status = alloc_image(plan);
    if (EFI_ERROR(status))
        return status;
    elf_load(&plan->elf, plan->image);
    if (!elf_relocate(&plan->elf, plan->image, plan->slide, &fault))
        return fail_fault(plan, &fault);
    VERBOSE(plan, "Loaded 0x%lx bytes at 0x%lx for 0x%lx (slide 0x%lx).\n",
            plan->elf.end - plan->elf.base, (uint64_t)(uintptr_t)plan->image,
            plan->elf.base + plan->slide, plan->slide);
    return EFI_SUCCESS;
}

EFI_STATUS image_find_requests(struct boot_plan *plan)
{
    struct fault fault;
    if (!requests_find(&plan->elf, plan->image, &plan->requests, &fault))
        return fail_fault(plan, &fault);
    /* source: Limine "Base protocol revisions": the second word becomes the revision used, the
     * third 0 */
    uint8_t *tag = plan->image + plan->requests.tag_offset;
    store64(tag + 8, plan->requests.base_revision);
    store64(tag + 16, 0);
    VERBOSE(plan, "Base revision %lu, %lu requests.\n", plan->requests.base_revision,
            plan->requests.count);
    return EFI_SUCCESS;
}
