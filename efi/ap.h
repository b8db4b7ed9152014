/* What an application processor (AP: any CPU but the one that boots) reads while it comes up, and
 * what it answers with. source: Limine "MP Feature", "Machine state at entry"; Intel SDM Vol. 3A
 * "Multiple-Processor (MP) Initialization". */
#ifndef QL_EFI_AP_H
#define QL_EFI_AP_H

/* Offsets for ap_start.S: in struct ap_page, */
#define AP_CODE_BYTES  0x100
#define AP_FAR32       0x100
#define AP_FAR64       0x108
#define AP_OPEN        0x110
#define AP_GDTR        0x116
#define AP_CR3         0x120
#define AP_EFER        0x124
#define AP_ENTRY       0x128
#define AP_HHDM        0x130
#define AP_HANDOVER    0x138
#define AP_APIC_BASE   0x140
#define AP_COUNT       0x148
#define AP_INFOS       0x150
#define AP_SLOTS       0x158
#define AP_STACKS      0x160
#define AP_STACK_BYTES 0x168
#define AP_CR4         0x170
#define AP_STEP_CR3    0x174

/* in struct limine_mp_info, */
#define AP_INFO_BYTES 32
#define AP_INFO_LAPIC 4
#define AP_INFO_GOTO  16

/* and the claim in a slot, whose size is a power of two. */
#define AP_SLOT_SHIFT 4
#define AP_SILENT     0 /* nothing heard of it yet */
#define AP_RISING     1 /* it has found its slot, and uses its stack */
#define AP_PARKED     2 /* it waits for the kernel */
#define AP_LEFT_OUT   3 /* too late: it must not touch anything any more */

#ifndef __ASSEMBLER__

#include <stdbool.h>
#include <stdint.h>

#include "boot/limine.h"
#include "bytes.h"
#include "handover.h"

#define MTRR_PAIRS_MAX 32 /* base and mask registers; CPUs have 8 to 10 pairs */
#define MTRRS_MAX      (1 + 11 + 2 * MTRR_PAIRS_MAX)

/* Default type, fixed ranges, variable ranges. */
struct mtrrs {
    uint64_t count; /* of values; 0: there are none */
    uint64_t values[MTRRS_MAX];
};

/* One per CPU beside its info structure. The claim decides who has the last word on a CPU: it, by
 * parking, or the boot CPU, by giving up on it. */
struct ap_slot {
    uint32_t claim;
    uint32_t lint[2]; /* see madt_lints */
    uint32_t unused;
};

/* The page below 640 KiB in which an AP begins: the code first, because that is where a startup
 * command makes it begin. Addresses are in the HHDM but for the first group. The boot CPU has one of
 * its own, anywhere below 4 GiB, if it changes the number of levels: it goes through 32-bit mode as
 * they do, and needs of the rest only the handover. */
struct ap_page {
    uint8_t code[AP_CODE_BYTES];
    struct {
        uint32_t offset;
        uint16_t selector, unused;
    } far32, far64;
    uint32_t open; /* 0: too late to begin */
    uint16_t unused;
    uint16_t gdt_limit; /* with gdt_base an operand of lgdt */
    uint32_t gdt_base;
    uint32_t gdt_base_high; /* 0: lgdt in 64-bit mode reads it */
    uint32_t cr3, efer;
    uint64_t entry;
    uint64_t hhdm;
    uint64_t handover;
    uint64_t apic_base;
    uint64_t count; /* of infos and slots, number 0 being the boot CPU's */
    uint64_t infos, slots;
    uint64_t stacks, stack_bytes; /* one behind the other, from CPU 1 on */
    uint32_t cr4, step_cr3;       /* the first group's again; step_cr3 for enter_step */
    uint64_t gdt[7];              /* the first group's: a copy that 32-bit code can reach */
    uint32_t x2apic, strict;
    struct mtrrs mtrrs;
};

_Static_assert(sizeof(struct ap_page) <= PAGE_BYTES, "one page");
_Static_assert(sizeof(struct ap_slot) == 1 << AP_SLOT_SHIFT, "ap_start.S");
#define AP_CHECK(type, member, offset) \
    _Static_assert(__builtin_offsetof(struct type, member) == (offset), "ap_start.S")
AP_CHECK(ap_page, far32, AP_FAR32);
AP_CHECK(ap_page, far64, AP_FAR64);
AP_CHECK(ap_page, open, AP_OPEN);
AP_CHECK(ap_page, gdt_limit, AP_GDTR);
AP_CHECK(ap_page, cr3, AP_CR3);
AP_CHECK(ap_page, efer, AP_EFER);
AP_CHECK(ap_page, entry, AP_ENTRY);
AP_CHECK(ap_page, hhdm, AP_HHDM);
AP_CHECK(ap_page, handover, AP_HANDOVER);
AP_CHECK(ap_page, apic_base, AP_APIC_BASE);
AP_CHECK(ap_page, count, AP_COUNT);
AP_CHECK(ap_page, infos, AP_INFOS);
AP_CHECK(ap_page, slots, AP_SLOTS);
AP_CHECK(ap_page, stacks, AP_STACKS);
AP_CHECK(ap_page, stack_bytes, AP_STACK_BYTES);
AP_CHECK(ap_page, cr4, AP_CR4);
AP_CHECK(ap_page, step_cr3, AP_STEP_CR3);
AP_CHECK(limine_mp_info, lapic_id, AP_INFO_LAPIC);
AP_CHECK(limine_mp_info, goto_address, AP_INFO_GOTO);
_Static_assert(sizeof(struct limine_mp_info) == AP_INFO_BYTES, "ap_start.S");

/* ap_start.S: what is copied into the page, with the places where the boot CPU, 32-bit and 64-bit mode
 * begin; and where it goes on in the HHDM. */
extern const char ap_code[], ap_code_step[], ap_code_32[], ap_code_64[], ap_code_end[], ap_entry[];

/* Read this CPU's MTRRs. */
void ap_save_mtrrs(struct mtrrs *out);

/* Everything about an AP's state that can be said in C; called by ap_start.S on the AP, on the
 * final page tables, at the HHDM alias. True if it is to park, false if the boot CPU has given
 * up on it. */
bool ap_main(const struct ap_page *page, struct ap_slot *slot);

#endif /* __ASSEMBLER__ */

#endif
