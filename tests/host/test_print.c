/* kernel/console/print.c: the formatter against libc's, and the way of text to the two sinks. */
#include "test.h"

#include "console/console.h"
#include "console/print.h"
#include "console/serial.h"

static char serial[8192], console[8192];
static size_t nserial, nconsole;

void serial_write(const char *text, size_t bytes)
{
    assert_true(nserial + bytes < sizeof serial);
    memcpy(serial + nserial, text, bytes);
    nserial += bytes;
}

void console_write(const char *text, size_t bytes)
{
    assert_true(nconsole + bytes < sizeof console);
    memcpy(console + nconsole, text, bytes);
    nconsole += bytes;
}

static int empty(void **state)
{
    (void)state;
    nserial = nconsole = 0;
    memset(serial, 0, sizeof serial);
    memset(console, 0, sizeof console);
    return 0;
}

/* ---- formats -------------------------------------------------------------------------------- */

/* What libc makes of it, into a buffer of any size; ours must not differ, in text or in length. The
 * buffer is exact, so that the sanitizer sees a step beyond. */
#define SAME_IN(bytes, ...)                                           \
    do {                                                              \
        char theirs_[1024];                                           \
        char *ours_ = malloc((bytes) ? (bytes) : 1);                  \
        size_t n_ = (size_t)snprintf(theirs_, (bytes), __VA_ARGS__);  \
        assert_int_equal(ksnprintf(ours_, (bytes), __VA_ARGS__), n_); \
        if ((bytes) > 0)                                              \
            assert_string_equal(ours_, theirs_);                      \
        free(ours_);                                                  \
    } while (0)
#define SAME(...) SAME_IN(1024, __VA_ARGS__)

static const uint64_t numbers[] = {0,          1,          9,          10,         15,
                                   16,         99,         255,        256,        4095,
                                   INT32_MAX,  1u << 31,   UINT32_MAX, 1ull << 32, INT64_MAX,
                                   1ull << 63, UINT64_MAX, 1234567890};

static void numbers_are_written_as_libc_does(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(numbers); i++) {
        unsigned long n = numbers[i];
        SAME("%d %u %x %X", (int)n, (unsigned)n, (unsigned)n, (unsigned)n);
        SAME("%ld %lu %lx %lX", (long)n, n, n, n);
        SAME("%lld %llu %llx %zu %zx", (long long)n, (unsigned long long)n, (unsigned long long)n,
             n, n);
    }
}

static void numbers_are_padded_as_libc_does(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(numbers); i++) {
        unsigned long n = numbers[i];
        SAME("[%1lu][%5lu][%25lu]", n, n, n);
        SAME("[%-1lu][%-5lu][%-25lu]", n, n, n);
        SAME("[%01lx][%016lx][%025lx]", n, n, n);
        SAME("[%05ld][%025ld][%-25ld][%25ld]", (long)n, (long)n, (long)n, (long)n);
        for (int width = -30; width <= 30; width++)
            SAME("[%*ld][%0*d][%-*lx]", width, (long)n, width, (int)n, width, n);
    }
}

static void strings_are_cut_and_padded_as_libc_does(void **state)
{
    static const char *const texts[] = {"", "a", "lime", "a longer text with blanks in it"};
    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        const char *s = texts[i];
        SAME("%s", s);
        SAME("[%10s][%-10s][%3s][%.3s][%.0s][%.s]", s, s, s, s, s, s);
        for (int width = -12; width <= 12; width++)
            for (int precision = -2; precision <= 12; precision++)
                SAME("[%*.*s]", width, precision, s);
    }
    SAME("[%c][%5c][%-5c]%%", 'x', 'y', 'z');
    SAME("[%9s][%-19s][%.9s][%19.10s]", "lime", "lime", "a longer text", "a longer text");
}

/* Text that is not terminated is read only as far as the precision says. */
static void precision_bounds_what_is_read(void **state)
{
    char out[16];
    (void)state;
    char *text = malloc(3);
    memcpy(text, "abc", 3);
    assert_int_equal(ksnprintf(out, sizeof out, "%.3s|%.*s", text, 2, text), 6);
    assert_string_equal(out, "abc|ab");
    free(text);
}

static void any_length_of_buffer_is_kept_to(void **state)
{
    (void)state;
    for (size_t bytes = 0; bytes < 60; bytes++) {
        SAME_IN(bytes, "%s", "a text that does not fit into everything");
        SAME_IN(bytes, "%016lx %-20u|%5s %c%%", 0x1234ul, 77u, "ab", 'c');
    }
    assert_int_equal(ksnprintf(NULL, 0, "%d", 12345), 5);
}

static void random_formats_agree_with_libc(void **state)
{
    struct rng rng = rng_start();
    (void)state;
    for (unsigned run = 0; run < 40000; run++) {
        static const char letters[] = "duxX";
        char format[32];
        int width = (int)rng_below(&rng, 40);
        bool left = rng_below(&rng, 2), zero = !left && rng_below(&rng, 2);
        bool wide = rng_below(&rng, 2);
        uint64_t n = rng_next(&rng) >> rng_below(&rng, 64);
        char letter = letters[rng_below(&rng, 4)];
        snprintf(format, sizeof format, "<%%%s%s%.0d%s%c>", left ? "-" : "", zero ? "0" : "", width,
                 wide ? "l" : "", letter);
        char theirs[80], ours[80];
        size_t bytes = rng_between(&rng, 1, sizeof ours);
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wformat-nonliteral"
        int expected = wide ? snprintf(theirs, bytes, format, n)
                            : snprintf(theirs, bytes, format, (unsigned)n);
        size_t got =
            wide ? ksnprintf(ours, bytes, format, n) : ksnprintf(ours, bytes, format, (unsigned)n);
#pragma clang diagnostic pop
        if (got != (size_t)expected || strcmp(ours, theirs) != 0)
            fail_msg("%s of 0x%lx: \"%s\" instead of \"%s\"", format, n, ours, theirs);
    }
}

static void what_is_ours_alone(void **state)
{
    char out[64];
    const char *volatile null = NULL; /* the compiler would complain otherwise */
    (void)state;
    ksnprintf(out, sizeof out, "%p", (void *)0x1234);
    assert_string_equal(out, "0x0000000000001234");
    ksnprintf(out, sizeof out, "%p %p", (void *)UINTPTR_MAX, (void *)0);
    assert_string_equal(out, "0xffffffffffffffff 0x0000000000000000");
    ksnprintf(out, sizeof out, "[%s][%.2s]", null, null);
    assert_string_equal(out, "[(null)][(n]");
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wformat"
    ksnprintf(out, sizeof out, "%y %");
#pragma clang diagnostic pop
    assert_string_equal(out, "%y %");
}

static void utf8_passes_through(void **state)
{
    char out[64];
    (void)state;
    ksnprintf(out, sizeof out, "%s × %s", "█▒", "─");
    assert_string_equal(out, "█▒ × ─");
}

/* ---- sinks ---------------------------------------------------------------------------------- */

static void both_sinks_get_every_line(void **state)
{
    (void)state;
    kprintf("one\ntwo %d\n\nend", 2);
    assert_string_equal(console, "one\ntwo 2\n\nend");
    assert_string_equal(serial, "one\r\ntwo 2\r\n\r\nend");
}

/* Longer than any buffer inside, with characters of three bytes across every border. */
static void long_text_arrives_whole(void **state)
{
    char text[3 * 700 + 2] = "x";
    (void)state;
    for (size_t i = 0; i < 700; i++)
        memcpy(text + 1 + 3 * i, "─", 3);
    kprintf("%s\n", text);
    assert_int_equal(nconsole, 3 * 700 + 2);
    assert_memory_equal(console, text, nconsole - 1);
    assert_int_equal(nserial, nconsole + 1);
    assert_memory_equal(serial, text, nserial - 2);
}

static void nothing_is_written_for_nothing(void **state)
{
    (void)state;
    kprintf("%s", "");
    assert_int_equal(nserial + nconsole, 0);
}

static void who_takes_the_serial_line_has_it_alone(void **state)
{
    (void)state;
    print_take_serial();
    serial_write("{", 1);
    kprintf("one\n");
    assert_string_equal(console, "one\n");
    kprintf("two\n");
    serial_write("}\r\n", 3);
    print_give_serial();
    kprintf("three\n");
    assert_string_equal(serial, "{}\r\none\r\ntwo\r\nthree\r\n");
    assert_string_equal(console, "one\ntwo\nthree\n");
}

/* The next time there is room again. */
static void what_cannot_be_held_is_counted(void **state)
{
    (void)state;
    print_take_serial();
    for (unsigned i = 0; i < 4096 / 16 + 2; i++)
        kprintf("%015u\n", i);
    kprintf("x");
    print_give_serial();
    assert_int_equal(nconsole, 4096 + 2 * 16 + 1);
    const char *words = "000000000000255\r\n... 33 bytes more, on the screen only\r\n";
    assert_string_equal(serial + nserial - strlen(words), words);
    empty(state);
    print_take_serial();
    kprintf("short\n");
    print_give_serial();
    assert_string_equal(serial, "short\r\n");
}

/* Last: there is no way back from it. */
static void a_panic_prints_without_the_lock(void **state)
{
    (void)state;
    print_take_serial();
    serial_write("{", 1);
    kprintf("held\n");
    print_emergency();
    kprintf("%s\n", "panic");
    assert_string_equal(serial, "{\r\nheld\r\npanic\r\n");
    print_emergency(); /* while saying so */
    kprintf("again\n");
    assert_string_equal(serial, "{\r\nheld\r\npanic\r\nagain\r\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_written_as_libc_does),
        cmocka_unit_test(numbers_are_padded_as_libc_does),
        cmocka_unit_test(strings_are_cut_and_padded_as_libc_does),
        cmocka_unit_test(precision_bounds_what_is_read),
        cmocka_unit_test(any_length_of_buffer_is_kept_to),
        cmocka_unit_test(random_formats_agree_with_libc),
        cmocka_unit_test(what_is_ours_alone),
        cmocka_unit_test(utf8_passes_through),
        cmocka_unit_test_setup(both_sinks_get_every_line, empty),
        cmocka_unit_test_setup(long_text_arrives_whole, empty),
        cmocka_unit_test_setup(nothing_is_written_for_nothing, empty),
        cmocka_unit_test_setup(who_takes_the_serial_line_has_it_alone, empty),
        cmocka_unit_test_setup(what_cannot_be_held_is_counted, empty),
        cmocka_unit_test_setup(a_panic_prints_without_the_lock, empty),
    };
    return cmocka_run_group_tests_name("print", tests, NULL, NULL);
}
