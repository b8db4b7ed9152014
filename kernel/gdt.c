/* Owns: the GDT and the TSS of the boot CPU.
 * Relies on: layout.c for the interrupt stacks. Stage: "traps", before the IDT is loaded.
 * source: Intel SDM Vol. 3A "Segment Descriptors", "64-Bit Task State Segment". */
#include "gdt.h"

#include <stdint.h>

#include "layout.h"

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

struct table_register {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

static struct tss tss;
static uint64_t gdt[GDT_TSS / 8 + 2] __attribute__((aligned(16)));

/* Present, code, readable, 64-bit; present, data, writable. Base and limit mean nothing there. The
 * accessed bit is set already, or the CPU would write it back. */
#define DESCRIPTOR_CODE 0x00209b0000000000ull
#define DESCRIPTOR_DATA 0x0000930000000000ull
#define TSS_AVAILABLE   0x89ull

static void set_tss_descriptor(void)
{
    uint64_t base = va_of(&tss).v;
    uint64_t limit = sizeof tss - 1;
    gdt[GDT_TSS / 8] =
        limit | (base & 0xffffff) << 16 | TSS_AVAILABLE << 40 | (base >> 24 & 0xff) << 56;
    gdt[GDT_TSS / 8 + 1] = base >> 32;
}

void gdt_init(void)
{
    for (unsigned i = 0; i < IST_STACKS; i++)
        tss.ist[i] = layout_ist_top((enum ist_stack)i).v;
    tss.iomap_offset = sizeof tss; /* none */

    gdt[GDT_CODE / 8] = DESCRIPTOR_CODE;
    gdt[GDT_DATA / 8] = DESCRIPTOR_DATA;
    set_tss_descriptor();

    struct table_register gdtr = {sizeof gdt - 1, va_of(gdt).v};
    __asm__ volatile("lgdt %0\n\t"
                     "pushq %1\n\t" /* CS can only be loaded by a far transfer */
                     "leaq 1f(%%rip), %%rax\n\t"
                     "pushq %%rax\n\t"
                     "lretq\n"
                     "1:\n\t"
                     "movl %2, %%eax\n\t"
                     "movl %%eax, %%ds\n\t"
                     "movl %%eax, %%es\n\t"
                     "movl %%eax, %%ss\n\t"
                     "movl %%eax, %%fs\n\t"
                     "movl %%eax, %%gs\n\t"
                     "movl %3, %%eax\n\t"
                     "ltr %%ax\n\t"
                     "xorl %%eax, %%eax\n\t"
                     "lldt %%ax" ::"m"(gdtr),
                     "i"(GDT_CODE), "i"(GDT_DATA), "i"(GDT_TSS)
                     : "rax", "memory");
}
