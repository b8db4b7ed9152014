/* The self-check's parts: tables of checks, one per layer. Private to selfcheck*.c. */
#ifndef QL_KERNEL_SELFCHECK_PARTS_H
#define QL_KERNEL_SELFCHECK_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mm/addr.h"

/* A check leaves everything as it found it, unless it fails. */
struct selfcheck {
    const char *name; /* what is true if it passes */
    bool (*run)(void);
};

struct selfcheck_part {
    const struct selfcheck *checks;
    size_t count;
};

extern const struct selfcheck_part selfcheck_cpu, selfcheck_faults, selfcheck_frames,
    selfcheck_paging, selfcheck_vmm, selfcheck_heap, selfcheck_smp, selfcheck_user, selfcheck_kasan;

/* Remember what was wrong, for the failure's line. Always false. */
bool selfcheck_fail(const char *condition, int line);

#define EXPECT(condition)                                \
    do {                                                 \
        if (!(condition))                                \
            return selfcheck_fail(#condition, __LINE__); \
    } while (0)

/* Read or write the byte at an address. */
void selfcheck_read(void *address);
void selfcheck_write(void *address);

/* True if access(at) ends in a page fault at that address, with these bits of the error code. */
bool selfcheck_faults_at(void (*access)(void *), vaddr_t at, uint64_t error);

/* Where scratch pages are mapped: between the windows and the kernel image, where nobody allocates,
 * and an address of the user half. */
#define SCRATCH_VA      VA(0xffffff8000000000ull)
#define SCRATCH_USER_VA VA(0x0000000040000000ull)

#endif
