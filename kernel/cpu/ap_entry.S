/* The first instructions of every CPU but the one that boots. The loader enters in the state that
 * the Limine protocol describes ("MP Feature"): as the boot CPU, RDI the CPU's info structure; on
 * tables and a stack that are about to be reclaimed. Nothing of the loader's is read or written
 * behind the load of CR3. This text is at the same address in its tables and in ours. */
#include "cpu/cpu.h"
#include "cpu/cpus.h"

#define INFO_EXTRA_ARGUMENT 24

    .text
    .globl ap_entry
    .hidden ap_entry, ap_efer, ap_root, cpus_enter
    .type ap_entry, @function
ap_entry:
    cli
    movq INFO_EXTRA_ARGUMENT(%rdi), %rbx /* its struct cpu */
    movl $MSR_EFER, %ecx                /* our tables may use the execute-disable bit */
    movl ap_efer(%rip), %eax
    movl ap_efer+4(%rip), %edx
    wrmsr
    movq ap_root(%rip), %rax
    movq %rax, %cr3
    movq CPU_STACK_TOP(%rbx), %rsp
    pushq $2
    popfq
    movl $MSR_GS_BASE, %ecx
    movl %ebx, %eax
    movq %rbx, %rdx
    shrq $32, %rdx
    wrmsr
    xorl %ebp, %ebp                     /* where every backtrace ends */
    movq %rbx, %rdi
    call cpus_enter
    ud2
    .size ap_entry, . - ap_entry

    .section .note.GNU-stack, "", @progbits
