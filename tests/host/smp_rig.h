/* What the tests with several CPUs share. Their threads must not use cmocka's asserts, which only
 * the thread that runs a test may leave it by: they use CPU_CHECK. */
#ifndef SMP_RIG_H
#define SMP_RIG_H

#include "cpus.h"
#include "machine.h"
#include "mm/hhdm.h"
#include "mm/pmm.h"
#include "test.h"

#ifndef NCPUS
#define NCPUS 4
#endif

/* Each CPU has a sequence of its own; one seed repeats them all, though not how they interleave. */
static struct rng rngs[NCPUS];

static inline void start_rngs(void)
{
    struct rng rng = rng_start();
    for (unsigned i = 0; i < NCPUS; i++)
        rngs[i].state = rng_next(&rng);
}

static inline uint64_t load(const uint64_t *p)
{
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static inline void store(uint64_t *p, uint64_t value)
{
    __atomic_store_n(p, value, __ATOMIC_RELEASE);
}

/* Wait until *p is value, answering other CPUs. */
static inline void wait_for(const uint64_t *p, uint64_t value)
{
    while (load(p) != value)
        port_relax();
}

#endif
