/* Segments of long mode: one for code, one for data, the TSS that has the interrupt stacks. */
#ifndef QL_KERNEL_GDT_H
#define QL_KERNEL_GDT_H

#define GDT_CODE 0x08
#define GDT_DATA 0x10
#define GDT_TSS  0x18

#ifndef __ASSEMBLER__
#include <stdint.h>

#include "layout.h"

/* What LGDT and LIDT load, SGDT and SIDT store. */
struct table_register {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

/* 64-bit TSS. Stacks for privilege changes stay 0: there is no user mode. */
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

/* The descriptor tables of one CPU: a TSS cannot be shared, and so its descriptor cannot. */
struct segments {
    uint64_t gdt[GDT_TSS / 8 + 2] __attribute__((aligned(16)));
    struct tss tss;
};

/* Fill the tables in and load them, every segment register and the task register of this CPU. The
 * base of %gs stays. */
void gdt_load(struct segments *segments, const struct cpu_stacks *stacks);
#endif

#endif
