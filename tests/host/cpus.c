/* Owns: the CPUs of the simulated machine: numbers, CR3, TLBs, mailboxes for shootdowns.
 * Relies on: threads; the walker for what a CPU finds in the tables. */
#include "cpus.h"

#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "machine.h"
#include "mm/cpu.h"
#include "mm/hhdm.h"
#include "mm/paging.h"
#include "test.h"
#include "walker.h"

#define SIZES        3  /* of pages: 4 KiB, 2 MiB, 1 GiB */
#define TLB_SLOTS    64 /* of each */
#define TABLES_SLOTS 16

#define NOTE_READ  0x20ull /* the accessed bit of a page's entry, */
#define NOTE_WRITE 0x60ull /* and with it the dirty bit */

static const unsigned shifts[SIZES] = {12, 21, 30};

/* A translation as it was when the CPU walked the tables. */
struct tlb_slot {
    bool valid;
    uint64_t page; /* number of the page, in its size */
    bool dirty;    /* the entry says so, as far as this CPU knows */
    struct walk seen;
};

/* The paging-structure cache: which PT is responsible for 2 MiB. */
struct table_slot {
    bool valid;
    uint64_t number; /* of the 2 MiB */
    struct walk upper;
};

struct cpu {
    uint64_t root;
    bool running;      /* a thread of cpus_run, or CPU 0 */
    struct mm_cpu *mm; /* its share, while it is a thread of cpus_run */
    struct tlb_slot tlb[SIZES][TLB_SLOTS];
    struct table_slot tables[TABLES_SLOTS];
    struct cpus_counts counts;
    /* The mailbox; atomic. */
    uint64_t pending;              /* CPUs that wait for this one */
    const struct tlb_batch *batch; /* what this one has asked the others to forget */
    unsigned left;                 /* who have not done so yet */
} __attribute__((aligned(128)));

static struct cpu cpus[CPUS_MAX];
static _Thread_local unsigned self;
static bool dropping;
static int barrier; /* the membarrier command of port_barrier_all; 0: not chosen yet */

_Thread_local struct mm_cpu *host_mm_cpu = &mm_cpu_none;

static struct {
    unsigned n;
    void (*body)(unsigned cpu);
    unsigned arrived, generation; /* of cpus_meet; atomic */
} crew;

void cpus_fail(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fprintf(stderr, "CPU %u: ", self);
    vfprintf(stderr, fmt, args);
    fprintf(stderr, "\n");
    va_end(args);
    abort();
}

/* The expedited command interrupts the CPUs that run our threads; the other one, for a kernel
 * without it, waits until all CPUs have been through the scheduler, some milliseconds. */
static void choose_barrier(void)
{
    int can = (int)syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);
    if (can > 0 && (can & MEMBARRIER_CMD_PRIVATE_EXPEDITED) &&
        syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0)
        barrier = MEMBARRIER_CMD_PRIVATE_EXPEDITED;
    else if (can > 0 && (can & MEMBARRIER_CMD_GLOBAL))
        barrier = MEMBARRIER_CMD_GLOBAL;
    else
        cpus_fail("this Linux has no membarrier(2), which the simulated CPUs need");
}

void cpus_reset(void)
{
    if (barrier == 0)
        choose_barrier();
    host_mm_cpu = &mm_cpu_none; /* until pmm_init makes one */
    memset(cpus, 0, sizeof cpus);
    cpus[0].running = true;
    crew.n = 1;
    dropping = false;
}

void cpus_drop_shootdowns(bool drop)
{
    dropping = drop;
}

struct cpus_counts cpus_get_counts(void)
{
    struct cpus_counts sum = {0};
    for (unsigned i = 0; i < CPUS_MAX; i++) {
        sum.hits += cpus[i].counts.hits;
        sum.misses += cpus[i].counts.misses;
        sum.shootdowns += cpus[i].counts.shootdowns;
        sum.whole_flushes += cpus[i].counts.whole_flushes;
        sum.single += cpus[i].counts.single;
    }
    return sum;
}

/* --- The crew ------------------------------------------------------------- */

void cpus_meet(void)
{
    unsigned generation = __atomic_load_n(&crew.generation, __ATOMIC_ACQUIRE);
    if (__atomic_add_fetch(&crew.arrived, 1, __ATOMIC_ACQ_REL) == crew.n) {
        __atomic_store_n(&crew.arrived, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&crew.generation, generation + 1, __ATOMIC_RELEASE);
        return;
    }
    while (__atomic_load_n(&crew.generation, __ATOMIC_ACQUIRE) == generation)
        port_relax();
}

static void *thread_main(void *number)
{
    self = (unsigned)(uintptr_t)number;
    port_set_mm_cpu(cpus[self].mm);
    cpus_meet();
    crew.body(self);
    cpus_meet();
    paging_leave();
    cpus_meet();
    return NULL;
}

void cpus_make_shares(unsigned n)
{
    assert_in_range(n, 1, CPUS_MAX);
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(MM_OK, mm_cpu_create(i, &cpus[i].mm));
}

void cpus_run(unsigned n, void (*body)(unsigned cpu))
{
    pthread_t threads[CPUS_MAX];
    cpus_make_shares(n);
    crew.n = n;
    crew.body = body;
    for (unsigned i = 0; i < n; i++)
        cpus[i].running = true;
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(0, pthread_create(&threads[i], NULL, thread_main, (void *)(uintptr_t)i));
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(0, pthread_join(threads[i], NULL));
    for (unsigned i = 1; i < n; i++)
        cpus[i].running = false;
    crew.n = 1;
}

/* --- The TLB -------------------------------------------------------------- */

static void forget_tables(struct cpu *cpu)
{
    memset(cpu->tables, 0, sizeof cpu->tables);
}

static void forget_all(struct cpu *cpu, bool globals)
{
    for (unsigned size = 0; size < SIZES; size++)
        for (unsigned i = 0; i < TLB_SLOTS; i++)
            if (globals || !cpu->tlb[size][i].seen.global)
                cpu->tlb[size][i].valid = false;
    forget_tables(cpu);
}

/* invlpg: every translation of that address, and all cached tables. */
static void forget_address(struct cpu *cpu, uint64_t va)
{
    for (unsigned size = 0; size < SIZES; size++) {
        struct tlb_slot *slot = &cpu->tlb[size][(va >> shifts[size]) % TLB_SLOTS];
        if (slot->page == va >> shifts[size])
            slot->valid = false;
    }
    forget_tables(cpu);
}

static void carry_out(struct cpu *cpu, const struct tlb_batch *batch)
{
    if (batch->whole) {
        forget_all(cpu, true);
        cpu->counts.whole_flushes++;
        return;
    }
    for (unsigned i = 0; i < batch->count; i++)
        for (uint64_t page = 0; page < batch->ranges[i].count; page++, cpu->counts.single++)
            forget_address(cpu, batch->ranges[i].va.v + page * batch->ranges[i].page_bytes);
}

/* What the CPU finds if it walks now, by way of a table that it remembers if there is one. */
static struct walk walk_tables(struct cpu *cpu, uint64_t va)
{
    struct table_slot *t = &cpu->tables[(va >> 21) % TABLES_SLOTS];
    if (t->valid && t->number == va >> 21)
        return walk_last(&t->upper, va);
    struct walk w = walk(cpu->root, va);
    if (w.present && w.shift == 12)
        *t = (struct table_slot){true, va >> 21, w};
    return w;
}

/* The same, and note in the page's entry that it is used: if it has changed meanwhile, walk again. */
static struct walk walk_and_note(struct cpu *cpu, uint64_t va, uint64_t note)
{
    for (;;) {
        struct walk w = walk_tables(cpu, va);
        if (!w.present || (note == NOTE_WRITE && !w.write) || (w.raw & note) == note)
            return w;
        uint64_t *table = (uint64_t *)(hhdm.base.v + w.table), raw = w.raw;
        if (__atomic_compare_exchange_n(&table[va >> w.shift & 511], &raw, raw | note, false,
                                        __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
            return w;
    }
}

static struct walk translate(struct cpu *cpu, uint64_t va, uint64_t note)
{
    for (unsigned size = 0; size < SIZES; size++) {
        struct tlb_slot *slot = &cpu->tlb[size][(va >> shifts[size]) % TLB_SLOTS];
        if (!slot->valid || slot->page != va >> shifts[size])
            continue;
        if (note == NOTE_WRITE && slot->seen.write && !slot->dirty) {
            slot->valid = false; /* the entry must be told */
            continue;
        }
        cpu->counts.hits++;
        struct walk w = slot->seen;
        w.pa += va & ((1ull << w.shift) - 1);
        if (note == NOTE_WRITE && !w.write)
            slot->valid = false; /* a CPU forgets what it faults on */
        return w;
    }
    cpu->counts.misses++;
    struct walk w = walk_and_note(cpu, va, note);
    if (w.present) {
        unsigned size = (w.shift - 12) / 9;
        struct tlb_slot *slot = &cpu->tlb[size][(va >> w.shift) % TLB_SLOTS];
        *slot = (struct tlb_slot){true, va >> w.shift, note == NOTE_WRITE && w.write, w};
        slot->seen.pa &= ~((1ull << w.shift) - 1);
    }
    return w;
}

bool cpu_read(uint64_t va, uint64_t *value)
{
    struct walk w = translate(&cpus[self], va, NOTE_READ);
    if (w.present)
        *value = __atomic_load_n((uint64_t *)(hhdm.base.v + w.pa), __ATOMIC_RELAXED);
    return w.present;
}

bool cpu_write(uint64_t va, uint64_t value)
{
    struct walk w = translate(&cpus[self], va, NOTE_WRITE);
    if (w.present && w.write)
        __atomic_store_n((uint64_t *)(hhdm.base.v + w.pa), value, __ATOMIC_RELAXED);
    return w.present && w.write;
}

/* --- The port ------------------------------------------------------------- */

unsigned port_cpu_id(void)
{
    return self;
}

void port_set_mm_cpu(struct mm_cpu *cpu)
{
    host_mm_cpu = cpu;
}

static void answer(struct cpu *cpu)
{
    uint64_t from = __atomic_exchange_n(&cpu->pending, 0, __ATOMIC_ACQ_REL);
    for (; from != 0; from &= from - 1) {
        struct cpu *asker = &cpus[__builtin_ctzll(from)];
        carry_out(cpu, asker->batch);
        __atomic_fetch_sub(&asker->left, 1, __ATOMIC_RELEASE);
    }
}

void port_relax(void)
{
    answer(&cpus[self]);
    sched_yield(); /* there are more CPUs than the host has */
}

void port_tlb_shootdown(const struct cpu_set *set, const struct tlb_batch *batch)
{
    struct cpu *me = &cpus[self];
    me->counts.shootdowns++;
    if (dropping)
        return;
    if (machine.on_shootdown != NULL)
        machine.on_shootdown(batch);
    me->batch = batch;
    __atomic_store_n(&me->left, cpu_set_count(set), __ATOMIC_RELAXED);
    for_each_cpu(i, set)
    {
        assert_in_range(i, 0, CPUS_MAX - 1);
        if (i == self || !cpus[i].running) {
            carry_out(&cpus[i], batch); /* one that does not run can be served by anybody */
            __atomic_fetch_sub(&me->left, 1, __ATOMIC_RELAXED);
        } else {
            __atomic_fetch_or(&cpus[i].pending, 1ull << self, __ATOMIC_RELEASE);
        }
    }
    while (__atomic_load_n(&me->left, __ATOMIC_ACQUIRE) != 0)
        port_relax();
}

/* Linux does it to our threads, wherever they are: none of them has to answer. */
void port_barrier_all(void)
{
    if (syscall(SYS_membarrier, barrier, 0, 0) != 0)
        cpus_fail("membarrier(2) command %d failed", barrier);
}

void port_tlb_flush_all(void)
{
    forget_all(&cpus[self], true);
    cpus[self].counts.whole_flushes++;
}

paddr_t port_get_root(void)
{
    return PA(cpus[self].root);
}

void port_set_root(paddr_t root)
{
    cpus[self].root = root.v;
    forget_all(&cpus[self], false);
}
