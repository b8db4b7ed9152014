/* How an AP gets from its first instruction to the kernel's first.
 *
 * It begins in 16-bit real mode at the start of a page below 640 KiB, into which the first part is copied,
 * goes through 32-bit protected mode onto the kernel's page tables, which map that page and the local
 * APIC 1:1 until the kernel is entered, and on to our image's alias in the HHDM. There it finds out who it
 * is, takes its stack, has ap.c make it like the boot CPU, and waits for the kernel.
 *
 * A CPU nobody waits for stops where it stands: one with an id we do not know, one with an id that another
 * has taken, one that comes when the boot CPU has given up on it. The boot CPU sends those INIT before
 * it enters the kernel, so that they are not found in memory that then belongs to somebody else. (QEMU lets
 * a startup command that has waited overtake a later INIT; such a CPU finds the page closed.)
 * source: Intel SDM Vol. 3A "MP Initialization", "Initializing IA-32e Mode"; Limine "MP Feature". */
#include "ap.h"

#define MSR_APIC_BASE 0x1b
#define MSR_X2APIC_ID 0x802
#define MSR_EFER      0xc0000080

    .section .rodata
    .globl ap_code, ap_code_step, ap_code_32, ap_code_64, ap_code_end
    .hidden ap_code, ap_code_step, ap_code_32, ap_code_64, ap_code_end
    .code16
ap_code:
    cli
    cld
    movw %cs, %bx
    movw %bx, %ds
    movzwl %bx, %ebx
    shll $4, %ebx /* the page's address, kept throughout */
    cmpl $0, AP_OPEN
    je 2f
    lgdtl AP_GDTR
    movl $0x11, %eax /* PE, ET; caches on: INIT leaves CD and NW as they were */
    movl %eax, %cr0
    ljmpl *AP_FAR32
2:  hlt
    jmp 2b

    /* The boot CPU comes here from enter_step, in compatibility mode. Without paging it is in
     * 32-bit protected mode, and CR4.LA57 may change. */
    .code32
ap_code_step:
    movl $0x11, %eax
    movl %eax, %cr0
ap_code_32:
    movl $0x20, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl AP_CR4(%ebx), %eax /* PAE, and LA57 for 5 levels */
    movl %eax, %cr4
    movl AP_CR3(%ebx), %eax
    movl %eax, %cr3
    movl $MSR_EFER, %ecx
    movl AP_EFER(%ebx), %eax
    xorl %edx, %edx
    wrmsr
    movl $0x80000011, %eax
    movl %eax, %cr0
    ljmpl *AP_FAR64(%ebx)

    .code64
ap_code_64:
    movl %ebx, %ebx /* the upper half is undefined after the change of mode */
    jmpq *AP_ENTRY(%rbx)
ap_code_end:

    .text
    .globl ap_entry
    .hidden ap_entry, ap_main, enter_state
ap_entry:
    addq AP_HHDM(%rbx), %rbx

    /* The id that the startup command was addressed to; in xAPIC mode read from where the boot CPU has its
     * registers, which is what is mapped. */
    movl $MSR_APIC_BASE, %ecx
    rdmsr
    andl $0xfff, %eax
    orl AP_APIC_BASE(%rbx), %eax
    movl AP_APIC_BASE+4(%rbx), %edx
    wrmsr
    btl $10, %eax
    jc 1f
    movq AP_APIC_BASE(%rbx), %rax
    movl 0x20(%rax), %eax
    shrl $24, %eax
    jmp 2f
1:  movl $MSR_X2APIC_ID, %ecx
    rdmsr
2:
    /* rdi: its info; esi: its number */
    movq AP_INFOS(%rbx), %rdi
    xorl %esi, %esi
3:  addq $AP_INFO_BYTES, %rdi
    incl %esi
    cmpl AP_COUNT(%rbx), %esi
    jae 9f
    cmpl %eax, AP_INFO_LAPIC(%rdi)
    jne 3b

    movl %esi, %edx
    shll $AP_SLOT_SHIFT, %edx
    addq AP_SLOTS(%rbx), %rdx
    xorl %eax, %eax /* AP_SILENT */
    movl $AP_RISING, %ecx
    lock cmpxchgl %ecx, (%rdx)
    jne 9f

    imulq AP_STACK_BYTES(%rbx), %rsi
    addq AP_STACKS(%rbx), %rsi
    movq %rsi, %rsp
    movq %rsi, %r14
    movq %rdi, %r15
    movq %rbx, %rdi
    movq %rdx, %rsi
    call ap_main
    testb %al, %al
    jz 9f

4:  pause
    movq AP_INFO_GOTO(%r15), %r9
    testq %r9, %r9
    jz 4b
    movq %cr3, %rax /* the 1:1 mappings have gone since we came */
    movq %rax, %cr3
    movq %r14, %rsp
    pushq $0
    movq %r15, %rdi
    movq AP_HANDOVER(%rbx), %rbx
    jmp enter_state

9:  cli
    hlt
    jmp 9b
    .section .note.GNU-stack, "", @progbits
