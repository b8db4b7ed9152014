/* Crossing from the firmware's world into the kernel's. source: Limine "Machine state at entry". */
#ifndef QL_EFI_HANDOVER_H
#define QL_EFI_HANDOVER_H

/* Offsets in struct handover, for enter.S. */
#define HANDOVER_CR3   0
#define HANDOVER_CR0   8
#define HANDOVER_CR4   16
#define HANDOVER_EFER  24
#define HANDOVER_PAT   32
#define HANDOVER_HHDM  40
#define HANDOVER_ROOT  48
#define HANDOVER_STACK 56
#define HANDOVER_ENTRY 64
#define HANDOVER_GDTR  78
#define HANDOVER_IDTR  94

#ifndef __ASSEMBLER__

#include <stdbool.h>
#include <stdint.h>

#include "status.h"

/* What enter.S reads, in bootloader-reclaimable memory; it has the offsets too. */
struct handover {
    uint64_t cr3;
    uint64_t cr0, cr4, efer; /* values to load */
    uint64_t pat;            /* 0: the CPU has none */
    uint64_t hhdm;
    uint64_t root;      /* the root table's HHDM address */
    uint64_t stack_top; /* with the 0 return address already on it: RSP at entry */
    uint64_t entry;
    struct {
        uint16_t pad[3];
        uint16_t limit;
        uint64_t base; /* HHDM address of gdt */
    } gdtr, idtr;      /* limit and base are read as one 10-byte operand */
    uint64_t gdt[7];
};

_Static_assert(__builtin_offsetof(struct handover, entry) == HANDOVER_ENTRY, "enter.S");
_Static_assert(__builtin_offsetof(struct handover, gdtr.limit) == HANDOVER_GDTR, "enter.S");
_Static_assert(__builtin_offsetof(struct handover, idtr.limit) == HANDOVER_IDTR, "enter.S");

struct boot_plan;
struct ap_page;

/* Fill plan->handover: control registers, GDT; the kernel's stack gets its return address. */
void handover_prepare(struct boot_plan *plan);

/* Get the memory in which the number of levels can be changed, for plan->step: the way leads through
 * 32-bit mode. False: there is none below 4 GiB. */
bool handover_alloc_step(struct boot_plan *plan) MUST_USE;

/* Map 1:1 what runs while the tables are switched. False: the pool is used up. */
bool handover_map(struct boot_plan *plan) MUST_USE;

/* What a CPU finds in a page below 4 GiB on its way through 32-bit mode onto the kernel's tables: where
 * in the page it begins, and where in our image it goes on. */
void handover_fill_page(const struct boot_plan *plan, struct ap_page *page, const char *begin,
                        const char *entry);

/* Silence the machine: what comes first when boot services are gone. */
void handover_quiesce(struct boot_plan *plan);

/* Enter the kernel. */
_Noreturn void handover_enter(struct boot_plan *plan);

#endif /* __ASSEMBLER__ */

#endif
