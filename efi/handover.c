/* The last C before the kernel: interrupts off, controllers quiet, then the bridge in enter.S. */
#include "handover.h"

#include "bytes.h"
#include "cpu.h"
#include "firmware.h"
#include "plan.h"

/* Entries 0 WB, 1 WT, 2 UC-, 3 UC, 4 WP, 5 WC by the protocol; 6 and 7 as after reset. */
#define PAT_VALUE 0x0007010500070406ull

/* enter.S */
extern const char enter_begin[], enter_stepped[];
_Noreturn void enter_kernel(const struct handover *handover);
_Noreturn void enter_step(const struct ap_page *page);

/* The segments of the protocol, accessed bits set: a kernel may map the table read-only. */
static const uint64_t gdt[7] = {
    0,
    0x00009b000000ffff, /* 08: 16-bit code */
    0x000093000000ffff, /* 10: 16-bit data */
    0x00cf9b000000ffff, /* 18: 32-bit code */
    0x00cf93000000ffff, /* 20: 32-bit data */
    0x00209b0000000000, /* 28: 64-bit code */
    0x0000930000000000, /* 30: 64-bit data */
};

void handover_prepare(struct boot_plan *plan)
{
    struct handover *h = plan->handover;
    bool strict = plan->requests.base_revision >= 5;
    uint64_t nxe = plan->tables.nx ? EFER_NXE : 0;

    h->cr3 = (uintptr_t)plan->tables.pool;
    h->root = plan_hhdm(plan, plan->tables.pool);
    h->hhdm = plan->hhdm;
    h->pat = cpu_has_pat() ? PAT_VALUE : 0;
    h->efer = EFER_LME | EFER_LMA | nxe;
    h->cr0 = CR0_PE | CR0_ET | CR0_WP | CR0_PG;
    h->cr4 = CR4_PAE | (plan->tables.levels == 5 ? CR4_LA57 : 0);
    if (!strict) {
        /* the rest stays as the firmware had it, but for what breaks a change of tables */
        h->efer |= cpu_rdmsr(MSR_EFER);
        h->cr0 |= cpu_read_cr0();
        h->cr4 |= cpu_read_cr4() & ~(CR4_PGE | CR4_PCIDE | CR4_CET | CR4_LA57);
    }
    for (int i = 0; i < 7; i++)
        h->gdt[i] = gdt[i];
    h->gdtr.limit = sizeof h->gdt - 1;
    h->gdtr.base = plan_hhdm(plan, h->gdt);
    h->stack_top =
        plan->stack_top - 8; /* the stack's pages are ours to write until the kernel runs */
    *(uint64_t *)(uintptr_t)(h->stack_top - plan->hhdm) = 0;
    h->entry = plan->entry;
}

/* The page, and one for a root that it needs on the way. */
bool handover_alloc_step(struct boot_plan *plan)
{
    return !EFI_ERROR(firmware_alloc_below(2, 1ull << 32, (void **)&plan->step));
}

static bool map_1to1(struct boot_plan *plan, const void *what)
{
    uint64_t page = (uintptr_t)what & ~(PAGE_BYTES - 1);
    return tables_map(&plan->tables, page, page, PAGE_BYTES, 0);
}

bool handover_map(struct boot_plan *plan)
{
    return map_1to1(plan, enter_begin) && (!plan->step || map_1to1(plan, plan->step));
}

void handover_fill_page(const struct boot_plan *plan, struct ap_page *page, const char *begin,
                        const char *entry)
{
    const uint32_t here = (uint32_t)(uintptr_t)page;
    const struct handover *h = plan->handover;
    *page = (struct ap_page){
        .far32 = {here + (uint32_t)(begin - ap_code), 0x18, 0},
        .far64 = {here + (uint32_t)(ap_code_64 - ap_code), 0x28, 0},
        .gdt_limit = sizeof page->gdt - 1,
        .gdt_base = here + offsetof(struct ap_page, gdt),
        .cr3 = (uint32_t)h->cr3, /* allocated below 4 GiB */
        .cr4 = (uint32_t)(h->cr4 & (CR4_PAE | CR4_LA57)),
        .efer = (uint32_t)(EFER_LME | (h->efer & EFER_NXE)),
        .entry = plan_hhdm(plan, entry),
        .hhdm = plan->hhdm,
        .handover = plan_hhdm(plan, h),
    };
    memcpy(page->code, ap_code, (size_t)(ap_code_end - ap_code));
    memcpy(page->gdt, h->gdt, sizeof page->gdt);
}

/* The page must be mapped before paging is switched off, and the firmware may not let us execute
 * there: it is left from tables with the firmware's levels that show what the kernel's show at low
 * addresses. With 5 levels the first entry of the root leads to a root for 4; the other way, we make
 * a root above it. */
static _Noreturn void enter_by_step(struct boot_plan *plan)
{
    struct ap_page *page = plan->step;
    uint64_t *root = (uint64_t *)((uint8_t *)page + PAGE_BYTES); /* the second page */
    handover_fill_page(plan, page, ap_code_step, enter_stepped);
    memset(root, 0, PAGE_BYTES);
    root[0] = (uintptr_t)plan->tables.pool | PAGE_WRITE | PAGE_PRESENT;
    if (plan->tables.levels == 5)
        root = (uint64_t *)(plan->tables.pool[0] & ~(PAGE_BYTES - 1)); /* identity-mapped */
    page->step_cr3 = (uint32_t)(uintptr_t)root;
    enter_step(page);
}

void handover_quiesce(struct boot_plan *plan)
{
    cpu_interrupts_off();
    mp_set_apic_mode(plan);
    quiesce(&plan->quiesce);
}

void handover_enter(struct boot_plan *plan)
{
    if (plan->step)
        enter_by_step(plan);
    enter_kernel(plan->handover);
}
