/* Interrupt controllers and IOMMUs. Register accesses go through the firmware's identity mapping:
 * the entry tables map memory only. source: Intel SDM Vol. 3A "Advanced Programmable Interrupt
 * Controller"; 82093AA I/O APIC; Intel VT-d "Register Descriptions"; AMD I/O Virtualization "MMIO
 * Registers"; ACPI "MADT". */
#include "quiesce.h"

#include "acpi.h"
#include "bytes.h"
#include "cpu.h"

/* ---- what the tables say --------------------------------------------------------------------- */
enum {
    MADT_ENTRIES = 44,
    MADT_LOCAL_APIC = 0,
    MADT_IO_APIC = 1,
    MADT_LOCAL_NMI = 4,
    MADT_LOCAL_X2APIC = 9,
    MADT_LOCAL_X2APIC_NMI = 10,
    DMAR_ENTRIES = 48,
    DMAR_DRHD = 0,
    IVRS_ENTRIES = 48,
};

#define ALL_PROCESSORS 0xffffffffu

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

/* The LVT value for an NMI input: masked, delivery NMI, polarity and
 * trigger by the MPS INTI flags. */
static uint32_t lint_value(uint16_t flags)
{
    const uint32_t masked = 1u << 16, delivery_nmi = 4u << 8, active_low = 1u << 13,
                   level = 1u << 15;
    return masked | delivery_nmi | ((flags & 3) == 3 ? active_low : 0) |
           ((flags >> 2 & 3) == 3 ? level : 0);
}

static void madt_nmi(struct quiesce_plan *plan, uint32_t processor, uint32_t ours, uint16_t flags,
                     uint8_t lint)
{
    if ((processor == ALL_PROCESSORS || processor == ours) && lint < 2)
        plan->lint_nmi[lint] = lint_value(flags);
}

/* Walk a table of {type, length} bytes; entry gets each that is whole. */
static void each_entry(const uint8_t *table, size_t first, void (*entry)(const uint8_t *, void *),
                       void *context)
{
    uint32_t length = acpi_length(table);
    for (size_t at = first; at + 2 <= length && table[at + 1] >= 2 && at + table[at + 1] <= length;
         at += table[at + 1])
        entry(table + at, context);
}

/* The ACPI processor number of the CPU we run on: NMI entries name processors by it. */
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

struct madt_walk {
    struct quiesce_plan *plan;
    uint32_t uid;
};

static void madt_entry(const uint8_t *e, void *context)
{
    struct madt_walk *walk = context;
    struct quiesce_plan *plan = walk->plan;
    if (e[0] == MADT_IO_APIC && e[1] >= 12)
        remember(plan->io_apics, &plan->nio_apics, IO_APICS_MAX, load32(e + 4), &plan->overflow);
    if (e[0] == MADT_LOCAL_NMI && e[1] >= 6)
        madt_nmi(plan, e[2] == 0xff ? ALL_PROCESSORS : e[2], walk->uid, load16(e + 3), e[5]);
    if (e[0] == MADT_LOCAL_X2APIC_NMI && e[1] >= 12)
        madt_nmi(plan, load32(e + 4), walk->uid, load16(e + 2), e[8]);
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
        struct self self = {.apic_id = cpuid(1, 0).ebx >> 24};
        uint32_t x2apic_id = cpuid_or_zero(0xb, 0).edx;
        if (x2apic_id)
            self.apic_id = x2apic_id;
        each_entry(madt, MADT_ENTRIES, find_self, &self);
        struct madt_walk walk = {plan, self.uid};
        each_entry(madt, MADT_ENTRIES, madt_entry, &walk);
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

enum {
    LAPIC_VERSION = 0x30,
    LAPIC_TPR = 0x80,
    LAPIC_SVR = 0xf0,
    LVT_CMCI = 0x2f0,
    LVT_TIMER = 0x320,
    LVT_THERMAL = 0x330,
    LVT_PERFORMANCE = 0x340,
    LVT_LINT0 = 0x350,
    LVT_LINT1 = 0x360,
    LVT_ERROR = 0x370,
};

struct lapic {
    bool x2apic;
    uint64_t base;
};

static uint32_t lapic_read(const struct lapic *apic, uint32_t reg)
{
    return apic->x2apic ? (uint32_t)cpu_rdmsr(MSR_X2APIC + reg / 16)
                        : mmio_read32(apic->base + reg);
}

static void lapic_write(const struct lapic *apic, uint32_t reg, uint32_t value)
{
    if (apic->x2apic)
        cpu_wrmsr(MSR_X2APIC + reg / 16, value);
    else
        mmio_write32(apic->base + reg, value);
}

/* The local vector table: which entries exist depends on how many
 * the version register admits to. */
static void mask_lvt(const struct lapic *apic)
{
    static const struct {
        uint16_t reg;
        uint8_t needs; /* the least highest-entry number */
    } lvt[] = {{LVT_TIMER, 0},       {LVT_LINT0, 0},   {LVT_LINT1, 0}, {LVT_ERROR, 0},
               {LVT_PERFORMANCE, 4}, {LVT_THERMAL, 5}, {LVT_CMCI, 6}};
    const uint32_t masked = 1u << 16;
    uint32_t highest = lapic_read(apic, LAPIC_VERSION) >> 16 & 0xff;
    for (unsigned i = 0; i < sizeof lvt / sizeof lvt[0]; i++) {
        if (lvt[i].needs > highest)
            continue;
        uint32_t value = lapic_read(apic, lvt[i].reg);
        bool has_delivery = lvt[i].reg != LVT_TIMER && lvt[i].reg != LVT_ERROR;
        if (!has_delivery || is_maskable(value, true))
            lapic_write(apic, lvt[i].reg, value | masked);
    }
}

static void set_lapic(const struct quiesce_plan *plan)
{
    const uint64_t enabled = 1ull << 11, x2apic = 1ull << 10;
    if (!cpu_has_apic())
        return;
    uint64_t msr = cpu_rdmsr(MSR_APIC_BASE);
    if (!(msr & enabled)) {
        msr |= enabled;
        cpu_wrmsr(MSR_APIC_BASE, msr);
    }
    struct lapic apic = {.x2apic = msr & x2apic, .base = msr & 0x000ffffffffff000ull};
    mask_lvt(&apic);
    lapic_write(&apic, LAPIC_SVR, 0x1ff);
    lapic_write(&apic, LAPIC_TPR, 0);
    for (uint32_t lint = 0; lint < 2; lint++) {
        if (plan->lint_nmi[lint])
            lapic_write(&apic, LVT_LINT0 + 0x10 * lint, plan->lint_nmi[lint]);
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
    set_lapic(plan);
    if (!plan->keep_iommu)
        disable_iommus(plan);
}
