/* Segments of long mode: one for code, one for data, the TSS that has the interrupt stacks. */
#ifndef QL_KERNEL_GDT_H
#define QL_KERNEL_GDT_H

#define GDT_CODE 0x08
#define GDT_DATA 0x10
#define GDT_TSS  0x18

#ifndef __ASSEMBLER__
/* Load our descriptor table, every segment register and the task register. */
void gdt_init(void);
#endif

#endif
