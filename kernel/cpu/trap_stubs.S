/* Entry points of all 256 vectors, and traps_try. source: Intel SDM Vol. 3A "64-Bit Mode Exception and
 * Interrupt Handling". Every stub leaves a struct trap_frame (traps.h) on the stack. */

#define STUB_BYTES 16 /* traps.c computes the address of a stub */

    .text
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
    jmp trap_entry
    .set vector, vector + 1
    .endr
    .balign STUB_BYTES
    .size trap_stubs, . - trap_stubs

    .type trap_entry, @function
trap_entry:
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
    movq %rsp, %rdi
    call traps_dispatch                 /* 22 words were pushed on a 16-aligned stack: aligned here */
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
    addq $16, %rsp                      /* vector, error code */
    iretq
    .size trap_entry, . - trap_entry

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
