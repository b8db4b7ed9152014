/* The stress tests' parts, and the crew that runs them: CPUs with numbers from 0 on without gaps,
 * the current one among them. Private to stress*.c and the self-check. */
#ifndef QL_KERNEL_STRESS_PARTS_H
#define QL_KERNEL_STRESS_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "mm/addr.h"
#include "mm/paging.h"

/* Where the tests map: each CPU of the crew has 1 GiB of its own, from here on. In the part of the
 * address space for virtual allocations, beside the self-check's scratch page. */
#define STRESS_VA VA(0xffffc10000000000ull)

/* What the test that runs has counted and found wrong; atomic. */
struct stress_counts {
    uint64_t done;
    uint64_t wrong;
};

struct crew {
    unsigned n;
    unsigned cpus[CONFIG_CPUS_MAX]; /* by number in the crew; 0 is the CPU that leads */
    unsigned rounds;
    struct stress_counts counts;
};
extern struct crew crew;

/* Choose the crew: the current CPU and others that are online, at most limit. */
void crew_choose(unsigned limit);

/* Run body(number) on all of the crew, all starting at once, and wait for the last. */
void crew_run(void (*body)(unsigned number));

/* Wait, answering the other CPUs, until the whole crew has come here. */
void crew_meet(void);

/* Wait until *flag is at least value: acquire order. */
void crew_await(const uint32_t *flag, uint32_t value);

/* The page of that number in a crew member's part of the address space. */
vaddr_t crew_page(unsigned number, uint64_t page);

static inline void crew_count(uint64_t n)
{
    __atomic_fetch_add(&crew.counts.done, n, __ATOMIC_RELAXED);
}

/* Count it as wrong unless it holds, and say the first few times where that was. */
bool crew_check(bool holds, const char *file, int line);
#define CREW_CHECK(condition) crew_check((condition), __FILE_NAME__, __LINE__)

/* Read or write the word at va. False: that was a page fault with these bits of the error code; any
 * other exception counts as wrong. */
bool crew_read(vaddr_t va, uint64_t *value, uint64_t error);
bool crew_write(vaddr_t va, uint64_t value, uint64_t error);

/* A frame mapped at va, and gone again. */
bool crew_map(vaddr_t va, paddr_t *frame);
void crew_unmap(vaddr_t va, paddr_t frame);

/* One test: crew and crew.rounds are set. counted says what counts.done counts. */
struct stress_test {
    const char *name, *counted;
    void (*run)(void);
};

void stress_unmap(void);
void stress_protect(void);
void stress_mixed(void);
void stress_storm(void);
void stress_barrier(void);
void stress_deaf(void);

/* Run one with a crew of at most limit CPUs; true if nothing was wrong. */
bool stress_one(const struct stress_test *test, unsigned limit, unsigned rounds);

#endif
