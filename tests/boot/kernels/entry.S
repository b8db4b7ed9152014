/* The first instructions of a test kernel, on the CPU that boots and on the others: keep what the loader
 * left in the registers, then run C on the loader's stack, which is one of the things to be tested.
 * Offsets are those of struct entry_state. */
    .text
    .globl entry, entry_by_request, ap_entry
    .hidden entry, entry_by_request, entry_state, kernel_main, ap_entry, ap_state, ap_kernel_main

/* All but rax. */
    .macro keep_registers state
    movq %rbx, \state+8(%rip)
    movq %rcx, \state+16(%rip)
    movq %rdx, \state+24(%rip)
    movq %rsi, \state+32(%rip)
    movq %rdi, \state+40(%rip)
    movq %rbp, \state+48(%rip)
    movq %r8, \state+56(%rip)
    movq %r9, \state+64(%rip)
    movq %r10, \state+72(%rip)
    movq %r11, \state+80(%rip)
    movq %r12, \state+88(%rip)
    movq %r13, \state+96(%rip)
    movq %r14, \state+104(%rip)
    movq %r15, \state+112(%rip)
    movq %rsp, \state+120(%rip)
    pushfq
    popq \state+128(%rip)
    movw %cs, \state+136(%rip)
    movw %ds, \state+138(%rip)
    movw %es, \state+140(%rip)
    movw %ss, \state+142(%rip)
    movw %fs, \state+144(%rip)
    movw %gs, \state+146(%rip)
    str \state+148(%rip)
    sldt \state+150(%rip)
    sgdt \state+152(%rip)
    sidt \state+168(%rip)
    .endm

entry_by_request:
    movq %rax, entry_state+0(%rip)
    movb $1, entry_state+192(%rip)
    jmp 1f
entry:
    movq %rax, entry_state+0(%rip)
1:
    keep_registers entry_state
    call kernel_main
1:  hlt
    jmp 1b

/* One CPU at a time: see mp.c. */
ap_entry:
    movq %rax, ap_state+0(%rip)
    keep_registers ap_state
    call ap_kernel_main
1:  cli
    hlt
    jmp 1b
    .section .note.GNU-stack, "", @progbits
