/* ACPI tables for tests: built byte by byte, read from a copy of exactly their bytes, so that the
 * sanitizer sees every step beyond; what is said of them is kept. */
#ifndef TABLE_RIG_H
#define TABLE_RIG_H

#include "test.h"

#include "console/console.h"
#include "console/serial.h"

#define TABLE_MAX 65536

static struct {
    uint8_t bytes[TABLE_MAX];
    size_t length;
} table;

static char said[16384];

void console_write(const char *text, size_t bytes)
{
    size_t used = strlen(said);
    assert_true(used + bytes < sizeof said);
    memcpy(said + used, text, bytes);
    said[used + bytes] = '\0';
}

void serial_write(const char *text, size_t bytes)
{
    (void)text, (void)bytes;
}

static inline void add(uint64_t value, size_t bytes)
{
    assert_true(table.length + bytes <= TABLE_MAX);
    memcpy(table.bytes + table.length, &value, bytes);
    table.length += bytes;
}

static inline void add_zeros(size_t bytes)
{
    assert_true(table.length + bytes <= TABLE_MAX);
    memset(table.bytes + table.length, 0, bytes);
    table.length += bytes;
}

/* Begin a table: its header of 36 bytes and what else stands before its entries. */
static inline void begin(const char *signature, uint8_t revision, size_t bytes)
{
    table.length = 0;
    add_zeros(bytes);
    memcpy(table.bytes, signature, 4);
    table.bytes[8] = revision;
}

/* The table where no byte behind it may be read; the caller frees it. */
static inline uint8_t *table_copy(void)
{
    uint8_t *copy = malloc(table.length ? table.length : 1);
    memcpy(copy, table.bytes, table.length);
    said[0] = '\0';
    return copy;
}

static inline void assert_said(const char *text)
{
    assert_string_equal(said, text);
}

/* Number of lines that were said. */
static inline size_t said_lines(void)
{
    size_t n = 0;
    for (const char *at = said; *at; at++)
        n += *at == '\n';
    return n;
}

/* Damage the entries, or cut the table: one to four times. */
static inline void mutate(struct rng *rng, size_t first)
{
    for (uint64_t n = rng_between(rng, 1, 4); n > 0 && table.length > first; n--) {
        size_t at = rng_between(rng, first, table.length - 1);
        switch (rng_below(rng, 4)) {
        case 0:
            table.bytes[at] = (uint8_t)rng_next(rng);
            break;
        case 1:
            table.bytes[at] ^= (uint8_t)(1u << rng_below(rng, 8));
            break;
        case 2:
            table.bytes[at] = rng_below(rng, 2) ? 0xff : 0;
            break;
        default:
            if (rng_below(rng, 4) == 0)
                table.length = at;
        }
    }
}

#endif
