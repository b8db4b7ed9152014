/* kernel/boot/context.c: the memory map, the direct map, and where the kernel lies. */
#include "context_rig.h"

/* ---- what the loader maps ------------------------------------------------------------------- */

static void memory_beside_an_entry_does_not_count_as_mapped(void **state)
{
    (void)state;
    struct limine_memmap_entry map[GOOD];
    memcpy(map, good_map, sizeof map);
    map[2].length = LOADER_BYTES / 2; /* and the second half is in no entry */
    set_map(map, GOOD);
    uint64_t address = HHDM + LOADER_PA + LOADER_BYTES / 2;
    *slot(REQUEST_RSDP) = address - 8;
    assert_complaint("RSDP: response 0xffff90000021fff8 is not in memory that the loader maps");
    map[3] = (struct limine_memmap_entry){LOADER_PA + LOADER_BYTES / 2, 8, MEM_ACPI_NVS};
    set_map(map, GOOD);
    assert_quiet(); /* across two entries that touch */
}

static void an_entry_that_claims_everything_hides_no_memory(void **state)
{
    (void)state;
    struct limine_memmap_entry map[GOOD + 1];
    memcpy(map + 1, good_map, sizeof good_map);
    map[0] = (struct limine_memmap_entry){0x800, UINT64_MAX, MEM_ACPI_NVS};
    set_map(map, GOOD + 1);
    if (!boots())
        fail_msg("ended: %s", last_words);
    assert_non_null(strstr(log_text, "base 0x800 has a length that leaves the address space"));
    assert_null(strstr(log_text, "that the loader maps"));
    assert_true(boot_context()->have_rsdp);
}

/* ---- HHDM, executable address --------------------------------------------------------------- */

static void bad_direct_map_ends_the_boot(void **state)
{
    static const uint64_t bad[] = {
        0, 0x1000, 0xffff7ffffffff000, HHDM + 8, VMM_WINDOW_BASE, UINT64_MAX, 0xfffffffffffff000};
    for (size_t i = 0; i < COUNT(bad); i++) {
        char words[64];
        start(state);
        loader.hhdm->offset = bad[i];
        snprintf(words, sizeof words, "HHDM: offset 0x%lx is not", bad[i]);
        assert_ends(words);
    }
}

static void a_direct_map_at_the_lowest_place_is_fine(void **state)
{
    static const uint64_t lowest[] = {0xffff800000000000, 0xff00000000000000};
    for (size_t i = 0; i < COUNT(lowest); i++) {
        start(state);
        loader.cr4 = i ? CR4_LA57 : 0;
        loader.hhdm->offset = lowest[i];
        assert_ends("no valid executable address response"); /* which then lies elsewhere */
        assert_int_equal(boot_context()->hhdm_base.v, lowest[i]);
        start(state);
        loader.cr4 = i ? CR4_LA57 : 0;
        loader.hhdm->offset = lowest[i] - PAGE_BYTES;
        assert_ends("HHDM: offset 0x");
    }
}

static void bad_executable_address_ends_the_boot(void **state)
{
    static const uint64_t bad[] = {IMAGE_PA + 8, PADDR_LIMIT, PADDR_LIMIT - 4096, -4096ull};
    (void)state;
    loader.executable->virtual_base = IMAGE_VA + 4096;
    assert_ends("virtual base 0xffffffff80001000, but we run at 0xffffffff80000000");
    loader.executable->virtual_base = IMAGE_VA;
    for (size_t i = 0; i < COUNT(bad); i++) {
        char words[64];
        loader.executable->physical_base = bad[i];
        snprintf(words, sizeof words, "physical base 0x%lx cannot be", bad[i]);
        assert_ends(words);
    }
}

/* ---- the memory map ------------------------------------------------------------------------- */

static void absurd_numbers_of_entries_end_the_boot(void **state)
{
    static const uint64_t bad[] = {0, CONFIG_MEMORY_ENTRIES + 1, 1ull << 32, 1ull << 61,
                                   UINT64_MAX};
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        char words[128];
        loader.memmap->entry_count = bad[i];
        snprintf(words, sizeof words, "%lu entries; at most CONFIG_MEMORY_ENTRIES (2048)", bad[i]);
        assert_ends(words);
    }
    loader.memmap->entry_count = GOOD;
    loader.memmap->entries = 8;
    assert_ends("the memory map cannot be read");
    assert_string_equal(log_text,
                        "boot context: memory map: entries 0x8 is below the direct map\n");
}

static void an_entry_that_cannot_be_read_is_left_out(void **state)
{
    (void)state;
    loader.entries[4] = 0x1234;
    assert_complaint("memory map: entry 0x1234 is below the direct map");
    assert_int_equal(boot_context()->nmemory, GOOD - 1);
    assert_int_equal(boot_context()->memory[4].base.v, good_map[5].base);
}

static void odd_entries_are_named_and_kept(void **state)
{
    static const struct {
        struct limine_memmap_entry entry;
        const char *line;
    } odd[] = {
        {{0xfee00000, 0, MEM_RESERVED}, "base 0xfee00000 has length 0"},
        {{PADDR_LIMIT - 0x1000, 0x2000, MEM_RESERVED},
         "base 0xffffffffff000 has a length that leaves the address space"},
        {{0xfee00000, UINT64_MAX, MEM_RESERVED},
         "base 0xfee00000 has a length that leaves the address space"},
        {{0xfee00000, 0x1000, 9}, "type 0x9 is unknown: taken as reserved"},
        {{0xfee00000, 0x1000, UINT64_MAX}, "type 0xffffffffffffffff is unknown: taken as reserved"},
        {{0xfee00800, 0x1000, MEM_USABLE}, "base 0xfee00800 is RAM that is not whole frames"},
        {{0xfee00000, 0x800, MEM_BOOTLOADER_RECLAIMABLE},
         "base 0xfee00000 is RAM that is not whole frames"},
        {{0xa0000, 0x1000, MEM_RESERVED}, "base 0xa0000 is out of order"},
        {{0xfec00800, 0x1000, MEM_RESERVED}, "base 0xfec00800 overlaps an entry before it"},
        {{0xfec00000, 0x1000, MEM_RESERVED}, "base 0xfec00000 overlaps an entry before it"},
    };
    for (size_t i = 0; i < COUNT(odd); i++) {
        char line[256];
        start(state);
        loader.map[GOOD] = odd[i].entry;
        loader.memmap->entry_count = GOOD + 1;
        snprintf(line, sizeof line, "memory map: %s", odd[i].line);
        assert_complaint(line);
        const struct boot_context *c = boot_context();
        assert_int_equal(c->nmemory, GOOD + 1);
        bool found = false;
        for (size_t j = 0; j < c->nmemory; j++)
            found |= c->memory[j].base.v == odd[i].entry.base &&
                     c->memory[j].bytes == odd[i].entry.length &&
                     (c->memory[j].type == odd[i].entry.type ||
                      (odd[i].entry.type >= MEM_TYPES && c->memory[j].type == MEM_RESERVED));
        assert_true(found);
    }
}

/* Far below the end of an entry that was long ago. */
static void an_overlap_with_any_earlier_entry_is_seen(void **state)
{
    (void)state;
    loader.map[GOOD] = (struct limine_memmap_entry){0xfed00000, 0x100000, MEM_RESERVED};
    loader.map[GOOD + 1] = (struct limine_memmap_entry){0xfed01000, 0x1000, MEM_RESERVED};
    loader.map[GOOD + 2] = (struct limine_memmap_entry){0xfed08000, 0x1000, MEM_RESERVED};
    loader.memmap->entry_count = GOOD + 3;
    assert_true(boots());
    assert_non_null(strstr(log_text, "base 0xfed01000 overlaps"));
    assert_non_null(strstr(log_text, "base 0xfed08000 overlaps"));
}

static void a_map_in_any_order_is_sorted(void **state)
{
    (void)state;
    for (size_t i = 0; i < GOOD; i++)
        loader.map[i] = good_map[GOOD - 1 - i];
    assert_true(boots());
    for (size_t i = 0; i < GOOD; i++)
        assert_int_equal(boot_context()->memory[i].base.v, good_map[i].base);
    assert_true(boot_context()->have_framebuffer && boot_context()->have_rsdp);
}

static void a_flood_of_complaints_is_cut(void **state)
{
    (void)state;
    for (size_t i = GOOD; i < CONFIG_MEMORY_ENTRIES; i++)
        loader.map[i] = (struct limine_memmap_entry){0x100000000 + i * 0x1000, 0x1000, 77};
    loader.memmap->entry_count = CONFIG_MEMORY_ENTRIES;
    *slot(REQUEST_RSDP) = 8;
    assert_true(boots());
    assert_int_equal(boot_context()->nmemory, CONFIG_MEMORY_ENTRIES);
    unsigned lines = 0;
    for (const char *c = log_text; *c; c++)
        lines += *c == '\n';
    assert_int_equal(lines, COMPLAINTS_MAX + 2);
    assert_non_null(strstr(log_text, "memory map: more of the same is not listed"));
    assert_non_null(strstr(log_text, "RSDP: response 0x8 is below")); /* each answer anew */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(memory_beside_an_entry_does_not_count_as_mapped),
        TEST(an_entry_that_claims_everything_hides_no_memory),
        TEST(bad_direct_map_ends_the_boot),
        TEST(a_direct_map_at_the_lowest_place_is_fine),
        TEST(bad_executable_address_ends_the_boot),
        TEST(absurd_numbers_of_entries_end_the_boot),
        TEST(an_entry_that_cannot_be_read_is_left_out),
        TEST(odd_entries_are_named_and_kept),
        TEST(an_overlap_with_any_earlier_entry_is_seen),
        TEST(a_map_in_any_order_is_sorted),
        TEST(a_flood_of_complaints_is_cut),
    };
    return cmocka_run_group_tests_name("context memory", tests, NULL, release);
}
