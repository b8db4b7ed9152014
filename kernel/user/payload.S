/* The programs of payload.h: for ring 3, constant data for the kernel. */
#include "cpu/gdt.h"
#include "user/payload.h"
#include "user/syscall.h"

#define FLAG_TF 0x100
#define FLAG_DF 0x400
#define FLAG_NT 0x4000
#define FLAG_AC 0x40000

#define FLAGS_BAD (FLAG_DF | FLAG_NT | FLAG_AC | 2) /* for the kernel */

.macro PROGRAM name
    .globl payload_\name
    .hidden payload_\name
payload_\name:
.endm

.macro TRY name, code:vararg
    PROGRAM \name
    \code
    jmp survived
.endm

/* Loses RAX, RCX and R11. */
.macro CALL number
    movl $\number, %eax
    syscall
.endm

    .section .rodata.payload, "a", @progbits
    .globl payload, payload_end
    .hidden payload, payload_end
payload:

PROGRAM read
    movb (%rdi), %al
survived:
    movl $PAYLOAD_SURVIVED, %edi
exit:
    CALL SYS_EXIT
    ud2
wrong:
    movl $PAYLOAD_WRONG, %edi
    jmp exit
exit_with_rax:
    movq %rax, %rdi
    jmp exit
right:
    xorl %edi, %edi
    jmp exit

TRY write, movb %al, (%rdi)
PROGRAM jump
    jmp *%rdi

PROGRAM forbid_and_read
    movl $PAYLOAD_NO_KEYS, %eax
    xorl %ecx, %ecx
    xorl %edx, %edx
    wrpkru
    jmp payload_read

/* ---- what is allowed ------------------------------------------------------------------------- */

PROGRAM registers
    movl %ds, %ecx
    movl %es, %edx
    orl %edx, %ecx
    movl %fs, %edx
    orl %edx, %ecx
    movl %gs, %edx
    orl %edx, %ecx
    orq %rcx, %rax
    .irp reg, rbx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15
    orq %\reg, %rax
    .endr
    jnz wrong
    .set mark, 1
    .irp reg, rbx, rdx, rsi, rdi, rbp, r8, r9, r10, r12, r13, r14, r15
    leaq mark(%rsp), %\reg
    .set mark, mark + 1
    .endr
    CALL SYS_YIELD
back:
    leaq back(%rip), %rax
    subq %rcx, %rax
    jne wrong
    pushq %r11
    andl $~0xcd7, (%rsp)                /* all but results, direction and what is always 1 */
    popq %rax
    cmpl $0x200, %eax
    jne wrong
    .set mark, 1
    .irp reg, rbx, rdx, rsi, rdi, rbp, r8, r9, r10, r12, r13, r14, r15
    leaq mark(%rsp), %rax
    cmpq %rax, %\reg
    jne wrong
    .set mark, mark + 1
    .endr
    jmp right

PROGRAM share
    movq %rdx, %r8
    movq %rcx, %r9
    movq %rdi, %r10
    CALL SYS_NUMBER
    cmpq %rax, %r10
    jne wrong
    shlq $32, %r10
1:  leaq (%r10,%rsi), %rbx              /* nobody else writes this word, and not before */
    movq %r8, %rdi
    movq %r9, %rdx
2:  movq %rbx, (%rdi)
    addq $4096, %rdi
    decq %rdx
    jnz 2b
    pushq %rbx
    CALL SYS_YIELD
    popq %rax
    cmpq %rax, %rbx
    jne wrong
    movq %r8, %rdi
    movq %r9, %rdx
3:  cmpq %rbx, (%rdi)
    jne wrong
    addq $4096, %rdi
    decq %rdx
    jnz 3b
    decq %rsi
    jnz 1b
    jmp right

PROGRAM keep
    movq %rsi, (%rdi)
    CALL SYS_YIELD
    movq (%rdi), %rdi
    jmp exit

PROGRAM fill
    cmpq $0, (%rdi)
    jne wrong
    movq %rdi, (%rdi)
    addq $4096, %rdi
    decq %rsi
    jnz payload_fill
    jmp right

PROGRAM count
    movq %rdi, %rax
    movq %rsi, %rcx
1:  lock incq (%rax)
    addq $4096, %rax
    decq %rcx
    jnz 1b
    decq %rdx
    jnz payload_count
    jmp right

PROGRAM grow
    subq $4096, %rsp
    movq %rdi, (%rsp)
    decq %rdi
    jnz payload_grow
    jmp right

PROGRAM call
    movq %rdi, %rax
    movq %rsi, %rdi
    movq %rdx, %rsi
    movq %rcx, %rdx
    syscall
    jmp exit_with_rax

PROGRAM greet
    pushq $FLAGS_BAD
    popfq
    movq %rdi, %rbx
    leaq greeting(%rip), %rdi
    movl $greeting_end - greeting, %esi
    CALL SYS_WRITE
    incq (%rbx)
    cmpq $1, (%rbx)
    jne wrong
    jmp exit_with_rax
greeting:
    .ascii PAYLOAD_GREETING
greeting_end:

PROGRAM trap_with_flags
    pushq $FLAGS_BAD
    popfq
    ud2

PROGRAM allocate
    movl $4, %edi
    movl $3, %esi                       /* PROT_READ | PROT_WRITE */
    CALL SYS_ALLOC
    testq %rax, %rax
    js exit_with_rax
    movq %rax, %rbx
    movq %rax, 3 * 4096(%rbx)
    cmpq $0, 4096(%rbx)
    jne wrong
    movq %rbx, %rdi
    movl $4, %esi
    movl $1, %edx                       /* PROT_READ */
    CALL SYS_PROTECT
    testq %rax, %rax
    jne exit_with_rax
    cmpq %rbx, 3 * 4096(%rbx)
    jne wrong
    CALL SYS_FREE
    jmp exit_with_rax

PROGRAM spin
    incq %rdi
    jmp payload_spin

/* ---- what is not ----------------------------------------------------------------------------- */

PROGRAM overflow
    call payload_overflow
TRY skip, movb %al, -0x20000(%rsp)
PROGRAM wild_stack                      /* the kernel must not push there */
    movq %rdi, %rsp
    CALL SYS_NUMBER
    ud2

TRY cli, cli
TRY sti, sti
TRY hlt, hlt
TRY read_cr, movq %cr3, %rax
TRY write_cr, movq %rax, %cr3
TRY read_dr, movq %dr7, %rax
TRY in, inb $0x64, %al
TRY out, outb %al, $0x80
TRY rdmsr, rdmsr
TRY wrmsr, wrmsr
TRY lgdt, lgdt -16(%rsp)
TRY lidt, lidt -16(%rsp)
TRY ltr, ltr %ax
TRY lmsw, lmsw %ax
TRY invlpg, invlpg (%rsp)
TRY wbinvd, wbinvd
TRY clts, clts
TRY swapgs, swapgs
TRY sysret, sysretq
TRY sysenter, sysenter
TRY sgdt, sgdt -16(%rsp)
TRY sidt, sidt -16(%rsp)
TRY sldt, sldt %eax
TRY str, str %eax
TRY smsw, smsw %eax
TRY stac, stac
TRY wrgsbase, wrgsbase %rax
TRY rdpmc, rdpmc
TRY fpu, fld1
TRY sse, xorps %xmm0, %xmm0
TRY int, int $0x80
TRY int3, int3
TRY icebp, .byte 0xf1
PROGRAM step
    pushfq
    orl $FLAG_TF, (%rsp)
    popfq
    jmp survived
PROGRAM step_into_call
    pushfq
    orl $FLAG_TF, (%rsp)
    movl $SYS_NUMBER, %eax
    popfq
    syscall
    jmp survived
TRY ud2, ud2
PROGRAM divide
    xorl %ecx, %ecx
    divl %ecx
    jmp survived
PROGRAM far_return
    pushq $GDT_CODE
    pushq %rdi
    lretq
PROGRAM interrupt_return
    pushq $GDT_DATA
    pushq %rsp
    pushfq
    pushq $GDT_CODE
    pushq %rdi
    iretq
PROGRAM load_ss
    movl $GDT_DATA, %eax
    movl %eax, %ss
    jmp survived
PROGRAM load_gs
    movl $GDT_DATA, %eax
    movl %eax, %gs
    jmp survived
payload_end:

    .section .note.GNU-stack, "", @progbits
