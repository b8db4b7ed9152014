/* Spinlocks that keep interrupts off while held, with clang's thread-safety annotations. Whoever waits
 * goes on answering other CPUs through port_relax.
 *
 * A debug build (-DQL_DEBUG) records what each CPU holds, and panics with the names and the place
 * of the first acquire when the order below is broken, a lock is taken twice or one is released
 * that the CPU does not hold. */
#ifndef QL_LOCK_H
#define QL_LOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "mm/port.h"

#if defined(__clang__)
#define TS_ATTR(x) __attribute__((x))
#else
#define TS_ATTR(x)
#endif
#define CAPABILITY(name)    TS_ATTR(capability(name))
#define GUARDED_BY(lock)    TS_ATTR(guarded_by(lock))
#define PT_GUARDED_BY(lock) TS_ATTR(pt_guarded_by(lock))
#define REQUIRES(lock)      TS_ATTR(requires_capability(lock))
#define ACQUIRE(lock)       TS_ATTR(acquire_capability(lock))
#define RELEASE(lock)       TS_ATTR(release_capability(lock))
#define TRY_ACQUIRE(...)    TS_ATTR(try_acquire_capability(__VA_ARGS__))
#define NO_LOCK_ANALYSIS    TS_ATTR(no_thread_safety_analysis)

/* The order, outer to inner, in the direction of the calls: a CPU that holds one takes only those
 * with higher numbers, so never two of one class. There is room between them. */
enum lock_order {
    LOCK_CACHES = 8,       /* mm/heap/object_cache.c: which caches there are */
    LOCK_HEAP = 10,        /* mm/heap/: a CPU's share; one at a time */
    LOCK_HEAP_SHARED = 11, /* mm/heap/shared.c: slabs that are no CPU's */
    LOCK_RECORD = 12,      /* mm/heap/debug/: the records of objects */
    LOCK_SAMPLE = 14,      /* mm/heap/sample.c: which pages are whose */
    LOCK_SPACES = 22,      /* mm/vmm/vmm.c: the list of spaces */
    LOCK_RANGES = 24,      /* mm/vmm/record.c: records that are divided, devices that are mapped */
    LOCK_SPACE = 30,  /* mm/paging/: tables; those that one operation holds count as one lock */
    LOCK_WINDOW = 32, /* mm/vmm/window.c: the addresses of the kernel's window */
    LOCK_NAMES = 34,  /* mm/vmm/names.c: adding a name */
    LOCK_SHARES = 36, /* mm/vmm/shares.c: the record of a block; one at a time */
    LOCK_FRAMES = 40, /* below the tables; the pmm itself has no lock */
    LOCK_POOL = 42,   /* mm/object_pool.c: a pool's reserve; nothing is called under it */
    LOCK_LOG = 90,    /* kernel/console/print.c: the consoles; last, as everything may log */
};

/* What a lock is called, and its place in the order. */
struct lock_id {
    const char *name;
    enum lock_order order;
};

/* First come, first served, but with QL_LOCK_UNFAIR. */
struct ticket {
    uint32_t next;    /* the ticket the next comer draws */
    uint32_t serving; /* the ticket whose turn it is */
};

struct CAPABILITY("spinlock") spinlock {
    struct ticket ticket;
    struct lock_id id;
};

/* The initialiser, for statics and in compound literals: SPINLOCK_INIT(LOCK_HEAP, "heap"). */
#define SPINLOCK_INIT(order_, name_)                 \
    {                                                \
        .ticket = {0, 0}, .id = {(name_), (order_) } \
    }

/* The checks of a debug build, in mm/lock.c: before waiting, when it is held, before releasing. */
#ifdef QL_DEBUG
void lock_check_acquire(const void *lock, const struct lock_id *id);
void lock_note_acquired(const void *lock, const struct lock_id *id);
void lock_check_release(const void *lock, const struct lock_id *id);
/* True if this CPU holds the lock. */
bool lock_is_held(const void *lock);
#else
static inline void lock_check_acquire(const void *lock, const struct lock_id *id)
{
    (void)lock, (void)id;
}
static inline void lock_note_acquired(const void *lock, const struct lock_id *id)
{
    (void)lock, (void)id;
}
static inline void lock_check_release(const void *lock, const struct lock_id *id)
{
    (void)lock, (void)id;
}
#endif

/* Always inlined: the place that the checks name is then the line that takes the lock. */
#define LOCK_INLINE static inline __attribute__((always_inline))

/* What taking a lock found the interrupt flag to be, and releasing it puts back. */
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

/* True if interrupts are on: this is no handler of one, and no lock is held. */
static inline bool irq_enabled(void)
{
#ifndef QL_HOST
    uint64_t flags;
    __asm__ volatile("pushfq; popq %0" : "=r"(flags)::"memory");
    return (flags & 0x200) != 0;
#else
    return true;
#endif
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

/* Acquire order: what the last holder wrote is seen. Where a host may take the CPU away from those who
 * wait (QL_LOCK_UNFAIR), nobody waits for one of them in particular. */
static inline void ticket_take(struct ticket *t)
{
#ifdef QL_LOCK_UNFAIR
    for (;; port_relax()) {
        uint32_t free = __atomic_load_n(&t->serving, __ATOMIC_RELAXED);
        if (__atomic_compare_exchange_n(&t->next, &(uint32_t){free}, free + 1, false,
                                        __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            return;
    }
#endif
    uint32_t mine = __atomic_fetch_add(&t->next, 1, __ATOMIC_RELAXED);
    while (__atomic_load_n(&t->serving, __ATOMIC_ACQUIRE) != mine)
        port_relax();
}

/* Release order. Only the holder writes serving, so it needs no atomic increment. */
static inline void ticket_give(struct ticket *t)
{
    uint32_t mine = __atomic_load_n(&t->serving, __ATOMIC_RELAXED);
    __atomic_store_n(&t->serving, mine + 1, __ATOMIC_RELEASE);
}

/* Take the lock, interrupts off. */
LOCK_INLINE irq_state_t spin_lock(struct spinlock *lock) ACQUIRE(lock) NO_LOCK_ANALYSIS
{
    irq_state_t state = irq_save();
    lock_check_acquire(lock, &lock->id);
    ticket_take(&lock->ticket);
    lock_note_acquired(lock, &lock->id);
    return state;
}

/* Give the lock back and restore the interrupt flag. */
LOCK_INLINE void spin_unlock(struct spinlock *lock, irq_state_t state)
    RELEASE(lock) NO_LOCK_ANALYSIS
{
    lock_check_release(lock, &lock->id);
    ticket_give(&lock->ticket);
    irq_restore(state);
}

/* Take the lock only if that is possible at once. Interrupts are off if it is true. */
LOCK_INLINE bool spin_try_lock(struct spinlock *lock, irq_state_t *state)
    TRY_ACQUIRE(true, lock) NO_LOCK_ANALYSIS
{
    irq_state_t before = irq_save();
    uint32_t free = __atomic_load_n(&lock->ticket.serving, __ATOMIC_ACQUIRE);
    if (!__atomic_compare_exchange_n(&lock->ticket.next, &(uint32_t){free}, free + 1, false,
                                     __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
        irq_restore(before);
        return false;
    }
    lock_note_acquired(lock, &lock->id);
    *state = before;
    return true;
}

#endif
