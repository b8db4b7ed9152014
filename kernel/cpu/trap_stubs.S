/* Entry points of all 256 vectors and of SYSCALL, the way to ring 3 and back, and traps_try. Every entry
 * leaves a struct trap_frame (traps.h) on the stack. source: Intel SDM Vol. 3A "64-Bit Mode Exception
 * and Interrupt Handling", Vol. 2 "SWAPGS", "SYSCALL", "SYSRET", "IRET".
 *
 * Ring 3 runs with a GS base of its own, which is always 0 (it has no way to set it), the kernel with
 * that of its struct cpu; SWAPGS exchanges the two. An ordinary entry knows by the CS on the stack which
 * one is in use. What can hit between a change of rings and its SWAPGS (NMI, machine check, double fault,
 * debug exception) has a stack of its own and looks at the base itself: only the kernel's is negative. */
#include "cpu/cpu.h"
#include "cpu/cpus.h"
#include "cpu/gdt.h"
#include "cpu/traps.h"

#define STUB_BYTES 16 /* traps.c computes the address of a stub */

/* Offsets in struct trap_frame behind the registers: in what RESTORE leaves on the stack. */
#define REGISTERS    (15 * 8)
#define FRAME_VECTOR 0
#define FRAME_RIP    16
#define FRAME_CS     24
#define FRAME_RFLAGS 32
#define FRAME_RSP    40

.macro SAVE
    cld
    pushq %rax
    pushq %rbx
    pushq %rcx
    pushq %rdx
    pushq %rbp
    pushq %rsi
    pushq %rdi
    pushq %r8
    pushq %r9
    pushq %r10
    pushq %r11
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    /* What was interrupted may have been a copy from ring 3, or ring 3, which can set AC itself. */
    cmpb $0, cpu_smap(%rip)
    je .Lno_smap\@
    clac
.Lno_smap\@:
    movq %rsp, %rdi
.endm

.macro RESTORE
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %r11
    popq %r10
    popq %r9
    popq %r8
    popq %rdi
    popq %rsi
    popq %rbp
    popq %rdx
    popq %rcx
    popq %rbx
    popq %rax
.endm

    .text
    .hidden cpu_smap, traps_dispatch
    .balign STUB_BYTES
    .globl trap_stubs
    .hidden trap_stubs
    .type trap_stubs, @function
trap_stubs:
    .set vector, 0
    .rept 256
    .balign STUB_BYTES
    /* The CPU pushes an error code for 8, 10-14, 17, 21, 29 and 30. */
    .if (vector == 8) || (vector >= 10 && vector <= 14) || (vector == 17) || (vector == 21) || (vector == 29) || (vector == 30)
    .else
    pushq $0
    .endif
    pushq $vector
    .if (vector == 1) || (vector == 2) || (vector == 8) || (vector == 18)
    jmp trap_entry_anywhere
    .else
    jmp trap_entry
    .endif
    .set vector, vector + 1
    .endr
    .balign STUB_BYTES
    .size trap_stubs, . - trap_stubs

    .type trap_entry, @function
trap_entry:
    testb $3, FRAME_CS(%rsp)
    jz trap_save
    swapgs
trap_save:
    SAVE
    call traps_dispatch                 /* 22 words were pushed on a 16-aligned stack: aligned here */
    testb $3, REGISTERS + FRAME_CS(%rsp)
    jnz 1f
    RESTORE
    addq $16, %rsp                      /* vector, error code */
    iretq
1:  swapgs
/* With the frame on the stack and the GS base of ring 3. traps_dispatch has seen to it that neither way
 * out can fault: the address is canonical, the selectors are ours. */
leave_to_ring3:
    RESTORE
    cmpl $TRAP_SYSCALL, FRAME_VECTOR(%rsp)
    je 2f
    addq $16, %rsp
    iretq
2:  movq FRAME_RIP(%rsp), %rcx
    movq FRAME_RFLAGS(%rsp), %r11
    movq FRAME_RSP(%rsp), %rsp
    sysretq
    .size trap_entry, . - trap_entry

    .type trap_entry_anywhere, @function
trap_entry_anywhere:
    SAVE
    movl $MSR_GS_BASE, %ecx
    rdmsr
    xorl %ebx, %ebx                     /* kept by C: whether the base has to be exchanged again */
    testl %edx, %edx
    js 1f
    swapgs
    incl %ebx
1:  call traps_dispatch
    testl %ebx, %ebx
    jz 2f
    swapgs
2:  RESTORE
    addq $16, %rsp
    iretq
    .size trap_entry_anywhere, . - trap_entry_anywhere

/* SYSCALL leaves RIP in RCX and RFLAGS in R11, has masked the flags (ring3.c), and is still on the stack
 * of ring 3: nothing is pushed on that. */
    .globl syscall_entry
    .hidden syscall_entry
    .type syscall_entry, @function
syscall_entry:
    swapgs
    movq %rsp, %gs:CPU_RING3_RSP
    movq %gs:CPU_RING0_RSP, %rsp
    pushq $GDT_USER_DATA | 3
    pushq %gs:CPU_RING3_RSP
    pushq %r11
    pushq $GDT_USER_CODE | 3
    pushq %rcx
    pushq $0
    pushq $TRAP_SYSCALL
    jmp trap_save
    .size syscall_entry, . - syscall_entry

/* void ring3_enter(struct trap_frame *frame)
 * Go on in ring 3 with these registers. Returns when ring3_leave is called, with interrupts off as they
 * are now. The stack below this call is the one that ring 3's traps and system calls come on; the frame
 * is popped where it lies, which no interrupt can notice. No selector of the kernel's stays. */
    .globl ring3_enter
    .hidden ring3_enter
    .type ring3_enter, @function
ring3_enter:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    subq $8, %rsp                       /* 8 words with the return address: aligned, as SAVE needs it */
    movq %rsp, %gs:CPU_RING0_RSP
    movq %gs:CPU_TSS, %rax
    movq %rsp, TSS_RSP0(%rax)
    movq %rdi, %rsp
    xorl %eax, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %fs
    swapgs
    movl %eax, %gs
    jmp leave_to_ring3
    .size ring3_enter, . - ring3_enter

/* _Noreturn void ring3_leave(void): in a handler of a trap from ring 3. Interrupts are off. */
    .globl ring3_leave
    .hidden ring3_leave
    .type ring3_leave, @function
ring3_leave:
    movq %gs:CPU_RING0_RSP, %rsp
    movl $GDT_DATA, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss                      /* none: the trap has loaded the null selector */
    addq $8, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size ring3_leave, . - ring3_leave

/* bool traps_call(void (*function)(void *), void *argument, uint64_t *resume_rsp)
 * Stores where traps_abandon has to resume, calls, and answers true; resumed there, answers false. What
 * was stored is taken back before the stack under it is given up: an interrupt may come in between. */
    .globl traps_call
    .hidden traps_call
    .type traps_call, @function
traps_call:
    pushq %rbp
    movq %rsp, %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    pushfq
    movq %rdx, %rbx
    movq %rsp, (%rdx)
    movq %rdi, %rax
    movq %rsi, %rdi
    call *%rax                          /* 8 words were pushed with the return address: aligned */
    movq $0, (%rbx)
    movl $1, %eax
    jmp 1f
    .globl traps_resume
    .hidden traps_resume
traps_resume:                           /* RSP is what was stored, interrupts are off, all else is lost */
    xorl %eax, %eax
1:  popfq
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size traps_call, . - traps_call

    .section .note.GNU-stack, "", @progbits
