/* The kernel's first instructions. The loader enters in the state that the Limine protocol describes
 * ("Machine state at entry"), on a stack in memory that we shall reclaim: leave it at once. */
#include "layout.h"

    .section .text.entry, "ax", @progbits
    .globl kernel_entry
    .hidden kernel_entry
    .type kernel_entry, @function
kernel_entry:
    cli
    cld
    rdtsc                               /* when boot time of the kernel begins */
    shlq $32, %rdx
    orq %rdx, %rax
    movq %rax, entry_tsc(%rip)
    leaq boot_stacks + LAYOUT_PAGE + CONFIG_BOOT_STACK_BYTES(%rip), %rsp
    xorl %ebp, %ebp                     /* where every backtrace ends */
    call kmain
    ud2
    .size kernel_entry, . - kernel_entry

    .section .data.entry, "aw", @progbits
    .balign 8
    .globl entry_tsc
    .hidden entry_tsc
    .type entry_tsc, @object
entry_tsc:
    .quad 0
    .size entry_tsc, 8

    .section .note.GNU-stack, "", @progbits
