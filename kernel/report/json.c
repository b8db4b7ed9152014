/* Owns: the syntax of JSON. Relies on: the sink, ksnprintf, utf8.c. Stage: any. */
#include "report/json.h"

#include "check.h"
#include "console/print.h"
#include "console/utf8.h"
#include "mm/string.h"

static void put(struct json *json, const char *text)
{
    json->write(text, strlen(text));
}

static void put_unit(struct json *json, uint32_t unit)
{
    char text[8];
    ksnprintf(text, sizeof text, "\\u%04x", (unsigned)unit);
    put(json, text);
}

static void put_code(struct json *json, uint32_t code)
{
    char c = (char)code;

    if (code == '"' || code == '\\') {
        json->write("\\", 1);
        json->write(&c, 1);
    } else if (code >= 0x20 && code < 0x7f) {
        json->write(&c, 1);
    } else if (code < 0x10000) {
        put_unit(json, code);
    } else {
        put_unit(json, 0xd800 + ((code - 0x10000) >> 10));
        put_unit(json, 0xdc00 + ((code - 0x10000) & 0x3ff));
    }
}

static void put_quoted(struct json *json, const char *text)
{
    struct utf8 utf8 = {0};
    uint32_t codes[UTF8_PUSH_MAX];

    put(json, "\"");
    for (; *text; text++) {
        unsigned n = utf8_push(&utf8, (uint8_t)*text, codes);
        for (unsigned i = 0; i < n; i++)
            put_code(json, codes[i]);
    }
    if (utf8.missing) /* cut short at the end */
        put_code(json, UTF8_REPLACEMENT);
    put(json, "\"");
}

/* What stands in front of a value: the comma, and the key inside an object. */
static void begin_value(struct json *json, const char *key)
{
    uint32_t bit = 1u << json->depth;

    ASSERT(json->depth == 0 || (key == NULL) == ((json->arrays & bit) != 0));
    if (json->filled & bit)
        put(json, ",");
    json->filled |= bit;
    if (key) {
        put_quoted(json, key);
        put(json, ":");
    }
}

static void begin(struct json *json, const char *key, bool array)
{
    begin_value(json, key);
    put(json, array ? "[" : "{");
    ASSERT(json->depth < JSON_DEPTH_MAX);
    uint32_t bit = 1u << ++json->depth;
    json->filled &= ~bit;
    json->arrays = array ? json->arrays | bit : json->arrays & ~bit;
}

void json_begin_object(struct json *json, const char *key)
{
    begin(json, key, false);
}

void json_begin_array(struct json *json, const char *key)
{
    begin(json, key, true);
}

void json_end(struct json *json)
{
    ASSERT(json->depth > 0);
    put(json, json->arrays & 1u << json->depth ? "]" : "}");
    json->depth--;
}

void json_string(struct json *json, const char *key, const char *value)
{
    begin_value(json, key);
    if (value)
        put_quoted(json, value);
    else
        put(json, "null");
}

void json_number(struct json *json, const char *key, uint64_t value)
{
    char text[24];
    begin_value(json, key);
    ksnprintf(text, sizeof text, "%lu", (unsigned long)value);
    put(json, text);
}

void json_signed(struct json *json, const char *key, int64_t value)
{
    char text[24];
    begin_value(json, key);
    ksnprintf(text, sizeof text, "%ld", (long)value);
    put(json, text);
}

void json_hex(struct json *json, const char *key, uint64_t value)
{
    char text[24];
    ksnprintf(text, sizeof text, "0x%lx", (unsigned long)value);
    json_string(json, key, text);
}

void json_bool(struct json *json, const char *key, bool value)
{
    begin_value(json, key);
    put(json, value ? "true" : "false");
}

void json_null(struct json *json, const char *key)
{
    json_string(json, key, NULL);
}
