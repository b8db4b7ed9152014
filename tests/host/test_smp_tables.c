/* Page tables under several CPUs at once: who waits for whom, what CPUs note in entries meanwhile, and
 * random changes of neighbouring ranges against a plain array of each CPU's own pages. */
#include "mm/paging.h"
#include "smp_rig.h"

#define RW   (PROT_READ | PROT_WRITE)
#define BASE (3 * GIB - 5 * HUGE_2M) /* across a PDPT entry */

static struct space space;
static uint64_t frames_at_start;

static int start_with(unsigned levels)
{
    machine_start_simple(24 * MIB);
    machine.cpu.levels = (uint8_t)levels;
    cpus_make_shares(NCPUS);
    frames_at_start = machine_free_frames();
    assert_int_equal(MM_OK, paging_create(&space));
    start_rngs();
    return 0;
}

static int start(void **state)
{
    (void)state;
    return start_with(4);
}

static int start_5_levels(void **state)
{
    (void)state;
    return start_with(5);
}

static int stop(void **state)
{
    (void)state;
    port_set_root(PA(0));
    paging_leave();
    assert_true(paging_validate(&space));
    paging_destroy(&space);
    assert_int_equal(frames_at_start, machine_free_frames());
    assert_true(pmm_validate());
    machine_stop();
    return 0;
}

static void map(uint64_t va, uint64_t pa, uint64_t npages)
{
    CPU_CHECK(paging_map(&space, VA(va), PA(pa), npages, RW, CACHE_WB) == MM_OK);
}

/* --- Who waits ------------------------------------------------------------ */

static uint64_t stage;

/* CPU 1 does not answer, so CPU 0's unmap keeps its locks; the others go on beside it: in the table
 * next to its own, in its own range without a lock, and above it where nothing is shared. */
static void unmap_or_go_on(unsigned cpu)
{
    struct mapping m;
    paddr_t pa;
    uint64_t value;
    vaddr_t cursor = VA(0);
    if (cpu == 0)
        map(GIB, 4 * GIB, 512 + 3);
    if (cpu == 1)
        paging_switch(&space);
    cpus_meet();
    if (cpu == 1) {
        CPU_CHECK(cpu_read(GIB, &value));
        store(&stage, 1);
        while (load(&stage) != 4) /* without port_relax */
            ;
        port_relax();
        CPU_CHECK(!cpu_read(GIB, &value));
    } else if (cpu == 0) {
        wait_for(&stage, 1);
        store(&stage, 2);
        CPU_CHECK(paging_unmap(&space, VA(GIB), 512) == MM_OK);
        CPU_CHECK(load(&stage) == 4);
    } else if (cpu == 2) {
        wait_for(&stage, 2);
        while (paging_translate(&space, VA(GIB), &pa) == MM_OK)
            ;
        map(GIB + HUGE_2M + 8 * PAGE_BYTES, 0, 4); /* the table beside */
        CPU_CHECK(paging_query(&space, VA(GIB), &m) == MM_NOTFOUND);
        CPU_CHECK(paging_next(&space, &cursor, &m) == MM_OK && m.va.v == GIB + HUGE_2M);
        store(&stage, 3);
    } else {
        wait_for(&stage, 3);
        map(600 * GIB, 0, 4); /* a new one of the root's */
        store(&stage, 4);
    }
}

static void disjoint_operations_do_not_wait(void **state)
{
    (void)state;
    stage = 0;
    assert_int_equal(4, NCPUS);
    cpus_run(NCPUS, unmap_or_go_on);
}

/* --- What CPUs note ------------------------------------------------------- */

static uint64_t done;
static paddr_t run;

static void note_or_change(unsigned cpu)
{
    struct rng *rng = &rngs[cpu];
    uint64_t value, freed;
    unsigned found;
    paging_switch(&space);
    cpus_meet();
    for (unsigned i = 0; cpu == 0 && i < 1500; i++) {
        uint64_t va = GIB + rng_below(rng, 512) * PAGE_BYTES;
        CPU_CHECK(cpu_write(va, rng_next(rng)));
        for (uint64_t wait = rng_below(rng, 3); wait > 0; wait--)
            port_relax();
        CPU_CHECK(paging_clear_used(&space, VA(va), 1, USED_DIRTY | USED_ACCESSED, &found) ==
                  MM_OK);
        CPU_CHECK(found == (USED_DIRTY | USED_ACCESSED));
    }
    if (cpu == 0)
        store(&done, 1);
    while (load(&done) == 0) {
        uint64_t page = rng_below(rng, 512);
        vaddr_t va = VA(GIB + page * PAGE_BYTES);
        if (cpu == 1) {
            CPU_CHECK(paging_protect(&space, va, 1, RW | PROT_GLOBAL, CACHE_WB) == MM_OK);
            CPU_CHECK(paging_protect(&space, va, 1, RW, CACHE_WB) == MM_OK);
        } else if (cpu == 2) {
            CPU_CHECK(paging_merge(&space, VA(GIB), 512, &freed) == MM_OK && freed <= 1);
        } else {
            CPU_CHECK(cpu_read(va.v + 8, &value) && value == page);
            CPU_CHECK(paging_translate(&space, va, &(paddr_t){0}) == MM_OK);
        }
        port_relax();
    }
}

static void what_a_cpu_notes_is_never_lost(void **state)
{
    (void)state;
    const struct pmm_limits aligned = {.align_frames = 512};
    done = 0;
    assert_int_equal(MM_OK, pmm_alloc_frames(512, &aligned, &run));
    for (uint64_t i = 0; i < 512; i++)
        ((uint64_t *)phys_to_virt(pa_add(run, i * PAGE_BYTES)))[1] = i;
    map(GIB, run.v, 512);
    cpus_run(NCPUS, note_or_change);
    assert_int_equal(MM_OK, paging_unmap(&space, VA(GIB), 512));
    assert_int_equal(MM_OK, pmm_free_frames(run, 512));
}

/* --- Neighbours ----------------------------------------------------------- */

#define STEPS 2500
#define OWN   800 /* pages of each CPU, side by side: neighbours share tables */

static prot_t model[NCPUS][OWN]; /* 0: not mapped */

static uint64_t va_of_page(unsigned cpu, uint64_t page)
{
    return BASE + (cpu * OWN + page) * PAGE_BYTES;
}

static bool all_are(unsigned cpu, uint64_t first, uint64_t n, bool mapped)
{
    for (uint64_t i = first; i < first + n; i++)
        if ((model[cpu][i] != 0) != mapped)
            return false;
    return true;
}

static void set_all(unsigned cpu, uint64_t first, uint64_t n, prot_t prot)
{
    for (uint64_t i = first; i < first + n; i++)
        model[cpu][i] = prot;
}

static void change_own(unsigned cpu)
{
    struct rng *rng = &rngs[cpu];
    uint64_t first = rng_below(rng, OWN), n = rng_size(rng, OWN - first), freed;
    if (rng_below(rng, 3) == 0)
        first = 0, n = OWN;
    vaddr_t va = VA(va_of_page(cpu, first));
    bool mapped = all_are(cpu, first, n, true), empty = all_are(cpu, first, n, false);
    prot_t prot = rng_below(rng, 2) == 0 ? RW : PROT_READ;
    unsigned found;
    switch (rng_below(rng, 5)) {
    case 0:
    case 1:
        CPU_CHECK(paging_map(&space, va, PA(va.v), n, prot, CACHE_WB) ==
                  (empty ? MM_OK : MM_EXISTS));
        if (empty)
            set_all(cpu, first, n, prot);
        break;
    case 2:
        CPU_CHECK(paging_unmap(&space, va, n) == (mapped ? MM_OK : MM_NOTFOUND));
        if (mapped)
            set_all(cpu, first, n, 0);
        break;
    case 3:
        CPU_CHECK(paging_protect(&space, va, n, prot, CACHE_WB) == (mapped ? MM_OK : MM_NOTFOUND));
        if (mapped)
            set_all(cpu, first, n, prot);
        break;
    default:
        CPU_CHECK(paging_merge(&space, va, n, &freed) == MM_OK);
        CPU_CHECK(paging_clear_used(&space, va, n, USED_ACCESSED, &found) == MM_OK);
    }
}

static void look_at_own(unsigned cpu)
{
    uint64_t page = rng_below(&rngs[cpu], OWN);
    uint64_t va = va_of_page(cpu, page);
    struct mapping m;
    mm_status_t status = paging_query(&space, VA(va), &m);
    CPU_CHECK(status == (model[cpu][page] != 0 ? MM_OK : MM_NOTFOUND));
    CPU_CHECK(status != MM_OK || (m.prot == model[cpu][page] && va_eq(m.va, VA(m.pa.v))));
}

/* Everybody's merges and splits of a 2 MiB page that lies across two areas go on meanwhile, and so
 * do ranges over all of them, which mostly fail. */
static void change_beside_others(unsigned cpu)
{
    struct rng *rng = &rngs[cpu];
    uint64_t freed;
    for (unsigned step = 0; step < STEPS; step++) {
        change_own(cpu);
        for (unsigned i = 0; i < 4; i++)
            look_at_own(cpu);
        if (rng_below(rng, 16) == 0)
            CPU_CHECK(paging_merge(&space, VA(BASE), NCPUS * OWN, &freed) == MM_OK);
        if (rng_below(rng, 16) == 0)
            CPU_CHECK(paging_map(&space, VA(BASE - PAGE_BYTES), PA(0), NCPUS * OWN + 2, RW,
                                 CACHE_WB) == MM_EXISTS);
        if (rng_below(rng, 16) == 0)
            CPU_CHECK(paging_unmap(&space, VA(BASE - 2 * PAGE_BYTES), NCPUS * OWN + 2) ==
                      MM_NOTFOUND);
        struct mapping m;
        for (vaddr_t cursor = VA(0); paging_next(&space, &cursor, &m) == MM_OK;)
            CPU_CHECK(m.bytes > 0 && va_lt(m.va, cursor));
        if (step % 64 == cpu)
            CPU_CHECK(paging_validate(&space));
        port_relax();
    }
}

static void neighbours_do_not_disturb_each_other(void **state)
{
    (void)state;
    memset(model, 0, sizeof model);
    map(BASE - PAGE_BYTES, BASE - PAGE_BYTES,
        1); /* so that a range over all of them always fails */
    cpus_run(NCPUS, change_beside_others);
    for (unsigned cpu = 0; cpu < NCPUS; cpu++)
        for (uint64_t i = 0; i < OWN; i++)
            if (model[cpu][i] != 0)
                assert_int_equal(MM_OK, paging_unmap(&space, VA(va_of_page(cpu, i)), 1));
    assert_int_equal(MM_OK, paging_unmap(&space, VA(BASE - PAGE_BYTES), 1));
    assert_int_equal(1, space.ntables);
}

/* --- Tables that come and go ---------------------------------------------- */

#define GONE_ROUNDS 6000
#define GARBAGE     (1ull << 45 | 0x23) /* looks like the entry of a table, where no memory is */

/* Whoever takes one of these for a table dies of it. */
static void make_garbage(void)
{
    paddr_t frames[6];
    if (pmm_alloc_batch(6, NULL, frames) != MM_OK)
        return;
    for (unsigned i = 0; i < 6; i++)
        for (unsigned slot = 0; slot < 512; slot++)
            store((uint64_t *)phys_to_virt(frames[i]) + slot, GARBAGE);
    CPU_CHECK(pmm_free_batch(frames, 6) == MM_OK);
}

/* Two CPUs map and unmap a page each, by way of the same tables, which are others' memory in between;
 * the rest read there all the time. */
static void come_and_go_or_read(unsigned cpu)
{
    struct mapping m;
    paddr_t pa;
    for (unsigned i = 0; cpu < 2 && i < GONE_ROUNDS; i++) {
        map(GIB + cpu * PAGE_BYTES, GIB + cpu * PAGE_BYTES, 1);
        CPU_CHECK(paging_unmap(&space, VA(GIB + cpu * PAGE_BYTES), 1) == MM_OK);
        make_garbage();
    }
    if (cpu < 2)
        __atomic_fetch_add(&done, 1, __ATOMIC_RELEASE);
    while (load(&done) != 2) {
        vaddr_t va = VA(GIB + rng_below(&rngs[cpu], 2) * PAGE_BYTES), cursor = VA(0);
        if (paging_translate(&space, va, &pa) == MM_OK)
            CPU_CHECK(pa.v == va.v);
        if (paging_query(&space, va, &m) == MM_OK)
            CPU_CHECK(m.pa.v == va.v && m.bytes == PAGE_BYTES);
        if (paging_next(&space, &cursor, &m) == MM_OK)
            CPU_CHECK(m.pa.v == m.va.v && m.bytes <= 2 * PAGE_BYTES);
        port_relax();
    }
}

static void nobody_follows_a_table_that_is_gone(void **state)
{
    (void)state;
    done = 0;
    cpus_run(NCPUS, come_and_go_or_read);
}

/* --- Large ranges --------------------------------------------------------- */

#define LARGE_ROUNDS 24
#define LARGE_PAGES  (GIB / PAGE_BYTES)

static uint64_t mapped_pages;

static void count(mm_status_t status, uint64_t change)
{
    if (status == MM_OK)
        __atomic_fetch_add(&mapped_pages, change, __ATOMIC_RELAXED);
}

/* CPU 0 maps a range of 512 tables and takes it away as a whole, if it can; the others take single
 * pages out of it and put them back. Half of them always put back what they took. */
static void large_or_small(unsigned cpu)
{
    struct rng *rng = &rngs[cpu];
    for (unsigned i = 0; cpu == 0 && i < LARGE_ROUNDS; i++) {
        count(paging_map(&space, VA(GIB), PA(PAGE_BYTES), LARGE_PAGES, RW, CACHE_WB), LARGE_PAGES);
        port_relax();
        count(paging_unmap(&space, VA(GIB), LARGE_PAGES), -LARGE_PAGES);
        for (unsigned page = 0; i % 4 == 3 && page < LARGE_PAGES; page++) /* what was left, too */
            if (paging_translate(&space, VA(GIB + page * PAGE_BYTES), &(paddr_t){0}) == MM_OK)
                count(paging_unmap(&space, VA(GIB + page * PAGE_BYTES), 1), -1ull);
    }
    if (cpu == 0)
        store(&done, 1);
    while (load(&done) == 0) {
        uint64_t page = rng_below(rng, LARGE_PAGES);
        vaddr_t va = VA(GIB + page * PAGE_BYTES);
        mm_status_t status = paging_unmap(&space, va, 1);
        CPU_CHECK(status == MM_OK || status == MM_NOTFOUND);
        count(status, -1ull);
        if (status == MM_OK && (cpu % 2 == 1 || rng_below(rng, 8) != 0)) {
            status = paging_map(&space, va, PA((page + 1) * PAGE_BYTES), 1, RW, CACHE_WB);
            CPU_CHECK(status == MM_OK || status == MM_EXISTS);
            count(status, 1);
        }
        port_relax();
    }
}

static void a_large_range_goes_while_others_change_it(void **state)
{
    (void)state;
    done = mapped_pages = 0;
    cpus_run(NCPUS, large_or_small);
    uint64_t left = 0;
    for (uint64_t i = 0; i < LARGE_PAGES; i++)
        left += paging_unmap(&space, VA(GIB + i * PAGE_BYTES), 1) == MM_OK;
    assert_int_equal(mapped_pages, left);
    assert_int_equal(1, space.ntables);
}

#define TEST(name) TEST_ON_4_AND_5_LEVELS(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(disjoint_operations_do_not_wait),           TEST(what_a_cpu_notes_is_never_lost),
        TEST(neighbours_do_not_disturb_each_other),      TEST(nobody_follows_a_table_that_is_gone),
        TEST(a_large_range_goes_while_others_change_it),
    };
    return cmocka_run_group_tests_name("tables of several CPUs", tests, NULL, NULL);
}
