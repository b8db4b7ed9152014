/* Owns: where each CPU is in the tables.
 * Relies on: tables.h. Stage: "frames". */
#include "locks.h"

#include "config.h"

static const struct lock_id space_id = {"space", LOCK_SPACE};

/* What a CPU does, in the low bits of a number that grows each time. It alone writes it, with
 * interrupts off. */
#define IDLE        0u
#define BUSY        1u /* in an operation: has or waits for locks */
#define ON_WAY      2u /* reads tables that it does not hold */
#define ACTIVITY    3u
#define NEXT_NUMBER 4u

static struct {
    uint64_t doing;
} __attribute__((aligned(64))) cpus[CONFIG_CPUS_MAX];
static unsigned cpus_end; /* no CPU from here on has ever done anything */

/* A full barrier: what others unhook or freeze afterwards, they do in view of it. */
static void begin(unsigned cpu)
{
    unsigned end = __atomic_load_n(&cpus_end, __ATOMIC_RELAXED);
    while (end <= cpu && !__atomic_compare_exchange_n(&cpus_end, &end, cpu + 1, false,
                                                      __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
        ;
    DCHECK((cpus[cpu].doing & ACTIVITY) == IDLE);
    uint64_t number = cpus[cpu].doing & ~(uint64_t)ACTIVITY;
    __atomic_exchange_n(&cpus[cpu].doing, (number + NEXT_NUMBER) | ON_WAY, __ATOMIC_SEQ_CST);
}

static void go_on(unsigned cpu, unsigned what)
{
    uint64_t number = cpus[cpu].doing & ~(uint64_t)ACTIVITY;
    __atomic_store_n(&cpus[cpu].doing, number | what, __ATOMIC_RELEASE);
}

/* Until each other CPU has been seen doing something else than what it does now, if that is one of
 * these. A full barrier before. */
static void wait_for_all(uint64_t what)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    unsigned end = __atomic_load_n(&cpus_end, __ATOMIC_ACQUIRE), self = port_cpu_id();
    for (unsigned cpu = 0; cpu < end; cpu++) {
        uint64_t first = __atomic_load_n(&cpus[cpu].doing, __ATOMIC_ACQUIRE), now = first;
        while (cpu != self && (now & what) != 0 &&
               (now & ~(uint64_t)ACTIVITY) == (first & ~(uint64_t)ACTIVITY)) {
            port_relax();
            now = __atomic_load_n(&cpus[cpu].doing, __ATOMIC_ACQUIRE);
        }
    }
}

void wait_for_walkers(void)
{
    wait_for_all(ON_WAY);
}

/* --- Holding -------------------------------------------------------------- */

/* Of a table that covers the range, which has npages from va to last. */
static inline bool is_enough(pte_t e, unsigned level, vaddr_t va, vaddr_t last, uint64_t npages,
                             enum hold_rule rule)
{
    if (rule != HOLD_NOT_EMPTIED)
        return rule == HOLD_SMALLEST || npages < level_pages(level + 1);
    unsigned touched = level_slot(last, level) - level_slot(va, level) + 1;
    return (e.raw & TABLE_PINNED) != 0 || table_count(e) > touched;
}

/* The smallest table that will do, as far as one can see without holding anything: the root always
 * does. */
static void find_table(struct hold *out, vaddr_t va, uint64_t npages, enum hold_rule rule)
{
    struct space *space = out->space;
    const vaddr_t last = va_add(va, npages * PAGE_BYTES - 1);
    pte_t *entry = &space->top;
    unsigned level = space->levels;
    pte_t e = pte_read(entry);
    out->entry = entry;
    out->seen = e;
    out->level = level;
    while (level > LEVEL_PT && level_slot(va, level) == level_slot(last, level)) {
        entry = child_of(e) + level_slot(va, level);
        e = pte_read(entry);
        if (!pte_is_table(e, level))
            break;
        level--;
        if (is_enough(e, level, va, last, npages, rule)) {
            out->entry = entry;
            out->seen = e;
            out->level = level;
        }
    }
    uint64_t span = level_pages(out->level + 1), first = va.v / PAGE_BYTES & (span - 1);
    out->base = va_align_down(va, span * PAGE_BYTES);
    out->part = (struct part){first, first + npages};
}

/* The entry is replaced only if it says what it said before: then it is in the tree, and what was
 * found out about the table is still so. */
static bool try_hold(struct hold *out, vaddr_t va, uint64_t npages, enum hold_rule rule)
{
    find_table(out, va, npages, rule);
    return (out->seen.raw & TABLE_LOCKED) == 0 &&
           pte_replace(out->entry, out->seen, (pte_t){out->seen.raw | TABLE_LOCKED});
}

void hold_range(struct space *space, vaddr_t va, uint64_t npages, enum hold_rule rule,
                struct hold *out)
{
    irq_state_t irq = irq_save();
    unsigned cpu = port_cpu_id();
    out->space = space;
    out->irq = irq;
    lock_check_acquire(space, &space_id);
    for (;;) {
        begin(cpu);
        bool frozen = __atomic_load_n(&space->frozen, __ATOMIC_ACQUIRE) != 0;
        if (!frozen && try_hold(out, va, npages, rule))
            break;
        go_on(cpu, IDLE);
        port_relax();
    }
    go_on(cpu, BUSY);
    lock_note_acquired(space, &space_id);
}

bool hold_is_sealed(const struct hold *hold)
{
    if (hold->level < hold->space->levels || !in_upper_half(hold->base))
        return false;
    const pte_t *table = hold_table(hold);
    for (unsigned i = part_first(hold->part, hold->level); i < part_end(hold->part, hold->level);
         i++)
        if (pte_read(&table[i]).raw == 0)
            return true;
    return false;
}

void hold_release(const struct hold *hold, int64_t added, uint64_t flags)
{
    lock_check_release(hold->space, &space_id);
    DCHECK((pte_read(hold->entry).raw & TABLE_LOCKED) != 0);
    uint64_t raw = hold->seen.raw + ((uint64_t)added << TABLE_COUNT_SHIFT);
    pte_write(hold->entry, (pte_t){raw | flags});
    go_on(port_cpu_id(), IDLE);
    irq_restore(hold->irq);
}

irq_state_t freeze(struct space *space)
{
    irq_state_t irq = irq_save();
    lock_check_acquire(space, &space_id);
    while (__atomic_exchange_n(&space->frozen, 1, __ATOMIC_SEQ_CST) != 0)
        port_relax();
    wait_for_all(ON_WAY | BUSY);
    lock_note_acquired(space, &space_id);
    return irq;
}

void thaw(struct space *space, irq_state_t irq)
{
    lock_check_release(space, &space_id);
    __atomic_store_n(&space->frozen, 0, __ATOMIC_RELEASE);
    irq_restore(irq);
}
