/* Where the parts of the kernel image lie: linker symbols (kernel.ld) and the stacks, as data. */
#ifndef QL_KERNEL_LAYOUT_H
#define QL_KERNEL_LAYOUT_H

#include "config.h"

#define LAYOUT_PAGE 4096

/* All stacks of the boot CPU, with the page in front of each. */
#define LAYOUT_BOOT_STACKS_BYTES \
    (LAYOUT_PAGE + CONFIG_BOOT_STACK_BYTES + 3 * (LAYOUT_PAGE + CONFIG_IST_STACK_BYTES))

#ifndef __ASSEMBLER__
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mm/mapper.h"

/* Interrupt stacks, in the order of their IST numbers (1, 2, 3). */
enum ist_stack { IST_DOUBLE_FAULT, IST_NMI, IST_MACHINE_CHECK, IST_STACKS };

/* A CPU's stacks: the one that it works on, then those of interrupts. Each lies above a page that
 * stays unmapped. */
#define STACKS       (1 + IST_STACKS)
#define STACK_IST(i) (1 + (i))
struct cpu_stacks {
    struct {
        vaddr_t base;
        uint64_t bytes;
    } stack[STACKS];
};

/* Those of the boot CPU, in .bss; those of the others come from cpu_stacks.c. */
extern const struct cpu_stacks boot_stacks;

/* Bytes of a stack, and its name behind that of the CPU: "double fault stack". */
uint64_t layout_stack_bytes(unsigned stack);
const char *layout_stack_name(unsigned stack);

/* First byte behind a stack; the same of an interrupt stack. */
vaddr_t layout_stack_top(const struct cpu_stacks *stacks, unsigned stack);
static inline vaddr_t layout_ist_top(const struct cpu_stacks *stacks, enum ist_stack stack)
{
    return layout_stack_top(stacks, STACK_IST(stack));
}

/* True if [address, address + bytes) lies in one of these stacks, not in a guard. */
bool layout_in_stack(const struct cpu_stacks *stacks, uint64_t address, uint64_t bytes);

/* True if address is in the kernel's text. */
bool layout_in_text(uint64_t address);

/* True if it is in the text of mm/heap/. */
bool layout_in_heap_text(uint64_t address);

/* First byte of the image in memory, and its size in bytes with .bss, whole pages. */
vaddr_t layout_image_start(void);
uint64_t layout_image_bytes(void);

/* The mapper's input but for the memory map: image parts, guards, what is left to the vmm. */
void layout_describe(struct mapper_input *out);
#endif

#endif
