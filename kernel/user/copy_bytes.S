/* The only instructions of the kernel that touch memory of ring 3. A fault in one of them that cannot be
 * resolved goes on behind it (copy_resume in copy.c), where RCX says how much is left. */

    .text
    .hidden cpu_smap
    .globl copy_bytes, clear_bytes, copy_bytes_access, clear_bytes_access
    .hidden copy_bytes, clear_bytes, copy_bytes_access, clear_bytes_access

/* size_t copy_bytes(void *to, const void *from, size_t bytes): the bytes left */
    .type copy_bytes, @function
copy_bytes:
    movq %rdx, %rcx
    cmpb $0, cpu_smap(%rip)
    je copy_bytes_access
    stac
copy_bytes_access:
    rep movsb
copied:
    cmpb $0, cpu_smap(%rip)
    je 1f
    clac
1:  movq %rcx, %rax
    ret
    .size copy_bytes, . - copy_bytes

/* size_t clear_bytes(void *to, size_t bytes): the same */
    .type clear_bytes, @function
clear_bytes:
    movq %rsi, %rcx
    xorl %eax, %eax
    cmpb $0, cpu_smap(%rip)
    je clear_bytes_access
    stac
clear_bytes_access:
    rep stosb
    jmp copied
    .size clear_bytes, . - clear_bytes

    .section .note.GNU-stack, "", @progbits
