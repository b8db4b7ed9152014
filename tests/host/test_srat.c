/* kernel/firmware/srat.c: SRATs and SLITs, good, odd and damaged. */
#include "table_rig.h"

#include "firmware/srat.h"
#include "mm/numa.h"

#define ENTRIES 48
#define GIB     (1ull << 30)

static struct srat srat;
static struct slit slit;

static void begin_srat(uint8_t revision)
{
    begin("SRAT", revision, ENTRIES);
}

static void read_srat(void)
{
    uint8_t *copy = table_copy();
    srat_read(copy, table.length, &srat);
    free(copy);
}

static void read_slit(void)
{
    uint8_t *copy = table_copy();
    slit_read(copy, table.length, &srat, &slit);
    free(copy);
}

static void add_apic(uint32_t domain, uint8_t id, uint32_t flags)
{
    add(0, 1), add(16, 1), add(domain & 0xff, 1), add(id, 1), add(flags, 4);
    add(0x5a, 1), add(domain >> 8, 3), add(0, 4); /* 0x5a: the local SAPIC's id, not ours */
}

static void add_x2apic(uint32_t domain, uint32_t id, uint32_t flags)
{
    add(2, 1), add(24, 1), add(0, 2), add(domain, 4), add(id, 4), add(flags, 4), add(0, 8);
}

static void add_memory(uint32_t domain, uint64_t base, uint64_t bytes, uint32_t flags)
{
    add(1, 1), add(40, 1), add(domain, 4), add(0, 2), add(base, 8), add(bytes, 8), add(0, 4);
    add(flags, 4), add(0, 8);
}

static void assert_range(size_t i, uint64_t base, uint64_t bytes, uint32_t node)
{
    assert_true(i < srat.nranges);
    assert_int_equal(srat.ranges[i].base.v, base);
    assert_int_equal(srat.ranges[i].bytes, bytes);
    assert_int_equal(srat.ranges[i].node, node);
}

/* ---- SRAT ------------------------------------------------------------------------------- */

static void domains_become_dense_nodes(void **state)
{
    (void)state;
    begin_srat(3);
    add_apic(0x1203, 1, 1);
    add_apic(1, 0, 1);
    add_x2apic(70000, 0x100, 1);
    add_memory(70000, 4 * GIB, GIB, 1);
    add_memory(1, 0, GIB, 1);
    add_memory(0x1203, GIB, GIB, 3); /* hot-pluggable */
    read_srat();
    assert_int_equal(srat.nnodes, 3);
    assert_int_equal(srat.domains[0], 1);
    assert_int_equal(srat.domains[1], 0x1203);
    assert_int_equal(srat.domains[2], 70000);
    assert_int_equal(srat_node_of_cpu(&srat, 0), 0);
    assert_int_equal(srat_node_of_cpu(&srat, 1), 1);
    assert_int_equal(srat_node_of_cpu(&srat, 0x100), 2);
    assert_int_equal(srat_node_of_cpu(&srat, 77), 0);
    assert_int_equal(srat.nranges, 3);
    assert_range(0, 0, GIB, 0);
    assert_range(1, GIB, GIB, 1);
    assert_range(2, 4 * GIB, GIB, 2);
    assert_said("");
}

static void old_tables_have_domains_of_one_byte(void **state)
{
    (void)state;
    begin_srat(1);
    add_apic(0xabcd02, 1, 1);
    add_memory(0xffffff02, 0, GIB, 1);
    read_srat();
    assert_int_equal(srat.nnodes, 1);
    assert_int_equal(srat.domains[0], 2);
    assert_int_equal(srat.ncpus, 1);
    assert_range(0, 0, GIB, 0);
}

static void assert_one_node(void)
{
    assert_int_equal(srat.nnodes, 1);
    assert_int_equal(srat.ncpus + srat.nranges, 0);
    assert_int_equal(srat_node_of_cpu(&srat, 3), 0);
}

static void no_table_is_one_node(void **state)
{
    (void)state;
    said[0] = '\0';
    srat_read(NULL, 0, &srat);
    assert_one_node();
    begin_srat(3);
    read_srat();
    assert_one_node();
    assert_said("");
    begin("SRAT", 3, 47);
    read_srat();
    assert_one_node();
    assert_said("ACPI: SRAT: length 47, at least 48 are needed\n");
}

static void entries_that_are_not_enabled_count_for_nothing(void **state)
{
    (void)state;
    begin_srat(3);
    add_apic(1, 1, 0);
    add_x2apic(2, 2, 2);
    add_memory(3, 0, GIB, 2);
    read_srat();
    assert_one_node();
    assert_said("");
}

static void a_node_may_lack_memory_or_cpus(void **state)
{
    (void)state;
    begin_srat(3);
    add_apic(0, 0, 1);
    add_memory(1, 0, GIB, 1);
    read_srat();
    assert_int_equal(srat.nnodes, 2);
    assert_int_equal(srat_node_of_cpu(&srat, 0), 0);
    assert_range(0, 0, GIB, 1);
}

static void a_cpu_of_two_domains_is_named(void **state)
{
    (void)state;
    begin_srat(3);
    add_apic(0, 5, 1);
    add_x2apic(0, 5, 1); /* said twice, but the same */
    add_apic(3, 5, 1);
    read_srat();
    assert_int_equal(srat.nnodes, 1);
    assert_int_equal(srat.ncpus, 1);
    assert_said("ACPI: SRAT: entry at 88: local APIC id 5 in proximity domain 3, but also in 0\n");
}

static void memory_that_cannot_be_is_named(void **state)
{
    (void)state;
    begin_srat(3);
    add_memory(0, GIB, 0, 1);
    add_memory(0, 1ull << 52, 1, 1);
    add_memory(0, GIB, UINT64_MAX, 1);
    add_memory(0, UINT64_MAX, 2, 1);
    read_srat();
    assert_int_equal(srat.nranges, 0);
    assert_said("ACPI: SRAT: entry at 48: memory at 0x40000000 of 0 bytes\n"
                "ACPI: SRAT: entry at 88: memory at 0x10000000000000, 0x1 bytes: ends beyond 52 "
                "bits\n"
                "ACPI: SRAT: entry at 128: memory at 0x40000000, 0xffffffffffffffff bytes: ends "
                "beyond 52 bits\n"
                "ACPI: SRAT: entry at 168: memory at 0xffffffffffffffff, 0x2 bytes: ends beyond "
                "52 bits\n");
}

static void overlapping_memory_is_cut(void **state)
{
    (void)state;
    begin_srat(3);
    add_memory(7, GIB, 2 * GIB, 1);
    add_memory(4, 0, 2 * GIB, 1);
    add_memory(7, GIB / 2, GIB / 4, 1); /* nothing is left of it */
    add_memory(7, 3 * GIB - 1, 2, 1);   /* its own neighbour */
    read_srat();
    assert_int_equal(srat.nranges, 3);
    assert_range(0, 0, 2 * GIB, 0);
    assert_range(1, 2 * GIB, GIB, 1);
    assert_range(2, 3 * GIB, 1, 1);
    assert_said("ACPI: SRAT: memory at 0x20000000, 0x10000000 bytes, of proximity domain 7 is also "
                "of 4\n"
                "ACPI: SRAT: memory at 0x40000000, 0x80000000 bytes, of proximity domain 7 is also "
                "of 4\n");
}

static void too_many_of_anything_are_named(void **state)
{
    (void)state;
    begin_srat(3);
    for (uint32_t i = 0; i <= NUMA_NODES_MAX; i++)
        add_x2apic(i * 3, i, 1);
    read_srat();
    assert_int_equal(srat.nnodes, NUMA_NODES_MAX);
    assert_int_equal(srat.ncpus, NUMA_NODES_MAX);
    assert_said("ACPI: SRAT: entry at 1584: proximity domain 192: only 64 are handled "
                "(NUMA_NODES_MAX)\n");
    begin_srat(3);
    for (uint32_t i = 0; i <= CONFIG_CPUS_MAX; i++)
        add_x2apic(0, i, 1);
    read_srat();
    assert_int_equal(srat.ncpus, CONFIG_CPUS_MAX);
    assert_non_null(strstr(said, "local APIC id 256: only 256 CPUs are handled"));
    begin_srat(3);
    for (uint64_t i = 0; i <= SRAT_RANGES_MAX; i++)
        add_memory(0, i * GIB, GIB, 1);
    read_srat();
    assert_int_equal(srat.nranges, SRAT_RANGES_MAX);
    assert_non_null(strstr(said, "memory at 0x4000000000: only 256 ranges are handled"));
}

static void bad_lengths_are_named(void **state)
{
    (void)state;
    begin_srat(3);
    add(0, 1), add(15, 1), add_zeros(13);
    add(1, 1), add(39, 1), add_zeros(37);
    add(2, 1), add(2, 1);
    add(5, 1), add(2, 1); /* a device: not ours */
    add_apic(3, 3, 1);
    add(0, 1), add(0, 1);
    read_srat();
    assert_int_equal(srat.ncpus, 1);
    assert_said("ACPI: SRAT: entry at 48: type 0 is only 15 bytes long, not 16\n"
                "ACPI: SRAT: entry at 63: type 1 is only 39 bytes long, not 40\n"
                "ACPI: SRAT: entry at 102: type 2 is only 2 bytes long, not 24\n"
                "ACPI: SRAT: entry at 122: length 0: nothing behind it can be read\n");
}

static void assert_sound(void)
{
    static struct node_piece pieces[NUMA_PIECES(SRAT_RANGES_MAX)];
    size_t n;

    assert_true(srat.nnodes >= 1 && srat.nnodes <= NUMA_NODES_MAX);
    assert_true(srat.ncpus <= CONFIG_CPUS_MAX && srat.nranges <= SRAT_RANGES_MAX);
    for (size_t i = 1; i < srat.nnodes; i++)
        assert_true(srat.domains[i - 1] < srat.domains[i]);
    for (size_t i = 0; i < srat.ncpus; i++)
        assert_true(srat.cpus[i].node < srat.nnodes);
    for (size_t i = 0; i < srat.nranges; i++) {
        assert_true(srat.ranges[i].node < srat.nnodes && srat.ranges[i].bytes > 0);
        assert_true(i == 0 ||
                    srat.ranges[i - 1].base.v + srat.ranges[i - 1].bytes <= srat.ranges[i].base.v);
    }
    mm_status_t status = numa_divide(srat.ranges, srat.nranges, pieces, &n);
    assert_true(status == MM_OK);
    assert_true(said_lines() <= 9 + 40);
}

static void damaged_tables_are_survived(void **state)
{
    struct rng rng = rng_start();
    (void)state;
    for (unsigned run = 0; run < 30000; run++) {
        begin_srat((uint8_t)rng_below(&rng, 4));
        for (uint64_t n = rng_below(&rng, 24); n > 0; n--) {
            uint32_t domain = (uint32_t)rng_below(&rng, 6), id = (uint32_t)rng_below(&rng, 20);
            uint64_t base = rng_below(&rng, 64) << 28;
            if (rng_below(&rng, 2))
                add_memory(domain, base, rng_size(&rng, 8 * GIB), 1);
            else if (rng_below(&rng, 2))
                add_apic(domain, (uint8_t)id, 1);
            else
                add_x2apic(domain, id, 1);
        }
        mutate(&rng, rng_below(&rng, 8) ? ENTRIES : 0);
        read_srat();
        assert_sound();
    }
}

/* ---- SLIT ------------------------------------------------------------------------------- */

/* Four nodes, of the domains 0 to 3. */
static int four_nodes(void **state)
{
    (void)state;
    begin_srat(3);
    for (uint32_t i = 0; i < 4; i++)
        add_x2apic(i, i, 1);
    read_srat();
    return 0;
}

static void begin_slit(uint64_t count)
{
    begin("SLIT", 1, 36);
    add(count, 8);
}

static void add_good_distances(unsigned count)
{
    for (unsigned from = 0; from < count; from++)
        for (unsigned to = 0; to < count; to++)
            add(from == to ? 10 : 20 + from * count + to, 1);
}

static void assert_default_distances(void)
{
    for (unsigned from = 0; from < NUMA_NODES_MAX; from++)
        for (unsigned to = 0; to < NUMA_NODES_MAX; to++)
            assert_int_equal(slit.distance[from][to], from == to ? 10 : 20);
}

static void distances_are_read(void **state)
{
    (void)state;
    begin_slit(4);
    add_good_distances(4);
    read_slit();
    for (unsigned from = 0; from < 4; from++)
        for (unsigned to = 0; to < 4; to++)
            assert_int_equal(slit.distance[from][to], from == to ? 10 : 20 + from * 4 + to);
    assert_said("");
}

/* The matrix counts domains, and not all of those have a node. */
static void distances_follow_the_domains(void **state)
{
    (void)state;
    begin_srat(3);
    add_x2apic(1, 0, 1);
    add_x2apic(3, 1, 1);
    add_x2apic(900, 2, 1);
    read_srat();
    begin_slit(4);
    add_good_distances(4);
    read_slit();
    assert_int_equal(slit.distance[0][1], 20 + 1 * 4 + 3);
    assert_int_equal(slit.distance[1][0], 20 + 3 * 4 + 1);
    assert_int_equal(slit.distance[0][2], 20);
    assert_int_equal(slit.distance[2][2], 10);
}

static void no_slit_gives_default_distances(void **state)
{
    (void)state;
    said[0] = '\0';
    slit_read(NULL, 0, &srat, &slit);
    assert_default_distances();
    assert_said("");
    begin("SLIT", 1, 43);
    read_slit();
    assert_default_distances();
    assert_said("ACPI: SLIT: length 43, at least 44 are needed\n");
}

static void a_matrix_that_does_not_fit_is_named(void **state)
{
    static const uint64_t counts[] = {0, 5, 1ull << 32, 1ull << 63, UINT64_MAX};
    (void)state;
    for (size_t i = 0; i < COUNT(counts); i++) {
        char line[128];
        begin_slit(counts[i]);
        add_good_distances(4);
        read_slit();
        assert_default_distances();
        snprintf(line, sizeof line, "ACPI: SLIT: %lu domains do not fit into its 60 bytes\n",
                 counts[i]);
        assert_said(line);
    }
    begin_slit(4);
    add_good_distances(4);
    table.length--;
    read_slit();
    assert_default_distances();
}

static void distances_that_cannot_be_are_named(void **state)
{
    (void)state;
    begin_slit(4);
    add_good_distances(4);
    table.bytes[44 + 2 * 4 + 2] = 11;
    read_slit();
    assert_default_distances();
    assert_said("ACPI: SLIT: the distance from 2 to 2 cannot be 11\n");
    table.bytes[44 + 2 * 4 + 2] = 10;
    table.bytes[44 + 1 * 4 + 3] = 9;
    read_slit();
    assert_default_distances();
    assert_said("ACPI: SLIT: the distance from 1 to 3 cannot be 9\n");
    table.bytes[44 + 1 * 4 + 3] = 255;
    read_slit();
    assert_int_equal(slit.distance[1][3], 255);
}

static void damaged_distances_are_survived(void **state)
{
    struct rng rng = rng_start();
    (void)state;
    for (unsigned run = 0; run < 30000; run++) {
        unsigned count = (unsigned)rng_below(&rng, 9);
        begin_slit(count);
        add_good_distances(count);
        mutate(&rng, rng_below(&rng, 2) ? 36 : 0);
        read_slit();
        for (unsigned from = 0; from < 4; from++)
            for (unsigned to = 0; to < 4; to++)
                assert_true(from == to ? slit.distance[from][to] == 10
                                       : slit.distance[from][to] >= 10);
        assert_true(said_lines() <= 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(domains_become_dense_nodes),
        cmocka_unit_test(old_tables_have_domains_of_one_byte),
        cmocka_unit_test(no_table_is_one_node),
        cmocka_unit_test(entries_that_are_not_enabled_count_for_nothing),
        cmocka_unit_test(a_node_may_lack_memory_or_cpus),
        cmocka_unit_test(a_cpu_of_two_domains_is_named),
        cmocka_unit_test(memory_that_cannot_be_is_named),
        cmocka_unit_test(overlapping_memory_is_cut),
        cmocka_unit_test(too_many_of_anything_are_named),
        cmocka_unit_test(bad_lengths_are_named),
        cmocka_unit_test(damaged_tables_are_survived),
        cmocka_unit_test_setup(distances_are_read, four_nodes),
        cmocka_unit_test_setup(distances_follow_the_domains, four_nodes),
        cmocka_unit_test_setup(no_slit_gives_default_distances, four_nodes),
        cmocka_unit_test_setup(a_matrix_that_does_not_fit_is_named, four_nodes),
        cmocka_unit_test_setup(distances_that_cannot_be_are_named, four_nodes),
        cmocka_unit_test_setup(damaged_distances_are_survived, four_nodes),
    };
    return cmocka_run_group_tests_name("srat", tests, NULL, NULL);
}
