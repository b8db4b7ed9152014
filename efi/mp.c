/* The MP feature while boot services live. See mp.h. */
#include "mp.h"

#include "acpi.h"
#include "bytes.h"
#include "clock.h"
#include "cpu.h"
#include "fail.h"
#include "firmware.h"
#include "lapic.h"
#include "plan.h"

#define REAL_MODE_END  0xa0000ull /* a startup command cannot name the pages behind */
#define XAPIC_ID_MAX   254
#define DMAR_FLAGS     37 /* offset */
#define DMAR_NO_X2APIC 3  /* interrupt remapping, and "x2APIC opt out" */

/* One sentence for each entry that makes no sense, as far as there is room for them. */
static void tell_oddities(const struct madt_cpus *found)
{
    for (size_t i = 0; i < found->nodd && i < MADT_ODDITIES_MAX; i++) {
        const struct madt_oddity *odd = &found->odd[i];
        print("ACPI MADT: the entry at 0x%x ", odd->offset);
        if (odd->apic_id != MADT_NO_ID)
            print("(APIC id 0x%lx) ", odd->apic_id);
        print("%s.\n", odd->what);
    }
    if (found->nodd > MADT_ODDITIES_MAX)
        print("ACPI MADT: %lu more entries make no sense.\n", found->nodd - MADT_ODDITIES_MAX);
    if (found->beyond)
        print("ACPI MADT: %lu CPUs more than the %u there is room for: left out.\n", found->beyond,
              MP_CPUS_MAX);
}

/* The CPU we run on first, whatever the table says about it. */
static void find_cpus(struct boot_plan *plan)
{
    struct madt_cpus *found = &plan->mp.madt;
    const struct madt_cpu self = {.apic_id = cpu_apic_id()};
    const uint8_t *madt = acpi_table("APIC", MADT_ENTRIES);
    size_t i = 0;
    if (madt)
        madt_find_cpus(madt, found);
    tell_oddities(found);
    while (i < found->count && found->cpus[i].apic_id != self.apic_id)
        i++;
    if (i == found->count) {
        print("ACPI does not list the CPU we run on, APIC id 0x%x.\n", self.apic_id);
        found->nodd++;
        if (found->count == MP_CPUS_MAX) {
            found->beyond++;
            i--;
        } else {
            found->count++;
        }
        found->cpus[i] = self;
    }
    struct madt_cpu ours = found->cpus[i];
    memmove(&found->cpus[1], &found->cpus[0], i * sizeof ours);
    found->cpus[0] = ours;
}

/* The firmware may forbid x2APIC mode to operating systems. */
static bool may_use_x2apic(void)
{
    const uint8_t *dmar = acpi_table("DMAR", DMAR_FLAGS + 1);
    return cpu_has_x2apic() && !(dmar && (dmar[DMAR_FLAGS] & DMAR_NO_X2APIC) == DMAR_NO_X2APIC);
}

/* Take out the CPUs that xAPIC mode has no address for; how many. */
static size_t drop_wide_ids(struct madt_cpus *found)
{
    size_t kept = 1;
    for (size_t i = 1; i < found->count; i++) {
        if (found->cpus[i].apic_id <= XAPIC_ID_MAX)
            found->cpus[kept++] = found->cpus[i];
    }
    size_t dropped = found->count - kept;
    found->count = kept;
    return dropped;
}

static EFI_STATUS choose_apic_mode(struct boot_plan *plan, bool asked)
{
    struct mp *mp = &plan->mp;
    const bool is_on = lapic_is_x2apic();
    mp->x2apic = asked && (is_on || may_use_x2apic());
    if (mp->x2apic)
        return EFI_SUCCESS;
    size_t dropped = drop_wide_ids(&mp->madt);
    if (is_on && (dropped || mp->madt.cpus[0].apic_id > XAPIC_ID_MAX || !lapic_can_be_xapic()))
        return FAIL(
            EFI_UNSUPPORTED,
            "boot %s: MP request, flags 0: the kernel wants xAPIC mode, and the x2APIC mode "
            "of this machine cannot be left",
            plan->file.path);
    if (dropped)
        print("%lu CPUs have APIC ids above %u, out of reach in xAPIC mode: left out.\n", dropped,
              XAPIC_ID_MAX);
    return EFI_SUCCESS;
}

/* The page to begin in, and stacks. Without them the machine still runs, on one CPU. */
static void alloc_for_aps(struct mp *mp)
{
    uint64_t pages = (mp->count - 1) * (mp->stack_bytes / PAGE_BYTES);
    if (EFI_ERROR(firmware_alloc_below(1, REAL_MODE_END, (void **)&mp->page)))
        print("No page below 640 KiB is free");
    else if (EFI_ERROR(firmware_alloc_raw(pages, PAGE_BYTES, (void **)&mp->stacks)))
        print("No memory for %lu stacks of %s", mp->count - 1, size_text(mp->stack_bytes).text);
    else
        return;
    print(": the other CPUs are not started.\n");
    mp->count = 1;
}

static void fill_infos(struct boot_plan *plan)
{
    struct mp *mp = &plan->mp;
    const uint8_t *madt = acpi_table("APIC", MADT_ENTRIES);
    for (size_t i = 0; i < mp->count; i++) {
        const struct madt_cpu *cpu = &mp->madt.cpus[i];
        mp->infos[i].processor_id = cpu->uid;
        mp->infos[i].lapic_id = cpu->apic_id;
        if (madt)
            madt_lints(madt, cpu->uid, mp->slots[i].lint);
    }
}

EFI_STATUS mp_prepare(struct boot_plan *plan)
{
    struct mp *mp = &plan->mp;
    const struct limine_mp_request *request =
        requests_get(&plan->requests, FEATURE_MP, plan->image);
    if (!request || !cpu_has_apic())
        return EFI_SUCCESS;
    find_cpus(plan);
    EFI_STATUS status = choose_apic_mode(plan, request->flags & LIMINE_MP_X2APIC);
    if (EFI_ERROR(status))
        return status;
    mp->count = mp->madt.count;
    mp->stack_bytes = plan->stack_bytes;
    mp->response = arena_alloc(&plan->arena, sizeof *mp->response);
    mp->infos = arena_alloc(&plan->arena, mp->count * sizeof *mp->infos);
    mp->slots = arena_alloc(&plan->arena, mp->count * sizeof *mp->slots);
    mp->pointers = arena_alloc(&plan->arena, mp->count * sizeof *mp->pointers);
    if (plan->arena.failed)
        return FAIL(EFI_OUT_OF_RESOURCES, "allocate the descriptions of %lu CPUs", mp->count);
    if (mp->count > 1)
        alloc_for_aps(mp);
    fill_infos(plan);
    return EFI_SUCCESS;
}

void *mp_answer(struct boot_plan *plan)
{
    if (plan->mp.count > 1)
        plan->mp.tsc_hz = clock_tsc_hz();
    return plan->mp.response;
}

bool mp_map(struct boot_plan *plan)
{
    const struct mp *mp = &plan->mp;
    if (mp->count < 2)
        return true;
    uint64_t page = (uintptr_t)mp->page, apic = lapic_base();
    return tables_map(&plan->tables, page, page, PAGE_BYTES, 0) &&
           tables_map(&plan->tables, apic, apic, PAGE_BYTES, PAGE_WRITE | PAGE_UC | PAGE_NX);
}
