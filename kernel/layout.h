/* Where the parts of the kernel image lie: linker symbols (kernel.ld) and the stacks, as data. */
#ifndef QL_KERNEL_LAYOUT_H
#define QL_KERNEL_LAYOUT_H

#include "config.h"

#define LAYOUT_PAGE 4096

#ifndef __ASSEMBLER__
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mm/mapper.h"

/* Interrupt stacks, in the order of their IST numbers (1, 2, 3). */
enum ist_stack { IST_DOUBLE_FAULT, IST_NMI, IST_MACHINE_CHECK, IST_STACKS };

/* All stacks of a CPU, each above a page that stays unmapped. The boot CPU's are in .bss; those of
 * the others are put together of frames in the device window (cpu_stacks.c). */
struct ist_memory {
    uint8_t guard[LAYOUT_PAGE];
    uint8_t bytes[CONFIG_IST_STACK_BYTES];
};
struct cpu_stacks {
    uint8_t guard[LAYOUT_PAGE];
    uint8_t boot[CONFIG_BOOT_STACK_BYTES]; /* entry.S knows this offset */
    struct ist_memory ist[IST_STACKS];
};
extern struct cpu_stacks boot_stacks;

_Static_assert(offsetof(struct cpu_stacks, boot) == LAYOUT_PAGE, "entry.S computes the stack top");
_Static_assert(sizeof(struct cpu_stacks) % LAYOUT_PAGE == 0, "stacks are whole pages");

/* First byte behind an interrupt stack. */
vaddr_t layout_ist_top(const struct cpu_stacks *stacks, enum ist_stack stack);

/* True if [address, address + bytes) lies in one of these stacks, not in a guard. */
bool layout_in_stack(const struct cpu_stacks *stacks, uint64_t address, uint64_t bytes);

/* True if address is in the kernel's text. */
bool layout_in_text(uint64_t address);

/* First byte of the image in memory, and its size in bytes with .bss, whole pages. */
vaddr_t layout_image_start(void);
uint64_t layout_image_bytes(void);

/* The mapper's input but for the memory map: image parts, guards, the context's framebuffer. */
void layout_describe(struct mapper_input *out);
#endif

#endif
