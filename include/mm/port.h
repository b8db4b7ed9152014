/* What mm/ needs of the machine it runs on. kernel/port.c implements it for the real one,
 * tests/host/machine.c for the simulated one. For all functions here: callable from any context,
 * never allocate, never call back into mm/. */
#ifndef QL_MM_PORT_H
#define QL_MM_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mm/addr.h"

#define PORT_PRINTF(at) __attribute__((format(printf, at, at + 1)))

/* What the CPU can do, as far as page tables care. Constant after port_init of the platform. */
struct port_cpu {
    bool nx;           /* EFER.NXE is on: bit 63 of an entry is execute-disable, else reserved */
    bool page_1g;      /* 1 GiB pages */
    bool global;       /* CR4.PGE is on */
    uint8_t phys_bits; /* physical address width (CPUID 80000008h), 36..52 */
    uint8_t levels;    /* 4 or 5, as CR4.LA57 says */
};
const struct port_cpu *port_cpu(void);

/* One line of log; no newline at the end of fmt. */
void port_log(const char *fmt, ...) PORT_PRINTF(1);

/* A broken invariant: say so and stop. */
_Noreturn void port_panic(const char *fmt, ...) PORT_PRINTF(1);

/* A caller broke the contract of an allocator (double free, foreign pointer). The kernel panics;
 * the simulated machine records the message and returns, and the function called reports MM_INVAL
 * and leaves its state as it was. */
void port_misuse(const char *fmt, ...) PORT_PRINTF(1);

/* Forget cached translations of npages pages from va, or all including global ones, on this CPU. */
void port_tlb_flush_range(vaddr_t va, uint64_t npages);
void port_tlb_flush_all(void);

/* CR3: the physical address of the root table in use. */
paddr_t port_get_root(void);
void port_set_root(paddr_t root);

#endif
