/* kernel/report/mapview.c and units.c: the picture of a memory map, and sizes in words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "console/console.h"
#include "console/serial.h"
#include "report/mapview.h"
#include "report/units.h"

/* print.c, which formats the numbers, has sinks that are not used here. */
void serial_write(const char *text, size_t bytes)
{
    (void)text;
    (void)bytes;
}
void console_write(const char *text, size_t bytes)
{
    (void)text;
    (void)bytes;
}

#define MIB (1ull << 20)
#define GIB (1ull << 30)

static struct mapview view;

/* The picture as text: a letter for each type of cell. */
static const char *draw(const struct mem_region *map, size_t n)
{
    static char text[MAPVIEW_CELLS + 1];

    assert_true(region_validate(map, n));
    mapview_draw(map, n, &view);
    assert_true(view.ncells <= MAPVIEW_CELLS);
    for (unsigned i = 0; i < view.ncells; i++)
        text[i] = "uranxbkfm."[view.types[i]];
    text[view.ncells] = '\0';
    for (unsigned i = 0; i < view.nlabels; i++)
        assert_true(view.labels[i].cell < view.ncells &&
                    (i == 0 || view.labels[i].cell > view.labels[i - 1].cell));
    return text;
}

static unsigned count(const char *text, char c)
{
    unsigned n = 0;
    for (; *text; text++)
        n += *text == c;
    return n;
}

static void empty_map_gives_no_picture(void **state)
{
    (void)state;
    assert_string_equal(draw(NULL, 0), "");
}

static void shares_follow_the_sizes(void **state)
{
    const struct mem_region map[] = {{PA(0), 192 * MIB, MEM_USABLE},
                                     {PA(192 * MIB), 64 * MIB, MEM_BOOTLOADER_RECLAIMABLE}};
    const char *text = draw(map, 2);

    (void)state;
    assert_int_equal(view.ncells, MAPVIEW_CELLS);
    assert_int_equal(count(text, 'u'), MAPVIEW_CELLS * 3 / 4);
    assert_int_equal(count(text, 'b'), MAPVIEW_CELLS / 4);
}

static void a_pc_is_not_mostly_hole(void **state)
{
    const struct mem_region map[] = {
        {PA(0x1000), 0x9f000, MEM_USABLE},          {PA(MIB), 2 * GIB - MIB, MEM_USABLE},
        {PA(0x80000000), 4 * MIB, MEM_FRAMEBUFFER}, {PA(0xb0000000), 256 * MIB, MEM_RESERVED},
        {PA(0xfed1c000), 0x4000, MEM_RESERVED},     {PA(0xffc00000), 4 * MIB, MEM_RESERVED},
        {PA(4 * GIB), 6 * GIB, MEM_USABLE},         {PA(0xfd00000000), 12 * GIB, MEM_RESERVED}};
    const char *text = draw(map, sizeof map / sizeof map[0]);

    (void)state;
    assert_int_equal(view.ncells, MAPVIEW_CELLS);
    assert_true(count(text, 'u') > MAPVIEW_CELLS * 3 / 4);
    assert_non_null(
        strstr(text, "uf.ru")); /* touching framebuffer; hole; chipset and flash as one; RAM */
    assert_non_null(strstr(text, "u.r"));
    assert_int_equal(pa_number(view.end), 0x10000000000);
    bool labelled = false;
    for (unsigned i = 0; i < view.nlabels; i++)
        labelled |= view.labels[i].ram && pa_number(view.labels[i].address) == 4 * GIB;
    assert_true(labelled);
}

static void scattered_map_is_drawn_linearly(void **state)
{
    static struct mem_region map[500];

    (void)state;
    for (size_t i = 0; i < 500; i++)
        map[i] = (struct mem_region){PA(i * GIB), 512 * MIB, i % 2 ? MEM_USABLE : MEM_RESERVED};
    draw(map, 500);
    assert_int_equal(view.ncells, MAPVIEW_CELLS);
    assert_int_equal(view.nlabels, 1);
}

static void a_map_without_ram_still_ends(void **state)
{
    const struct mem_region map[] = {{PA(0), MIB, MEM_RESERVED}, {PA(8 * GIB), GIB, MEM_BAD}};

    (void)state;
    assert_string_equal(draw(map, 2), "r.x");
}

static void any_map_fits(void **state)
{
    static struct mem_region map[600];
    uint64_t random = 11;

    (void)state;
    for (unsigned round = 0; round < 3000; round++) {
        size_t n = 1 + round % 40, fixed;
        for (size_t i = 0; i < n; i++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            uint64_t base = random >> (12 + (random >> 8 & 31));
            random = random * 6364136223846793005u + 1442695040888963407u;
            map[i] = (struct mem_region){PA(base), random >> (14 + (random >> 8 & 31)),
                                         (enum mem_type)(random >> 60) % MEM_TYPES};
        }
        if (region_normalise(map, n, 600, &n, &fixed) == MM_OK)
            draw(map, n);
    }
}

static void sizes_are_exact_or_rounded_down(void **state)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } cases[] = {{0, "0"},
                 {1, "1 B"},
                 {1023, "1023 B"},
                 {4096, "4 KiB"},
                 {1536, "1.5 KiB"},
                 {MIB - 1, "1023.9 KiB"},
                 {256 * MIB, "256 MiB"},
                 {GIB + 1, "1.0 GiB"},
                 {1ull << 40, "1 TiB"},
                 {UINT64_MAX, "15.9 EiB"}};
    char out[UNITS_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_string_equal(units_size(out, cases[i].bytes), cases[i].text);
}

static void times_have_the_fitting_unit(void **state)
{
    char out[UNITS_MAX];

    (void)state;
    assert_string_equal(units_time(out, 0), "0 us");
    assert_string_equal(units_time(out, 999), "999 us");
    assert_string_equal(units_time(out, 12345), "12.3 ms");
    assert_string_equal(units_time(out, 4567890), "4.56 s");
    assert_true(strlen(units_time(out, UINT64_MAX)) < UNITS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_map_gives_no_picture),
        cmocka_unit_test(shares_follow_the_sizes),
        cmocka_unit_test(a_pc_is_not_mostly_hole),
        cmocka_unit_test(scattered_map_is_drawn_linearly),
        cmocka_unit_test(a_map_without_ram_still_ends),
        cmocka_unit_test(any_map_fits),
        cmocka_unit_test(sizes_are_exact_or_rounded_down),
        cmocka_unit_test(times_have_the_fitting_unit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
