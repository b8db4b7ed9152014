/* The bridge from the firmware's page tables to the kernel's.
 *
 * It runs at the address the firmware loaded us to, which the new tables map 1:1 for this one page, so
 * the next instruction is there before and after CR3 changes. Then it jumps to its own alias in the HHDM,
 * takes the 1:1 mapping away, and from there reads only through the HHDM. Nothing uses the stack before
 * the kernel's is loaded. source: Limine "Machine state at entry"; Intel SDM Vol. 3A "Paging". */
#include "ap.h"
#include "handover.h"

#define MSR_EFER    0xc0000080
#define MSR_PAT     0x277
#define MSR_FS_BASE 0xc0000100
#define MSR_GS_BASE 0xc0000101

    .section .text.enter, "ax", @progbits /* first, see loader.ld */
    .balign 512 /* all of it in one page */
    .globl enter_begin, enter_step, enter_stepped, enter_kernel, enter_state
    .hidden enter_begin, enter_step, enter_stepped, enter_kernel, enter_state
enter_begin:

/* The number of levels cannot change while paging is on in 64-bit mode. rdi: struct ap_page, 1:1 address:
 * go there, to come back at enter_stepped in the HHDM, with the kernel's tables in use. Interrupts are
 * off. source: Intel SDM Vol. 3A "Switching Out of IA-32e Mode Operation". */
enter_step:
    movq %rdi, %rbx
    movq %cr4, %rax
    andl $0x1020, %eax /* PAE and LA57: no PCIDs, no shadow stacks, no global translations */
    movq %rax, %cr4
    movl AP_STEP_CR3(%rbx), %eax
    movq %rax, %cr3
    lgdt AP_GDTR(%rbx)
    ljmpl *AP_FAR32(%rbx)
enter_stepped:
    cld
    movq AP_HANDOVER(%rbx), %rbx
    xorl %ebp, %ebp /* we are in the HHDM already, and so is what rbx says */
    jmp 0f

/* rdi: struct handover, 1:1 address. Interrupts are off. */
enter_kernel:
    cld
    movq %rdi, %rbx
    movq HANDOVER_HHDM(%rbx), %rbp
0:
    /* NX bits in the new tables need EFER.NXE first. LMA is read-only: writing it as it is, is fine. */
    movl $MSR_EFER, %ecx
    movl HANDOVER_EFER(%rbx), %eax
    xorl %edx, %edx
    wrmsr
    movq HANDOVER_PAT(%rbx), %rax
    testq %rax, %rax
    jz 1f
    movq %rax, %rdx
    shrq $32, %rdx
    movl $MSR_PAT, %ecx
    wrmsr
1:
    /* CR4 loses PGE here, which drops global translations of the firmware's. */
    movq HANDOVER_CR4(%rbx), %rax
    movq %rax, %cr4
    movq HANDOVER_CR3(%rbx), %r12
    movq HANDOVER_CR0(%rbx), %r13
    movq HANDOVER_ROOT(%rbx), %r14
    movq %r12, %cr3
    movq %r13, %cr0

    /* From the 1:1 page to the same page in the HHDM. */
    leaq 2f(%rip), %rax
    addq %rbp, %rax
    jmpq *%rax
2:
    addq %rbp, %rbx
    movq %r14, %rdi
    movl $256, %ecx
    xorl %eax, %eax
    rep stosq /* the lower half of the root table */
    movq %r12, %cr3

    movq HANDOVER_STACK(%rbx), %rsp
    movq HANDOVER_ENTRY(%rbx), %r9
    xorl %edi, %edi

/* The state in which the kernel's code begins, on every CPU. rbx: struct handover through the HHDM, r9:
 * where it begins, rdi: what it finds there, rsp: its stack, with the return address of 0 on it. */
enter_state:
    lgdt HANDOVER_GDTR(%rbx)
    lidt HANDOVER_IDTR(%rbx)
    xorl %eax, %eax
    lldt %ax
    movl $0x30, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl %eax, %fs
    movl %eax, %gs
    xorl %eax, %eax
    xorl %edx, %edx
    movl $MSR_FS_BASE, %ecx
    wrmsr
    movl $MSR_GS_BASE, %ecx
    wrmsr

    /* An interrupt return sets CS, RIP, RFLAGS, SS and RSP at once; its frame lies below the return
     * address of 0 that the kernel finds on its stack. */
    movq %rsp, %rax
    pushq $0x30
    pushq %rax
    pushq $2
    pushq $0x28
    pushq %r9
    xorl %eax, %eax
    xorl %ebx, %ebx
    xorl %ecx, %ecx
    xorl %edx, %edx
    xorl %esi, %esi
    xorl %ebp, %ebp
    xorl %r8d, %r8d
    xorl %r9d, %r9d
    xorl %r10d, %r10d
    xorl %r11d, %r11d
    xorl %r12d, %r12d
    xorl %r13d, %r13d
    xorl %r14d, %r14d
    xorl %r15d, %r15d
    iretq

    .org enter_begin + 512 /* an error here: it no longer fits */
    .section .note.GNU-stack, "", @progbits
