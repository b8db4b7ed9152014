/* kernel/firmware/madt.c: MADTs, good, odd and damaged. */
#include "table_rig.h"

#include "firmware/madt.h"

#define ENTRIES 44

static struct madt madt;

static void begin_madt(uint8_t revision)
{
    begin("APIC", revision, ENTRIES);
}

static void read_table(void)
{
    uint8_t *copy = table_copy();
    madt_read(copy, table.length, &madt);
    free(copy);
}

static void add_apic(uint8_t uid, uint8_t id, uint32_t flags)
{
    add(0, 1), add(8, 1), add(uid, 1), add(id, 1), add(flags, 4);
}

static void add_x2apic(uint32_t uid, uint32_t id, uint32_t flags)
{
    add(9, 1), add(16, 1), add(0, 2), add(id, 4), add(flags, 4), add(uid, 4);
}

static void add_nmi(uint8_t uid, uint16_t flags, uint8_t lint)
{
    add(4, 1), add(6, 1), add(uid, 1), add(flags, 2), add(lint, 1);
}

static void add_x2apic_nmi(uint32_t uid, uint16_t flags, uint8_t lint)
{
    add(10, 1), add(12, 1), add(flags, 2), add(uid, 4), add(lint, 1), add(0, 3);
}

static void assert_cpu(size_t i, uint32_t uid, uint32_t id, bool enabled, bool may_come)
{
    assert_true(i < madt.ncpus);
    assert_int_equal(madt.cpus[i].acpi_uid, uid);
    assert_int_equal(madt.cpus[i].lapic_id, id);
    assert_int_equal(madt.cpus[i].enabled, enabled);
    assert_int_equal(madt.cpus[i].may_come, may_come);
}

static void both_kinds_of_processors_are_read(void **state)
{
    (void)state;
    begin_madt(3);
    add_apic(7, 0, 1);
    add(1, 1), add(12, 1), add_zeros(10); /* an I/O APIC, which is not ours to read */
    add_apic(8, 254, 1);
    add_x2apic(9, 0x12345, 1);
    add_x2apic(10, 255, 1); /* a number like any for this kind */
    read_table();
    assert_int_equal(madt.ncpus, 4);
    assert_cpu(0, 7, 0, true, false);
    assert_cpu(1, 8, 254, true, false);
    assert_cpu(2, 9, 0x12345, true, false);
    assert_cpu(3, 10, 255, true, false);
    assert_ptr_equal(madt_find(&madt, 254), &madt.cpus[1]);
    assert_null(madt_find(&madt, 1));
    assert_said("");
}

static void no_table_is_an_empty_list(void **state)
{
    (void)state;
    madt.ncpus = 5;
    said[0] = '\0';
    madt_read(NULL, 0, &madt);
    assert_int_equal(madt.ncpus + madt.nnmis, 0);
    begin_madt(3);
    read_table();
    assert_int_equal(madt.ncpus + madt.nnmis, 0);
    assert_said("");
}

static void a_short_table_is_named(void **state)
{
    (void)state;
    begin("APIC", 3, 43);
    read_table();
    assert_int_equal(madt.ncpus, 0);
    assert_said("ACPI: MADT: length 43, at least 44 are needed\n");
}

static void entries_that_are_not_enabled_are_kept_apart(void **state)
{
    (void)state;
    begin_madt(5);
    add_apic(0, 0, 1);
    add_apic(1, 1, 0);
    add_apic(2, 2, 2);
    add_x2apic(3, 3, 3); /* enabled: the other flag is then reserved */
    read_table();
    assert_int_equal(madt.ncpus, 4);
    assert_cpu(1, 1, 1, false, false);
    assert_cpu(2, 2, 2, false, true);
    assert_cpu(3, 3, 3, true, false);
    assert_said("ACPI: MADT: 2 of the processor entries are not enabled\n");
}

static void online_capable_means_nothing_in_old_tables(void **state)
{
    (void)state;
    begin_madt(4);
    add_apic(0, 0, 2);
    read_table();
    assert_cpu(0, 0, 0, false, false);
}

static void a_duplicate_is_named(void **state)
{
    (void)state;
    begin_madt(3);
    add_apic(1, 4, 1);
    add_x2apic(2, 4, 1);
    read_table();
    assert_int_equal(madt.ncpus, 1);
    assert_cpu(0, 1, 4, true, false);
    assert_said("ACPI: MADT: entry at 52: local APIC id 4 is listed already\n");
}

/* Unused entries often carry the id 0, or 255. */
static void placeholders_take_no_ids(void **state)
{
    (void)state;
    begin_madt(3);
    add_apic(9, 0, 0);
    add_apic(1, 0, 1);
    add_apic(8, 0, 0);
    add_apic(7, 255, 0);
    add_x2apic(6, UINT32_MAX, 0);
    read_table();
    assert_int_equal(madt.ncpus, 1);
    assert_cpu(0, 1, 0, true, false);
    assert_said("ACPI: MADT: 4 of the processor entries are not enabled\n");
}

static void an_id_that_addresses_everybody_is_named(void **state)
{
    (void)state;
    begin_madt(3);
    add_apic(0, 255, 1);
    add_x2apic(1, UINT32_MAX, 1);
    read_table();
    assert_int_equal(madt.ncpus, 0);
    assert_said("ACPI: MADT: entry at 44: local APIC id 255 is enabled, but it addresses all CPUs\n"
                "ACPI: MADT: entry at 52: local APIC id 4294967295 is enabled, but it addresses "
                "all CPUs\n");
}

static void nmis_are_read(void **state)
{
    (void)state;
    begin_madt(3);
    add_nmi(255, 0, 1);
    add_nmi(3, 0xf, 0);
    add_x2apic_nmi(0x1000, 3, 1);
    add_x2apic_nmi(UINT32_MAX, 0xd, 0);
    add_nmi(1, 0, 2);
    read_table();
    assert_int_equal(madt.nnmis, 4);
    assert_memory_equal(&madt.nmis[0], &((struct madt_nmi){MADT_UID_ALL, 1, false, false}), 7);
    assert_memory_equal(&madt.nmis[1], &((struct madt_nmi){3, 0, true, true}), 7);
    assert_memory_equal(&madt.nmis[2], &((struct madt_nmi){0x1000, 1, true, false}), 7);
    assert_memory_equal(&madt.nmis[3], &((struct madt_nmi){MADT_UID_ALL, 0, false, true}), 7);
    assert_said("ACPI: MADT: entry at 80: NMI at local input 2: there are two\n");
}

static void a_length_of_0_or_1_ends_the_list(void **state)
{
    (void)state;
    for (unsigned length = 0; length < 2; length++) {
        char line[128];
        begin_madt(3);
        add_apic(0, 0, 1);
        add(0, 1), add(length, 1), add_zeros(6);
        add_apic(1, 1, 1);
        read_table();
        assert_int_equal(madt.ncpus, 1);
        snprintf(line, sizeof line,
                 "ACPI: MADT: entry at 52: length %u: nothing behind it can be read\n", length);
        assert_said(line);
    }
}

static void an_entry_beyond_the_end_is_named(void **state)
{
    (void)state;
    begin_madt(3);
    add_apic(0, 0, 1);
    add_apic(1, 1, 1);
    table.length -= 1;
    read_table();
    assert_int_equal(madt.ncpus, 1);
    assert_said("ACPI: MADT: entry at 52: 8 bytes long, but the table ends after 7\n");
    table.length = 53;
    read_table();
    assert_said("ACPI: MADT: entry at 52: 0 bytes long, but the table ends after 1\n");
}

static void an_entry_too_short_for_its_type_is_named(void **state)
{
    (void)state;
    begin_madt(3);
    add(0, 1), add(7, 1), add_zeros(5);
    add(9, 1), add(8, 1), add_zeros(6);
    add(4, 1), add(2, 1);
    add(10, 1), add(11, 1), add_zeros(9);
    add_apic(1, 1, 1);
    read_table();
    assert_int_equal(madt.ncpus, 1);
    assert_int_equal(madt.nnmis, 0);
    assert_said("ACPI: MADT: entry at 44: type 0 is only 7 bytes long, not 8\n"
                "ACPI: MADT: entry at 51: type 9 is only 8 bytes long, not 16\n"
                "ACPI: MADT: entry at 59: type 4 is only 2 bytes long, not 6\n"
                "ACPI: MADT: entry at 61: type 10 is only 11 bytes long, not 12\n");
}

static void unknown_types_are_passed_over(void **state)
{
    (void)state;
    begin_madt(3);
    add(0x55, 1), add(9, 1), add_zeros(7);
    add(0x80, 1), add(2, 1); /* the firmware maker's own */
    add_apic(1, 1, 1);
    read_table();
    assert_int_equal(madt.ncpus, 1);
    assert_said("ACPI: MADT: entry at 44: type 85 is unknown\n");
}

static void more_processors_than_we_handle_are_counted(void **state)
{
    (void)state;
    begin_madt(3);
    for (uint32_t i = 0; i < CONFIG_CPUS_MAX + 20; i++)
        add_x2apic(i, i, 1);
    read_table();
    assert_int_equal(madt.ncpus, CONFIG_CPUS_MAX);
    assert_int_equal(said_lines(), 9);
    assert_non_null(strstr(said, "only 256 CPUs are handled (CONFIG_CPUS_MAX)"));
    assert_non_null(strstr(said, "ACPI: MADT: 12 more entries are wrong\n"));
}

static void more_nmis_than_we_keep_are_named(void **state)
{
    (void)state;
    begin_madt(3);
    for (uint8_t i = 0; i < MADT_NMIS_MAX + 1; i++)
        add_nmi(i, 0, 1);
    read_table();
    assert_int_equal(madt.nnmis, MADT_NMIS_MAX);
    assert_said("ACPI: MADT: entry at 428: NMI of processor 64: more than 64 of them\n");
}

static void assert_sound(void)
{
    assert_true(madt.ncpus <= CONFIG_CPUS_MAX && madt.nnmis <= MADT_NMIS_MAX);
    for (size_t i = 0; i < madt.ncpus; i++) {
        assert_ptr_equal(madt_find(&madt, madt.cpus[i].lapic_id), &madt.cpus[i]);
        assert_int_not_equal(madt.cpus[i].lapic_id, UINT32_MAX);
        assert_false(madt.cpus[i].enabled && madt.cpus[i].may_come);
    }
    for (size_t i = 0; i < madt.nnmis; i++)
        assert_true(madt.nmis[i].lint <= 1);
    assert_true(said_lines() <= 10);
}

static void damaged_tables_are_survived(void **state)
{
    struct rng rng = rng_start();
    (void)state;
    for (unsigned run = 0; run < 30000; run++) {
        begin_madt((uint8_t)rng_below(&rng, 7));
        for (uint64_t n = rng_below(&rng, 24); n > 0; n--) {
            uint32_t id = (uint32_t)rng_below(&rng, 20), flags = (uint32_t)rng_below(&rng, 4);
            switch (rng_below(&rng, 5)) {
            case 0:
                add_x2apic(id, id * 100, flags);
                break;
            case 1:
                add_nmi((uint8_t)id, (uint16_t)rng_below(&rng, 16), (uint8_t)rng_below(&rng, 3));
                break;
            case 2:
                add_x2apic_nmi(id, (uint16_t)rng_below(&rng, 16), (uint8_t)rng_below(&rng, 3));
                break;
            default:
                add_apic((uint8_t)id, (uint8_t)id, flags);
            }
        }
        mutate(&rng, rng_below(&rng, 8) ? ENTRIES : 0);
        read_table();
        assert_sound();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_kinds_of_processors_are_read),
        cmocka_unit_test(no_table_is_an_empty_list),
        cmocka_unit_test(a_short_table_is_named),
        cmocka_unit_test(entries_that_are_not_enabled_are_kept_apart),
        cmocka_unit_test(online_capable_means_nothing_in_old_tables),
        cmocka_unit_test(a_duplicate_is_named),
        cmocka_unit_test(placeholders_take_no_ids),
        cmocka_unit_test(an_id_that_addresses_everybody_is_named),
        cmocka_unit_test(nmis_are_read),
        cmocka_unit_test(a_length_of_0_or_1_ends_the_list),
        cmocka_unit_test(an_entry_beyond_the_end_is_named),
        cmocka_unit_test(an_entry_too_short_for_its_type_is_named),
        cmocka_unit_test(unknown_types_are_passed_over),
        cmocka_unit_test(more_processors_than_we_handle_are_counted),
        cmocka_unit_test(more_nmis_than_we_keep_are_named),
        cmocka_unit_test(damaged_tables_are_survived),
    };
    return cmocka_run_group_tests_name("acpi_madt", tests, NULL, NULL);
}
