/* The first instructions of a test kernel: keep what the loader left in the registers, then run C on the
 * loader's stack, which is one of the things to be tested. Offsets are those of struct entry_state. */
    .text
    .globl entry, entry_by_request
    .hidden entry, entry_by_request, entry_state, kernel_main
entry_by_request:
    movq %rax, entry_state+0(%rip)
    movb $1, entry_state+192(%rip)
    jmp 1f
entry:
    movq %rax, entry_state+0(%rip)
1:
    movq %rbx, entry_state+8(%rip)
    movq %rcx, entry_state+16(%rip)
    movq %rdx, entry_state+24(%rip)
    movq %rsi, entry_state+32(%rip)
    movq %rdi, entry_state+40(%rip)
    movq %rbp, entry_state+48(%rip)
    movq %r8, entry_state+56(%rip)
    movq %r9, entry_state+64(%rip)
    movq %r10, entry_state+72(%rip)
    movq %r11, entry_state+80(%rip)
    movq %r12, entry_state+88(%rip)
    movq %r13, entry_state+96(%rip)
    movq %r14, entry_state+104(%rip)
    movq %r15, entry_state+112(%rip)
    movq %rsp, entry_state+120(%rip)
    pushfq
    popq entry_state+128(%rip)
    movw %cs, entry_state+136(%rip)
    movw %ds, entry_state+138(%rip)
    movw %es, entry_state+140(%rip)
    movw %ss, entry_state+142(%rip)
    movw %fs, entry_state+144(%rip)
    movw %gs, entry_state+146(%rip)
    str entry_state+148(%rip)
    sldt entry_state+150(%rip)
    sgdt entry_state+152(%rip)
    sidt entry_state+168(%rip)
    call kernel_main
1:  hlt
    jmp 1b
    .section .note.GNU-stack, "", @progbits
