/* What an AP does to be like the boot CPU. It runs at our image's alias in the HHDM, on the
 * kernel's page tables, several at a time: no firmware, no address that was relocated, nothing
 * written but its own slot and registers. */
#include "ap.h"

#include "cpu.h"
#include "lapic.h"

#define MTRR_CAP_FIXED (1ull << 8)
#define MTRR_ENABLED   (1ull << 11) /* in the default type register */
#define MTRR_FIXED     11

/* The register that values[i] belongs to. */
static uint32_t mtrr_msr(uint32_t i, bool fixed)
{
    static const uint16_t fixed_msrs[MTRR_FIXED] = {0x250, 0x258, 0x259, 0x268, 0x269, 0x26a,
                                                    0x26b, 0x26c, 0x26d, 0x26e, 0x26f};
    if (i == 0)
        return MSR_MTRR_DEFAULT;
    if (!fixed)
        return MSR_MTRR_VARIABLE + i - 1;
    return i <= MTRR_FIXED ? fixed_msrs[i - 1] : MSR_MTRR_VARIABLE + i - 1 - MTRR_FIXED;
}

void ap_save_mtrrs(struct mtrrs *out)
{
    out->count = 0;
    if (!cpu_has_mtrr())
        return;
    uint64_t cap = cpu_rdmsr(MSR_MTRR_CAP);
    uint32_t pairs = cap & 0xff;
    bool fixed = cap & MTRR_CAP_FIXED;
    out->count =
        1 + (fixed ? MTRR_FIXED : 0) + 2 * (pairs < MTRR_PAIRS_MAX ? pairs : MTRR_PAIRS_MAX);
    for (uint32_t i = 0; i < out->count; i++)
        out->values[i] = cpu_rdmsr(mtrr_msr(i, fixed));
}

/* Firmware has made them equal, and INIT does not change them: mostly there is nothing to do, which
 * is good, because the doing takes milliseconds. source: Intel SDM Vol. 3A "MTRR Considerations in
 * MP Systems", the steps that a single CPU takes; the others run code that is write-back before and
 * after. */
static void load_mtrrs(const struct mtrrs *wanted)
{
    bool fixed = wanted->count && cpu_rdmsr(MSR_MTRR_CAP) & MTRR_CAP_FIXED, same = true;
    for (uint32_t i = 0; i < wanted->count; i++)
        same &= cpu_rdmsr(mtrr_msr(i, fixed)) == wanted->values[i];
    if (same)
        return;
    uint64_t cr0 = cpu_read_cr0();
    cpu_write_cr0((cr0 | CR0_CD) & ~CR0_NW);
    cpu_write_back_caches();
    cpu_reload_cr3();
    cpu_wrmsr(MSR_MTRR_DEFAULT, wanted->values[0] & ~MTRR_ENABLED);
    for (uint32_t i = 1; i < wanted->count; i++)
        cpu_wrmsr(mtrr_msr(i, fixed), wanted->values[i]);
    cpu_wrmsr(MSR_MTRR_DEFAULT, wanted->values[0]);
    cpu_write_back_caches();
    cpu_reload_cr3();
    cpu_write_cr0(cr0);
}

bool ap_main(const struct ap_page *page, struct ap_slot *slot)
{
    const struct handover *h = (const struct handover *)page->handover; /* in the HHDM */
    if (h->pat)
        cpu_wrmsr(MSR_PAT, h->pat);
    load_mtrrs(&page->mtrrs);
    cpu_wrmsr(MSR_EFER, h->efer);
    cpu_write_cr4(h->cr4);
    cpu_write_cr0(h->cr0);
    lapic_set_mode(page->x2apic);
    if (page->strict)
        lapic_quiesce(slot->lint);
    uint32_t rising = AP_RISING;
    return __atomic_compare_exchange_n(&slot->claim, &rising, AP_PARKED, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_ACQUIRE);
}
