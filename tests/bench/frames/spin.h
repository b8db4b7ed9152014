/* The lock of the baselines: test and test-and-set, which is as fast as a lock gets when it is free. */
#ifndef SPIN_H
#define SPIN_H

#include <sched.h>
#include <stdbool.h>

struct spin {
    bool taken;
} __attribute__((aligned(128)));

static inline void spin_take(struct spin *lock)
{
    for (unsigned turns = 1; __atomic_exchange_n(&lock->taken, true, __ATOMIC_ACQUIRE); turns++)
        while (__atomic_load_n(&lock->taken, __ATOMIC_RELAXED)) {
            __builtin_ia32_pause();
            if (++turns % 1024 == 0) /* its holder may not be running */
                sched_yield();
        }
}

static inline void spin_give(struct spin *lock)
{
    __atomic_store_n(&lock->taken, false, __ATOMIC_RELEASE);
}

#endif
