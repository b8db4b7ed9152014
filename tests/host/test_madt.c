/* efi/madt.c: what is made of a MADT, whatever the firmware wrote. */
#include "test.h"

#include "bytes.h"
#include "madt.h"

static uint8_t *madt; /* of exactly its own length, so that reading behind it is caught */
static size_t length;
static struct madt_cpus found;

static void begin(uint8_t revision)
{
    free(madt);
    length = MADT_ENTRIES;
    madt = calloc(1, length);
    memcpy(madt, "APIC", 4);
    madt[8] = revision;
}

static void put(const void *entry, size_t bytes)
{
    madt = realloc(madt, length + bytes);
    memcpy(madt + length, entry, bytes);
    length += bytes;
}

static void put_apic(uint8_t uid, uint8_t id, uint32_t flags)
{
    put((uint8_t[]){MADT_LOCAL_APIC, 8, uid, id, (uint8_t)flags, 0, 0, 0}, 8);
}

static void put_x2apic(uint32_t uid, uint32_t id, uint32_t flags)
{
    uint32_t words[4] = {MADT_LOCAL_X2APIC | 16 << 8, id, flags, uid};
    put(words, 16);
}

static void set_length(void)
{
    uint32_t said = (uint32_t)length;
    memcpy(madt + 4, &said, 4);
}

static void find(void)
{
    set_length();
    memset(&found, 0xaa, sizeof found);
    madt_find_cpus(madt, &found);
}

static void assert_cpu(size_t i, uint32_t id, uint32_t uid)
{
    assert_true(i < found.count);
    assert_int_equal(found.cpus[i].apic_id, id);
    assert_int_equal(found.cpus[i].uid, uid);
}

static void assert_odd(size_t i, uint32_t offset, uint64_t id, const char *words)
{
    assert_true(i < found.nodd);
    assert_int_equal(found.odd[i].offset, offset);
    assert_int_equal(found.odd[i].apic_id, id);
    assert_non_null(strstr(found.odd[i].what, words));
}

static int setup(void **state)
{
    (void)state;
    begin(5);
    return 0;
}

static int release(void **state)
{
    (void)state;
    free(madt);
    madt = NULL;
    return 0;
}

static void cpus_of_both_kinds_are_listed_in_order(void **state)
{
    (void)state;
    put_apic(7, 4, 1);
    put((uint8_t[]){MADT_IO_APIC, 12, 0, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0}, 12);
    put_x2apic(1000, 300, 1);
    put_apic(8, 0, 1);
    find();
    assert_int_equal(found.count, 3);
    assert_cpu(0, 4, 7);
    assert_cpu(1, 300, 1000);
    assert_cpu(2, 0, 8);
    assert_int_equal(found.nodd + found.disabled + found.online_capable + found.beyond, 0);
}

static void disabled_and_online_capable_cpus_are_counted_apart(void **state)
{
    (void)state;
    put_apic(0, 0, 1);
    put_apic(1, 1, 0);
    put_apic(2, 2, 2);
    put_apic(3, 3, 3);
    put_x2apic(4, 256, 2);
    put_x2apic(5, 257, 0);
    find();
    assert_int_equal(found.count, 2);
    assert_cpu(1, 3, 3);
    assert_int_equal(found.disabled, 2);
    assert_int_equal(found.online_capable, 2);
    assert_int_equal(found.nodd, 0);
}

static void online_capable_means_nothing_in_older_tables(void **state)
{
    (void)state;
    begin(4);
    put_apic(0, 0, 1);
    put_apic(1, 1, 2);
    find();
    assert_int_equal(found.count, 1);
    assert_int_equal(found.disabled, 1);
    assert_int_equal(found.online_capable, 0);
}

static void placeholders_are_disabled_cpus_like_others(void **state)
{
    (void)state;
    put_apic(0, 0, 1);
    for (int i = 0; i < 3; i++)
        put_apic(0xff, 0xff, 0);
    put_x2apic(0xffffffff, 0xffffffff, 0);
    put_apic(0, 0, 0); /* the id of one that is there */
    find();
    assert_int_equal(found.count, 1);
    assert_int_equal(found.disabled, 5);
    assert_int_equal(found.nodd, 0);
}

static void second_entry_with_an_id_is_odd(void **state)
{
    (void)state;
    put_apic(0, 3, 1);
    put_apic(1, 3, 1);
    put_x2apic(0, 3, 1);
    put_x2apic(9, 4, 1);
    find();
    assert_int_equal(found.count, 2);
    assert_cpu(0, 3, 0);
    assert_cpu(1, 4, 9);
    assert_int_equal(found.nodd, 2);
    assert_odd(0, MADT_ENTRIES + 8, 3, "a second time");
    assert_odd(1, MADT_ENTRIES + 16, 3, "a second time");
}

static void ids_that_mean_everybody_are_odd(void **state)
{
    (void)state;
    put_apic(0, 0xff, 1);
    put_x2apic(1, 0xffffffff, 1);
    put_x2apic(2, 0xff, 1); /* an ordinary id here */
    find();
    assert_int_equal(found.count, 1);
    assert_cpu(0, 0xff, 2);
    assert_odd(0, MADT_ENTRIES, 0xff, "all CPUs");
    assert_odd(1, MADT_ENTRIES + 8, 0xffffffff, "all CPUs");
}

static void entries_without_length_end_the_table(void **state)
{
    (void)state;
    for (uint8_t bytes = 0; bytes < 2; bytes++) {
        begin(5);
        put_apic(0, 0, 1);
        put((uint8_t[]){MADT_LOCAL_APIC, bytes, 1, 1, 1, 0, 0, 0}, 8);
        put_apic(2, 2, 1);
        find();
        assert_int_equal(found.count, 1);
        assert_int_equal(found.nodd, 1);
        assert_odd(0, MADT_ENTRIES + 8, MADT_NO_ID, "no length");
    }
}

static void entries_beyond_the_end_are_not_read(void **state)
{
    (void)state;
    static const uint8_t apic[8] = {MADT_LOCAL_APIC, 8, 1, 1, 1, 0, 0, 0};
    for (size_t bytes = 1; bytes < sizeof apic; bytes++) {
        begin(5);
        put_apic(0, 0, 1);
        put(apic, bytes);
        find();
        assert_int_equal(found.count, 1);
        assert_odd(0, MADT_ENTRIES + 8, MADT_NO_ID, "beyond");
    }
}

static void short_entries_are_passed_over(void **state)
{
    (void)state;
    put((uint8_t[]){MADT_LOCAL_APIC, 6, 1, 1, 1, 0}, 6);
    put((uint8_t[]){MADT_LOCAL_X2APIC, 8, 0, 0, 1, 0, 0, 0}, 8);
    put((uint8_t[]){0x7f, 2}, 2); /* nobody knows what it is */
    put_apic(2, 2, 1);
    find();
    assert_int_equal(found.count, 1);
    assert_cpu(0, 2, 2);
    assert_int_equal(found.nodd, 2);
    assert_odd(0, MADT_ENTRIES, MADT_NO_ID, "too short");
    assert_odd(1, MADT_ENTRIES + 6, MADT_NO_ID, "too short");
}

static void empty_table_has_no_cpus(void **state)
{
    (void)state;
    find();
    assert_int_equal(found.count, 0);
    assert_int_equal(found.nodd, 0);
}

static void flood_of_oddities_is_counted(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++)
        put_apic(0, 0, 1);
    find();
    assert_int_equal(found.count, 1);
    assert_int_equal(found.nodd, 99);
    assert_odd(MADT_ODDITIES_MAX - 1, MADT_ENTRIES + 8 * MADT_ODDITIES_MAX, 0, "second");
}

static void more_cpus_than_there_is_room_for_are_counted(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < MP_CPUS_MAX + 5; i++)
        put_x2apic(i, i, 1);
    find();
    assert_int_equal(found.count, MP_CPUS_MAX);
    assert_cpu(MP_CPUS_MAX - 1, MP_CPUS_MAX - 1, MP_CPUS_MAX - 1);
    assert_int_equal(found.beyond, 5);
}

static void lints_are_found_for_all_and_for_one(void **state)
{
    (void)state;
    uint32_t lint[2];
    put((uint8_t[]){MADT_LOCAL_NMI, 6, 0xff, 0, 0, 1}, 6);
    put((uint8_t[]){MADT_LOCAL_NMI, 6, 3, 0xf, 0, 0}, 6); /* active low, level */
    put((uint8_t[]){MADT_LOCAL_X2APIC_NMI, 12, 5, 0, 0xe8, 3, 0, 0, 0, 0, 0, 0}, 12); /* 1000 */
    put((uint8_t[]){MADT_LOCAL_NMI, 6, 0xff, 0, 0, 2}, 6); /* no such input */
    put((uint8_t[]){MADT_LOCAL_NMI, 4, 0xff, 0}, 4);
    set_length();
    madt_lints(madt, 1, lint);
    assert_int_equal(lint[0], 0);
    assert_int_equal(lint[1], 0x10400);
    madt_lints(madt, 3, lint);
    assert_int_equal(lint[0], 0x1a400);
    assert_int_equal(lint[1], 0x10400);
    madt_lints(madt, 1000, lint);
    assert_int_equal(lint[0], 0x10400);
}

/* Random bytes, most of which look like entries: no crash, no hang, no promise broken. */
static void noise_is_survived(void **state)
{
    (void)state;
    struct rng rng = rng_start();
    static const uint8_t types[] = {0, 0, 1, 4, 9, 9, 10, 77},
                         sizes[] = {0, 1, 2, 6, 8, 12, 16, 255};
    for (int run = 0; run < 3000; run++) {
        uint32_t lint[2];
        begin((uint8_t)rng_below(&rng, 7));
        for (uint64_t n = rng_below(&rng, 40); n; n--) {
            uint8_t entry[16];
            for (size_t i = 0; i < sizeof entry; i++)
                entry[i] = (uint8_t)rng_next(&rng);
            entry[0] = types[rng_below(&rng, COUNT(types))];
            entry[1] = sizes[rng_between(&rng, n % 4 ? 2 : 0, COUNT(sizes) - 1)];
            put(entry, rng_between(&rng, 1, sizeof entry));
        }
        find();
        madt_lints(madt, (uint32_t)rng_below(&rng, 256), lint);
        for (size_t i = 0; i < found.count; i++)
            for (size_t k = 0; k < i; k++)
                assert_int_not_equal(found.cpus[i].apic_id, found.cpus[k].apic_id);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(cpus_of_both_kinds_are_listed_in_order, setup),
        cmocka_unit_test_setup(disabled_and_online_capable_cpus_are_counted_apart, setup),
        cmocka_unit_test_setup(online_capable_means_nothing_in_older_tables, setup),
        cmocka_unit_test_setup(placeholders_are_disabled_cpus_like_others, setup),
        cmocka_unit_test_setup(second_entry_with_an_id_is_odd, setup),
        cmocka_unit_test_setup(ids_that_mean_everybody_are_odd, setup),
        cmocka_unit_test_setup(entries_without_length_end_the_table, setup),
        cmocka_unit_test_setup(entries_beyond_the_end_are_not_read, setup),
        cmocka_unit_test_setup(short_entries_are_passed_over, setup),
        cmocka_unit_test_setup(empty_table_has_no_cpus, setup),
        cmocka_unit_test_setup(flood_of_oddities_is_counted, setup),
        cmocka_unit_test_setup(more_cpus_than_there_is_room_for_are_counted, setup),
        cmocka_unit_test_setup(lints_are_found_for_all_and_for_one, setup),
        cmocka_unit_test_setup(noise_is_survived, setup),
    };
    return cmocka_run_group_tests_name("madt", tests, NULL, release);
}
