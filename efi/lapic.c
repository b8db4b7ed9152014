/* The local APIC. See lapic.h. Runs on every CPU, on the others at its alias in the HHDM: nothing
 * here may use an address that was relocated at load time. */
#include "lapic.h"

#include "cpu.h"

enum {
    LAPIC_VERSION = 0x30,
    LAPIC_TPR = 0x80,
    LAPIC_SVR = 0xf0,
    LVT_CMCI = 0x2f0,
    LAPIC_ICR = 0x300,
    LAPIC_ICR_TO = 0x310,
    LVT_TIMER = 0x320,
    LVT_THERMAL = 0x330,
    LVT_PERFORMANCE = 0x340,
    LVT_LINT0 = 0x350,
    LVT_LINT1 = 0x360,
    LVT_ERROR = 0x370,
};

#define BASE_X2APIC  (1ull << 10)
#define BASE_ENABLED (1ull << 11)
#define BASE_ADDRESS 0x000ffffffffff000ull

#define LVT_MASKED 0x10000u
#define POLLS_MAX  1000000u /* of a register that should follow at once */

uint64_t lapic_base(void)
{
    return cpu_rdmsr(MSR_APIC_BASE) & BASE_ADDRESS;
}

bool lapic_is_x2apic(void)
{
    return cpu_rdmsr(MSR_APIC_BASE) & BASE_X2APIC;
}

static uint32_t lapic_read(uint32_t reg)
{
    uint64_t msr = cpu_rdmsr(MSR_APIC_BASE);
    return msr & BASE_X2APIC ? (uint32_t)cpu_rdmsr(MSR_X2APIC + reg / 16)
                             : mmio_read32((msr & BASE_ADDRESS) + reg);
}

static void lapic_write(uint32_t reg, uint32_t value)
{
    uint64_t msr = cpu_rdmsr(MSR_APIC_BASE);
    if (msr & BASE_X2APIC)
        cpu_wrmsr(MSR_X2APIC + reg / 16, value);
    else
        mmio_write32((msr & BASE_ADDRESS) + reg, value);
}

/* source: Intel SDM Vol. 3A "x2APIC State Transitions": no way from x2APIC to xAPIC but through
 * disabled, and none from disabled to x2APIC but through xAPIC. */
void lapic_set_mode(bool x2apic)
{
    static const uint16_t kept[] = {LAPIC_SVR, LVT_LINT0, LVT_LINT1}; /* SVR first: it unlocks */
    uint64_t msr = cpu_rdmsr(MSR_APIC_BASE);
    if (!(msr & BASE_ENABLED)) {
        msr |= BASE_ENABLED;
        cpu_wrmsr(MSR_APIC_BASE, msr);
    }
    if (x2apic && !(msr & BASE_X2APIC))
        cpu_wrmsr(MSR_APIC_BASE, msr | BASE_X2APIC);
    if (x2apic || !(msr & BASE_X2APIC))
        return;
    uint32_t values[3];
    for (int i = 0; i < 3; i++)
        values[i] = lapic_read(kept[i]);
    msr &= ~(BASE_X2APIC | BASE_ENABLED);
    cpu_wrmsr(MSR_APIC_BASE, msr);
    cpu_wrmsr(MSR_APIC_BASE, msr | BASE_ENABLED);
    for (int i = 0; i < 3; i++)
        lapic_write(kept[i], values[i]);
}

/* source: Intel SDM Vol. 4, IA32_ARCH_CAPABILITIES and IA32_XAPIC_DISABLE_STATUS. */
bool lapic_can_be_xapic(void)
{
    if (!(cpuid_or_zero(7, 0).edx >> 29 & 1) || !(cpu_rdmsr(MSR_ARCH_CAPABILITIES) >> 21 & 1))
        return true;
    return !(cpu_rdmsr(MSR_XAPIC_DISABLE_STATUS) & 1);
}

/* Fixed, lowest priority, NMI and ExtINT delivery. */
static bool is_maskable(uint32_t entry)
{
    uint32_t delivery = entry >> 8 & 7;
    return delivery <= 1 || delivery == 4 || delivery == 7;
}

/* The local vector table: which entries exist depends on how many the version register admits
 * to. */
static void mask_lvt(void)
{
    static const struct {
        uint16_t reg;
        uint8_t needs; /* the least highest-entry number */
    } lvt[] = {{LVT_TIMER, 0},       {LVT_LINT0, 0},   {LVT_LINT1, 0}, {LVT_ERROR, 0},
               {LVT_PERFORMANCE, 4}, {LVT_THERMAL, 5}, {LVT_CMCI, 6}};
    uint32_t highest = lapic_read(LAPIC_VERSION) >> 16 & 0xff;
    for (unsigned i = 0; i < sizeof lvt / sizeof lvt[0]; i++) {
        if (lvt[i].needs > highest)
            continue;
        uint32_t value = lapic_read(lvt[i].reg);
        bool has_delivery = lvt[i].reg != LVT_TIMER && lvt[i].reg != LVT_ERROR;
        if (!has_delivery || is_maskable(value))
            lapic_write(lvt[i].reg, value | LVT_MASKED);
    }
}

void lapic_quiesce(const uint32_t lint[2])
{
    lapic_set_mode(lapic_is_x2apic()); /* enabled */
    mask_lvt();
    lapic_write(LAPIC_SVR, 0x1ff);
    lapic_write(LAPIC_TPR, 0);
    for (uint32_t i = 0; i < 2; i++) {
        if (lint[i])
            lapic_write(LVT_LINT0 + 0x10 * i, lint[i]);
    }
}

void lapic_send(uint32_t apic_id, uint32_t command)
{
    const uint32_t pending = 1u << 12;
    if (lapic_is_x2apic()) {
        /* These writes wait for nothing: what the other CPU is to find must be in memory first. */
        __asm__ volatile("mfence; lfence" ::: "memory");
        cpu_wrmsr(MSR_X2APIC + LAPIC_ICR / 16, (uint64_t)apic_id << 32 | command);
        return;
    }
    lapic_write(LAPIC_ICR_TO, apic_id << 24);
    lapic_write(LAPIC_ICR, command);
    for (uint32_t i = 0; i < POLLS_MAX && lapic_read(LAPIC_ICR) & pending; i++)
        cpu_pause();
}
