/* What an exception means, in words: which access, to what, and why it was refused. */
#ifndef QL_KERNEL_EXPLAIN_H
#define QL_KERNEL_EXPLAIN_H

#include <stddef.h>
#include <stdint.h>

#include "cpu/traps.h"

/* One sentence without a full stop: "page fault: write to a read-only page at 0xffff..., in kernel
 * rodata". cr2 is the one of the exception. Allocates nothing, takes no lock. */
void explain_trap(const struct trap_frame *frame, uint64_t cr2, char *out, size_t bytes);

#endif
