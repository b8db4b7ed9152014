/* Owns: the stress tests of kernel ranges: made, touched, protected and freed on all CPUs at once.
 * Relies on: stress.c, crew.c, the page fault's handler. Stage: after cpus_start. */
#include "check/stress_parts.h"
#include "cpu/cpu.h"
#include "cpu/traps.h"
#include "mm/vmm.h"

#define NAME "stress"
#define RW   (PROT_READ | PROT_WRITE)

static vaddr_t page(vaddr_t va, uint64_t n)
{
    return va_add(va, n * PAGE_BYTES);
}

static bool alloc(uint64_t npages, enum vmm_backing backing, unsigned flags, vaddr_t *out)
{
    const struct vmm_want want = {
        .name = NAME, .npages = npages, .prot = RW, .backing = backing, .flags = flags};
    return STRESS_CHECK(vmm_alloc(vmm_kernel(), &want, out) == MM_OK);
}

/* ---- each CPU its own, looked at by another ------------------------------------------------- */

#define PAGES_MAX 40

/* What a crew member has in this round, and how far it is with it. Atomic. */
static struct {
    vaddr_t va;
    uint64_t npages; /* 0: it got none */
    uint32_t stage;
} own[CONFIG_CPUS_MAX];

static void reach(unsigned number, uint32_t value)
{
    __atomic_store_n(&own[number].stage, value, __ATOMIC_RELEASE);
}

static uint64_t mark(unsigned number, unsigned round, uint64_t i)
{
    return 0x7a9e500000000000ull + ((uint64_t)number << 32) + ((uint64_t)round << 8) + i;
}

static void make(unsigned number, unsigned round)
{
    static const enum vmm_backing backings[] = {VMM_NOW, VMM_LAZY, VMM_RESERVED};
    uint64_t npages = 1 + (round * 7 + number) % PAGES_MAX, seen;
    enum vmm_backing backing = backings[(round + number) % 3];
    vaddr_t va;

    own[number].npages = 0;
    if (!alloc(npages, backing, 0, &va))
        return;
    if (backing == VMM_RESERVED) {
        STRESS_CHECK(!stress_read(va, &seen, 0));
        STRESS_CHECK(vmm_commit(vmm_kernel(), va, npages, VMM_LAZY) == MM_OK);
    }
    for (uint64_t i = 0; i < npages; i++) {
        STRESS_CHECK(stress_read(page(va, i), &seen, 0) && seen == 0);
        STRESS_CHECK(stress_write(page(va, i), mark(number, round, i), 0));
    }
    own[number].va = va;
    own[number].npages = npages;
}

/* In two steps in every other round: the front goes, what is left is a range. */
static void unmake(unsigned number, unsigned round)
{
    vaddr_t va = own[number].va;
    uint64_t npages = own[number].npages, front = round % 2 ? npages / 2 : 0;

    if (front > 0)
        STRESS_CHECK(vmm_free(vmm_kernel(), va, front) == MM_OK);
    if (npages > 0)
        vmm_free_range(page(va, front));
}

/* All make at once, then all protect, then all free: whoever looks at another's must see it at
 * once. */
static void ranges_on(unsigned number)
{
    for (unsigned round = 1; round <= stress.rounds; round++) {
        unsigned other = (number + 1 + (crew.n > 1 ? round % (crew.n - 1) : 0)) % crew.n;
        uint64_t seen;

        make(number, round);
        crew_meet();
        vaddr_t theirs = own[other].va;
        uint64_t npages = own[other].npages;
        for (uint64_t i = 0; i < npages; i++)
            STRESS_CHECK(stress_read(page(theirs, i), &seen, 0) && seen == mark(other, round, i));
        crew_meet();
        if (own[number].npages > 0)
            STRESS_CHECK(vmm_protect(vmm_kernel(), own[number].va, 1, PROT_READ) == MM_OK);
        reach(number, 2 * round - 1);
        crew_await(&own[other].stage, 2 * round - 1);
        if (npages > 0)
            STRESS_CHECK(!stress_write(theirs, 0, FAULT_PRESENT | FAULT_WRITE));
        crew_meet();
        unmake(number, round);
        reach(number, 2 * round);
        crew_await(&own[other].stage, 2 * round);
        for (uint64_t i = 0; i < npages; i++)
            STRESS_CHECK(!stress_read(page(theirs, i), &seen, 0));
        stress_count(1);
        crew_meet();
    }
}

void stress_ranges(void)
{
    for (unsigned i = 0; i < CONFIG_CPUS_MAX; i++)
        own[i].stage = 0;
    crew_run(ranges_on);
}

/* ---- one for all, of which no page is there -------------------------------------------------- */

#define LAZY_PAGES 48

static vaddr_t lazy;
static uint32_t lazy_pages; /* 0: there was no memory */

static void increment(void *argument)
{
    __atomic_fetch_add((uint64_t *)argument, 1, __ATOMIC_RELAXED);
}

/* Everybody wants each page first: one zeroed frame may be in its place, and no count is lost. */
static void touch_on(unsigned number)
{
    for (unsigned round = 0; round < stress.rounds; round++) {
        unsigned owner = round % crew.n;
        uint64_t seen;

        if (number == owner)
            lazy_pages = alloc(LAZY_PAGES, VMM_LAZY, VMM_SMALL_PAGES, &lazy) ? LAZY_PAGES : 0;
        crew_meet();
        for (uint64_t i = 0; i < lazy_pages; i++)
            STRESS_CHECK(traps_try(increment, (void *)va_number(page(lazy, i)), NULL));
        stress_count(lazy_pages);
        crew_meet();
        for (uint64_t i = 0; i < lazy_pages; i++)
            STRESS_CHECK(stress_read(page(lazy, i), &seen, 0) && seen == crew.n);
        crew_meet();
        if (number == owner && lazy_pages > 0)
            vmm_free_range(lazy);
        crew_meet();
        if (lazy_pages > 0)
            STRESS_CHECK(!stress_read(page(lazy, number % LAZY_PAGES), &seen, 0));
        crew_meet();
    }
}

void stress_touch(void)
{
    crew_run(touch_on);
}
