/* Devices that several CPUs bring into the kernel's space at once, while others read the list. */
#include "mapper_rig.h"
#include "smp_rig.h"

#define DEVICES 120

static vaddr_t devices[NCPUS][DEVICES];

static void look_around(void)
{
    uint64_t floor = 0;
    struct map_range found;
    for (struct map_range r = {0}; mapper_next_range(&r);) {
        CPU_CHECK(r.npages > 0 && r.va.v >= floor);
        floor = r.va.v + r.npages * PAGE_BYTES;
        CPU_CHECK(mapper_find(r.va, &found) && found.va.v == r.va.v);
    }
    struct mapper_audit audit;
    CPU_CHECK(mapper_audit(mapper_kernel_space(), &audit));
}

static void bring_devices(unsigned cpu)
{
    struct rng *rng = &rngs[cpu];
    paging_switch(mapper_kernel_space());
    for (unsigned i = 0; i < DEVICES; i++) {
        uint64_t pa = (1ull << 40) + (i * NCPUS + cpu) * HUGE_2M + rng_below(rng, PAGE_BYTES);
        uint64_t bytes = rng_size(rng, 64 * PAGE_BYTES);
        vaddr_t *va = &devices[cpu][i];
        CPU_CHECK(mapper_map_device("device", PA(pa), bytes, CACHE_UC, va) == MM_OK);
        CPU_CHECK(walk(mapper_kernel_space()->root.v, va->v).pa == pa);
        if (i % 8 == cpu)
            look_around();
        port_relax();
    }
}

static void devices_of_all_cpus_are_mapped_apart(void **state)
{
    (void)state;
    mapper_switch(&space);
    size_t before = count_ranges();
    start_rngs();
    cpus_run(NCPUS, bring_devices);
    assert_int_equal(before + NCPUS * DEVICES, count_ranges());
    check_ranges_are_sorted();
    struct mapper_audit audit;
    assert_true(mapper_audit(&space, &audit));
    assert_true(paging_validate(&space));
    for (unsigned cpu = 0; cpu < NCPUS; cpu++)
        for (unsigned i = 0; i < DEVICES; i++)
            assert_string_equal("device", range_at(devices[cpu][i].v)->name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SPACE(devices_of_all_cpus_are_mapped_apart),
    };
    return cmocka_run_group_tests_name("mapper of several CPUs", tests, NULL, NULL);
}
