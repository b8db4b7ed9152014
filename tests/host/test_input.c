/* kernel/monitor/keyboard.c, input.c and lineedit.c: what is typed, on either device, and what
 * becomes of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "console/console.h"
#include "console/serial.h"
#include "monitor/input.h"
#include "monitor/keyboard.h"
#include "monitor/lineedit.h"

/* print.c, which puts rows together, has sinks that are not used here. */
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

/* ---- keyboard ------------------------------------------------------------------------------- */

/* Feed scan codes; the keys they give, KEY_NONE left out, must be the expected ones. */
static void assert_keys(const char *codes, size_t bytes, const int *expected, size_t n)
{
    struct keyboard_state keyboard = {0};
    size_t got = 0;

    for (size_t i = 0; i < bytes; i++) {
        int key = keyboard_decode(&keyboard, (uint8_t)codes[i]);
        if (key == KEY_NONE)
            continue;
        assert_true(got < n);
        assert_int_equal(key, expected[got++]);
    }
    assert_int_equal(got, n);
}

#define KEYS(codes, ...)                                             \
    assert_keys(codes, sizeof codes - 1, (const int[]){__VA_ARGS__}, \
                sizeof((const int[]){__VA_ARGS__}) / sizeof(int))

static void letters_follow_shift_and_caps_lock(void **state)
{
    (void)state;
    KEYS("\x1e\x9e", 'a');
    KEYS("\x2a\x1e\x9e\xaa\x1e", 'A', 'a');
    KEYS("\x36\x02\xb6\x02", '!', '1');
    KEYS("\x3a\xba\x1e\x02\x2a\x1e\x02", 'A', '1', 'a', '!'); /* caps lock is for letters */
    KEYS("\x3a\x3a\x3a\xba\x1e", 'A');                        /* a held key toggles once */
    KEYS("\x3a\xba\x3a\xba\x1e", 'a');
}

static void control_makes_control_characters(void **state)
{
    (void)state;
    KEYS("\x1d\x2e\xae\x9d\x2e", KEY_CTRL('c'), 'c');
    KEYS("\xe0\x1d\x16\xe0\x9d\x16", KEY_CTRL('u'), 'u');
}

static void enter_tab_backspace_and_space(void **state)
{
    (void)state;
    KEYS("\x1c\x0f\x0e\x39\x01", '\n', '\t', '\b', ' ', 0x1b);
}

static void arrows_and_keypad(void **state)
{
    (void)state;
    KEYS("\xe0\x48\xe0\xc8\xe0\x50\xe0\x4b\xe0\x4d", KEY_UP, KEY_DOWN, KEY_LEFT, KEY_RIGHT);
    KEYS("\xe0\x2a\xe0\x47\xe0\xc7\xe0\xaa\x1e", KEY_HOME, 'a'); /* made-up shift does not stick */
    KEYS("\xe0\x53\xe0\x4f\xe0\x1c\xe0\x35", KEY_DELETE, KEY_END, '\n', '/');
    KEYS("\x48\x45\xc5\x48\x4a", KEY_UP, '8', '-');
}

static void pause_and_unknown_codes_are_ignored(void **state)
{
    (void)state;
    KEYS("\xe1\x1d\x45\xe1\x9d\xc5\x1e", 'a');
    KEYS("\xfa\xfe\xff\xee\x54\x7f\x5b\x1e", 'a');
    KEYS("\xe0\x5b\xe0\x37\x1e", 'a'); /* the logo key, print screen */
}

static void every_byte_in_any_order_gives_a_key_or_none(void **state)
{
    struct keyboard_state keyboard = {0};
    uint32_t random = 3;

    (void)state;
    for (unsigned i = 0; i < 1000000; i++) {
        random = random * 1664525 + 1013904223;
        int key = keyboard_decode(&keyboard, (uint8_t)(random >> 24));
        assert_true(key == KEY_NONE || (key > 0 && key < 0x7f) ||
                    (key >= KEY_UP && key <= KEY_DELETE));
    }
}

/* ---- terminal ------------------------------------------------------------------------------- */

static void assert_terminal(const char *bytes, const int *expected, size_t n)
{
    struct input_terminal terminal = {0};
    size_t got = 0;

    for (; *bytes; bytes++) {
        int key = input_decode(&terminal, (uint8_t)*bytes);
        if (key == KEY_NONE)
            continue;
        assert_true(got < n);
        assert_int_equal(key, expected[got++]);
    }
    assert_int_equal(got, n);
}

#define TERMINAL(bytes, ...)                           \
    assert_terminal(bytes, (const int[]){__VA_ARGS__}, \
                    sizeof((const int[]){__VA_ARGS__}) / sizeof(int))

static void each_line_end_is_one_enter(void **state)
{
    (void)state;
    TERMINAL("a\rb\nc\r\nd\n\n", 'a', '\n', 'b', '\n', 'c', '\n', 'd', '\n', '\n');
}

static void terminal_sequences_become_keys(void **state)
{
    (void)state;
    TERMINAL("\x1b[A\x1b[B\x1b[C\x1b[D\x1bOA\x1b[H\x1b[F", KEY_UP, KEY_DOWN, KEY_RIGHT, KEY_LEFT,
             KEY_UP, KEY_HOME, KEY_END);
    TERMINAL("\x1b[3~\x1b[1~\x1b[4~\x1b[5~\x1b[1;5Cx\x7f", KEY_DELETE, KEY_HOME, KEY_END, KEY_RIGHT,
             'x', '\b');
    TERMINAL("\x1b[200~ab\x1b[201~", 'a', 'b');
}

static void broken_sequences_do_not_swallow_a_line_end(void **state)
{
    (void)state;
    TERMINAL("\x1b[12\ra\x1b\rb\x1bO\x1b[Ac", '\n', 'a', '\n', 'b', KEY_UP, 'c');
}

static void bytes_beyond_ascii_are_ignored(void **state)
{
    (void)state;
    TERMINAL("a\xc3\xa9\xff\x80z", 'a', 'z');
}

/* ---- line ----------------------------------------------------------------------------------- */

static char shown[65536];
static size_t nshown;

static void collect(const char *text, size_t bytes)
{
    if (nshown + bytes >= sizeof shown)
        nshown = 0;
    memcpy(shown + nshown, text, bytes);
    nshown += bytes;
}

static struct lineedit line;

static void begin(void)
{
    memset(&line, 0, sizeof line);
    line.write = collect;
    line.prompt = "\x1b[96m> \x1b[0m";
    nshown = 0;
    lineedit_begin(&line);
}

/* Keys as text: < and > for left and right, ^ and v for up and down. */
static enum lineedit_event type(const char *keys)
{
    enum lineedit_event event = LINEEDIT_NONE;

    for (; *keys; keys++) {
        int key = *keys == '<'   ? KEY_LEFT
                  : *keys == '>' ? KEY_RIGHT
                  : *keys == '^' ? KEY_UP
                  : *keys == 'v' ? KEY_DOWN
                                 : (uint8_t)*keys;
        event = lineedit_key(&line, key);
        assert_true(line.length <= LINEEDIT_MAX && line.cursor <= line.length);
        assert_int_equal(strlen(line.text), line.length);
    }
    return event;
}

static void enter(const char *keys)
{
    type(keys);
    assert_int_equal(lineedit_key(&line, '\n'), LINEEDIT_ENTER);
    lineedit_remember(&line);
    lineedit_begin(&line);
}

static void keys_edit_the_line(void **state)
{
    (void)state;
    begin();
    type("helo<l");
    assert_string_equal(line.text, "hello");
    type("\b\b\b\b\b\b\b");
    assert_string_equal(line.text, "o");
    lineedit_key(&line, KEY_DELETE);
    lineedit_key(&line, KEY_DELETE);
    assert_string_equal(line.text, "");
    type("one two<<<<\x0b");
    assert_string_equal(line.text, "one");
    type("\x01x\x05y");
    assert_string_equal(line.text, "xoney");
    type("\x15z");
    assert_string_equal(line.text, "z");
}

static void events_are_told(void **state)
{
    (void)state;
    begin();
    assert_int_equal(type("a\t"), LINEEDIT_COMPLETE);
    assert_int_equal(type("\x0c"), LINEEDIT_CLEAR);
    assert_int_equal(type("\x03"), LINEEDIT_CANCEL);
    assert_int_equal(type("\n"), LINEEDIT_ENTER);
    assert_int_equal(type("\x1f\x02"), LINEEDIT_NONE);
}

static void a_full_line_takes_no_more(void **state)
{
    (void)state;
    begin();
    for (unsigned i = 0; i < 3 * LINEEDIT_MAX; i++)
        type("a");
    assert_int_equal(line.length, LINEEDIT_MAX);
    type("<<b");
    assert_int_equal(line.length, LINEEDIT_MAX);
    lineedit_insert(&line, "more");
    assert_null(strchr(line.text, 'm'));
}

static void only_printable_text_gets_in(void **state)
{
    (void)state;
    begin();
    lineedit_insert(&line, "a\nb\x1b[A\xc3\xa9");
    assert_string_equal(line.text, "ab[A");
}

static void history_goes_back_and_forth(void **state)
{
    (void)state;
    begin();
    enter("one");
    enter("two");
    enter("two");
    enter("");
    type("new^");
    assert_string_equal(line.text, "two");
    type("^");
    assert_string_equal(line.text, "one");
    type("^^v");
    assert_string_equal(line.text, "two");
    type("vv");
    assert_string_equal(line.text, "new");
}

static void history_keeps_the_last_lines(void **state)
{
    char text[8] = "line_a";

    (void)state;
    begin();
    for (unsigned i = 0; i < 26; i++) {
        text[5] = (char)('a' + i);
        enter(text);
    }
    for (unsigned i = 0; i < 40; i++)
        type("^");
    text[5] = 'a' + 26 - LINEEDIT_HISTORY;
    assert_string_equal(line.text, text);
}

static void a_row_is_drawn_in_one_piece(void **state)
{
    static const char expected[] = "\r\x1b[96m> \x1b[0mac\x1b[K\b";

    (void)state;
    begin();
    type("abc<");
    nshown = 0;
    type("\b");
    assert_int_equal(nshown, sizeof expected - 1);
    assert_memory_equal(shown, expected, nshown);
}

static void any_keys_keep_the_line_sound(void **state)
{
    uint32_t random = 5;

    (void)state;
    begin();
    for (unsigned i = 0; i < 300000; i++) {
        random = random * 1664525 + 1013904223;
        int key = random >> 30 ? (int)(random >> 8 & 0x7f) : KEY_UP + (int)((random >> 8) % 9);
        if (lineedit_key(&line, key) == LINEEDIT_ENTER) {
            lineedit_remember(&line);
            lineedit_begin(&line);
        }
        assert_true(line.cursor <= line.length);
        assert_int_equal(strlen(line.text), line.length);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(letters_follow_shift_and_caps_lock),
        cmocka_unit_test(control_makes_control_characters),
        cmocka_unit_test(enter_tab_backspace_and_space),
        cmocka_unit_test(arrows_and_keypad),
        cmocka_unit_test(pause_and_unknown_codes_are_ignored),
        cmocka_unit_test(every_byte_in_any_order_gives_a_key_or_none),
        cmocka_unit_test(each_line_end_is_one_enter),
        cmocka_unit_test(terminal_sequences_become_keys),
        cmocka_unit_test(broken_sequences_do_not_swallow_a_line_end),
        cmocka_unit_test(bytes_beyond_ascii_are_ignored),
        cmocka_unit_test(keys_edit_the_line),
        cmocka_unit_test(events_are_told),
        cmocka_unit_test(a_full_line_takes_no_more),
        cmocka_unit_test(only_printable_text_gets_in),
        cmocka_unit_test(history_goes_back_and_forth),
        cmocka_unit_test(history_keeps_the_last_lines),
        cmocka_unit_test(a_row_is_drawn_in_one_piece),
        cmocka_unit_test(any_keys_keep_the_line_sound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
