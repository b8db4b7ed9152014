/* kernel/report/json.c: what comes out is JSON, whatever goes in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "console/console.h"
#include "console/serial.h"
#include "mm/port.h"
#include "report/json.h"

static char out[4096];
static size_t used;

static void collect(const char *text, size_t bytes)
{
    assert_true(used + bytes < sizeof out);
    memcpy(out + used, text, bytes);
    used += bytes;
    out[used] = '\0';
}

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
void port_panic(const char *fmt, ...)
{
    (void)fmt;
    mock_assert(0, "port_panic", __FILE__, __LINE__);
    abort();
}

static struct json begin(void)
{
    used = 0;
    out[0] = '\0';
    return (struct json){.write = collect};
}

static const char *string(const char *value)
{
    struct json json = begin();
    json_string(&json, NULL, value);
    return out;
}

static void commas_and_brackets_are_right(void **state)
{
    struct json json = begin();

    (void)state;
    json_begin_object(&json, NULL);
    json_number(&json, "a", 1);
    json_begin_array(&json, "b");
    json_end(&json);
    json_begin_array(&json, "c");
    json_begin_object(&json, NULL);
    json_end(&json);
    json_begin_object(&json, NULL);
    json_bool(&json, "d", true);
    json_null(&json, "e");
    json_end(&json);
    json_signed(&json, NULL, -1);
    json_end(&json);
    json_hex(&json, "f", 0xffff800000000000);
    json_end(&json);
    assert_string_equal(out, "{\"a\":1,\"b\":[],\"c\":[{},{\"d\":true,\"e\":null},-1],"
                             "\"f\":\"0xffff800000000000\"}");
}

static void numbers_are_whole(void **state)
{
    struct json json = begin();

    (void)state;
    json_begin_array(&json, NULL);
    json_number(&json, NULL, 0);
    json_number(&json, NULL, UINT64_MAX);
    json_signed(&json, NULL, INT64_MIN);
    json_end(&json);
    assert_string_equal(out, "[0,18446744073709551615,-9223372036854775808]");
}

static void strings_are_escaped(void **state)
{
    (void)state;
    assert_string_equal(string("plain"), "\"plain\"");
    assert_string_equal(string("a\"b\\c/"), "\"a\\\"b\\\\c/\"");
    assert_string_equal(string("\n\r\t\x01\x1b\x7f"),
                        "\"\\u000a\\u000d\\u0009\\u0001\\u001b\\u007f\"");
    assert_string_equal(string("\xc3\xa9\xe2\x82\xac"), "\"\\u00e9\\u20ac\"");
    assert_string_equal(string("\xf0\x9f\x98\x80"), "\"\\ud83d\\ude00\"");
    assert_string_equal(string(NULL), "null");
}

static void broken_text_becomes_replacements(void **state)
{
    (void)state;
    assert_string_equal(string("a\xff"
                               "b"),
                        "\"a\\ufffdb\"");
    assert_string_equal(string("cut \xe2\x82"), "\"cut \\ufffd\"");
    assert_string_equal(string("\xed\xa0\x80"), "\"\\ufffd\\ufffd\\ufffd\"");
}

static void keys_are_escaped_too(void **state)
{
    struct json json = begin();

    (void)state;
    json_begin_object(&json, NULL);
    json_number(&json, "a\"\n", 1);
    json_end(&json);
    assert_string_equal(out, "{\"a\\\"\\u000a\":1}");
}

static void misuse_is_caught(void **state)
{
    struct json json = begin();

    (void)state;
    expect_assert_failure(json_end(&json));
    json_begin_object(&json, NULL);
    expect_assert_failure(json_number(&json, NULL, 1)); /* a member needs a key */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commas_and_brackets_are_right),
        cmocka_unit_test(numbers_are_whole),
        cmocka_unit_test(strings_are_escaped),
        cmocka_unit_test(broken_text_becomes_replacements),
        cmocka_unit_test(keys_are_escaped_too),
        cmocka_unit_test(misuse_is_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
