/* kernel/console/font.c and utf8.c: fonts as they are, fonts that are damaged, text that is no
 * text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "console/font.h"
#include "console/utf8.h"

static struct font font;

static size_t file_bytes(unsigned i)
{
    return (size_t)(font_files[i].end - font_files[i].data);
}

/* A copy that ends where the sanitizer sees the next byte being read. */
static uint8_t *exact_copy(const void *data, size_t bytes)
{
    uint8_t *copy = malloc(bytes ? bytes : 1);
    assert_non_null(copy);
    memcpy(copy, data, bytes);
    return copy;
}

/* Look everything up that a console could ask for. */
static void use_all(const struct font *f)
{
    uint8_t sink = 0;
    unsigned glyph;

    for (uint32_t code = 0; code < 0x3000; code++) {
        font_glyph(f, code, &glyph);
        assert_true(glyph < f->nglyphs);
        sink ^= font_bits(f, glyph)[f->glyph_bytes - 1];
    }
    sink ^= font_bits(f, UINT32_MAX)[0];
    __asm__ volatile("" ::"r"(sink)); /* the reads count, not their sum */
}

static void embedded_fonts_open_with_their_sizes(void **state)
{
    static const unsigned sizes[FONT_FILES][2] = {[FONT_SMALL] = {8, 16}, [FONT_MEDIUM] = {12, 24}};

    (void)state;
    for (unsigned i = 0; i < FONT_FILES; i++) {
        assert_true(font_open(font_files[i].data, file_bytes(i), &font));
        assert_int_equal(font.width, sizes[i][0]);
        assert_int_equal(font.height, sizes[i][1]);
        use_all(&font);
    }
}

static void embedded_fonts_have_what_the_report_draws(void **state)
{
    static const uint32_t codes[] = {
        0x2500, 0x2502, 0x250c, 0x2510, 0x2514, 0x2518, 0x251c, 0x2524, 0x252c, 0x2534,
        0x253c, 0x2588, 0x2591, 0x2592, 0x25a0, 0x25cf, 0x2261, 0xb7,   0xd7,   UTF8_REPLACEMENT};
    unsigned glyph;

    (void)state;
    for (unsigned i = 0; i < FONT_FILES; i++) {
        assert_true(font_open(font_files[i].data, file_bytes(i), &font));
        for (uint32_t code = 0x20; code < 0x7f; code++)
            assert_true(font_glyph(&font, code, &glyph));
        for (size_t c = 0; c < sizeof codes / sizeof codes[0]; c++)
            assert_true(font_glyph(&font, codes[c], &glyph));
    }
}

static void unknown_character_shows_the_replacement(void **state)
{
    unsigned glyph, replacement;

    (void)state;
    assert_true(font_open(font_files[0].data, file_bytes(0), &font));
    assert_true(font_glyph(&font, UTF8_REPLACEMENT, &replacement));
    assert_false(font_glyph(&font, 0x4e00, &glyph));
    assert_int_equal(glyph, replacement);
    assert_false(font_glyph(&font, UINT32_MAX, &glyph));
    assert_int_equal(glyph, replacement);
}

/* Either it says no, or everything that it offers can be used. */
static void truncated_fonts_are_refused_or_usable(void **state)
{
    (void)state;
    for (unsigned i = 0; i < FONT_FILES; i++) {
        for (size_t bytes = 0; bytes <= file_bytes(i); bytes += bytes < 64 ? 1 : 97) {
            uint8_t *copy = exact_copy(font_files[i].data, bytes);
            if (font_open(copy, bytes, &font))
                use_all(&font);
            free(copy);
        }
    }
}

static void damaged_fonts_are_refused_or_usable(void **state)
{
    uint32_t random = 1;

    (void)state;
    for (unsigned round = 0; round < 600; round++) {
        unsigned i = round % FONT_FILES;
        uint8_t *copy = exact_copy(font_files[i].data, file_bytes(i));
        for (unsigned k = 0; k < 8; k++) {
            random = random * 1664525 + 1013904223;
            size_t at = (random >> 8) % (k < 2 ? 32 : file_bytes(i)); /* the header above all */
            copy[at] ^= (uint8_t)(1u << (random & 7));
        }
        if (font_open(copy, file_bytes(i), &font))
            use_all(&font);
        free(copy);
    }
}

/* A font of 256 glyphs, a row each. */
static void make_font(uint8_t *file, uint32_t has_table)
{
    const uint32_t header[8] = {0x864ab572, 0, 32, has_table, 256, 1, 1, 8};
    memcpy(file, header, sizeof header);
}

static void font_without_a_table_is_indexed_by_number(void **state)
{
    uint8_t file[32 + 256] = {0};
    unsigned glyph;

    (void)state;
    make_font(file, 0);
    file[32 + 'A'] = 0x5a;
    assert_true(font_open(file, sizeof file, &font));
    assert_true(font_glyph(&font, 'A', &glyph));
    assert_int_equal(glyph, 'A');
    assert_int_equal(font_bits(&font, glyph)[0], 0x5a);
    assert_false(font_glyph(&font, 256, &glyph));
}

static void sequences_in_a_table_are_skipped(void **state)
{
    /* Glyph 0 shows U+0041, then the sequence U+0042 U+0043; glyph 1 shows U+0444. */
    static const uint8_t table[] = {0x41, 0xfe, 0x42, 0x43, 0xff, 0xd1, 0x84, 0xff};
    uint8_t file[32 + 256 + sizeof table] = {0};
    unsigned glyph;

    (void)state;
    make_font(file, 1);
    memcpy(file + 32 + 256, table, sizeof table);
    assert_true(font_open(file, sizeof file, &font));
    assert_true(font_glyph(&font, 0x41, &glyph));
    assert_int_equal(glyph, 0);
    assert_false(font_glyph(&font, 0x42, &glyph));
    assert_false(font_glyph(&font, 0x43, &glyph));
    assert_true(font_glyph(&font, 0x444, &glyph));
    assert_int_equal(glyph, 1);
}

/* font.py puts the glyphs of all fonts into the same order. */
static void embedded_fonts_have_the_same_table(void **state)
{
    static struct font first;

    (void)state;
    assert_true(font_open(font_files[0].data, file_bytes(0), &first));
    assert_true(first.has_table && first.nslots > 500);
    for (unsigned i = 1; i < FONT_FILES; i++) {
        assert_true(font_open(font_files[i].data, file_bytes(i), &font));
        assert_memory_equal(font.slots, first.slots, sizeof font.slots);
    }
}

/* ---- UTF-8 ---------------------------------------------------------------------------------- */

/* Decode all bytes; a sequence that is still open at the end is not seen. */
static size_t decode(const char *text, size_t bytes, uint32_t *out)
{
    struct utf8 utf8 = {0};
    size_t n = 0;

    for (size_t i = 0; i < bytes; i++)
        n += utf8_push(&utf8, (uint8_t)text[i], out + n);
    return n;
}

static void every_code_point_survives(void **state)
{
    uint32_t out[4];

    (void)state;
    for (uint32_t code = 0; code <= 0x10ffff; code++) {
        char text[4];
        size_t bytes;
        if (code >= 0xd800 && code <= 0xdfff)
            continue;
        if (code < 0x80) {
            text[0] = (char)code;
            bytes = 1;
        } else {
            bytes = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
            for (size_t i = bytes; i-- > 1;)
                text[i] = (char)(0x80 | (code >> 6 * (bytes - 1 - i) & 0x3f));
            text[0] = (char)((0xf00 >> bytes & 0xff) | code >> 6 * (bytes - 1));
        }
        assert_int_equal(decode(text, bytes, out), 1);
        assert_int_equal(out[0], code);
    }
}

/* The example of the Unicode Standard, table 3-8. */
static void each_broken_piece_becomes_one_replacement(void **state)
{
    static const char text[] = "\x61\xf1\x80\x80\xe1\x80\xc2\x62\x80\x63\x80\xbf\x64";
    static const uint32_t expected[] = {0x61,   0xfffd, 0xfffd, 0xfffd, 0x62,
                                        0xfffd, 0x63,   0xfffd, 0xfffd, 0x64};
    uint32_t out[32];

    (void)state;
    assert_int_equal(decode(text, sizeof text - 1, out), sizeof expected / sizeof expected[0]);
    assert_memory_equal(out, expected, sizeof expected);
}

static void overlong_surrogate_and_too_large_are_refused(void **state)
{
    static const char *const texts[] = {"\xc0\xaf",         "\xe0\x9f\xbf",     "\xed\xa0\x80",
                                        "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xff\xfe"};
    uint32_t out[16];

    (void)state;
    for (size_t t = 0; t < sizeof texts / sizeof texts[0]; t++) {
        size_t n = decode(texts[t], strlen(texts[t]), out);
        assert_int_equal(n, strlen(texts[t]));
        for (size_t i = 0; i < n; i++)
            assert_int_equal(out[i], UTF8_REPLACEMENT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(embedded_fonts_open_with_their_sizes),
        cmocka_unit_test(embedded_fonts_have_what_the_report_draws),
        cmocka_unit_test(unknown_character_shows_the_replacement),
        cmocka_unit_test(truncated_fonts_are_refused_or_usable),
        cmocka_unit_test(damaged_fonts_are_refused_or_usable),
        cmocka_unit_test(font_without_a_table_is_indexed_by_number),
        cmocka_unit_test(sequences_in_a_table_are_skipped),
        cmocka_unit_test(embedded_fonts_have_the_same_table),
        cmocka_unit_test(every_code_point_survives),
        cmocka_unit_test(each_broken_piece_becomes_one_replacement),
        cmocka_unit_test(overlong_surrogate_and_too_large_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
