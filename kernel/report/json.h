/* A streaming writer of JSON on one line: commas, quotes and escapes are its business. It keeps no
 * text. Pure but for the sink; no stage. source: RFC 8259. */
#ifndef QL_KERNEL_JSON_H
#define QL_KERNEL_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JSON_DEPTH_MAX 16

/* Starts as {.write = sink}. */
struct json {
    void (*write)(const char *text, size_t bytes);
    unsigned depth;
    uint32_t filled; /* bit d: the object or array at depth d has a member already */
    uint32_t arrays; /* bit d: it is an array */
};

/* Open and close. key is NULL for the outermost value and for elements of an array, everywhere. */
void json_begin_object(struct json *json, const char *key);
void json_begin_array(struct json *json, const char *key);
void json_end(struct json *json);

/* A string in any encoding: what is not UTF-8 comes out as U+FFFD, what is not ASCII as \u escapes,
 * so that the line survives every terminal. NULL gives null. */
void json_string(struct json *json, const char *key, const char *value);

void json_number(struct json *json, const char *key, uint64_t value);
void json_signed(struct json *json, const char *key, int64_t value);
void json_bool(struct json *json, const char *key, bool value);
void json_null(struct json *json, const char *key);

/* A number as a string "0x...", for what is beyond the 2^53 that every reader keeps exact. */
void json_hex(struct json *json, const char *key, uint64_t value);

#endif
