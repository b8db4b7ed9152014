/* The bump allocator and the direct-map window. */
#include "machine.h"
#include "mm/early.h"
#include "mm/hhdm.h"
#include "test.h"

static _Alignas(4096) unsigned char memory[8192 + 1];

static int open_arena(void **state)
{
    (void)state;
    memset(memory, 0, sizeof memory);
    early_init(memory, 8192);
    return 0;
}

static int close_arena(void **state)
{
    (void)state;
    early_close();
    return 0;
}

static void blocks_are_aligned_and_do_not_overlap(void **state)
{
    (void)state;
    unsigned char *end = memory;
    for (size_t align = 1; align <= 1024; align *= 2) {
        unsigned char *block = early_alloc(7, align);
        assert_int_equal(0, (uintptr_t)block % align);
        assert_true(block >= end);
        end = block + 7;
    }
    assert_true(end <= memory + 8192);
}

static void alignment_holds_in_an_arena_that_is_not_aligned(void **state)
{
    (void)state;
    early_close();
    early_init(memory + 1, 8192);
    assert_ptr_equal(memory + 1, early_alloc(1, 1));
    assert_ptr_equal(memory + 16, early_alloc(1, 16));
    assert_ptr_equal(memory + 4096, early_alloc(1, 4096));
}

static void all_of_the_arena_can_be_had(void **state)
{
    (void)state;
    assert_ptr_equal(memory, early_alloc(8000, 8));
    assert_ptr_equal(memory + 8000, early_alloc(192, 8));
    assert_panics(early_alloc(1, 1), "CONFIG_EARLY_BYTES");
}

static void a_full_arena_panics_and_names_the_constant(void **state)
{
    (void)state;
    assert_non_null(early_alloc(1, 1));
    assert_panics(early_alloc(8192, 1), "CONFIG_EARLY_BYTES");
    assert_panics(early_alloc(SIZE_MAX, 4096), "CONFIG_EARLY_BYTES");
    assert_ptr_equal(memory + 1, early_alloc(8191, 1)); /* the failures took nothing */
    assert_panics(early_alloc(1, 4096), "CONFIG_EARLY_BYTES");
}

static void close_tells_what_was_used_and_ends_it(void **state)
{
    (void)state;
    assert_non_null(early_alloc(10, 1));
    assert_non_null(early_alloc(8, 8));
    assert_int_equal(24, early_close());
    assert_panics(early_alloc(1, 1), "arena.open");
    assert_panics(early_close(), "arena.open");
    early_init(memory, 8192);
    assert_panics(early_init(memory, 8192), "arena.open");
}

static void odd_alignments_and_empty_blocks_are_refused(void **state)
{
    (void)state;
    assert_panics(early_alloc(8, 0), "align");
    assert_panics(early_alloc(8, 24), "align");
    assert_panics(early_alloc(8, 8192), "align");
    assert_panics(early_alloc(0, 8), "bytes");
}

static void the_direct_map_has_two_doors_and_four_walls(void **state)
{
    (void)state;
    unsigned char *window = memory + 4096;
    hhdm_init(va_of(window), 4000);
    assert_ptr_equal(window, phys_to_virt(PA(0)));
    assert_ptr_equal(window + 3999, phys_to_virt(PA(3999)));
    assert_int_equal(1234, virt_to_phys(window + 1234).v);
    assert_int_equal(va_of(window).v + 9000, hhdm_address(PA(9000)).v);
    assert_true(hhdm_contains(window));
    assert_false(hhdm_contains(window - 1));
    assert_false(hhdm_contains(window + 4000));
    assert_panics((void)phys_to_virt(PA(4000)), "hhdm");
    assert_panics((void)virt_to_phys(window - 1), "hhdm");
    assert_panics((void)virt_to_phys(window + 4000), "hhdm");
    assert_panics(hhdm_init(VA(0), 4000), "base");
    assert_panics(hhdm_init(VA(0x1800), 4000), "base");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_arena, close_arena)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(blocks_are_aligned_and_do_not_overlap),
        TEST(alignment_holds_in_an_arena_that_is_not_aligned),
        TEST(all_of_the_arena_can_be_had),
        TEST(a_full_arena_panics_and_names_the_constant),
        TEST(close_tells_what_was_used_and_ends_it),
        TEST(odd_alignments_and_empty_blocks_are_refused),
        TEST(the_direct_map_has_two_doors_and_four_walls),
    };
    return cmocka_run_group_tests_name("early", tests, NULL, NULL);
}
