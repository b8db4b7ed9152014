/* The last C before the kernel: interrupts off, controllers quiet, then the bridge in enter.S. */
#include "handover.h"

#include "bytes.h"
#include "cpu.h"
#include "plan.h"

/* Entries 0 WB, 1 WT, 2 UC-, 3 UC, 4 WP, 5 WC by the protocol; 6 and 7 as after reset. */
#define PAT_VALUE 0x0007010500070406ull

/* enter.S */
extern const char enter_begin[];
_Noreturn void enter_kernel(const struct handover *handover);

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
    h->cr4 = CR4_PAE;
    if (!strict) {
        /* the rest stays as the firmware had it, but for what breaks a change of tables */
        h->efer |= cpu_rdmsr(MSR_EFER);
        h->cr0 |= cpu_read_cr0();
        h->cr4 |= cpu_read_cr4() & ~(CR4_PGE | CR4_PCIDE | CR4_CET);
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

uint64_t handover_bridge(void)
{
    return (uintptr_t)enter_begin & ~(PAGE_BYTES - 1);
}

void handover_quiesce(struct boot_plan *plan)
{
    cpu_interrupts_off();
    mp_set_apic_mode(plan);
    quiesce(&plan->quiesce);
}

void handover_enter(struct boot_plan *plan)
{
    enter_kernel(plan->handover);
}
