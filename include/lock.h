/* Ticket spinlocks that keep interrupts off while held, with clang's thread-safety annotations.
 *
 * Order, outer to inner, in the direction of the calls; a CPU that holds one takes only later ones:
 *   1 heap       mm/heap.c      the block lists
 *   2 space      mm/paging.c    one address space's tables
 *   3 pmm        mm/pmm.c       the frame bitmaps
 *   4 log        kernel/print.c the consoles
 */
#ifndef QL_LOCK_H
#define QL_LOCK_H

#include <stdint.h>

#if defined(__clang__)
#define TS_ATTR(x) __attribute__((x))
#else
#define TS_ATTR(x)
#endif
#define CAPABILITY(name) TS_ATTR(capability(name))
#define GUARDED_BY(lock) TS_ATTR(guarded_by(lock))
#define REQUIRES(lock)   TS_ATTR(requires_capability(lock))
#define ACQUIRE(lock)    TS_ATTR(acquire_capability(lock))
#define RELEASE(lock)    TS_ATTR(release_capability(lock))

struct CAPABILITY("spinlock") spinlock {
    uint32_t next;    /* the ticket the next comer draws */
    uint32_t serving; /* the ticket that holds the lock */
};

#define SPINLOCK_INIT \
    {                 \
        0, 0          \
    }

/* What spin_lock found the interrupt flag to be, and spin_unlock puts back. */
typedef struct irq_state {
    uint64_t flags;
} irq_state_t;

static inline irq_state_t irq_save(void)
{
    irq_state_t state = {0};
#ifndef QL_HOST
    __asm__ volatile("pushfq; popq %0; cli" : "=r"(state.flags)::"memory");
#endif
    return state;
}

static inline void irq_restore(irq_state_t state)
{
#ifndef QL_HOST
    if (state.flags & 0x200) /* RFLAGS.IF */
        __asm__ volatile("sti" ::: "memory");
#else
    (void)state;
#endif
}

/* Take the lock, interrupts off. Acquire order: what the last holder wrote is seen. */
static inline irq_state_t spin_lock(struct spinlock *lock) ACQUIRE(lock)
    __attribute__((no_thread_safety_analysis))
{
    irq_state_t state = irq_save();
    uint32_t ticket = __atomic_fetch_add(&lock->next, 1, __ATOMIC_RELAXED);
    while (__atomic_load_n(&lock->serving, __ATOMIC_ACQUIRE) != ticket)
        __builtin_ia32_pause();
    return state;
}

/* Give the lock back and restore the interrupt flag. Release order. */
static inline void spin_unlock(struct spinlock *lock, irq_state_t state) RELEASE(lock)
    __attribute__((no_thread_safety_analysis))
{
    __atomic_store_n(&lock->serving, lock->serving + 1, __ATOMIC_RELEASE);
    irq_restore(state);
}

#endif
