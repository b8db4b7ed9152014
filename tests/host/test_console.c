/* kernel/console/console.c and screen.c: what stands on the screen is read back from its pixels. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "console/console.c" /* its state is static: each test starts with a fresh one */
#include "console/font.h"

#define MARK 0x5a /* what fills the memory around and between the pixels */

static struct {
    uint8_t *memory;
    size_t bytes;
    struct boot_framebuffer fb;
    struct font font;
    unsigned scale;
    unsigned left, top;
} display;

static void reset(void)
{
    memset(&console, 0, sizeof console);
    memset(cells, 0, sizeof cells);
    memset(dirty, 0, sizeof dirty);
    memset(&backlog, 0, sizeof backlog);
    free(display.memory);
    memset(&display, 0, sizeof display);
}

/* A screen whose rows are followed by gap bytes, with 8-bit colours in the usual places. */
static void open_display(unsigned width, unsigned height, size_t gap)
{
    display.fb = (struct boot_framebuffer){.width = width,
                                           .height = height,
                                           .pitch = width * 4 + gap,
                                           .red_size = 8,
                                           .red_shift = 16,
                                           .green_size = 8,
                                           .green_shift = 8,
                                           .blue_size = 8};
    display.bytes = display.fb.pitch * height;
    display.memory = malloc(display.bytes);
    assert_non_null(display.memory);
    memset(display.memory, MARK, display.bytes);
    display.fb.pixels = display.memory;
}

static void find_text_area_of(unsigned font, unsigned scale)
{
    const struct font_file *file = &font_files[font];
    unsigned columns, rows;

    assert_true(font_open(file->data, (size_t)(file->end - file->data), &display.font));
    display.scale = scale;
    console_size(&columns, &rows);
    display.left = (unsigned)(display.fb.width - columns * display.font.width * scale) / 2;
    display.top = (unsigned)(display.fb.height - rows * display.font.height * scale) / 2;
}

/* On the small screens that most tests have. */
static void find_text_area(void)
{
    find_text_area_of(FONT_SMALL, 1);
}

static void start(unsigned width, unsigned height, size_t gap)
{
    reset();
    open_display(width, height, gap);
    console_init(&display.fb);
    assert_true(console_present());
    find_text_area();
}

static void write_text(const char *text)
{
    console_write(text, strlen(text));
}

static uint32_t pixel(unsigned x, unsigned y)
{
    uint32_t value;
    memcpy(&value, display.memory + y * display.fb.pitch + x * 4, 4);
    return value;
}

/* True if the cell shows the glyph of a code point, in any two colours. */
static bool shows(unsigned row, unsigned column, uint32_t code)
{
    const struct font *f = &display.font;
    unsigned width = f->width * display.scale, height = f->height * display.scale, glyph;
    unsigned x0 = display.left + column * width, y0 = display.top + row * height;
    uint32_t colours[2] = {0, 0};
    bool seen[2] = {false, false};

    font_glyph(f, code, &glyph);
    for (unsigned y = 0; y < height; y++)
        for (unsigned x = 0; x < width; x++) {
            unsigned gx = x / display.scale, gy = y / display.scale;
            unsigned bit = font_bits(f, glyph)[gy * f->row_bytes + gx / 8] >> (7 - gx % 8) & 1;
            uint32_t value = pixel(x0 + x, y0 + y);
            if (seen[bit] && colours[bit] != value)
                return false;
            seen[bit] = true;
            colours[bit] = value;
        }
    return !(seen[0] && seen[1]) || colours[0] != colours[1];
}

static void assert_row(unsigned row, const char *text)
{
    for (unsigned column = 0; text[column]; column++)
        if (!shows(row, column, (uint8_t)text[column]))
            fail_msg("row %u column %u does not show '%c'", row, column, text[column]);
}

static uint32_t background(unsigned row, unsigned column)
{
    return pixel(display.left + column * display.font.width * display.scale,
                 display.top + row * display.font.height * display.scale);
}

/* ---- tests ---------------------------------------------------------------------------------- */

static void size_follows_the_resolution(void **state)
{
    static const struct {
        unsigned width, height, columns, rows, font, scale;
    } screens[] = {
        {320, 200, 40, 11, FONT_SMALL, 1},     {640, 480, 80, 29, FONT_SMALL, 1},
        {800, 600, 99, 36, FONT_SMALL, 1},     {1280, 800, 159, 49, FONT_SMALL, 1},
        {1920, 1080, 159, 44, FONT_MEDIUM, 1}, {2560, 1440, 159, 44, FONT_SMALL, 2},
        {3840, 2160, 159, 44, FONT_MEDIUM, 2}, {5120, 2880, 141, 39, FONT_MEDIUM, 3},
        {7680, 4320, 159, 44, FONT_MEDIUM, 4}, {3840, 1080, 239, 32, FONT_SMALL, 2}, /* low */
        {5120, 1440, 212, 29, FONT_MEDIUM, 2}, {2000, 500, 249, 30, FONT_SMALL, 1},
    };
    unsigned columns, rows;

    (void)state;
    for (size_t i = 0; i < sizeof screens / sizeof screens[0]; i++) {
        start(screens[i].width, screens[i].height, 0);
        find_text_area_of(screens[i].font, screens[i].scale);
        console_size(&columns, &rows);
        assert_int_equal(columns, screens[i].columns);
        assert_int_equal(rows, screens[i].rows);
        write_text("here\n  \xe2\x94\x80");
        assert_row(0, "here ");
        assert_true(shows(1, 2, 0x2500));
    }
}

static void nothing_is_written_outside_the_pixels(void **state)
{
    static const unsigned sizes[][2] = {{801, 603}, {1601, 603}, {2561, 803}, {3841, 1203}};

    (void)state;
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        start(sizes[s][0], sizes[s][1], 52);
        for (unsigned i = 0; i < 200; i++)
            write_text("some text \x1b[31mthat is rather long\x1b[0m and wraps and scrolls and "
                       "fills all of it, to the last column of the row\n");
        for (unsigned y = 0; y < display.fb.height; y++)
            for (size_t x = display.fb.width * 4; x < display.fb.pitch; x++)
                assert_int_equal(display.memory[y * display.fb.pitch + x], MARK);
    }
}

static void huge_screens_stay_within_the_cells(void **state)
{
    unsigned columns, rows;

    (void)state;
    start(5120, 300, 0);
    console_size(&columns, &rows);
    assert_int_equal(columns, CONFIG_CONSOLE_COLUMNS);
    start(640, 3000, 0);
    console_size(&columns, &rows);
    assert_int_equal(rows, CONFIG_CONSOLE_ROWS);
    for (unsigned i = 0; i < 300; i++)
        write_text("x\n");
    assert_row(console.row - 1, "x");
}

static void text_wraps_only_when_more_follows(void **state)
{
    char line[81];

    (void)state;
    start(640, 480, 0);
    memset(line, 'a', 80);
    line[80] = '\0';
    write_text(line);
    write_text("\nnext");
    assert_row(1, "next");
    write_text("\r\n");
    write_text(line);
    write_text("b");
    assert_row(2, line);
    assert_row(3, "b");
}

static void scrolling_moves_every_line(void **state)
{
    char line[32];
    unsigned columns, rows;

    (void)state;
    start(800, 600, 4);
    console_size(&columns, &rows);
    for (unsigned i = 0; i < 100; i++) {
        snprintf(line, sizeof line, "%sline %u", i ? "\n" : "", i);
        write_text(line);
    }
    unsigned last = console.row;
    assert_true(last >= rows - 1 - rows / ROWS_PER_JUMP && last < rows);
    for (unsigned row = 0; row < last; row++) { /* the cursor stands behind the last one */
        snprintf(line, sizeof line, "line %u ", 99 - last + row);
        assert_row(row, line);
    }
    for (unsigned row = last + 1; row < rows; row++)
        assert_row(row, "        ");
}

static void scrolling_draws_only_what_changed(void **state)
{
    unsigned columns, rows;

    (void)state;
    start(640, 480, 0);
    console_size(&columns, &rows);
    for (unsigned i = 0; i < 3 * rows || console.row + 1 < rows; i++)
        write_text("same\n");
    memset(display.memory, MARK, display.bytes);
    write_text("same\n"); /* scrolls; what stands above looks as it did */
    assert_true(console.row + 1 < rows);
    for (unsigned row = 0; row + 1 < console.row; row++)
        assert_int_equal(background(row, 1), MARK * 0x01010101u);
    write_text("another\n");
    assert_int_equal(background(console.row - 3, 1), MARK * 0x01010101u);
    assert_row(console.row - 1, "another");
}

static void tab_backspace_and_return_move(void **state)
{
    (void)state;
    start(640, 480, 0);
    write_text("a\tb\bc\rd\n\b\b\x1b[Kx");
    assert_row(0, "d       c ");
    assert_row(1, "x");
}

static void colours_follow_the_masks(void **state)
{
    static const uint8_t masks[][6] = {{8, 16, 8, 8, 8, 0},
                                       {8, 0, 8, 8, 8, 16},
                                       {10, 20, 10, 10, 10, 0},
                                       {5, 11, 6, 5, 5, 0},
                                       {8, 24, 8, 16, 8, 8}};

    (void)state;
    for (size_t i = 0; i < sizeof masks / sizeof masks[0]; i++) {
        const uint8_t *m = masks[i];
        reset();
        open_display(640, 480, 0);
        display.fb.red_size = m[0], display.fb.red_shift = m[1];
        display.fb.green_size = m[2], display.fb.green_shift = m[3];
        display.fb.blue_size = m[4], display.fb.blue_shift = m[5];
        console_init(&display.fb);
        find_text_area();
        write_text("\x1b[41m \x1b[42m \x1b[44m \x1b[0m\n");
        for (unsigned c = 0; c < 3; c++) { /* red, green, blue: its own component is the largest */
            uint32_t value = background(0, c);
            unsigned parts[3];
            for (unsigned p = 0; p < 3; p++)
                parts[p] =
                    (value >> m[2 * p + 1] & ((1u << m[2 * p]) - 1)) * 255 / ((1u << m[2 * p]) - 1);
            assert_true(parts[c] > parts[(c + 1) % 3] && parts[c] > parts[(c + 2) % 3]);
        }
    }
}

static void sequences_are_swallowed_whole(void **state)
{
    (void)state;
    start(640, 480, 0);
    write_text("a\x1b[38;5;196mb\x1b[?25lc\x1b[12;99;1;1;1;1;1;1;1;1;77777777777Zd\x1b]0;"
               "title\ae\x1b(Bf\x1b=g\n");
    assert_row(0, "abcdefg ");
    write_text("\x1b[31\nnext \x1b]never ended\nlast");
    assert_row(2, "next ");
    assert_row(3, "last");
}

static void clear_and_home(void **state)
{
    (void)state;
    start(640, 480, 0);
    write_text("one\ntwo\nthree\x1b[2J\x1b[Hx\x1b[3;4Hy");
    assert_row(0, "x  ");
    assert_row(1, "   ");
    assert_row(2, "   y");
}

static void text_before_the_screen_is_shown(void **state)
{
    (void)state;
    reset();
    write_text("early \x1b[32mwords\x1b[0m\n");
    open_display(640, 480, 0);
    console_init(&display.fb);
    find_text_area();
    write_text("later");
    assert_row(0, "early words ");
    assert_row(1, "later");
}

static void long_backlog_starts_with_a_whole_line(void **state)
{
    char line[32];

    (void)state;
    reset();
    for (unsigned i = 0; i < 2000; i++) {
        snprintf(line, sizeof line, "entry %u\n", i);
        write_text(line);
    }
    open_display(640, 2000, 0);
    console_init(&display.fb);
    find_text_area();
    assert_row(console.row - 1, "entry 1999 ");
    assert_true(shows(0, 0, 'e'));
}

static void impossible_framebuffers_are_refused(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 7; i++) {
        reset();
        open_display(640, 480, 0);
        struct boot_framebuffer *fb = &display.fb;
        if (i == 0)
            fb->pixels = NULL;
        else if (i == 1)
            fb->pitch = 640 * 4 - 1;
        else if (i == 2)
            fb->red_size = 33;
        else if (i == 3)
            fb->green_shift = 25;
        else if (i == 4)
            fb->width = 64;
        else if (i == 5)
            fb->height = 20;
        else
            fb->width = fb->pitch = UINT64_MAX / 2;
        console_init(fb);
        assert_false(console_present());
        write_text("still kept");
    }
}

static void junk_does_no_harm(void **state)
{
    static const unsigned sizes[][2] = {{640, 480}, {167, 70}, {1601, 411}};
    uint64_t random = 7;
    char junk[257];

    (void)state;
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        start(sizes[s][0], sizes[s][1], 12);
        for (unsigned round = 0; round < 400; round++) {
            for (size_t i = 0; i < sizeof junk; i++) {
                random = random * 6364136223846793005u + 1442695040888963407u;
                uint8_t byte = (uint8_t)(random >> 56);
                junk[i] = (char)(random >> 40 & 3 ? byte : "\x1b[;m0123456789KJH\n\b"[byte % 19]);
            }
            console_write(junk, sizeof junk);
        }
        for (unsigned y = 0; y < display.fb.height; y++)
            for (size_t x = display.fb.width * 4; x < display.fb.pitch; x++)
                assert_int_equal(display.memory[y * display.fb.pitch + x], MARK);
        write_text("\n\x1b[0m\x1b[2J\x1b[Hfine");
        assert_row(0, "fine");
    }
}

static sigjmp_buf fault_exit;
static void text_without_pixels_comes_with_the_next_write(void **state)
{
    (void)state;
    start(640, 480, 0);
    write_text("before\n");
    console_move(NULL);
    write_text("meanwhile\n");
    assert_row(0, "before");
    uint8_t *elsewhere = malloc(display.bytes); /* the pixels, at another address */
    memcpy(elsewhere, display.memory, display.bytes);
    free(display.memory);
    display.memory = elsewhere;
    assert_true(shows(1, 0, ' '));
    console_move(elsewhere);
    write_text("afterwards");
    assert_row(0, "before");
    assert_row(1, "meanwhile");
    assert_row(2, "afterwards");
}

static unsigned faults;

/* What a panic does: it prints. The second fault is caught by the console itself. */
static void on_fault(int signal)
{
    (void)signal;
    faults++;
    console_write("panic\n", 6);
    siglongjmp(fault_exit, 1);
}

static void lost_framebuffer_does_not_fault_for_ever(void **state)
{
    struct sigaction action = {.sa_handler = on_fault, .sa_flags = SA_NODEFER}, old;

    (void)state;
    start(640, 480, 0);
    void *gone = mmap(NULL, display.bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(gone != MAP_FAILED);
    console_move(gone);
    sigaction(SIGSEGV, &action, &old);
    faults = 0;
    if (sigsetjmp(fault_exit, 1) == 0)
        write_text("this cannot be drawn");
    write_text("and nobody tries again");
    sigaction(SIGSEGV, &old, NULL);
    assert_int_equal(faults, 2);
    munmap(gone, display.bytes);
}

static int teardown(void **state)
{
    (void)state;
    reset();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(size_follows_the_resolution),
        cmocka_unit_test(nothing_is_written_outside_the_pixels),
        cmocka_unit_test(huge_screens_stay_within_the_cells),
        cmocka_unit_test(text_wraps_only_when_more_follows),
        cmocka_unit_test(scrolling_moves_every_line),
        cmocka_unit_test(scrolling_draws_only_what_changed),
        cmocka_unit_test(tab_backspace_and_return_move),
        cmocka_unit_test(colours_follow_the_masks),
        cmocka_unit_test(sequences_are_swallowed_whole),
        cmocka_unit_test(clear_and_home),
        cmocka_unit_test(text_before_the_screen_is_shown),
        cmocka_unit_test(long_backlog_starts_with_a_whole_line),
        cmocka_unit_test(impossible_framebuffers_are_refused),
        cmocka_unit_test(junk_does_no_harm),
        cmocka_unit_test(text_without_pixels_comes_with_the_next_write),
        cmocka_unit_test(lost_framebuffer_does_not_fault_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
