/* efi/arguments.c, options.c, print.c and the help: what may stand on the command line, what is
 * said about what may not, and that no junk in load options does harm. The firmware is played by a
 * console that remembers and by the protocols that may be on our image's handle. */
#include "test.h"

#include <efi.h>
#include <efishell.h>

#include "arguments.h"
#include "commands.h"
#include "firmware.h"
#include "options.h"
#include "print.h"

#define CONSOLE_CHARS 65536
#define WORDS_MAX     64

/* ---- the firmware --------------------------------------------------------------------------- */

EFI_HANDLE image_handle;
EFI_SYSTEM_TABLE *ST;

static char console[CONSOLE_CHARS];
static size_t console_used;
static EFI_LOADED_IMAGE image;
static EFI_SHELL_PARAMETERS_PROTOCOL shell;
static bool have_shell;

static EFI_STATUS EFIAPI output_string(SIMPLE_TEXT_OUTPUT_INTERFACE *out, CHAR16 *text)
{
    (void)out;
    for (; *text; text++) {
        assert_true(console_used + 1 < sizeof console);
        console[console_used++] = *text < 0x100 ? (char)*text : '#';
    }
    console[console_used] = 0;
    return EFI_SUCCESS;
}

static SIMPLE_TEXT_OUTPUT_INTERFACE output = {.OutputString = output_string};
static EFI_SYSTEM_TABLE system_table = {.ConOut = &output};

EFI_STATUS firmware_protocol(EFI_HANDLE handle, EFI_GUID *guid, void **out)
{
    static const EFI_GUID shell_guid = EFI_SHELL_PARAMETERS_PROTOCOL_GUID;
    static const EFI_GUID image_guid = EFI_LOADED_IMAGE_PROTOCOL_GUID;
    (void)handle;
    if (!memcmp(guid, &image_guid, sizeof *guid)) {
        *out = &image;
        return EFI_SUCCESS;
    }
    if (have_shell && !memcmp(guid, &shell_guid, sizeof *guid)) {
        *out = &shell;
        return EFI_SUCCESS;
    }
    return EFI_NOT_FOUND;
}

/* The table of commands leads to these; the tests look at options only. */
EFI_STATUS command_boot(const struct options *o)
{
    return (void)o, EXIT_FINE;
}
EFI_STATUS command_check(const struct options *o)
{
    return (void)o, EXIT_FINE;
}
EFI_STATUS command_gop(const struct options *o)
{
    return (void)o, EXIT_FINE;
}
EFI_STATUS command_memmap(const struct options *o)
{
    return (void)o, EXIT_FINE;
}

static int reset(void **state)
{
    (void)state;
    ST = &system_table;
    console_used = 0;
    console[0] = 0;
    have_shell = false;
    image = (EFI_LOADED_IMAGE){0};
    return 0;
}

static void widen(const char *text, CHAR16 *wide)
{
    do
        *wide++ = (unsigned char)*text;
    while (*text++);
}

/* Read a command line as a shell splits it (at single spaces; '_' stands for a space in a word). */
static bool from_shell(const char *line, struct options *out)
{
    static CHAR16 text[2048], *argv[WORDS_MAX];
    UINTN argc = 0;
    reset(NULL);
    widen(line, text);
    argv[argc++] = text;
    for (CHAR16 *c = text; *c; c++) {
        if (*c == ' ') {
            *c = 0;
            argv[argc++] = c + 1;
        } else if (*c == '_') {
            *c = ' ';
        }
    }
    shell = (EFI_SHELL_PARAMETERS_PROTOCOL){.Argv = argv, .Argc = argc};
    have_shell = true;
    return options_read(out);
}

static void from_load_options(const char *line, struct options *out)
{
    static CHAR16 text[2048];
    reset(NULL);
    widen(line, text);
    image.LoadOptions = text;
    image.LoadOptionsSize = (UINT32)(strlen(line) * sizeof *text);
    assert_true(options_read(out));
}

static void assert_said(const char *text)
{
    if (!strstr(console, text))
        fail_msg("\"%s\" is not in \"%s\"", text, console);
}

/* ---- the grammar ---------------------------------------------------------------------------- */

static void no_words_mean_boot_with_the_defaults(void **state)
{
    (void)state;
    struct options o;
    assert_true(from_shell("BOOTX64.EFI", &o));
    assert_string_equal(o.command, "boot");
    assert_true(o.from_shell && o.kaslr && !o.verbose && !o.page_break);
    assert_int_equal(o.width + o.height + o.countdown + o.paging, 0);
    assert_null(o.kernel);
    assert_null(o.topic);
    assert_string_equal(o.cmdline, "");
    from_load_options("", &o);
    assert_string_equal(o.command, "boot");
    assert_false(o.from_shell);
    assert_string_equal(console, "");
}

static void options_are_kept_and_passed_on_as_they_were_given(void **state)
{
    (void)state;
    struct options o;
    assert_true(from_shell("x boot resolution=1024x768 kaslr=off verbose countdown=3 report=json "
                           "exit=debug panic=reboot -- more unchecked_words",
                           &o));
    assert_string_equal(o.command, "boot");
    assert_int_equal(o.width, 1024);
    assert_int_equal(o.height, 768);
    assert_int_equal(o.countdown, 3);
    assert_true(!o.kaslr && o.verbose);
    assert_string_equal(o.cmdline, "resolution=1024x768 kaslr=off verbose countdown=3 report=json "
                                   "exit=debug panic=reboot more unchecked words");
    assert_true(from_shell("x paging=5level", &o));
    assert_int_equal(o.paging, 5);
    assert_true(from_shell("x boot paging=4level", &o));
    assert_int_equal(o.paging, 4);
    assert_true(from_shell("x exit report=text", &o));
    assert_string_equal(o.command, "boot");
    assert_string_equal(o.cmdline, "exit report=text");
}

static void another_kernel_gets_only_what_follows_the_dashes(void **state)
{
    (void)state;
    struct options o;
    assert_true(from_shell("x verbose kernel=/boot/my_kernel.elf exit -- root=/dev/sda -- -b", &o));
    assert_string_equal(o.kernel, "\\boot\\my kernel.elf");
    assert_string_equal(o.cmdline, "root=/dev/sda -- -b");
    assert_false(o.page_break);
    from_load_options("kernel=\\linux.efi", &o);
    assert_string_equal(o.kernel, "\\linux.efi");
    assert_string_equal(o.cmdline, "");
}

static void help_is_found_wherever_it_stands(void **state)
{
    (void)state;
    static const struct {
        const char *line, *topic;
    } cases[] = {
        {"x help", NULL},
        {"x -h", NULL},
        {"x --help", NULL},
        {"x -?", NULL},
        {"x help gop", "gop"},
        {"x memmap -h", "memmap"},
        {"x boot exit -?", "boot"},
        {"x -b -h", "boot"},
        {"x help -b check", "check"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct options o;
        assert_true(from_shell(cases[i].line, &o));
        assert_string_equal(o.command, "help");
        if (cases[i].topic)
            assert_string_equal(o.topic, cases[i].topic);
        else
            assert_null(o.topic);
    }
}

static void at_a_shell_a_wrong_word_is_named_and_ends_it(void **state)
{
    (void)state;
    static const struct {
        const char *line, *named, *possible;
    } cases[] = {
        {"x frob", "\"frob\"", "memmap"},
        {"x frob", "neither a command nor an option", "resolution="},
        {"x boot frob", "\"frob\"", "countdown=SECONDS"},
        {"x gop exit", "\"exit\"", "resolution=WxH"},
        {"x memmap verbose", "\"verbose\"", "takes no options"},
        {"x memmap --", "\"--\"", "takes no options"},
        {"x help frob", "\"frob\"", "version"},
        {"x help gop check", "\"check\"", "takes no options"},
        {"x resolution", "\"resolution\"", "resolution=WxH"},
        {"x resolution=", "\"resolution=\"", "resolution=WxH"},
        {"x resolution=800", "\"resolution=800\"", "resolution=WxH"},
        {"x resolution=0x600", "\"resolution=0x600\"", "1280x800"},
        {"x resolution=800x600x32", "\"resolution=800x600x32\"", "1280x800"},
        {"x resolution=99999999999999999999x1", "x1\"", "1280x800"},
        {"x paging", "\"paging\"", "4level|5level"},
        {"x paging=5", "\"paging=5\"", "4level|5level"},
        {"x paging=4levels", "\"paging=4levels\"", "4level|5level"},
        {"x kaslr", "\"kaslr\"", "on|off"},
        {"x kaslr=", "\"kaslr=\"", "on|off"},
        {"x kaslr=o", "\"kaslr=o\"", "on|off"},
        {"x kaslr=on|off", "\"kaslr=on|off\"", "on|off"},
        {"x countdown=3601", "\"countdown=3601\"", "0 to 3600"},
        {"x countdown=-1", "\"countdown=-1\"", "0 to 3600"},
        {"x countdown=1s", "\"countdown=1s\"", "0 to 3600"},
        {"x verbose=1", "\"verbose=1\"", "verbose"},
        {"x verbosely", "\"verbosely\"", "verbose"},
        {"x kernel=k.elf", "\"kernel=k.elf\"", "\\PATH"},
        {"x kernel=\\", "\"kernel=\\\"", "\\PATH"},
        {"x exit=", "\"exit=\"", "exit[=debug]"},
        {"x report", "\"report\"", "text|json"},
        {"x boot caf\xe9", "\"caf?\"", "printable"},
        {"x boot -- a\x1b[2J", "\"a?[2J\"", "printable"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct options o;
        if (from_shell(cases[i].line, &o))
            fail_msg("accepted: %s", cases[i].line);
        assert_said(cases[i].named);
        assert_said(cases[i].possible);
    }
}

static void too_long_a_line_is_refused_at_a_shell_and_cut_at_a_word_elsewhere(void **state)
{
    (void)state;
    char line[2000] = "x boot -- ";
    struct options o;
    memset(line + strlen(line), 'w', 400);
    strcat(line, " ");
    memset(line + strlen(line), 'v', 400);
    assert_false(from_shell(line, &o));
    assert_said("too long");
    from_load_options(line + 2, &o);
    assert_said("beyond");
    assert_int_equal(strlen(o.cmdline), 400);
    assert_null(strchr(o.cmdline, 'v'));
}

/* ---- load options --------------------------------------------------------------------------- */

static void junk_in_load_options_is_quoted_once_and_ignored(void **state)
{
    (void)state;
    struct options o;
    from_load_options("root=/dev/sdb3 init=/sbin/init rootwait ro", &o);
    assert_string_equal(console,
                        "Load options ignored: \"root=/dev/sdb3 init=/sbin/init rootwait ro\"\r\n");
    assert_string_equal(o.command, "boot");
    assert_string_equal(o.cmdline, "");

    from_load_options("\x01\xff\x1b[2J kaslr=no report=json quiet", &o);
    assert_string_equal(console, "Load options ignored: \"???[2J kaslr=no quiet\"\r\n");
    assert_string_equal(o.cmdline, "report=json");
    assert_true(o.kaslr);
}

static void the_quotation_of_junk_fits_a_line(void **state)
{
    (void)state;
    for (size_t length = 1; length < 200; length++) {
        char line[256];
        struct options o;
        for (size_t i = 0; i < length; i++)
            line[i] = i % 7 == 6 ? ' ' : 'j';
        line[length] = 0;
        from_load_options(line, &o);
        assert_true(strlen(console) < 80);
        assert_ptr_equal(strchr(console, '\n'), console + strlen(console) - 1);
    }
}

static void the_programs_name_is_left_out(void **state)
{
    (void)state;
    struct options o;
    from_load_options("FS0:\\EFI\\BOOT\\BOOTX64.EFI memmap", &o);
    assert_string_equal(o.command, "memmap");
    from_load_options("  bootx64.efi", &o);
    assert_string_equal(o.command, "boot");
    from_load_options("\tversion \r\n", &o);
    assert_string_equal(o.command, "version");
    assert_string_equal(console, "");
}

static void load_options_need_no_end_no_alignment_and_no_even_size(void **state)
{
    (void)state;
    uint8_t *bytes = malloc(14); /* exactly: the sanitizer guards both ends */
    struct options o;
    for (size_t i = 0; i < 6; i++) {
        bytes[1 + 2 * i] = (uint8_t) "memmap"[i];
        bytes[2 + 2 * i] = 0;
    }
    bytes[13] = 'x';
    reset(NULL);
    image.LoadOptions = bytes + 1;
    image.LoadOptionsSize = 13;
    assert_true(options_read(&o));
    assert_string_equal(o.command, "memmap");
    image.LoadOptionsSize = 0xffffffff;
    image.LoadOptions = NULL;
    assert_true(options_read(&o));
    assert_string_equal(o.command, "boot");
    free(bytes);
}

/* Words that look like ours, broken in every way, in buffers of every size. */
static void random_load_options_give_whole_words_and_a_valid_command(void **state)
{
    (void)state;
    static const char *const pieces[] = {
        "help ", "boot", " ",     "-- ",      "resolution=", "8x6",      "kernel=\\",
        "exit",  "=",    ".efi ", "verbose ", "-h",          "kaslr=on "};
    struct rng rng = rng_start();
    for (int round = 0; round < 20000; round++) {
        size_t bytes = rng_below(&rng, 2400), at = 0;
        uint8_t *junk = malloc(bytes + 1);
        while (at < bytes) {
            const char *piece = pieces[rng_below(&rng, COUNT(pieces))];
            bool noise = rng_below(&rng, 8) == 0;
            for (size_t i = 0; at < bytes && (noise ? i < 2 : piece[i / 2]); i++)
                junk[at++] = noise ? (uint8_t)rng_next(&rng) : i % 2 ? 0 : (uint8_t)piece[i / 2];
        }
        char list[OPTIONS_CMDLINE_MAX];
        size_t room = rng_between(&rng, 2, sizeof list);
        char *exact = malloc(room);
        (void)arguments_split(junk, bytes, exact, room);
        const char *word = exact;
        while (*word)
            word += strlen(word) + 1; /* the sanitizer watches for a missing end */
        free(exact);

        struct options o;
        reset(NULL);
        image.LoadOptions = junk;
        image.LoadOptionsSize = (UINT32)bytes;
        assert_true(options_read(&o));
        assert_non_null(command_find(o.command));
        assert_true(strlen(o.cmdline) < sizeof o.cmdline);
        for (const char *c = console; *c; c++)
            assert_true((*c >= ' ' && *c < 0x7f) || *c == '\r' || *c == '\n');
        free(junk);
    }
}

/* ---- what is printed ------------------------------------------------------------------------ */

static void formats_do_what_printf_does(void **state)
{
    (void)state;
    char expected[512];
    static const CHAR16 wide[] = {'w', 'i', 'd', 'e', 0};
    reset(NULL);
#define SAME(...)                                         \
    do {                                                  \
        reset(NULL);                                      \
        print(__VA_ARGS__);                               \
        snprintf(expected, sizeof expected, __VA_ARGS__); \
        assert_string_equal(console, expected);           \
    } while (0)
    SAME("%d %d %d", 0, -1, INT32_MIN);
    SAME("%ld %lld", INT64_MIN, (long long)INT64_MAX);
    SAME("%u %lu", UINT32_MAX, UINT64_MAX);
    SAME("%x|%X|%lx", 0xbeefu, 0xbeefu, 0xdeadbeefcafef00dul);
    SAME("%8d|%-8d|%08d|", -42, -42, -42);
    SAME("%12lx|%012lx|%-12lx|", 0xabcul, 0xabcul, 0xabcul);
    SAME("%s|%5s|%-5s|%.2s|%5.1s|", "abc", "abc", "abc", "abc", "abc");
    SAME("%c%%%c", 'a', 'b');
    SAME("%p", (void *)0x1234);
    SAME("%1d%2s", 12345, "long");
#undef SAME
    reset(NULL);
    print("%S|%6S|%-6S|%s\n", wide, wide, wide, (const char *)NULL);
    assert_string_equal(console, "wide|  wide|wide  |(null)\r\n");
}

static void utf8_is_counted_in_characters_and_its_errors_replaced(void **state)
{
    (void)state;
    reset(NULL);
    print("\xc3\xa9|%3s|\xe2\x94\x80|", "\xc3\xa9"); /* e acute; a box drawing line */
    assert_string_equal(console, "\xe9|  \xe9|#|");
    reset(NULL);
    print("%s", "\xff|\xc3|\xc0\x80|\xe2\x94|\xed\xa0\x80|\xf0\x9f\x98\x80|\x80|\xf0");
    assert_string_equal(console, "?|?|?|?|?|?|?|?");
}

static void text_longer_than_the_buffer_comes_out_whole(void **state)
{
    (void)state;
    char text[1000];
    for (size_t length = 150; length < 170; length++) {
        reset(NULL);
        memset(text, 'l', length);
        text[length] = 0;
        print("%s\n%s", text, "end");
        assert_int_equal(strlen(console), length + 5);
        assert_said("l\r\nend");
    }
}

static void sizes_never_promise_more_than_there_is(void **state)
{
    (void)state;
    static const struct {
        uint64_t bytes;
        const char *text;
    } cases[] = {
        {0, "0 B"},
        {1023, "1023 B"},
        {4096, "4 KiB"},
        {(128ull << 20) - 4096, "127.9 MiB"},
        {1536, "1.5 KiB"},
        {(1ull << 30) + 1, "1.0 GiB"},
        {1ull << 30, "1 GiB"},
        {(1ull << 40) - 1, "1023.9 GiB"},
        {UINT64_MAX, "15.9 EiB"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_string_equal(size_text(cases[i].bytes).text, cases[i].text);
        assert_true(strlen(cases[i].text) <= 10);
    }
}

static void every_status_has_a_name(void **state)
{
    (void)state;
    assert_string_equal(status_name(EFI_SUCCESS), "EFI_SUCCESS");
    assert_string_equal(status_name(EFI_OUT_OF_RESOURCES), "EFI_OUT_OF_RESOURCES");
    assert_string_equal(status_name(EFI_COMPROMISED_DATA), "EFI_COMPROMISED_DATA");
    assert_string_equal(status_name(EFIERR(29)), "EFI_STATUS 0x800000000000001d");
    assert_string_equal(status_name(EFIERR(77)), "EFI_STATUS 0x800000000000004d");
    assert_string_equal(status_name(99), "EFI_STATUS 0x0000000000000063");
}

static void help_fits_the_narrowest_console(void **state)
{
    (void)state;
    for (const struct command *c = commands;; c++) {
        struct options o = {.topic = c->name};
        reset(NULL);
        assert_int_equal(command_help(&o), EXIT_FINE);
        assert_true(console_used > 0);
        for (char *line = strtok(console, "\r\n"); line; line = strtok(NULL, "\r\n"))
            if (strlen(line) >= 80)
                fail_msg("%zu columns: %s", strlen(line), line);
        if (!c->name)
            break; /* the overview was the last */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_words_mean_boot_with_the_defaults),
        cmocka_unit_test(options_are_kept_and_passed_on_as_they_were_given),
        cmocka_unit_test(another_kernel_gets_only_what_follows_the_dashes),
        cmocka_unit_test(help_is_found_wherever_it_stands),
        cmocka_unit_test(at_a_shell_a_wrong_word_is_named_and_ends_it),
        cmocka_unit_test(too_long_a_line_is_refused_at_a_shell_and_cut_at_a_word_elsewhere),
        cmocka_unit_test(junk_in_load_options_is_quoted_once_and_ignored),
        cmocka_unit_test(the_quotation_of_junk_fits_a_line),
        cmocka_unit_test(the_programs_name_is_left_out),
        cmocka_unit_test(load_options_need_no_end_no_alignment_and_no_even_size),
        cmocka_unit_test(random_load_options_give_whole_words_and_a_valid_command),
        cmocka_unit_test(formats_do_what_printf_does),
        cmocka_unit_test(utf8_is_counted_in_characters_and_its_errors_replaced),
        cmocka_unit_test(text_longer_than_the_buffer_comes_out_whole),
        cmocka_unit_test(sizes_never_promise_more_than_there_is),
        cmocka_unit_test(every_status_has_a_name),
        cmocka_unit_test(help_fits_the_narrowest_console),
    };
    return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
