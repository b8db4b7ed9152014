/* Owns: what is in a GDT and a TSS, and the loading of them.
 * Relies on: layout.c for the interrupt stacks. Stage: "traps", before the IDT is loaded.
 * source: Intel SDM Vol. 3A "Segment Descriptors", "64-Bit Task State Segment". */
#include "cpu/gdt.h"

#include "cpu/cpu.h"
#include "cpu/cpus.h"

/* Present, code, readable, 64-bit; present, data, writable. Base and limit mean nothing there. The
 * accessed bit is set already, or the CPU would write it back. */
#define DESCRIPTOR_CODE 0x00209b0000000000ull
#define DESCRIPTOR_DATA 0x0000930000000000ull
#define DESCRIPTOR_USER 0x0000600000000000ull /* privilege 3, on top of one of these */
#define TSS_AVAILABLE   0x89ull

static void fill(struct segments *s, const struct cpu_stacks *stacks)
{
    for (unsigned i = 0; i < IST_STACKS; i++)
        s->tss.ist[i] = layout_ist_top(stacks, (enum ist_stack)i).v;
    s->tss.iomap_offset = sizeof s->tss; /* none */

    uint64_t base = va_of(&s->tss).v;
    uint64_t limit = sizeof s->tss - 1;
    s->gdt[GDT_CODE / 8] = DESCRIPTOR_CODE;
    s->gdt[GDT_DATA / 8] = DESCRIPTOR_DATA;
    s->gdt[GDT_USER_DATA / 8] = DESCRIPTOR_DATA | DESCRIPTOR_USER;
    s->gdt[GDT_USER_CODE / 8] = DESCRIPTOR_CODE | DESCRIPTOR_USER;
    s->gdt[GDT_TSS / 8] =
        limit | (base & 0xffffff) << 16 | TSS_AVAILABLE << 40 | (base >> 24 & 0xff) << 56;
    s->gdt[GDT_TSS / 8 + 1] = base >> 32;
}

void gdt_load(struct segments *segments, const struct cpu_stacks *stacks)
{
    fill(segments, stacks);
    uint64_t gs_base = cpu_read_msr(MSR_GS_BASE); /* lost when the selector is loaded */
    struct table_register gdtr = {sizeof segments->gdt - 1, va_of(segments->gdt).v};
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
    cpu_write_msr(MSR_GS_BASE, gs_base);
    cpu_current()->tss = &segments->tss;
}
