/* Owns: the numbers of the report that somebody has to add up or name.
 * Relies on: boot context, memory.c, ranges.c, vmm, runtime.c, clock.c.
 * Stage: after the memory take-over. */
#include "report/facts.h"

#include "boot/context.h"
#include "boot/limine.h"
#include "boot/memory.h"
#include "console/print.h"
#include "cpu/clock.h"
#include "firmware/efi.h"
#include "firmware/runtime.h"
#include "mm/port.h"

/* RAM as UEFI counts it: our map calls runtime services reserved, as base revisions below 5 do.
 * source: UEFI "GetMemoryMap" */
static uint64_t efi_ram_bytes(void)
{
    const struct efi_descriptor *d;
    uint64_t npages = 0;

    for (size_t i = 0; (d = efi_descriptor(i)) != NULL; i++) {
        bool ram = (d->type >= EFI_LOADER_CODE && d->type <= EFI_CONVENTIONAL) ||
                   d->type == EFI_ACPI_RECLAIM || d->type == EFI_ACPI_NVS;
        if (ram && d->number_of_pages < PADDR_LIMIT / FRAME_BYTES) /* more is nonsense */
            npages += d->number_of_pages;
    }
    return npages * FRAME_BYTES;
}

void facts_memory(struct facts_memory *out)
{
    size_t n;
    const struct mem_region *map = memory_map(&n);

    *out = (struct facts_memory){0};
    for (size_t i = 0; i < n; i++) {
        out->bytes[map[i].type] += map[i].bytes;
        out->regions[map[i].type]++;
        if (mem_type_is_ram(map[i].type))
            out->ram_bytes += map[i].bytes;
    }
    uint64_t efi = efi_ram_bytes();
    if (efi > out->ram_bytes)
        out->ram_bytes = efi;
    out->usable_bytes = out->bytes[MEM_USABLE] + out->bytes[MEM_BOOTLOADER_RECLAIMABLE];
}

struct facts_boot facts_boot(void)
{
    static uint64_t kernel_usec; /* a report that is asked for later still tells of the boot */
    const struct boot_context *context = boot_context();
    struct facts_boot boot = {0};

    if (kernel_usec == 0)
        kernel_usec = clock_boot_usec();
    boot.kernel_usec = kernel_usec;
    if (context->exec_usec > context->init_usec)
        boot.loader_usec = context->exec_usec - context->init_usec;
    return boot;
}

void facts_cpus(struct facts_cpus *out)
{
    *out = (struct facts_cpus){0};
    for (unsigned id = 0; id < cpus_count(); id++) {
        enum cpu_state state = cpus_get(id)->state;
        out->online += state == CPU_ONLINE;
        out->absent += state == CPU_ABSENT;
        out->disabled += state == CPU_DISABLED;
    }
}

unsigned facts_cpus_of_node(unsigned node)
{
    unsigned n = 0;

    for (unsigned id = 0; id < cpus_count(); id++)
        n += cpus_get(id)->node == node && cpus_get(id)->state == CPU_ONLINE;
    return n;
}

const char *facts_cpu_state(enum cpu_state state)
{
    static const char *const names[] = {"online", "absent", "disabled"};
    return (unsigned)state < sizeof names / sizeof names[0] ? names[state] : "?";
}

const char *facts_firmware_type(void)
{
    switch (boot_context()->firmware_type) {
    case LIMINE_FIRMWARE_EFI64:
        return "UEFI";
    case LIMINE_FIRMWARE_EFI32:
        return "32-bit UEFI";
    case LIMINE_FIRMWARE_BIOS:
        return "BIOS";
    default:
        return "unknown";
    }
}

const char *facts_uefi_version(char *out, size_t bytes)
{
    const struct runtime_firmware *firmware = runtime_firmware();
    unsigned minor = (unsigned)firmware->uefi_minor;

    if (firmware->uefi_major == 0)
        ksnprintf(out, bytes, "%s", "");
    else if (minor % 10)
        ksnprintf(out, bytes, "%u.%u.%u", (unsigned)firmware->uefi_major, minor / 10, minor % 10);
    else
        ksnprintf(out, bytes, "%u.%u", (unsigned)firmware->uefi_major, minor / 10);
    return out;
}

static void count_run(const struct vmm_run *run, struct facts_pages *out)
{
    uint64_t entries = run->kind == VMM_IS_PAGE ? run->npages * PAGE_BYTES / run->page_bytes : 0;

    out->pages_4k += run->page_bytes == PAGE_BYTES ? entries : 0;
    out->pages_2m += run->page_bytes == HUGE_2M ? entries : 0;
    out->pages_1g += run->page_bytes == HUGE_1G ? entries : 0;
    out->on_touch += run->kind == VMM_IS_LAZY || run->kind == VMM_IS_STACK ? run->npages : 0;
    out->reserved += run->kind == VMM_IS_SET_ASIDE ? run->npages : 0;
    if (run->kind != VMM_IS_PAGE)
        return;
    out->mapped += run->npages;
    out->owned += run->prot & PROT_OWNED ? run->npages : 0;
    out->shared += run->prot & PROT_COPY ? run->npages : 0;
}

static void add_run(const struct range *range, const struct vmm_run *run, struct facts_range *out)
{
    uint64_t before = out->pages.mapped;

    if (va_eq(run->va, range->va)) {
        /* Without NX the CPU executes all: that is not what anybody asked for. */
        out->prot = run->prot & ~(port_cpu()->nx ? 0 : PROT_EXEC);
        out->cache = run->cache;
        out->pa = run->pa;
        out->contiguous = run->kind == VMM_IS_PAGE;
    }
    count_run(run, &out->pages);
    if (!pa_eq(run->pa, pa_add(out->pa, before * PAGE_BYTES)))
        out->contiguous = false;
}

void facts_range(const struct range *range, struct facts_range *out)
{
    struct vmm_run run;
    vaddr_t at = range->va, end = va_add(at, range->npages * PAGE_BYTES);

    *out = (struct facts_range){.prot = range->prot,
                                .cache = range->cache,
                                .pa = range->pa,
                                .contiguous = range->prot != 0};
    if (!range->allocated)
        return;
    while (vmm_next(vmm_kernel(), &at, &run) == MM_OK && va_lt(run.va, end))
        add_run(range, &run, out);
    out->contiguous = out->contiguous && out->pages.mapped == range->npages;
}

void facts_space(struct vm *vm, struct facts_pages *out)
{
    struct vmm_run run;

    *out = (struct facts_pages){0};
    for (vaddr_t at = VA(0); vmm_next(vm, &at, &run) == MM_OK;)
        count_run(&run, out);
}

const char *facts_prot(prot_t prot)
{
    static const char *const names[] = {"r--", "rw-", "r-x", "rwx"};

    if (prot == 0)
        return "---";
    return names[(prot & PROT_WRITE ? 1 : 0) + (prot & PROT_EXEC ? 2 : 0)];
}

const char *facts_cache(cache_t cache)
{
    static const char *const names[] = {"WB", "WT", "UC-", "UC", "WP", "WC"};
    return (unsigned)cache < sizeof names / sizeof names[0] ? names[cache] : "?";
}
