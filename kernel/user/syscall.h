/* What ring 3 can ask for: as much as shows that memory is its own. Shared with payload.S.
 *
 * RAX is the call, RDI, RSI and RDX are its arguments; RAX is the result. One below 0 is the negative of
 * an mm_status. RCX and R11 are lost, as SYSCALL has it. */
#ifndef QL_KERNEL_USER_SYSCALL_H
#define QL_KERNEL_USER_SYSCALL_H

#define SYS_EXIT    0 /* code */
#define SYS_YIELD   1
#define SYS_NUMBER  2 /* of the thread */
#define SYS_WRITE   3 /* address, bytes: a line of log; the bytes */
#define SYS_ALLOC   4 /* pages, prot_t: lazily filled; the address */
#define SYS_FREE    5 /* address, pages */
#define SYS_PROTECT 6 /* address, pages, prot_t */

#define SYS_WRITE_MAX 80

#ifndef __ASSEMBLER__
/* Take the calls. */
void syscall_init(void);
#endif

#endif
