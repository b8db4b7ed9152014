/* Threads that run a workload at the same time, each on a core of its own, and their clock. */
#ifndef BENCH_CREW_H
#define BENCH_CREW_H

#include <stdint.h>

/* Nanoseconds: of a clock that only runs forward; that the calling thread, the process has run for. */
uint64_t clock_wall(void);
uint64_t clock_thread(void);
uint64_t clock_process(void);

/* What lies between two readings of clock_thread with nothing between them. */
uint64_t clock_cost(void);

/* Run on this core from now on; with fewer cores threads share, and it shows. */
void crew_pin(unsigned core);

/* Wait until n threads are here. */
void crew_meet(unsigned n);

/* Looks at the gate between two calls of sched_yield, while waiting there; 4096 to begin with. */
extern unsigned crew_patience;

/* splitmix64. source: Steele, Lea, Flood, OOPSLA 2014 */
static inline uint64_t splitmix(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

/* limit below 2^32. */
static inline uint64_t splitmix_below(uint64_t *state, uint64_t limit)
{
    return (splitmix(state) >> 32) * limit >> 32;
}

#endif
