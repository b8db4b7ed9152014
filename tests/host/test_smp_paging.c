/* Page tables that several CPUs change and use at once. A CPU's simulated TLB keeps what it has
 * seen, so an access that still works after an unmap or a protect has returned is a shootdown that
 * went missing. */
#include "mm/paging.h"
#include "smp_rig.h"
#include "walker.h"

#define RW     (PROT_READ | PROT_WRITE)
#define SPACES 3

static struct space spaces[SPACES];
static unsigned nspaces;
static uint64_t frames_at_start;

static int start_with(unsigned n)
{
    machine_start_simple(24 * MIB);
    cpus_make_shares(NCPUS);
    frames_at_start = machine_free_frames();
    nspaces = n;
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(MM_OK, paging_create(&spaces[i]));
    return 0;
}

static int start(void **state)
{
    (void)state;
    return start_with(1);
}

static int start_several(void **state)
{
    (void)state;
    return start_with(SPACES);
}

static int stop(void **state)
{
    (void)state;
    port_set_root(PA(0));
    paging_leave();
    for (unsigned i = 0; i < nspaces; i++) {
        assert_int_equal(1, spaces[i].ntables);
        paging_destroy(&spaces[i]);
    }
    assert_int_equal(frames_at_start, machine_free_frames());
    assert_true(pmm_validate());
    machine_stop();
    return 0;
}

/* --- Everybody's pages, each changed by its owner ------------------------- */

#define STEPS      4000
#define BASE       (3 * GIB - 5 * HUGE_2M) /* across a PDPT entry */
#define AREAS      6                       /* of each CPU */
#define AREA_PAGES 48
#define POISON     0xdeadull

/* What a CPU has mapped in one area. */
struct area {
    uint64_t va;
    unsigned space;
    bool read_only;
    paddr_t frames[AREA_PAGES];
    bool mapped[AREA_PAGES];
};
static struct area areas[NCPUS][SPACES][AREAS];

/* Half of the areas lie among those of the other CPUs, in the same tables; each of the rest has
 * tables of its own, which come and go with it. */
static uint64_t area_va(unsigned cpu, unsigned i)
{
    if (i % 2 == 0)
        return BASE + (i * NCPUS + cpu) * AREA_PAGES * PAGE_BYTES;
    return 5 * GIB + (i * NCPUS + cpu) * GIB;
}

/* The first word of a page tells which it is; the second is for everybody to write. A CPU that
 * takes the page for a table, because it had been one, finds an entry there that leads nowhere. */
static uint64_t tag_of(unsigned space, uint64_t va)
{
    return (va & ~(PAGE_BYTES - 1)) | 0x803 | space << 9;
}

static uint64_t *word(paddr_t frame, unsigned i)
{
    return (uint64_t *)phys_to_virt(frame) + i;
}

static void map_area(struct area *a, uint64_t npages)
{
    paddr_t base;
    if (pmm_alloc_frames(npages, NULL, &base) != MM_OK)
        return;
    for (uint64_t i = 0; i < npages; i++)
        store(word(pa_add(base, i * PAGE_BYTES), 0), tag_of(a->space, a->va + i * PAGE_BYTES));
    if (paging_map(&spaces[a->space], VA(a->va), base, npages, RW, CACHE_WB) != MM_OK) {
        pmm_free_frames(base, npages); /* no memory for a table */
        return;
    }
    a->read_only = false;
    for (uint64_t i = 0; i < npages; i++) {
        a->frames[i] = pa_add(base, i * PAGE_BYTES);
        a->mapped[i] = true;
    }
}

/* The frames are poisoned before they go back: who reads that has used a stale translation. */
static void unmap_part(struct area *a, uint64_t first, uint64_t npages)
{
    CPU_CHECK(paging_unmap(&spaces[a->space], VA(a->va + first * PAGE_BYTES), npages) == MM_OK);
    for (uint64_t i = first; i < first + npages; i++) {
        store(word(a->frames[i], 0), POISON);
        store(word(a->frames[i], 1), POISON);
        a->mapped[i] = false;
    }
    for (unsigned wait = 0; wait < 3; wait++)
        port_relax();
    for (uint64_t i = first; i < first + npages; i++) {
        CPU_CHECK(load(word(a->frames[i], 1)) == POISON); /* nobody can write there any more */
        CPU_CHECK(pmm_free_frame(a->frames[i]) == MM_OK);
    }
}

static void protect_area(struct area *a, uint64_t npages)
{
    a->read_only = !a->read_only;
    CPU_CHECK(paging_protect(&spaces[a->space], VA(a->va), npages, a->read_only ? PROT_READ : RW,
                             CACHE_WB) == MM_OK);
    if (!a->read_only)
        return;
    uint64_t before[AREA_PAGES];
    for (uint64_t i = 0; i < npages; i++)
        before[i] = load(word(a->frames[i], 1));
    for (unsigned wait = 0; wait < 3; wait++)
        port_relax();
    for (uint64_t i = 0; i < npages; i++)
        CPU_CHECK(load(word(a->frames[i], 1)) == before[i]);
}

static void change(struct rng *rng, struct area *a)
{
    uint64_t first = 0, end;
    while (first < AREA_PAGES && !a->mapped[first])
        first++;
    for (end = first; end < AREA_PAGES && a->mapped[end]; end++)
        ;
    if (first == AREA_PAGES)
        map_area(a, rng_between(rng, 1, AREA_PAGES));
    else if (first == 0 && rng_below(rng, 2) == 0)
        protect_area(a, end);
    else
        unmap_part(a, first, rng_between(rng, 1, end - first));
}

/* What any CPU sees of anybody's page is that page or a fault. True if there was a page: this CPU
 * knows it from then on. */
static bool use_any(struct rng *rng, unsigned space)
{
    unsigned cpu = (unsigned)rng_below(rng, NCPUS), i = (unsigned)rng_below(rng, AREAS);
    uint64_t va = area_va(cpu, i) + rng_below(rng, AREA_PAGES) * PAGE_BYTES, value;
    bool seen = cpu_read(va, &value);
    if (seen && value != tag_of(space, va))
        cpus_fail("stale: 0x%lx shows 0x%lx", va, value);
    if (seen) /* nothing is forgotten before this CPU answers others */
        CPU_CHECK(cpu_read(va, &value));
    cpu_write(va + 8, rng_next(rng));
    return seen;
}

static void change_and_use(unsigned cpu)
{
    struct rng *rng = &rngs[cpu];
    unsigned space = cpu % nspaces, seen = 0;
    paging_switch(&spaces[space]);
    for (unsigned step = 0; step < STEPS || seen < STEPS; step++) {
        change(rng, &areas[cpu][rng_below(rng, nspaces)][rng_below(rng, AREAS)]);
        for (unsigned i = 0; i < 24; i++)
            seen += use_any(rng, space);
        port_relax();
        if (step % 64 == cpu)
            CPU_CHECK(paging_validate(&spaces[space]));
        if (nspaces > 1 && rng_below(rng, 4) == 0) {
            space = (unsigned)rng_below(rng, nspaces);
            paging_switch(&spaces[space]);
        }
    }
    for (unsigned s = 0; s < nspaces; s++)
        for (unsigned i = 0; i < AREAS; i++)
            for (unsigned page = 0; page < AREA_PAGES; page++)
                if (areas[cpu][s][i].mapped[page])
                    unmap_part(&areas[cpu][s][i], page, 1);
}

static void change_and_use_all(void)
{
    memset(areas, 0, sizeof areas);
    for (unsigned cpu = 0; cpu < NCPUS; cpu++)
        for (unsigned s = 0; s < nspaces; s++)
            for (unsigned i = 0; i < AREAS; i++)
                areas[cpu][s][i] = (struct area){.va = area_va(cpu, i), .space = s};
    start_rngs();
    cpus_run(NCPUS, change_and_use);
    struct cpus_counts counts = cpus_get_counts();
    print_message("             %lu hits, %lu misses, %lu shootdowns, flushes: %lu whole, %lu "
                  "single\n",
                  counts.hits, counts.misses, counts.shootdowns, counts.whole_flushes,
                  counts.single);
    assert_true(counts.hits >= NCPUS * STEPS && counts.shootdowns > STEPS);
    assert_true(counts.whole_flushes > STEPS / 10 && counts.single > STEPS);
}

static void no_cpu_uses_a_translation_that_is_gone(void **state)
{
    (void)state;
    change_and_use_all();
}

static void nor_does_one_that_has_changed_spaces(void **state)
{
    (void)state;
    change_and_use_all();
}

/* --- Large pages ---------------------------------------------------------- */

/* CPU 0 maps 2 MiB as one page and takes it apart, while the others use all of it. */
static uint64_t done;

static void take_apart(void)
{
    const struct pmm_limits aligned = {.align_frames = 512};
    paddr_t run;
    CPU_CHECK(pmm_alloc_frames(512, &aligned, &run) == MM_OK);
    for (uint64_t i = 0; i < 512; i++)
        store(word(pa_add(run, i * PAGE_BYTES), 0), tag_of(0, GIB + i * PAGE_BYTES));
    CPU_CHECK(paging_map(&spaces[0], VA(GIB), run, 512, RW, CACHE_WB) == MM_OK);
    for (unsigned i = 0; i < 4; i++)
        port_relax();
    uint64_t middle = rng_below(&rngs[0], 512);
    CPU_CHECK(paging_protect(&spaces[0], VA(GIB + middle * PAGE_BYTES), 1, PROT_READ, CACHE_WB) ==
              MM_OK);
    uint64_t *held = word(pa_add(run, middle * PAGE_BYTES), 1), before = load(held);
    port_relax();
    CPU_CHECK(load(held) == before);
    for (uint64_t first = 0, n; first < 512; first += n) {
        n = rng_between(&rngs[0], 1, 512 - first);
        CPU_CHECK(paging_unmap(&spaces[0], VA(GIB + first * PAGE_BYTES), n) == MM_OK);
        for (uint64_t i = first; i < first + n; i++)
            store(word(pa_add(run, i * PAGE_BYTES), 0), POISON);
        port_relax();
        CPU_CHECK(pmm_free_frames(pa_add(run, first * PAGE_BYTES), n) == MM_OK);
    }
}

static void take_apart_or_use(unsigned cpu)
{
    paging_switch(&spaces[0]);
    for (unsigned i = 0; cpu == 0 && i < 150; i++)
        take_apart();
    if (cpu == 0)
        store(&done, 1);
    while (load(&done) == 0) {
        uint64_t va = GIB + rng_below(&rngs[cpu], 512) * PAGE_BYTES, value;
        if (cpu_read(va, &value))
            CPU_CHECK(value == tag_of(0, va));
        cpu_write(va + 8, rng_next(&rngs[cpu]));
        port_relax();
    }
}

static void a_large_page_comes_apart_under_use(void **state)
{
    (void)state;
    done = 0;
    start_rngs();
    cpus_run(NCPUS, take_apart_or_use);
}

/* --- The same pages, changed by all --------------------------------------- */

#define SHARED_PAGES 700
static uint64_t mapped_pages;

static void quarrel(unsigned cpu)
{
    struct rng *rng = &rngs[cpu];
    for (unsigned step = 0; step < STEPS; step++) {
        uint64_t first = rng_below(rng, SHARED_PAGES);
        uint64_t n = rng_size(rng, SHARED_PAGES - first);
        vaddr_t va = VA(BASE + first * PAGE_BYTES), cursor = VA(0);
        struct mapping m;
        mm_status_t status;
        switch (rng_below(rng, 4)) {
        case 0:
            status = paging_map(&spaces[0], va, PA(first * PAGE_BYTES), n, RW, CACHE_WB);
            CPU_CHECK(status == MM_OK || status == MM_EXISTS);
            if (status == MM_OK)
                __atomic_fetch_add(&mapped_pages, n, __ATOMIC_RELAXED);
            break;
        case 1:
            status = paging_unmap(&spaces[0], va, n);
            CPU_CHECK(status == MM_OK || status == MM_NOTFOUND);
            if (status == MM_OK)
                __atomic_fetch_sub(&mapped_pages, n, __ATOMIC_RELAXED);
            break;
        case 2:
            status = paging_protect(&spaces[0], va, n, PROT_READ, CACHE_WB);
            CPU_CHECK(status == MM_OK || status == MM_NOTFOUND);
            break;
        default:
            if (paging_query(&spaces[0], va, &m) == MM_OK)
                CPU_CHECK(m.pa.v == first * PAGE_BYTES);
            while (paging_next(&spaces[0], &cursor, &m) == MM_OK)
                CPU_CHECK(m.pa.v == m.va.v - BASE);
            CPU_CHECK(paging_validate(&spaces[0]));
        }
        port_relax();
    }
}

static void operations_on_the_same_pages_are_whole_or_nothing(void **state)
{
    (void)state;
    mapped_pages = 0;
    start_rngs();
    cpus_run(NCPUS, quarrel);
    uint64_t left = 0;
    for (uint64_t i = 0; i < SHARED_PAGES; i++)
        left += paging_unmap(&spaces[0], VA(BASE + i * PAGE_BYTES), 1) == MM_OK;
    assert_int_equal(mapped_pages, left);
}

/* --- One shootdown at a time ---------------------------------------------- */

static paddr_t frame;
static uint64_t stage;

static void map_one(void)
{
    CPU_CHECK(pmm_alloc_frame(&frame) == MM_OK);
    store(word(frame, 0), 42);
    CPU_CHECK(paging_map(&spaces[0], VA(BASE), frame, 1, RW, CACHE_WB) == MM_OK);
}

static void unmap_one(void)
{
    CPU_CHECK(paging_unmap(&spaces[0], VA(BASE), 1) == MM_OK);
    CPU_CHECK(pmm_free_frame(frame) == MM_OK);
}

/* CPU 1 has interrupts off for long; until then its accesses go by the old translation. */
static void unmap_or_be_deaf(unsigned cpu)
{
    uint64_t value = 0;
    paging_switch(&spaces[0]);
    if (cpu == 0)
        map_one();
    cpus_meet();
    if (cpu == 0) {
        wait_for(&stage, 1);
        unmap_one();
        store(&stage, 2);
        return;
    }
    CPU_CHECK(cpu_read(BASE, &value) && value == 42);
    store(&stage, 1);
    struct timespec pause = {.tv_nsec = 50 * 1000 * 1000};
    nanosleep(&pause, NULL);
    CPU_CHECK(load(&stage) == 1); /* the unmap has not returned */
    CPU_CHECK(cpu_read(BASE, &value) && value == 42);
    wait_for(&stage, 2);
    CPU_CHECK(!cpu_read(BASE, &value));
}

static void unmap_waits_for_a_cpu_with_interrupts_off(void **state)
{
    (void)state;
    stage = 0;
    cpus_run(2, unmap_or_be_deaf);
}

/* Without shootdowns, the same CPU goes on by the old translation: the other tests would see it. */
static void see_a_stale_translation(unsigned cpu)
{
    uint64_t value;
    paging_switch(&spaces[0]);
    if (cpu == 0)
        map_one();
    cpus_meet();
    CPU_CHECK(cpu_read(BASE, &value) && value == 42);
    cpus_meet();
    if (cpu == 0)
        unmap_one();
    cpus_meet();
    CPU_CHECK(cpu_read(BASE, &value)); /* stale */
}

static void a_missing_shootdown_would_be_seen(void **state)
{
    (void)state;
    cpus_drop_shootdowns(true);
    cpus_run(2, see_a_stale_translation);
    cpus_drop_shootdowns(false);
}

static void stay_or_leave(unsigned cpu)
{
    paging_switch(&spaces[0]);
    if (cpu == 1)
        paging_switch(&spaces[1]);
    if (cpu == 2)
        paging_leave();
    cpus_meet();
    if (cpu == 0) {
        CPU_CHECK(cpu_set_has(&spaces[0].cpus, 0) && cpu_set_has(&spaces[0].cpus, 3));
        CPU_CHECK(cpu_set_count(&spaces[0].cpus) == 2 && cpu_set_count(&spaces[1].cpus) == 1);
        spaces[2].kernel = true;
    }
    cpus_meet();
    paging_switch(&spaces[2]);
    paging_switch(&spaces[0]);
    cpus_meet();
    if (cpu == 0)
        CPU_CHECK(cpu_set_count(&spaces[2].cpus) == NCPUS); /* its global translations stay */
    cpus_meet();
    paging_switch(&spaces[2]); /* and leaves it at the end */
}

static void a_space_knows_the_cpus_that_may_hold_it(void **state)
{
    (void)state;
    cpus_run(NCPUS, stay_or_leave);
    for (unsigned i = 0; i < SPACES; i++)
        assert_true(cpu_set_is_empty(&spaces[i].cpus));
}

#define TEST(name)    cmocka_unit_test_setup_teardown(name, start, stop)
#define SEVERAL(name) cmocka_unit_test_setup_teardown(name, start_several, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(no_cpu_uses_a_translation_that_is_gone),
        SEVERAL(nor_does_one_that_has_changed_spaces),
        TEST(a_large_page_comes_apart_under_use),
        TEST(operations_on_the_same_pages_are_whole_or_nothing),
        TEST(unmap_waits_for_a_cpu_with_interrupts_off),
        TEST(a_missing_shootdown_would_be_seen),
        SEVERAL(a_space_knows_the_cpus_that_may_hold_it),
    };
    return cmocka_run_group_tests_name("page tables of several CPUs", tests, NULL, NULL);
}
