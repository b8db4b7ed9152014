/* What would be handed over, as text. Stage: boot services alive, after boot_prepare. */
#include "boot.h"
#include "boot/elf.h"
#include "bytes.h"
#include "clock.h"
#include "cpu.h"
#include "entropy.h"
#include "firmware.h"
#include "plan.h"
#include "print.h"

static UINTN describe_kernel(const struct boot_plan *plan)
{
    UINTN odd = 0;
    const struct elf_image *elf = &plan->elf;
    struct elf_run runs[ELF_RUNS_MAX];
    size_t n = elf_runs(elf, runs);
    print("Kernel          %s%s, %s\n", plan->file.inside ? "inside " : "", plan->file.path,
          size_text(plan->file.bytes).text);
    print("  entry         %016lx\n", plan->entry);
    print("  at            %016lx, slide %lx\n", elf->base + plan->slide, plan->slide);
    print("  in memory     %016lx, %s\n", (uint64_t)(uintptr_t)plan->image,
          size_text(elf->end - elf->base).text);
    for (size_t i = 0; i < n; i++) {
        bool wx = runs[i].flags & ELF_PF_W && runs[i].flags & ELF_PF_X;
        print("  pages         %016lx %10s r%c%c%s\n", runs[i].va + plan->slide,
              size_text(runs[i].bytes).text, runs[i].flags & ELF_PF_W ? 'w' : '-',
              runs[i].flags & ELF_PF_X ? 'x' : '-', wx ? "  writable and executable!" : "");
        odd += wx;
    }
    return odd;
}

static UINTN describe_requests(const struct boot_plan *plan)
{
    print("Base revision   %lu\n", plan->requests.base_revision);
    for (size_t i = 0; i < plan->requests.count; i++) {
        const struct found_request *r = &plan->requests.found[i];
        if (r->feature == FEATURE_UNKNOWN)
            print("  request       %016lx %016lx: unknown, no answer\n", r->id[0], r->id[1]);
        else
            print("  request       %-20s %s\n", feature_name(r->feature),
                  r->answered ? "answered" : "no answer");
    }
    return 0;
}

static UINTN describe_map(const struct boot_plan *plan)
{
    static const char *const names[LIMINE_TYPES] = {
        "usable",     "reserved",   "ACPI reclaimable", "ACPI NVS",        "bad",
        "bootloader", "executable", "framebuffer",      "reserved, mapped"};
    uint64_t bytes[LIMINE_TYPES] = {0}, count[LIMINE_TYPES] = {0};
    for (size_t i = 0; i < plan->map.count; i++) {
        bytes[plan->map.entries[i].type] += plan->map.entries[i].length;
        count[plan->map.entries[i].type]++;
    }
    print("Memory map      %lu entries\n", plan->map.count);
    for (int type = 0; type < LIMINE_TYPES; type++) {
        if (count[type])
            print("  %-17s %10s in %lu\n", names[type], size_text(bytes[type]).text, count[type]);
    }
    if (plan->map.odd)
        print("  %lu descriptors of the firmware are misaligned or wrap around\n", plan->map.odd);
    return plan->map.odd + !count[LIMINE_USABLE];
}

static UINTN describe_machine(const struct boot_plan *plan)
{
    UINTN odd = 0;
    const struct limine_video_mode *m = &plan->mode;
    if (plan->have_framebuffer)
        print("Framebuffer     %lux%lu, pitch %lu, at %lx\n", m->width, m->height, m->pitch,
              plan->framebuffer_base);
    else
        print("Framebuffer     none\n");
    /* boot_prepare has said it already */
    odd += plan->options->width &&
           (m->width != plan->options->width || m->height != plan->options->height);
    print("Page tables     %lu pages, %u-level, HHDM at %016lx\n", plan->tables.used,
          plan->tables.levels, plan->hhdm);
    if (!plan->tables.nx) {
        print("  the CPU has no NX: everything mapped can be executed\n");
        odd++;
    }
    print("Stack           up to %016lx\n", plan->stack_top);
    print("TSC             %lu Hz by %s\n", clock_tsc_hz(), clock_source());
    print("Entropy         %s\n",
          entropy_is_strong() ? "hardware or firmware, and jitter" : "timer jitter only");
    /* No instruction can clear TR: the protocol's strict state needs firmware that never set it. */
    if (plan->quiesce.strict && cpu_read_tr()) {
        print("Task register   %x, should be 0: left by the firmware\n", cpu_read_tr());
        odd++;
    }
    print("Interrupts      %lu I/O APICs, %lu IOMMUs\n", plan->quiesce.nio_apics,
          plan->quiesce.nvtds + plan->quiesce.namd_vis);
    return odd;
}

static UINTN describe_cpus(const struct boot_plan *plan)
{
    const struct mp *mp = &plan->mp;
    if (!mp->response) {
        print("CPUs            1: the kernel does not ask for more\n");
        return 0;
    }
    print("CPUs            %lu, of which %lu to be started, %s\n", mp->count, mp->count - 1,
          mp->x2apic ? "x2APIC" : "xAPIC");
    if (mp->madt.disabled)
        print("  %lu more are disabled or absent\n", mp->madt.disabled);
    if (mp->madt.online_capable)
        print("  %lu more can come online later, but not be started now\n",
              mp->madt.online_capable);
    /* mp_prepare has said what */
    return mp->madt.nodd + mp->madt.beyond + (mp->count < mp->madt.count);
}

UINTN boot_describe(const struct boot_plan *plan)
{
    return describe_kernel(plan) + describe_requests(plan) + describe_map(plan) +
           describe_machine(plan) + describe_cpus(plan);
}
