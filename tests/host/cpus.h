/* The CPUs of the simulated machine. A thread of cpus_run is one; elsewhere the test is CPU 0.
 *
 * Each has a TLB that keeps what it has seen until it is told to forget, and it takes interrupts
 * only where it calls port_relax: a shootdown has to wait for that, and an access goes by the old
 * translation until then, as on a real machine. */
#ifndef CPUS_H
#define CPUS_H

#include <stdbool.h>
#include <stdint.h>

#include "mm/tlb.h"

#define CPUS_MAX 16

/* Run body on the CPUs 0 .. n - 1, all starting at once, each with its share of the memory manager.
 * Each answers shootdowns until the last of them is done, and then leaves its space. After
 * pmm_init. */
void cpus_run(unsigned n, void (*body)(unsigned cpu));

/* Make the shares of the CPUs 0 .. n - 1 now, for a test that counts frames: cpus_run makes those
 * that are missing, of frames that are never given back. */
void cpus_make_shares(unsigned n);

/* Wait, answering shootdowns, until all CPUs of cpus_run have come here. */
void cpus_meet(void);

/* Read or write the aligned 8 bytes at va, as the CPU's translation says, from its TLB if it is
 * there; sets the accessed and dirty bits when it is not. False: a page fault. */
bool cpu_read(uint64_t va, uint64_t *value);
bool cpu_write(uint64_t va, uint64_t value);

/* Shootdowns reach nobody from now on: to see that the tests would notice. */
void cpus_drop_shootdowns(bool drop);

/* Since cpus_reset, over all CPUs. */
struct cpus_counts {
    uint64_t hits, misses;                      /* of the TLBs */
    uint64_t shootdowns, whole_flushes, single; /* asked for; carried out, by kind */
};
struct cpus_counts cpus_get_counts(void);

/* All CPUs as after power-on. */
void cpus_reset(void);

/* Stop the test program, from any thread, with this message. */
_Noreturn void cpus_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#define CPU_CHECK(condition) \
    ((condition) ? (void)0 : cpus_fail("%s:%d: %s", __FILE__, __LINE__, #condition))

#endif
