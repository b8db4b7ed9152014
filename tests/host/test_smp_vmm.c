/* Virtual memory under several CPUs at once: faults on the same page, faults against those who
 * free, copy and protect, and random work of each in ranges of its own in one space. */
#define NCPUS 4
#include "smp_rig.h"
#include "vmm_rig.h"

#define BASE   (512 * GIB - 3 * HUGE_2M)
#define ROUNDS 300

static struct vm vm, copies[NCPUS];
static uint64_t at;     /* where the range of the round is; atomic */
static uint64_t faults; /* of CPU 1 */

static int start(void **state)
{
    (void)state;
    start_machine(4, 64 * MIB);
    cpus_make_shares(NCPUS);
    assert_int_equal(MM_OK, vmm_create(&vm, "user"));
    fixed = unaccounted();
    start_rngs();
    return 0;
}

static void make(uint64_t va, uint64_t npages, enum vmm_backing backing, unsigned flags)
{
    const struct vmm_want want = {
        .at = VA(va), .npages = npages, .prot = RW, .backing = backing, .flags = flags};
    vaddr_t out;
    CPU_CHECK(vmm_alloc(&vm, &want, &out) == MM_OK);
}

static bool touch_user(struct vm *space, uint64_t va, bool write, uint64_t *value)
{
    return touch(space, va, (write ? VMM_WRITE : VMM_READ) | VMM_USER, value) == VMM_RESOLVED;
}

/* --- The same page ------------------------------------------------------------------ */

static unsigned lazy_flags;

/* All write the same lazy page at once, each a word of its own: nothing may be lost. */
static void touch_one_page(unsigned cpu)
{
    vmm_switch(&vm);
    for (uint64_t i = 0; i < ROUNDS / (lazy_flags ? 1 : 10); i++) {
        uint64_t value;
        if (cpu == 0)
            make(BASE, 1024, VMM_LAZY, lazy_flags);
        cpus_meet();
        uint64_t va = BASE + HUGE_2M + (i % 512) * PAGE_BYTES;
        value = i * NCPUS + cpu + 1;
        CPU_CHECK(touch_user(&vm, va + cpu * 8, true, &value));
        cpus_meet();
        for (unsigned other = 0; other < NCPUS; other++) {
            CPU_CHECK(touch_user(&vm, va + other * 8, false, &value));
            CPU_CHECK(value == i * NCPUS + other + 1);
        }
        cpus_meet();
        if (cpu == 0)
            CPU_CHECK(vmm_free(&vm, VA(BASE), 1024) == MM_OK);
    }
}

static void a_lazy_page_is_filled_once(void **state)
{
    (void)state;
    lazy_flags = VMM_SMALL_PAGES;
    cpus_run(NCPUS, touch_one_page);
    check_everything();
    lazy_flags = 0;
    cpus_run(NCPUS, touch_one_page);
    check_everything();
}

/* All write the same page that is shared with a copy, of which nobody may see anything. */
static void write_one_copy(unsigned cpu)
{
    vmm_switch(&vm);
    for (uint64_t i = 0; i < ROUNDS; i++) {
        uint64_t va = BASE + (i % 1024) * PAGE_BYTES, value = 1000 + i;
        if (cpu == 0) {
            if (i % 100 == 0)
                make(BASE, 1024, VMM_NOW, i % 200 ? VMM_SMALL_PAGES : 0);
            CPU_CHECK(touch_user(&vm, va, true, &value));
            CPU_CHECK(vmm_clone(&vm, &copies[0], "copy") == MM_OK);
        }
        cpus_meet();
        value = cpu;
        CPU_CHECK(touch_user(&vm, va + 8 + cpu * 8, true, &value));
        cpus_meet();
        CPU_CHECK(touch_user(&vm, va + 8 + ((cpu + 1) % NCPUS) * 8, false, &value));
        CPU_CHECK(value == (cpu + 1) % NCPUS);
        CPU_CHECK(touch_user(&vm, va, false, &value) && value == 1000 + i);
        if (cpu == 1) {
            struct walk w = walk(copies[0].space.root.v, va);
            const uint64_t *words = phys_to_virt(PA(w.pa));
            CPU_CHECK(w.present && !w.write && words[0] == 1000 + i);
            for (unsigned other = 0; other < NCPUS; other++)
                CPU_CHECK(i >= 1024 || words[1 + other] == 0);
        }
        cpus_meet();
        if (cpu == 0) {
            vmm_destroy(&copies[0]);
            if (i % 100 == 99)
                CPU_CHECK(vmm_free(&vm, VA(BASE), 1024) == MM_OK);
        }
        cpus_meet();
    }
}

static void a_shared_page_is_copied_once(void **state)
{
    (void)state;
    cpus_run(NCPUS, write_one_copy);
    check_everything();
}

/* --- Against each other ------------------------------------------------------------------- */

static uint64_t working;

/* CPU 0 makes, protects, decommits and frees; the others touch all the time. What they may be told
 * depends on what there is at the moment, but is never that there is nothing to say, and no memory
 * is lost. */
static void touch_or_change(unsigned cpu)
{
    struct rng *rng = &rngs[cpu];
    uint64_t value = cpu;
    vmm_switch(&vm);
    cpus_meet();
    for (uint64_t i = 0; cpu == 0 && i < ROUNDS; i++) {
        make(BASE, 1024, i % 3 ? VMM_LAZY : VMM_NOW, i % 2 ? VMM_SMALL_PAGES : 0);
        for (unsigned j = 0; j < 6; j++) {
            vaddr_t va = VA(BASE + rng_below(rng, 900) * PAGE_BYTES);
            uint64_t npages = rng_between(rng, 1, 124);
            CPU_CHECK(vmm_protect(&vm, va, npages, j % 2 ? RW : PROT_READ) == MM_OK);
            CPU_CHECK(vmm_decommit(&vm, va, npages) == MM_OK);
            CPU_CHECK(vmm_commit(&vm, va, npages, j % 3 ? VMM_LAZY : VMM_NOW) == MM_OK);
        }
        CPU_CHECK(vmm_free(&vm, VA(BASE), 1024) == MM_OK);
    }
    if (cpu == 0)
        store(&working, 0);
    while (load(&working)) {
        enum vmm_fault fault = touch(&vm, BASE + rng_below(rng, 1024) * PAGE_BYTES,
                                     VMM_USER | (rng_below(rng, 2) ? VMM_WRITE : VMM_READ), &value);
        CPU_CHECK(fault == VMM_RESOLVED || fault == VMM_NOT_MAPPED || fault == VMM_IS_RESERVED ||
                  fault == VMM_FORBIDDEN);
        if (cpu == 1 && fault == VMM_RESOLVED)
            faults++;
        port_relax();
    }
}

static void faults_race_with_changes(void **state)
{
    (void)state;
    working = 1;
    faults = 0;
    cpus_run(NCPUS, touch_or_change);
    assert_true(faults > 0);
    check_everything();
}

/* The others count up, each in words of its own in the same two pages, while CPU 0 copies the space
 * again and again: a copy is of one moment, later ones are of later moments, and no write is lost. */
static void count_or_clone(unsigned cpu)
{
    uint64_t value = 0;
    vmm_switch(&vm);
    if (cpu == 0)
        make(BASE, 512 * 3, VMM_NOW, 0);
    cpus_meet();
    uint64_t last[NCPUS] = {0};
    for (uint64_t i = 0; cpu == 0 && i < 2 * ROUNDS; i++) {
        CPU_CHECK(vmm_clone(&vm, &copies[0], "copy") == MM_OK);
        for (unsigned other = 1; other < NCPUS; other++) {
            uint64_t seen[2];
            for (unsigned j = 0; j < 2; j++) {
                struct walk w =
                    walk(copies[0].space.root.v, BASE + j * 600 * PAGE_BYTES + other * 8);
                CPU_CHECK(w.present && !w.write);
                seen[j] = __atomic_load_n((uint64_t *)phys_to_virt(PA(w.pa)), __ATOMIC_RELAXED);
            }
            CPU_CHECK(seen[0] >= last[other] && (seen[0] == seen[1] || seen[0] == seen[1] + 1));
            last[other] = seen[0];
        }
        vmm_destroy(&copies[0]);
    }
    if (cpu == 0)
        store(&working, 0);
    for (; load(&working); port_relax()) {
        value++;
        CPU_CHECK(touch_user(&vm, BASE + cpu * 8, true, &value));
        CPU_CHECK(touch_user(&vm, BASE + 600 * PAGE_BYTES + cpu * 8, true, &value));
        uint64_t again;
        CPU_CHECK(touch_user(&vm, BASE + cpu * 8, false, &again) && again == value);
    }
}

static void clones_race_with_writes(void **state)
{
    (void)state;
    working = 1;
    cpus_run(NCPUS, count_or_clone);
    check_everything();
}

/* --- Everybody on his own ------------------------------------------------------------------- */

#define MINE 24

static uint64_t mine[NCPUS][MINE], sizes[NCPUS][MINE];
static struct vm *owners[NCPUS][MINE];

static void drop(unsigned cpu, unsigned slot)
{
    struct vm *owner = owners[cpu][slot];
    uint64_t va = mine[cpu][slot], npages = sizes[cpu][slot], value, split;
    for (uint64_t i = 0; i < npages; i += 1 + npages / 7) {
        CPU_CHECK(touch(owner, va + i * PAGE_BYTES, VMM_READ, &value) == VMM_RESOLVED);
        CPU_CHECK(value == va + i);
    }
    split = npages / 2;
    if (owner == KERNEL) {
        struct vmm_range range;
        CPU_CHECK(vmm_find(VA(va + (npages - 1) * PAGE_BYTES), &range) && range.va.v == va &&
                  range.npages == npages);
    }
    if (split > 0 && rng_below(&rngs[cpu], 2)) {
        CPU_CHECK(vmm_free(owner, VA(va), split) == MM_OK);
        CPU_CHECK(vmm_free(owner, VA(va + split * PAGE_BYTES), npages - split) == MM_OK);
    } else if (owner == KERNEL) {
        vmm_free_range(VA(va));
    } else {
        CPU_CHECK(vmm_free(owner, VA(va), npages) == MM_OK);
    }
    sizes[cpu][slot] = 0;
}

static void take(unsigned cpu, unsigned slot)
{
    struct rng *rng = &rngs[cpu];
    struct vm *owner = rng_below(rng, 2) ? KERNEL : &vm;
    const struct vmm_want want = {.name = "mine",
                                  .npages = rng_size(rng, 600),
                                  .prot = RW,
                                  .backing = rng_below(rng, 2) ? VMM_NOW : VMM_LAZY};
    vaddr_t va;
    CPU_CHECK(vmm_alloc(owner, &want, &va) == MM_OK);
    mine[cpu][slot] = va.v;
    sizes[cpu][slot] = want.npages;
    owners[cpu][slot] = owner;
    for (uint64_t i = 0; i < want.npages; i += 1 + want.npages / 7) {
        uint64_t value = va.v + i;
        CPU_CHECK(touch(owner, va.v + i * PAGE_BYTES, VMM_WRITE, &value) == VMM_RESOLVED);
    }
}

static void work_alone(unsigned cpu)
{
    vmm_switch(&vm);
    for (unsigned i = 0; i < ROUNDS; i++) {
        unsigned slot = (unsigned)rng_below(&rngs[cpu], MINE / 6);
        if (sizes[cpu][slot] > 0)
            drop(cpu, slot);
        else
            take(cpu, slot);
        if (i % 16 == cpu) {
            uint64_t floor = 0;
            for (struct vmm_range r = {0}; vmm_next_range(&r);) {
                CPU_CHECK(r.va.v > floor && r.npages > 0);
                floor = r.va.v + (r.npages - 1) * PAGE_BYTES;
            }
        }
        port_relax();
    }
    for (unsigned slot = 0; slot < MINE; slot++)
        if (sizes[cpu][slot] > 0)
            drop(cpu, slot);
}

static void ranges_of_all_cpus_are_their_own(void **state)
{
    (void)state;
    cpus_run(NCPUS, work_alone);
    check_everything();
    struct vmm_range range = {0};
    assert_false(vmm_next_range(&range));
}

/* Parts of one kernel range, freed by all CPUs: its records are right in the end. */
static void free_parts(unsigned cpu)
{
    struct rng *rng = &rngs[cpu];
    for (unsigned i = 0; i < ROUNDS / 10; i++) {
        if (cpu == 0)
            store(&at, alloc_pages(KERNEL, NCPUS * 40, i % 2 ? VMM_NOW : VMM_LAZY));
        cpus_meet();
        uint64_t va = load(&at), free[40] = {0};
        for (unsigned n = 0; n < 40; n++) { /* in some order */
            uint64_t p = rng_below(rng, 40);
            while (free[p])
                p = (p + 1) % 40;
            free[p] = 1;
            uint64_t page = va + (p * NCPUS + cpu) * PAGE_BYTES;
            CPU_CHECK(vmm_free(KERNEL, VA(page), 1) == MM_OK);
        }
        cpus_meet();
    }
}

static void parts_of_a_range_are_freed_by_all(void **state)
{
    (void)state;
    cpus_run(NCPUS, free_parts);
    check_everything();
    struct vmm_range range = {0};
    assert_false(vmm_next_range(&range));
}

/* --- Devices -------------------------------------------------------------------------- */

#define DEVICES 40
#define DEVICE  (1ull << 40)

static vaddr_t devices[NCPUS][DEVICES]; /* 0: refused */
static cache_t types[NCPUS][DEVICES];

/* All map the same registers at once, with one of two types. */
static void map_devices(unsigned cpu)
{
    for (unsigned i = 0; i < DEVICES; i++) {
        cpus_meet();
        uint64_t pa = DEVICE + i * 3 * PAGE_BYTES;
        types[cpu][i] = rng_below(&rngs[cpu], 2) ? CACHE_UC : CACHE_WC;
        devices[cpu][i] = VA(0);
        mm_status_t status =
            vmm_map_device("device", PA(pa + 8), 2 * PAGE_BYTES, types[cpu][i], &devices[cpu][i]);
        CPU_CHECK(status == MM_OK || status == MM_DENIED);
        if (status == MM_OK)
            CPU_CHECK(walk(KERNEL->space.root.v, devices[cpu][i].v).pa == pa + 8);
    }
}

static void devices_of_all_cpus_have_one_type(void **state)
{
    (void)state;
    cpus_run(NCPUS, map_devices);
    unsigned denied = 0, mapped = 0, seen = 0;
    for (unsigned i = 0; i < DEVICES; i++) {
        unsigned users[CACHE_WC + 1] = {0};
        for (unsigned cpu = 0; cpu < NCPUS; cpu++) {
            bool has = devices[cpu][i].v != 0;
            users[types[cpu][i]] += has;
            mapped += has;
            denied += !has;
        }
        assert_true(users[CACHE_UC] == 0 || users[CACHE_WC] == 0);
        assert_true(users[CACHE_UC] + users[CACHE_WC] > 0);
    }
    assert_true(denied > 0);
    for (struct vmm_range r = {0}; vmm_next_range(&r);)
        seen++;
    assert_int_equal(mapped, seen);
    check_everything();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_lazy_page_is_filled_once),        TEST(a_shared_page_is_copied_once),
        TEST(faults_race_with_changes),          TEST(clones_race_with_writes),
        TEST(devices_of_all_cpus_have_one_type), TEST(ranges_of_all_cpus_are_their_own),
        TEST(parts_of_a_range_are_freed_by_all),
    };
    return cmocka_run_group_tests_name("virtual memory of several CPUs", tests, NULL, NULL);
}
