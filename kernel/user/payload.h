/* Programs for ring 3 that show what it can do and cannot: position-independent text (payload.S), which
 * whoever runs it copies to a page of a user space. A program is entered with arguments in RDI, RSI, RDX
 * and RCX, and exits with a result. */
#ifndef QL_KERNEL_USER_PAYLOAD_H
#define QL_KERNEL_USER_PAYLOAD_H

#define PAYLOAD_SURVIVED 0x5afe     /* an attempt went through */
#define PAYLOAD_WRONG    0xbad      /* something was not as it has to be */
#define PAYLOAD_NO_KEYS  0xfffffffc /* PKRU: nothing but what has key 0 */
#define PAYLOAD_GREETING "hello from ring 3"

#ifndef __ASSEMBLER__
#include <stdint.h>

extern const uint8_t payload[], payload_end[];

/* Its own registers: all 0 at first, kept over system calls and interrupts. */
extern const uint8_t payload_registers[];
/* (number, rounds, address, pages): fill the pages with what only this thread writes, again and again;
 * every round has a yield in the middle. 0, or PAYLOAD_WRONG if it reads anything else. */
extern const uint8_t payload_share[];
/* (address, value): write the word, yield, exit with what is there then. */
extern const uint8_t payload_keep[];
/* (address, pages): each page's first word must be 0, and is written then. */
extern const uint8_t payload_fill[];
/* (address, pages, times): add so many ones to each page's first word. */
extern const uint8_t payload_count[];
/* (pages): use that much of the stack. */
extern const uint8_t payload_grow[];
/* (call, a, b, c): exit with the result of a system call. */
extern const uint8_t payload_call[];
/* (address): write the greeting, touch the word; all with the flags set that the kernel must not have. */
extern const uint8_t payload_greet[];
/* Cause an exception (ud2) with the same flags set. */
extern const uint8_t payload_trap_with_flags[];
/* Allocate pages, use them, protect them, give them back. */
extern const uint8_t payload_allocate[];
/* For ever. */
extern const uint8_t payload_spin[];

/* Attempts at an address (RDI); the last one after giving up its rights on all keys but 0. */
extern const uint8_t payload_read[], payload_write[], payload_jump[], payload_forbid_and_read[];

/* Attempts at what is not for ring 3. */
extern const uint8_t payload_overflow[], payload_skip[], payload_cli[], payload_sti[],
    payload_hlt[], payload_read_cr[], payload_write_cr[], payload_read_dr[], payload_in[],
    payload_out[], payload_rdmsr[], payload_wrmsr[], payload_lgdt[], payload_lidt[], payload_ltr[],
    payload_lmsw[], payload_invlpg[], payload_wbinvd[], payload_clts[], payload_swapgs[],
    payload_sysret[], payload_sysenter[], payload_sgdt[], payload_sidt[], payload_sldt[],
    payload_str[], payload_smsw[], payload_stac[], payload_wrgsbase[], payload_rdpmc[],
    payload_fpu[], payload_sse[], payload_int[], payload_int3[], payload_icebp[], payload_step[],
    payload_step_into_call[], payload_ud2[], payload_divide[], payload_far_return[],
    payload_interrupt_return[], payload_load_ss[], payload_load_gs[], payload_wild_stack[];
#endif

#endif
