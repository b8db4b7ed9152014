/* Interrupt controllers and IOMMUs. Register accesses go through the firmware's identity mapping:
 * the entry tables map memory only. source: Intel SDM Vol. 3A "Advanced Programmable Interrupt
 * Controller"; 82093AA I/O APIC; Intel VT-d "Register Descriptions"; AMD I/O Virtualization "MMIO
 * Registers"; ACPI "MADT". */
#include "quiesce.h"

#include "acpi.h"
#include "bytes.h"
#include "cpu.h"
#include "lapic.h"
#include "madt.h"

/* ---- what the tables say --------------------------------------------------------------------- */
enum {
    DMAR_ENTRIES = 48,
    DMAR_DRHD = 0,
    IVRS_ENTRIES = 48,
};

static void remember(uint64_t *list, size_t *count, size_t capacity, uint64_t address,
                     bool *overflow)
{
    for (size_t i = 0; i < *count; i++) {
        if (list[i] == address)
            return; /* an AMD unit is described once per revision of the table */
    }
    if (*count == capacity)
        *overflow = true;
    else if (address)
        list[(*count)++] = address;
}

static void madt_entry(const uint8_t *e, void *context)
{
    struct quiesce_plan *plan = context;
    if (e[0] == MADT_IO_APIC && e[1] >= 12)
        remember(plan->io_apics, &plan->nio_apics, IO_APICS_MAX, load32(e + 4), &plan->overflow);
}

/* NMI entries name processors by ACPI's number, which the CPU's own entry tells. */
struct self {
    uint32_t apic_id, uid;
};

static void find_self(const uint8_t *e, void *context)
{
    struct self *self = context;
    if (e[0] == MADT_LOCAL_APIC && e[1] >= 8 && e[3] == self->apic_id && load32(e + 4) & 3)
        self->uid = e[2];
    if (e[0] == MADT_LOCAL_X2APIC && e[1] >= 16 && load32(e + 4) == self->apic_id)
        self->uid = load32(e + 12);
}

/* DMAR and IVRS entries have 16-bit lengths, at offset 2 of the entry. */
static void find_iommus(struct quiesce_plan *plan, const uint8_t *table, size_t first, bool amd)
{
    uint32_t length = acpi_length(table);
    for (size_t at = first; at + 16 <= length;) {
        const uint8_t *e = table + at;
        uint16_t type = amd ? e[0] : load16(e), bytes = load16(e + 2);
        if (bytes < 4 || bytes > length - at)
            return;
        if (amd && (type == 0x10 || type == 0x11 || type == 0x40)) /* IVHD */
            remember(plan->amd_vis, &plan->namd_vis, IOMMUS_MAX, load64(e + 8), &plan->overflow);
        if (!amd && type == DMAR_DRHD)
            remember(plan->vtds, &plan->nvtds, IOMMUS_MAX, load64(e + 8), &plan->overflow);
        at += bytes;
    }
}

void quiesce_prepare(struct quiesce_plan *plan, uint64_t base_revision, bool keep_iommu)
{
    *plan = (struct quiesce_plan){.strict = base_revision >= 5, .keep_iommu = keep_iommu};
    const uint8_t *madt = acpi_table("APIC", MADT_ENTRIES);
    if (madt) {
        struct self self = {.apic_id = cpu_apic_id()};
        madt_each(madt, find_self, &self);
        madt_lints(madt, self.uid, plan->lint_nmi);
        madt_each(madt, madt_entry, plan);
    }
    const uint8_t *dmar = acpi_table("DMAR", DMAR_ENTRIES);
    if (dmar)
        find_iommus(plan, dmar, DMAR_ENTRIES, false);
    const uint8_t *ivrs = acpi_table("IVRS", IVRS_ENTRIES);
    if (ivrs)
        find_iommus(plan, ivrs, IVRS_ENTRIES, true);
}

/* ---- what is done about it
 * ----------------------------------------------------------------------- */
#define POLLS_MAX 1000000u /* of a register that should follow at once */

static void mask_pics(void)
{
    cpu_out8(0xa1, 0xff);
    cpu_out8(0x21, 0xff);
}

/* Fixed and lowest priority always; NMI and ExtINT too where the protocol is strict. */
static bool is_maskable(uint32_t entry, bool strict)
{
    uint32_t delivery = entry >> 8 & 7;
    return delivery <= 1 || (strict && (delivery == 4 || delivery == 7));
}

static void mask_io_apic(uint64_t base, bool strict)
{
    const uint32_t masked = 1u << 16;
    mmio_write32(base, 1); /* the version register: how many entries */
    uint32_t version = mmio_read32(base + 0x10);
    if (version == 0xffffffff)
        return; /* nobody answers there */
    for (uint32_t i = 0; i <= (version >> 16 & 0xff); i++) {
        mmio_write32(base, 0x10 + 2 * i);
        uint32_t low = mmio_read32(base + 0x10);
        if (!(low & masked) && is_maskable(low, strict))
            mmio_write32(base + 0x10, low | masked);
    }
}

/* Clear one enable bit of a VT-d unit. Writing the command register repeats the state of the other
 * enable bits; the one-shot bits must be written as 0. */
static void vtd_disable(uint64_t base, uint32_t bit)
{
    const uint32_t command = 0x18, status = 0x1c, one_shot = 0x69000000;
    uint32_t now = mmio_read32(base + status);
    if (now == 0xffffffff || !(now & bit))
        return;
    mmio_write32(base + command, now & ~one_shot & ~bit);
    for (uint32_t i = 0; i < POLLS_MAX && mmio_read32(base + status) & bit; i++)
        cpu_pause();
}

static void amd_vi_disable(uint64_t base)
{
    const uint64_t control = 0x18;
    const uint64_t enable = 1 << 0, event_log = 1 << 2, command_buffer = 1 << 12, ppr_log = 1 << 13;
    uint64_t now = mmio_read64(base + control);
    if (now == UINT64_MAX || !(now & enable))
        return;
    now &= ~(event_log | command_buffer | ppr_log); /* its queues first, then the unit itself */
    mmio_write64(base + control, now);
    mmio_write64(base + control, now & ~enable);
}

static void disable_iommus(const struct quiesce_plan *plan)
{
    const uint32_t translation = 1u << 31, interrupt_remapping = 1u << 25;
    for (size_t i = 0; i < plan->nvtds; i++) {
        vtd_disable(plan->vtds[i], interrupt_remapping);
        vtd_disable(plan->vtds[i], translation);
    }
    for (size_t i = 0; i < plan->namd_vis; i++)
        amd_vi_disable(plan->amd_vis[i]);
}

void quiesce(const struct quiesce_plan *plan)
{
    mask_pics();
    for (size_t i = 0; i < plan->nio_apics; i++)
        mask_io_apic(plan->io_apics[i], plan->strict);
    if (!plan->strict)
        return;
    if (cpu_has_apic())
        lapic_quiesce(plan->lint_nmi);
    if (!plan->keep_iommu)
        disable_iommus(plan);
}
