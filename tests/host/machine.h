/* The simulated machine: an arena that poses as physical memory, and the port of mm/ to it.
 *
 * Physical address p is at hhdm.base + p, which is never p. Only what the memory map calls RAM can
 * be touched; a step into a hole, a reserved region or beyond the end is a segmentation fault.
 * Misuse is recorded, and must be claimed by the test with assert_misuse. Its CPUs: cpus.h. */
#ifndef MACHINE_H
#define MACHINE_H

#include <setjmp.h>

#include "cpus.h"
#include "mm/port.h"
#include "mm/region.h"

#define KIB      (1ull << 10)
#define MIB      (1ull << 20)
#define GIB      (1ull << 30)
#define TIB      (1ull << 40)
#define RAM_BASE (4 * GIB) /* where the RAM of machine_start_simple begins */

struct machine {
    struct port_cpu cpu; /* what port_cpu says; a test may change it */
    unsigned misuses;    /* not claimed yet */
    unsigned logs;
    char message[256];                                   /* the last misuse, log line or panic */
    void (*on_shootdown)(const struct tlb_batch *batch); /* before each, when not NULL */
    jmp_buf *panic_expected;
};
extern struct machine machine;

/* Switch a machine on that has this memory map, and make its direct map ready. */
void machine_start(const struct mem_region *map, size_t n);

/* The same with one usable bank at RAM_BASE, and with the pmm up. */
void machine_start_simple(uint64_t bytes);

/* Switch it off. Fails the test if there was misuse that nobody claimed. */
void machine_stop(void);

/* The k-th allocation of frames, or of a heap's range, from now on fails, once; 0: none does. */
void machine_fail_allocation(unsigned k);

/* The same, and all behind it. */
void machine_fail_allocations_from(unsigned k);

/* True if the failure has happened; disarms it. */
bool machine_failed(void);

uint64_t machine_free_frames(void);

/* Exactly one misuse since the last claim, with these words in it. */
void assert_misuse(const char *words);

/* The last message contains these words. */
void assert_message(const char *words);

#define assert_panics(statement, words)           \
    do {                                          \
        jmp_buf behind_;                          \
        if (setjmp(behind_) == 0) {               \
            machine.panic_expected = &behind_;    \
            statement;                            \
            fail_msg("no panic: %s", #statement); \
        }                                         \
        machine.panic_expected = NULL;            \
        assert_message(words);                    \
    } while (0)

#endif
