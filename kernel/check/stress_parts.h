/* The stress tests' parts, which the crew runs (cpu/crew.h). Private to stress*.c and the self-check. */
#ifndef QL_KERNEL_STRESS_PARTS_H
#define QL_KERNEL_STRESS_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cpu/crew.h"
#include "mm/addr.h"
#include "mm/paging.h"

/* Where the tests map by hand: each CPU of the crew has 1 GiB of its own, from here on. Between the
 * windows and the kernel image, behind the self-check's scratch pages. */
#define STRESS_VA VA(0xffffff9000000000ull)

/* The test that runs: what it is to do, what it has counted and found wrong. */
struct stress_counts {
    uint64_t done; /* atomic, both */
    uint64_t wrong;
};
struct stress {
    unsigned rounds;
    struct stress_counts counts;
};
extern struct stress stress;

/* The page of that number in a crew member's part of the address space. */
vaddr_t stress_page(unsigned number, uint64_t page);

static inline void stress_count(uint64_t n)
{
    __atomic_fetch_add(&stress.counts.done, n, __ATOMIC_RELAXED);
}

/* Count it as wrong unless it holds, and say the first few times where that was. */
bool stress_check(bool holds, const char *file, int line);
#define STRESS_CHECK(condition) stress_check((condition), __FILE_NAME__, __LINE__)

/* Read or write the word at va. False: that was a page fault with these bits of the error code; any
 * other exception counts as wrong. */
bool stress_read(vaddr_t va, uint64_t *value, uint64_t error);
bool stress_write(vaddr_t va, uint64_t value, uint64_t error);

/* A frame mapped at va, and gone again. */
bool stress_map_page(vaddr_t va, paddr_t *frame);
void stress_unmap_page(vaddr_t va, paddr_t frame);

/* One test: the crew and stress.rounds are set. counted says what counts.done counts. */
struct stress_test {
    const char *name, *counted;
    void (*run)(void);
};

void stress_unmap(void);
void stress_protect(void);
void stress_ranges(void);
void stress_touch(void);
void stress_mixed(void);
void stress_heap(void);
void stress_interrupts(void);
void stress_storm(void);
void stress_barrier(void);
void stress_deaf(void);
void stress_user(void);

/* Run one with a crew of at most limit CPUs; true if nothing was wrong. */
bool stress_one(const struct stress_test *test, unsigned limit, unsigned rounds);

#endif
