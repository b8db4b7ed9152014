/* Owns: the stress tests of translations that other CPUs may still hold, and of calls.
 * Relies on: stress.c, crew.c. Stage: after cpus_start. */
#include "check/stress_parts.h"
#include "cpu/cpu.h"
#include "cpu/cpus.h"
#include "cpu/traps.h"
#include "lock.h"
#include "mm/mapper.h"

#define DEAF_USEC 1000000 /* with interrupts off */

#define WORD 8 /* bytes from one CPU's word in a page to the next one's */

/* What a crew member shows the others: how far it is with the page of this round. Atomic. */
static uint32_t stage[CONFIG_CPUS_MAX];

static void reach(unsigned number, uint32_t value)
{
    __atomic_store_n(&stage[number], value, __ATOMIC_RELEASE);
}

static uint64_t mark(unsigned number, unsigned round)
{
    return 0x57e55000000000ull + ((uint64_t)number << 24) + round;
}

/* ---- unmapping ---------------------------------------------------------------------------- */

/* Every CPU maps and unmaps at once, and looks at the page of another one, in each round of one
 * farther away: its translation must be gone in the moment in which the owner says so. Pages of all
 * CPUs lie in one table in even rounds, and in tables that come and go in odd ones. */
static void unmap_on(unsigned number)
{
    for (unsigned round = 1; round <= stress.rounds; round++) {
        unsigned neighbour = (number + 1 + round % (crew.n - 1)) % crew.n;
        bool one_table = round % 2 == 0;
        vaddr_t mine = one_table ? stress_page(0, number) : stress_page(number, 0);
        vaddr_t theirs = one_table ? stress_page(0, neighbour) : stress_page(neighbour, 0);
        uint64_t seen;
        paddr_t frame;

        bool mapped = stress_map_page(mine, &frame);
        if (mapped)
            STRESS_CHECK(stress_write(mine, mark(number, round), 0));
        crew_meet();
        STRESS_CHECK(stress_read(theirs, &seen, 0) && seen == mark(neighbour, round));
        crew_meet();
        if (mapped)
            stress_unmap_page(mine, frame);
        reach(number, round);
        crew_await(&stage[neighbour], round);
        STRESS_CHECK(!stress_read(theirs, &seen, 0));
        stress_count(1);
        crew_meet();
    }
}

static void forget_stages(void)
{
    for (unsigned i = 0; i < CONFIG_CPUS_MAX; i++)
        stage[i] = 0;
}

void stress_unmap(void)
{
    forget_stages();
    if (crew.n > 1)
        crew_run(unmap_on);
}

/* ---- protections -------------------------------------------------------------------------- */

static void protect(vaddr_t va, prot_t prot)
{
    STRESS_CHECK(paging_protect(mapper_kernel_space(), va, 1, prot, CACHE_WB) == MM_OK);
}

/* The owner of a round changes its page; all others must be bound by it at once: a write faults
 * while the page is read-only, and does not a moment later. */
static void owner_round(unsigned number, unsigned round, vaddr_t va)
{
    paddr_t frame;
    bool mapped =
        stress_map_page(va, &frame); /* if not, the others find out, and nobody waits for ever */

    reach(number, 1);
    crew_meet(); /* all have written */
    protect(va, PROT_READ);
    reach(number, 2);
    crew_meet();
    protect(va, PROT_READ | PROT_WRITE);
    reach(number, 3);
    crew_meet();
    for (unsigned other = 0; other < crew.n; other++) {
        uint64_t seen;
        bool read = stress_read(va_add(va, other * WORD), &seen, 0);
        STRESS_CHECK(read && (other == number || seen == mark(other, round) + 1));
    }
    if (mapped)
        stress_unmap_page(va, frame);
}

static void other_round(unsigned number, unsigned owner, unsigned round, vaddr_t va)
{
    vaddr_t mine = va_add(va, number * WORD);
    uint64_t seen;

    crew_await(&stage[owner], 1);
    STRESS_CHECK(stress_write(mine, mark(number, round), 0));
    crew_meet();
    crew_await(&stage[owner], 2);
    STRESS_CHECK(!stress_write(mine, ~0ull, FAULT_PRESENT | FAULT_WRITE));
    STRESS_CHECK(stress_read(mine, &seen, 0) && seen == mark(number, round));
    stress_count(1);
    crew_meet();
    crew_await(&stage[owner], 3);
    STRESS_CHECK(stress_write(mine, mark(number, round) + 1, 0));
    crew_meet();
}

_Static_assert(CONFIG_CPUS_MAX *WORD <= PAGE_BYTES, "a word for each CPU");

static void protect_on(unsigned number)
{
    for (unsigned round = 0; round < stress.rounds; round++) {
        unsigned owner = round % crew.n;
        vaddr_t va = stress_page(owner, round % 512);

        if (number == owner)
            owner_round(number, round, va);
        else
            other_round(number, owner, round, va);
        crew_meet();
        if (number == owner)
            reach(number, 0);
        crew_meet();
    }
}

void stress_protect(void)
{
    forget_stages();
    crew_run(protect_on);
}

/* ---- calls --------------------------------------------------------------------------------- */

static uint32_t called[CONFIG_CPUS_MAX]; /* by the CPU's own number; atomic */
static uint32_t not_off;                 /* calls that found interrupts on */

static void be_called(void *argument)
{
    uint64_t flags;

    (void)argument;
    __asm__ volatile("pushfq; popq %0" : "=r"(flags));
    if (flags & 0x200)
        __atomic_fetch_add(&not_off, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&called[cpu_current()->id], 1, __ATOMIC_RELAXED);
}

static void storm_on(unsigned number)
{
    for (unsigned round = 0; round < stress.rounds; round++) {
        cpus_call_all(be_called, NULL);
        for (unsigned other = 1; other < crew.n; other++)
            STRESS_CHECK(cpus_call(crew.cpus[(number + other) % crew.n], be_called, NULL));
        stress_count(2 * crew.n - 1);
    }
}

/* Each CPU of the crew is called by each: once by call, and once with all others. */
void stress_storm(void)
{
    for (unsigned i = 0; i < CONFIG_CPUS_MAX; i++)
        called[i] = 0;
    not_off = 0;
    crew_run(storm_on);
    STRESS_CHECK(not_off == 0);
    for (unsigned i = 0; i < crew.n; i++)
        STRESS_CHECK(called[crew.cpus[i]] == stress.rounds * (2 * crew.n - 1));
}

/* ---- barriers ------------------------------------------------------------------------------ */

#define BARRIERS       16  /* by each CPU in each round */
#define STRETCH_PAUSES 100 /* long enough for another CPU's whole barrier */

static uint64_t version[CONFIG_CPUS_MAX]; /* of what a crew member owns; atomic */
static uint64_t in_use[CONFIG_CPUS_MAX];  /* the version of its neighbour's that it uses; 0: none */

/* One stretch with interrupts off, in which the neighbour's version is found and used. */
static void use_version(unsigned number, unsigned neighbour)
{
    irq_state_t irq = irq_save();
    uint64_t found = __atomic_load_n(&version[neighbour], __ATOMIC_RELAXED);
    __atomic_store_n(&in_use[number], found, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < STRETCH_PAUSES; i++)
        __builtin_ia32_pause();
    __atomic_store_n(&in_use[number], 0, __ATOMIC_RELAXED);
    irq_restore(irq);
}

/* Behind the barrier nobody uses what had been replaced before it. All CPUs do it at once. */
static void barrier_on(unsigned number)
{
    unsigned neighbour = (number + 1) % crew.n, user = (number + crew.n - 1) % crew.n;
    for (uint64_t i = 1; i <= stress.rounds * BARRIERS; i++) {
        use_version(number, neighbour);
        __atomic_store_n(&version[number], i, __ATOMIC_RELAXED);
        port_barrier_all();
        uint64_t used = __atomic_load_n(&in_use[user], __ATOMIC_RELAXED);
        STRESS_CHECK(used == 0 || used == i);
        stress_count(1);
    }
}

void stress_barrier(void)
{
    for (unsigned i = 0; i < CONFIG_CPUS_MAX; i++)
        version[i] = in_use[i] = 0;
    crew_run(barrier_on);
}

/* ---- interrupts off for long --------------------------------------------------------------- */

static vaddr_t deaf_page;
static uint32_t deaf, heard, unmapped; /* atomic */

/* Hold a translation, be deaf, hear again; by then the page may be gone. */
static void be_deaf(void *argument)
{
    uint64_t seen;

    (void)argument;
    irq_state_t irq = irq_save();
    STRESS_CHECK(stress_read(deaf_page, &seen, 0) && seen == mark(0, 0));
    __atomic_store_n(&deaf, 1, __ATOMIC_RELEASE);
    uint64_t start = cpu_tsc(), ticks = cpu_tsc_ticks(DEAF_USEC);
    while (cpu_tsc() - start < ticks)
        __builtin_ia32_pause(); /* not port_relax, which would answer */
    __atomic_store_n(&heard, 1, __ATOMIC_RELEASE);
    irq_restore(irq);
    crew_await(&unmapped, 1);
    STRESS_CHECK(!stress_read(deaf_page, &seen, 0));
}

/* The unmapping must not return before the deaf CPU has heard of it; the others go on meanwhile. */
void stress_deaf(void)
{
    paddr_t frame;

    deaf_page = stress_page(0, 0);
    deaf = heard = unmapped = 0;
    if (crew.n < 2 || !stress_map_page(deaf_page, &frame))
        return;
    STRESS_CHECK(stress_write(deaf_page, mark(0, 0), 0));
    if (!STRESS_CHECK(cpus_run(crew.cpus[crew.n - 1], be_deaf, NULL)))
        return;
    crew_await(&deaf, 1);
    stress_unmap_page(deaf_page, frame);
    STRESS_CHECK(__atomic_load_n(&heard, __ATOMIC_ACQUIRE) == 1);
    __atomic_store_n(&unmapped, 1, __ATOMIC_RELEASE);
    cpus_wait(crew.cpus[crew.n - 1]);
    stress_count(1);
}
