/* The kernel's first instructions. The loader enters in the state that the Limine protocol
 * describes ("Machine state at entry"), on a stack in memory that we shall reclaim: leave it at
 * once. */
#include "cpu/cpu.h"
#include "cpu/cpus.h"
#include "layout.h"

    .section .text.entry, "ax", @progbits
    .globl kernel_entry
    .hidden kernel_entry, cpus_all, boot_stack_memory
    .type kernel_entry, @function
kernel_entry:
    cli
    rdtsc                               /* when boot time of the kernel begins */
    shlq $32, %rdx
    orq %rdx, %rax
    movq %rax, entry_tsc(%rip)
    leaq boot_stack_memory + LAYOUT_PAGE + CONFIG_BOOT_STACK_BYTES(%rip), %rsp
    /* No flag is left over: with AC set there is no SMAP, with NT no IRET, with DF no memcpy. */
    pushq $2
    popfq
    /* cpu_current() works from here on: locks ask who takes them. */
    leaq cpus_all(%rip), %rax
    movq %rax, CPU_SELF(%rax)
    movq %rax, %rdx
    shrq $32, %rdx
    movl $MSR_GS_BASE, %ecx
    wrmsr
#ifdef QL_KASAN
    /* The shadow of an address of our stack is at an eighth of the address plus this. */
    leaq boot_stack_memory(%rip), %rax
    shrq $3, %rax
    leaq kasan_early_shadow(%rip), %rdx
    subq %rax, %rdx
    movq %rdx, __asan_shadow_memory_dynamic_address(%rip)
    .hidden kasan_early_shadow, __asan_shadow_memory_dynamic_address
#endif
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
