/* Owns: in a debug build, what each CPU holds and where it was taken; otherwise nothing.
 * Relies on: the port, for the number of the CPU and to panic.
 * Stage: from the first lock on; the records start out empty.
 *
 * A CPU writes only its own record, with interrupts off. Others read it in the moment of a panic,
 * so the accesses are atomic; what they then see may be a little old, and is only printed. */
#include "lock.h"

#ifdef QL_DEBUG

#include "config.h"
#include "mm/port.h"

#define HELD_MAX 8 /* only tried locks could be more: the order is shorter */

struct held {
    const void *lock;
    const char *name;
    uint64_t where; /* the code address of the acquire */
    unsigned order;
};

static struct record {
    struct held held[HELD_MAX];
    unsigned count;
} records[CONFIG_CPUS_MAX];

#define GET(field)        __atomic_load_n(&(field), __ATOMIC_RELAXED)
#define SET(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELAXED)
/* Not the caller of spin_lock but the line that calls it: spin_lock is inlined there. */
#define CODE_ADDRESS ((uint64_t)(uintptr_t)__builtin_return_address(0))

static unsigned find(struct record *r, const void *lock)
{
    unsigned i = 0;
    while (i < GET(r->count) && GET(r->held[i].lock) != lock)
        i++;
    return i;
}

void lock_check_acquire(const void *lock, const struct lock_id *id)
{
    unsigned cpu = port_cpu_id();
    struct record *r = &records[cpu];
    for (unsigned i = 0; i < r->count; i++) {
        const struct held *h = &r->held[i];
        if (h->lock == lock)
            port_panic("lock: CPU %u takes \"%s\" at 0x%lx, and holds it since 0x%lx", cpu,
                       id->name, CODE_ADDRESS, h->where);
        if (h->order >= (unsigned)id->order)
            port_panic(
                "lock: wrong order: CPU %u takes \"%s\" (%u) at 0x%lx, but holds \"%s\" (%u) "
                "since 0x%lx",
                cpu, id->name, (unsigned)id->order, CODE_ADDRESS, h->name, h->order, h->where);
    }
}

void lock_note_acquired(const void *lock, const struct lock_id *id)
{
    struct record *r = &records[port_cpu_id()];
    if (r->count == HELD_MAX)
        port_panic("lock: CPU %u holds %u locks; raise HELD_MAX", port_cpu_id(), r->count);
    struct held *h = &r->held[r->count];
    SET(h->lock, lock);
    SET(h->name, id->name);
    SET(h->where, CODE_ADDRESS);
    SET(h->order, (unsigned)id->order);
    SET(r->count, r->count + 1);
}

_Noreturn static void panic_not_held(unsigned cpu, const void *lock, const struct lock_id *id,
                                     uint64_t where)
{
    for (unsigned other = 0; other < CONFIG_CPUS_MAX; other++) {
        struct record *r = &records[other];
        unsigned i = find(r, lock);
        if (i < GET(r->count))
            port_panic("lock: CPU %u releases \"%s\" at 0x%lx, but CPU %u holds it since 0x%lx",
                       cpu, id->name, where, other, GET(r->held[i].where));
    }
    port_panic("lock: CPU %u releases \"%s\" at 0x%lx, which nobody holds", cpu, id->name, where);
}

/* Locks may be released in any order: the later ones move up. */
void lock_check_release(const void *lock, const struct lock_id *id)
{
    unsigned cpu = port_cpu_id();
    struct record *r = &records[cpu];
    unsigned i = find(r, lock);
    if (i == r->count)
        panic_not_held(cpu, lock, id, CODE_ADDRESS);
    for (; i + 1 < r->count; i++) {
        SET(r->held[i].lock, r->held[i + 1].lock);
        SET(r->held[i].name, r->held[i + 1].name);
        SET(r->held[i].where, r->held[i + 1].where);
        SET(r->held[i].order, r->held[i + 1].order);
    }
    SET(r->count, r->count - 1);
}

bool lock_is_held(const void *lock)
{
    struct record *r = &records[port_cpu_id()];
    return find(r, lock) < r->count;
}

#endif
