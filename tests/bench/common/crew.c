/* Owns: the gate where threads meet; the clocks.
 *
 * Time is that of the thread: another program that takes the core away for a while is not counted,
 * waiting for a lock is. */
#define _GNU_SOURCE
#include "crew.h"

#include <sched.h>
#include <time.h>

unsigned crew_patience = 4096;
static struct {
    unsigned arrived, generation;
} gate;

static uint64_t read_clock(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * 1000000000ull + (uint64_t)time.tv_nsec;
}

uint64_t clock_wall(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

uint64_t clock_thread(void)
{
    return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

uint64_t clock_process(void)
{
    return read_clock(CLOCK_PROCESS_CPUTIME_ID);
}

/* The least of many. */
uint64_t clock_cost(void)
{
    static uint64_t cost;
    if (cost == 0) {
        uint64_t least = UINT64_MAX;
        for (unsigned try = 0; try < 1000; try++) {
            uint64_t before = clock_thread();
            uint64_t between = clock_thread() - before;
            least = between < least ? between : least;
        }
        cost = least;
    }
    return cost;
}

void crew_pin(unsigned core)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core % (unsigned)CPU_SETSIZE, &set);
    (void)sched_setaffinity(0, sizeof set, &set);
}

void crew_meet(unsigned n)
{
    unsigned generation = __atomic_load_n(&gate.generation, __ATOMIC_ACQUIRE);
    if (__atomic_add_fetch(&gate.arrived, 1, __ATOMIC_ACQ_REL) == n) {
        __atomic_store_n(&gate.arrived, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&gate.generation, generation + 1, __ATOMIC_RELEASE);
        return;
    }
    for (unsigned turns = 1; __atomic_load_n(&gate.generation, __ATOMIC_ACQUIRE) == generation;
         turns++) {
        __builtin_ia32_pause();
        if (turns % crew_patience == 0)
            sched_yield();
    }
}
