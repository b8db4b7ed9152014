/* Segments of long mode: code and data of each ring, the TSS that has the stacks of ring 0. */
#ifndef QL_KERNEL_GDT_H
#define QL_KERNEL_GDT_H

#define GDT_CODE 0x08
#define GDT_DATA 0x10
/* In the order that SYSRET computes them by, from GDT_DATA on. */
#define GDT_USER_DATA 0x18
#define GDT_USER_CODE 0x20
#define GDT_TSS       0x28

#define TSS_RSP0 4 /* offset in struct tss, for trap_stubs.S */

#ifndef __ASSEMBLER__
#include <stdint.h>

#include "layout.h"

/* What LGDT and LIDT load, SGDT and SIDT store. */
struct table_register {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

/* 64-bit TSS. rsp[0] is where traps of ring 3 come, set before it is entered; the other rings are not
 * used. */
struct tss {
    uint32_t reserved0;
    uint64_t rsp[3];
    uint64_t reserved1;
    uint64_t ist[7];
    uint64_t reserved2;
    uint16_t reserved3;
    uint16_t iomap_offset;
} __attribute__((packed));
_Static_assert(sizeof(struct tss) == 104, "what the CPU reads");
_Static_assert(__builtin_offsetof(struct tss, rsp) == TSS_RSP0, "trap_stubs.S");

/* The descriptor tables of one CPU: a TSS cannot be shared, and so its descriptor cannot. */
struct segments {
    uint64_t gdt[GDT_TSS / 8 + 2] __attribute__((aligned(16)));
    struct tss tss;
};

/* Fill the tables in and load them, every segment register and the task register of this CPU. The
 * base of %gs stays. cpu_current()->tss is the TSS from then on. */
void gdt_load(struct segments *segments, const struct cpu_stacks *stacks);
#endif

#endif
