/* kernel/firmware/acpi_tables.c and aml.c: firmware's tables, good, damaged and invented. Each look
 * at them gets a copy of exactly the bytes that were asked for, so that the sanitizer sees every
 * step beyond. */
#include "test.h"

#include "boot/context.h"
#include "boot/memory.h"
#include "console/print.h"
#include "firmware/acpi_tables.h"
#include "firmware/aml.h"

#define BASE   0x7fe0000ull
#define BYTES  0x4000ull
#define RSDP   (BASE + 4) /* U-Boot's is not aligned either */
#define RSDT   (BASE + 0x100)
#define XSDT   (BASE + 0x200)
#define FADT   (BASE + 0x400)
#define DSDT   (BASE + 0x800)
#define OTHER  (BASE + 0xc00)
#define COPIES 5000

static uint8_t memory[BYTES];
static struct boot_context context;
static char log_text[65536];
static void *copies[COPIES];
static size_t ncopies;

const struct boot_context *boot_context(void)
{
    return &context;
}

void kprintf(const char *format, ...)
{
    size_t used = strlen(log_text);
    va_list args;
    va_start(args, format);
    vsnprintf(log_text + used, sizeof log_text - used, format, args);
    va_end(args);
}

const void *memory_reach(const char *name, paddr_t pa, uint64_t bytes)
{
    (void)name;
    assert_true(ncopies < COPIES);
    if (pa.v < BASE || !range_fits(pa.v - BASE, bytes, BYTES))
        return NULL;
    copies[ncopies] = malloc(bytes);
    memcpy(copies[ncopies], memory + (pa.v - BASE), bytes);
    return copies[ncopies++];
}

static int forget_copies(void **state)
{
    (void)state;
    while (ncopies > 0)
        free(copies[--ncopies]);
    return 0;
}

static struct acpi_power read_power(void)
{
    forget_copies(NULL);
    log_text[0] = '\0';
    return acpi_read_power();
}

/* ---- tables --------------------------------------------------------------------------------- */

static uint8_t *at(uint64_t address)
{
    return memory + (address - BASE);
}

static void put(uint64_t address, uint64_t value, size_t bytes)
{
    memcpy(at(address), &value, bytes);
}

/* Make the sum of bytes 0 by the one at checksum. */
static void seal(uint64_t address, size_t bytes, size_t checksum)
{
    uint8_t sum = 0;
    at(address)[checksum] = 0;
    for (size_t i = 0; i < bytes; i++)
        sum = (uint8_t)(sum + at(address)[i]);
    at(address)[checksum] = (uint8_t)-sum;
}

static void seal_table(uint64_t address)
{
    uint32_t length;
    memcpy(&length, at(address) + 4, 4);
    seal(address, length, 9);
}

static void put_table(uint64_t address, const char *signature, uint32_t length)
{
    memset(at(address), 0, length);
    memcpy(at(address), signature, 4);
    put(address + 4, length, 4);
    seal_table(address);
}

static void put_rsdp(uint8_t revision)
{
    memset(at(RSDP), 0, 36);
    memcpy(at(RSDP), "RSD PTR ", 8);
    at(RSDP)[15] = revision;
    put(RSDP + 16, RSDT, 4);
    put(RSDP + 20, 36, 4);
    put(RSDP + 24, XSDT, 8);
    seal(RSDP, 20, 8);
    seal(RSDP, 36, 32);
}

static void put_register(uint64_t address, uint8_t space, uint64_t number)
{
    put(address, space, 1);
    put(address + 4, number, 8);
}

/* Name (_S5_, Package (4) {5, 6, 0, 0}) */
static const uint8_t s5[] = {0x08, '_', 'S', '5', '_', 0x12, 0x08, 0x04, 0x0a, 5, 0x0a, 6, 0, 0};

static int good_tables(void **state)
{
    (void)state;
    memset(memory, 0, sizeof memory);
    context = (struct boot_context){.have_rsdp = true, .rsdp = PA(RSDP)};
    put_rsdp(2);
    put_table(OTHER, "APIC", 60);
    put_table(RSDT, "RSDT", 36 + 2 * 4);
    put(RSDT + 36, OTHER, 4);
    put(RSDT + 40, FADT, 4);
    seal_table(RSDT);
    put_table(XSDT, "XSDT", 36 + 3 * 8);
    put(XSDT + 44, OTHER, 8);
    put(XSDT + 52, FADT, 8);
    seal_table(XSDT);
    put_table(FADT, "FACP", 244);
    put(FADT + 40, DSDT, 4);
    put(FADT + 48, 0xb2, 4);
    put(FADT + 52, 0xf1, 1);
    put(FADT + 64, 0x604, 4);
    put(FADT + 68, 0, 4);
    put(FADT + 112, 1u << 10, 4);
    put_register(FADT + 116, ACPI_SPACE_IO, 0xcf9);
    put(FADT + 128, 0x0f, 1);
    seal_table(FADT);
    put_table(DSDT, "DSDT", 36 + 100);
    memcpy(at(DSDT) + 60, s5, sizeof s5);
    seal_table(DSDT);
    return 0;
}

static void assert_whole(struct acpi_power power)
{
    assert_true(power.can_reset && power.can_sleep);
    assert_int_equal(power.reset.space, ACPI_SPACE_IO);
    assert_int_equal(power.reset.address, 0xcf9);
    assert_int_equal(power.reset_value, 0x0f);
    assert_int_equal(power.pm1a, 0x604);
    assert_int_equal(power.pm1b, 0);
    assert_int_equal(power.type_a, 5);
    assert_int_equal(power.type_b, 6);
    assert_int_equal(power.smi_command, 0xb2);
    assert_int_equal(power.acpi_enable, 0xf1);
}

static void assert_says(const char *line)
{
    if (!strstr(log_text, line))
        fail_msg("\"%s\" is not in \"%s\"", line, log_text);
}

static void tables_are_read(void **state)
{
    (void)state;
    assert_whole(read_power());
    assert_string_equal(log_text, "");
}

static void revision_0_has_no_xsdt(void **state)
{
    (void)state;
    put_rsdp(0);
    put(RSDP + 20, UINT64_MAX, 8); /* not its bytes any more */
    put(RSDP + 28, UINT64_MAX, 8);
    put_table(XSDT, "XSDT", 36);
    assert_whole(read_power());
    assert_string_equal(log_text, "");
}

static void no_rsdp_means_no_power_management(void **state)
{
    (void)state;
    context.have_rsdp = false;
    struct acpi_power power = read_power();
    assert_false(power.can_reset || power.can_sleep);
    assert_string_equal(log_text, "");
    assert_int_equal(ncopies, 0);
}

static void a_damaged_rsdp_is_named(void **state)
{
    for (size_t i = 0; i < 20; i++) {
        good_tables(state);
        at(RSDP)[i] ^= 0x40;
        assert_false(read_power().can_sleep);
        assert_string_equal(log_text, "ACPI: no valid RSDP at 0x7fe0004\n");
    }
    for (size_t i = 20; i < 36; i++) {
        good_tables(state);
        at(RSDP)[i] ^= 0x40;
        assert_whole(read_power()); /* by way of the RSDT */
        assert_string_equal(
            log_text, "ACPI: the second half of the RSDP at 0x7fe0004 has a wrong checksum\n");
    }
    context.rsdp = PA(BASE + BYTES - 19);
    assert_false(read_power().can_sleep);
}

static void a_bad_xsdt_is_named_and_the_rsdt_is_used(void **state)
{
    good_tables(state);
    at(XSDT)[40] ^= 1;
    assert_whole(read_power());
    assert_says("ACPI: XSDT at 0x7fe0200, 60 bytes: has a wrong checksum\n");
    at(XSDT)[0] = 'Y';
    assert_whole(read_power());
    assert_says("ACPI: XSDT at 0x7fe0200, 60 bytes: has another signature\n");
    put_rsdp(2);
    put(RSDP + 24, 1ull << 52, 8);
    seal(RSDP, 36, 32);
    assert_whole(read_power());
    assert_says("ACPI: XSDT at 0x10000000000000, 0 bytes: cannot be read\n");
    put(RSDP + 24, 0, 8);
    seal(RSDP, 36, 32);
    assert_whole(read_power());
    assert_string_equal(log_text, "");
}

static void bad_lengths_are_named(void **state)
{
    static const struct {
        uint32_t length;
        const char *why;
    } bad[] = {
        {0, "cannot have that length"},
        {35, "cannot have that length"},
        {(16u << 20) + 1, "cannot have that length"},
        {UINT32_MAX, "cannot have that length"},
        {BYTES, "cannot be read to its end"},
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        char line[128];
        good_tables(state);
        put(DSDT + 4, bad[i].length, 4);
        struct acpi_power power = read_power();
        assert_true(power.can_reset && !power.can_sleep);
        snprintf(line, sizeof line, "ACPI: DSDT at 0x7fe0800, %u bytes: %s\n", bad[i].length,
                 bad[i].why);
        assert_string_equal(log_text, line);
        good_tables(state);
        put(FADT + 4, bad[i].length, 4);
        power = read_power();
        assert_false(power.can_reset || power.can_sleep);
        assert_says("FACP at 0x7fe0400");
    }
}

/* Two FADTs: the second one is whole. */
static void the_first_whole_table_of_a_name_counts(void **state)
{
    (void)state;
    memcpy(at(BASE + 0x1000), at(FADT), 244);
    put(XSDT + 36, BASE + 0x1000, 8);
    at(BASE + 0x1000)[200] ^= 1;
    seal_table(XSDT);
    assert_whole(read_power());
    assert_says("ACPI: FACP at 0x7fe1000, 244 bytes: has a wrong checksum\n");
}

static void entries_that_lead_nowhere_are_passed_over(void **state)
{
    (void)state;
    put(XSDT + 36, UINT64_MAX, 8);
    put(XSDT + 44, 0x1000, 8);
    seal_table(XSDT);
    assert_whole(read_power());
}

static void an_endless_root_table_is_cut(void **state)
{
    (void)state;
    put_table(BASE + 0x1000, "XSDT", 0x2800);
    for (uint64_t i = 0x1024; i + 8 <= 0x3800; i += 8)
        put(BASE + i, OTHER, 8);
    seal_table(BASE + 0x1000);
    put(RSDP + 24, BASE + 0x1000, 8);
    seal(RSDP, 36, 32);
    assert_whole(read_power()); /* by way of the RSDT */
    assert_says("ACPI: XSDT has 1275 entries: only 1024 are looked at\n");
}

static void a_short_old_fadt_has_no_reset_register(void **state)
{
    (void)state;
    put_table(FADT, "FACP", 116);
    put(FADT + 40, DSDT, 4);
    put(FADT + 64, 0x604, 4);
    put(FADT + 112, 1u << 10, 4);
    seal_table(FADT);
    memset(at(FADT) + 116, 0xff, 64); /* behind it */
    struct acpi_power power = read_power();
    assert_false(power.can_reset);
    assert_true(power.can_sleep);
}

static void extended_fields_win_if_they_can_be_used(void **state)
{
    (void)state;
    put_register(FADT + 172, ACPI_SPACE_IO, 0x1804);
    put_register(FADT + 184, ACPI_SPACE_MEMORY, 0x2804);
    put(FADT + 68, 0x99, 4);
    put(FADT + 140, DSDT, 8);
    put(FADT + 40, 0, 4);
    seal_table(FADT);
    struct acpi_power power = read_power();
    assert_int_equal(power.pm1a, 0x1804);
    assert_int_equal(power.pm1b, 0x99);
    assert_true(power.can_sleep);
    put_register(FADT + 172, ACPI_SPACE_IO, 0xffff);
    seal_table(FADT);
    assert_int_equal(read_power().pm1a, 0xffff);
    put_register(FADT + 172, ACPI_SPACE_IO, 0x10604); /* not cut to 16 bits */
    put(FADT + 140, 1ull << 60, 8);
    put(FADT + 40, DSDT, 4);
    seal_table(FADT);
    power = read_power();
    assert_int_equal(power.pm1a, 0x604);
    assert_true(power.can_sleep);
}

static void numbers_that_are_no_ports_are_named(void **state)
{
    (void)state;
    put(FADT + 64, 0x10000, 4);
    put(FADT + 68, 0x20000, 4);
    put(FADT + 48, 0x100b2, 4);
    seal_table(FADT);
    struct acpi_power power = read_power();
    assert_true(power.can_reset && !power.can_sleep);
    assert_true(power.pm1a == 0 && power.pm1b == 0 && power.smi_command == 0);
    assert_string_equal(log_text, "ACPI: FADT: PM1a control 0x10000 is no port\n"
                                  "ACPI: FADT: PM1b control 0x20000 is no port\n"
                                  "ACPI: FADT: SMI command 0x100b2 is no port\n");
}

static void reset_registers_are_checked(void **state)
{
    static const struct {
        uint8_t space;
        uint64_t address;
        bool usable;
    } cases[] = {
        {ACPI_SPACE_IO, 0xcf9, true},
        {ACPI_SPACE_IO, 0x10cf9, false},
        {ACPI_SPACE_IO, 0xffff, true},
        {ACPI_SPACE_IO, 0x10000, false},
        {ACPI_SPACE_IO, 0, false},
        {ACPI_SPACE_MEMORY, 0xfed00000, true},
        {ACPI_SPACE_MEMORY, 1ull << 52, false},
        {ACPI_SPACE_PCI, 0x1f00000044, true},
        {3, 0xcf9, false},
        {0x7f, 0xcf9, false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        good_tables(state);
        put_register(FADT + 116, cases[i].space, cases[i].address);
        seal_table(FADT);
        assert_int_equal(read_power().can_reset, cases[i].usable);
        if (!cases[i].usable && cases[i].address != 0)
            assert_says("cannot be used\n");
        put(FADT + 112, 0, 4); /* the flag that says whether it is one */
        seal_table(FADT);
        assert_false(read_power().can_reset);
        assert_string_equal(log_text, "");
    }
}

static void reduced_hardware_has_no_sleep_registers(void **state)
{
    (void)state;
    put(FADT + 112, 1u << 20 | 1u << 10, 4);
    seal_table(FADT);
    struct acpi_power power = read_power();
    assert_true(power.can_reset && !power.can_sleep);
}

static void any_table_is_found_by_name(void **state)
{
    size_t bytes = 0;
    (void)state;
    (void)read_power();
    const void *table = acpi_find_table("APIC", &bytes);
    assert_non_null(table);
    assert_int_equal(bytes, 60);
    assert_memory_equal(table, at(OTHER), 60);
    assert_null(acpi_find_table("SRAT", &bytes));
    at(OTHER)[50] ^= 1;
    (void)read_power();
    assert_null(acpi_find_table("APIC", &bytes));
    assert_says("ACPI: APIC at 0x7fe0c00, 60 bytes: has a wrong checksum\n");
}

static void damaged_tables_are_survived(void **state)
{
    struct rng rng = rng_start();
    for (unsigned run = 0; run < 20000; run++) {
        good_tables(state);
        for (uint64_t n = rng_between(&rng, 1, 6); n > 0; n--) {
            static const uint64_t tables[] = {RSDP, RSDT, XSDT, FADT, DSDT, OTHER};
            uint64_t where = tables[rng_below(&rng, COUNT(tables))] + rng_below(&rng, 256);
            put(where, rng_next(&rng) >> rng_below(&rng, 64), 1ull << rng_below(&rng, 4));
        }
        if (rng_below(&rng, 4)) { /* sums that are right let the damage in */
            seal(RSDP, 20, 8);
            seal(RSDP, 36, 32);
            static const uint64_t sealed[] = {RSDT, XSDT, FADT, DSDT};
            for (size_t i = 0; i < COUNT(sealed); i++) {
                uint32_t length;
                memcpy(&length, at(sealed[i]) + 4, 4);
                if (length <= 0x1000)
                    seal(sealed[i], length, 9);
            }
        }
        struct acpi_power power = read_power();
        assert_true(!power.can_sleep ||
                    (power.pm1a != 0 && power.type_a <= 7 && power.type_b <= 7));
        assert_true(!power.can_reset || (power.reset.address != 0 && power.reset.space <= 2));
    }
}

/* ---- AML ------------------------------------------------------------------------------------ */

/* Parse a copy of exactly these bytes. -1: not found, and then nothing was written. */
static int find(const void *aml, size_t bytes)
{
    uint8_t a = 0xcc, b = 0xcc;
    uint8_t *copy = malloc(bytes ? bytes : 1);
    memcpy(copy, aml, bytes);
    bool found = aml_find_s5(copy, bytes, &a, &b);
    free(copy);
    if (found)
        return a << 4 | b;
    assert_true(a == 0xcc && b == 0xcc);
    return -1;
}

#define FIND(text) find(text, sizeof text - 1)

static void constants_of_every_size_are_read(void **state)
{
    (void)state;
    assert_int_equal(find(s5, sizeof s5), 0x56);
    assert_int_equal(FIND("\x08_S5_\x12\x04\x02\x00\x01"), 0x01);
    assert_int_equal(FIND("\x08_S5_\x12\x06\x02\x0a\x07\x0a\x05"), 0x75);
    assert_int_equal(FIND("\x08_S5_\x12\x08\x02\x0b\x03\x00\x0b\x04\x00"), 0x34);
    assert_int_equal(FIND("\x08_S5_\x12\x0c\x02\x0c\x03\x00\x00\x00\x0c\x04\x00\x00\x00"), 0x34);
    assert_int_equal(FIND("\x08\\_S5_\x12\x04\x02\x01\x01"), 0x11);
    assert_int_equal(FIND("\x08_S5_\x12\x06\x02\x0a\x07\x0a\x07"), 0x77);
    assert_int_equal(FIND("xxxx\x08_S5_\x12\x04\x02\x01\x00yy"), 0x10);
}

static void long_package_lengths_are_read(void **state)
{
    (void)state;
    assert_int_equal(FIND("\x08_S5_\x12\x46\x00\x02\x0a\x05\x01"), 0x51);
    assert_int_equal(FIND("\x08_S5_\x12\x87\x00\x00\x02\x0a\x05\x01"), 0x51);
    assert_int_equal(FIND("\x08_S5_\x12\xc8\x00\x00\x00\x02\x0a\x05\x01"), 0x51);
    assert_int_equal(FIND("\x08_S5_\x12\x48\x00\x02\x0a\x05\x01"), -1); /* beyond the table */
    assert_int_equal(FIND("\x08_S5_\x12\x45\x00\x02\x0a\x05\x01"), -1); /* ends too early */
    assert_int_equal(FIND("\x08_S5_\x12\x46\x10\x02\x0a\x05\x01"), -1);
    assert_int_equal(FIND("\x08_S5_\x12\x87\x00\x01\x02\x0a\x05\x01"), -1);
    assert_int_equal(FIND("\x08_S5_\x12\xc8\x00\x00\x01\x02\x0a\x05\x01"), -1);
    assert_int_equal(FIND("\x08_S5_\x12\x03\x02\x01"), -1); /* no second one */
    assert_int_equal(FIND("\x08_S5_\x12\x02\x02"), -1);
    assert_int_equal(FIND("\x08_S5_\x12\xff\xff\xff\xff\x02\x0a\x05\x01"), -1);
}

static void what_is_not_the_definition_is_passed_over(void **state)
{
    (void)state;
    assert_int_equal(FIND("_S5_\x12\x04\x02\x01\x01"), -1);
    assert_int_equal(FIND("\x08_S4_\x12\x04\x02\x01\x01"), -1);
    assert_int_equal(FIND("\x08_S4_\x12\x04\x02\x01\x01\x08_S5_\x12\x04\x02\x00\x01"), 0x01);
    assert_int_equal(FIND("\x07_S5_\x12\x04\x02\x01\x01"), -1);
    assert_int_equal(FIND("x\\_S5_\x12\x04\x02\x01\x01"), -1);
    assert_int_equal(FIND("\\_S5_\x12\x04\x02\x01\x01"), -1);
    assert_int_equal(FIND("\x10\\_S5_\x08\x08_S5_\x12\x04\x02\x01\x01"), 0x11);
    assert_int_equal(FIND("\x08_S5_\x0a\x05\x08_S5_\x12\x04\x02\x01\x01"), 0x11);
}

static void values_that_are_no_sleep_type_are_refused(void **state)
{
    (void)state;
    assert_int_equal(FIND("\x08_S5_\x12\x06\x02\x0a\x08\x0a\x05"), -1);
    assert_int_equal(FIND("\x08_S5_\x12\x06\x02\x0a\x05\x0a\x08"), -1);
    assert_int_equal(FIND("\x08_S5_\x12\x08\x02\x0b\x05\x01\x0b\x05\x00"), -1); /* 0x105 */
    assert_int_equal(FIND("\x08_S5_\x12\x0c\x02\x0c\x05\x00\x00\x01\x0c\x05\x00\x00\x00"), -1);
    assert_int_equal(FIND("\x08_S5_\x12\x04\x02\xff\x01"), -1); /* Ones */
    assert_int_equal(FIND("\x08_S5_\x12\x04\x01\x01\x01"), -1); /* of one element */
    assert_int_equal(FIND("\x08_S5_\x12\x07\x02PM1A"), -1);     /* a name */
    assert_int_equal(FIND("\x08_S5_\x13\x04\x02\x01\x01"), -1); /* VarPackage: computed */
}

static void every_cut_is_survived(void **state)
{
    (void)state;
    for (size_t bytes = 0; bytes < sizeof s5; bytes++)
        assert_int_equal(find(s5, bytes), -1);
}

static void noise_is_survived(void **state)
{
    static const char pieces[][6] = {"\x08_S5_", "\x12\x06\x04", "\x0a\x05", "\x0b\x05",
                                     "\\_S5_",   "_S5_",         "\xc8",     "\x0c"};
    struct rng rng = rng_start();
    (void)state;
    for (unsigned run = 0; run < 100000; run++) {
        uint8_t aml[64];
        size_t bytes = 0;
        while (bytes < 50) {
            size_t piece = rng_below(&rng, COUNT(pieces) + 1);
            if (piece == COUNT(pieces)) {
                aml[bytes++] = (uint8_t)rng_next(&rng);
                continue;
            }
            size_t length = strnlen(pieces[piece], 6);
            memcpy(aml + bytes, pieces[piece], length);
            bytes += length;
        }
        int found = find(aml, rng_below(&rng, bytes + 1));
        assert_true(found == -1 || (found >> 4 <= 7 && (found & 15) <= 7));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(tables_are_read, good_tables),
        cmocka_unit_test_setup(revision_0_has_no_xsdt, good_tables),
        cmocka_unit_test_setup(no_rsdp_means_no_power_management, good_tables),
        cmocka_unit_test_setup(a_damaged_rsdp_is_named, good_tables),
        cmocka_unit_test_setup(a_bad_xsdt_is_named_and_the_rsdt_is_used, good_tables),
        cmocka_unit_test_setup(bad_lengths_are_named, good_tables),
        cmocka_unit_test_setup(the_first_whole_table_of_a_name_counts, good_tables),
        cmocka_unit_test_setup(entries_that_lead_nowhere_are_passed_over, good_tables),
        cmocka_unit_test_setup(an_endless_root_table_is_cut, good_tables),
        cmocka_unit_test_setup(a_short_old_fadt_has_no_reset_register, good_tables),
        cmocka_unit_test_setup(extended_fields_win_if_they_can_be_used, good_tables),
        cmocka_unit_test_setup(numbers_that_are_no_ports_are_named, good_tables),
        cmocka_unit_test_setup(reset_registers_are_checked, good_tables),
        cmocka_unit_test_setup(reduced_hardware_has_no_sleep_registers, good_tables),
        cmocka_unit_test_setup(any_table_is_found_by_name, good_tables),
        cmocka_unit_test_setup(damaged_tables_are_survived, good_tables),
        cmocka_unit_test(constants_of_every_size_are_read),
        cmocka_unit_test(long_package_lengths_are_read),
        cmocka_unit_test(what_is_not_the_definition_is_passed_over),
        cmocka_unit_test(values_that_are_no_sleep_type_are_refused),
        cmocka_unit_test(every_cut_is_survived),
        cmocka_unit_test(noise_is_survived),
    };
    return cmocka_run_group_tests_name("acpi", tests, NULL, forget_copies);
}
