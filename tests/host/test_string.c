/* The memory and string functions against loops over bytes, at every
 * size around their thresholds. */
#include "test.h"

#include "mm/string.h"

#define ROOM  3000
#define GUARD 64

/* Sizes: all small ones, and both sides of everything that the implementation could branch at. */
static size_t next_size(size_t bytes)
{
    return bytes < 140   ? bytes + 1
           : bytes < 500 ? bytes + 13
           : bytes < 800 ? bytes + 1
                         : bytes + 401;
}

#define FOR_SIZES(n, limit) for (size_t n = 0; n < (limit); n = next_size(n))

static void fill_random(struct rng *rng, unsigned char *p, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        p[i] = (unsigned char)rng_next(rng);
}

static void bytes_equal(const unsigned char *want, const unsigned char *got, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (want[i] != got[i])
            fail_msg("byte %zu of %zu: 0x%02x, not 0x%02x", i, bytes, got[i], want[i]);
}

/* Copies between all alignments, with the bytes around the destination watched. */
static void copy_copies_exactly(void **state)
{
    (void)state;
    struct rng rng = rng_start();
    static unsigned char src[ROOM], dst[ROOM], want[ROOM];
    fill_random(&rng, src, ROOM);
    FOR_SIZES(n, 2500)
    for (size_t at = 0; at < 9; at++) {
        size_t from = rng_below(&rng, 9), to = GUARD + at;
        fill_random(&rng, dst, ROOM);
        memcpy(want, dst, ROOM);
        for (size_t i = 0; i < n; i++)
            want[to + i] = src[from + i];
        assert_ptr_equal(dst + to, ql_memcpy(dst + to, src + from, n));
        bytes_equal(want, dst, ROOM);
    }
}

static void move_copes_with_every_overlap(void **state)
{
    (void)state;
    struct rng rng = rng_start();
    static const int distances[] = {0,  1,   7,   8,   9,   31,  63,   64,
                                    65, 127, 200, 511, 512, 513, 1000, 1300};
    static unsigned char buffer[2 * ROOM], want[2 * ROOM];
    FOR_SIZES(n, 1400)
    for (size_t d = 0; d < 2 * COUNT(distances); d++) {
        int distance = d % 2 != 0 ? distances[d / 2] : -distances[d / 2];
        unsigned char *src = buffer + ROOM / 2 + rng_below(&rng, 8), *dst = src + distance;
        fill_random(&rng, buffer, sizeof buffer);
        memcpy(want, buffer, sizeof buffer);
        for (size_t i = 0; i < n; i++)
            want[dst - buffer + (ptrdiff_t)i] = src[i];
        assert_ptr_equal(dst, ql_memmove(dst, src, n));
        bytes_equal(want, buffer, sizeof buffer);
    }
}

static void set_fills_exactly(void **state)
{
    (void)state;
    struct rng rng = rng_start();
    static unsigned char dst[ROOM], want[ROOM];
    FOR_SIZES(n, 2500)
    for (size_t at = 0; at < 9; at++) {
        int value = (int)rng_between(&rng, 0, 1023) - 256; /* converted to unsigned char */
        size_t to = GUARD + at;
        fill_random(&rng, dst, ROOM);
        memcpy(want, dst, ROOM);
        for (size_t i = 0; i < n; i++)
            want[to + i] = (unsigned char)value;
        assert_ptr_equal(dst + to, ql_memset(dst + to, value, n));
        bytes_equal(want, dst, ROOM);
    }
}

static void set64_fills_exactly(void **state)
{
    (void)state;
    struct rng rng = rng_start();
    static uint64_t dst[400];
    for (size_t n = 0; n < 300; n++) {
        uint64_t value = rng_next(&rng);
        memset(dst, 0x5a, sizeof dst);
        memset64(dst + 8, value, n);
        for (size_t i = 0; i < COUNT(dst); i++) {
            bool inside = i >= 8 && i < 8 + n;
            assert_true(dst[i] == (inside ? value : 0x5a5a5a5a5a5a5a5aull));
        }
    }
}

static int sign(int x)
{
    return (x > 0) - (x < 0);
}

/* On the heap, so that the sanitizer sees a byte read too many. */
static void compare_finds_the_first_difference(void **state)
{
    (void)state;
    struct rng rng = rng_start();
    for (size_t n = 0; n < 80; n++) {
        unsigned char *a = malloc(n), *b = malloc(n);
        fill_random(&rng, a, n);
        for (size_t i = 0; i < n; i++)
            b[i] = a[i];
        assert_int_equal(0, ql_memcmp(a, b, n));
        for (size_t at = 0; at < n; at++) {
            b[at] = (unsigned char)(a[at] + 1 + rng_below(&rng, 255));
            if (at + 1 < n)
                b[at + 1] = (unsigned char)rng_next(&rng); /* does not matter any more */
            int want = a[at] < b[at] ? -1 : 1;
            assert_int_equal(want, sign(ql_memcmp(a, b, n)));
            assert_int_equal(-want, sign(ql_memcmp(b, a, n)));
            assert_int_equal(0, ql_memcmp(a, b, at));
            b[at] = a[at];
            if (at + 1 < n)
                b[at + 1] = a[at + 1];
        }
        free(a);
        free(b);
    }
}

static char *on_heap(const char *s, size_t bytes)
{
    char *copy = malloc(bytes);
    for (size_t i = 0; i < bytes; i++)
        copy[i] = s[i];
    return copy;
}

static void strings_compare_as_unsigned_bytes_up_to_their_end(void **state)
{
    (void)state;
    static const char *const words[] = {"",  "a",    "ab",   "abc",  "abd",
                                        "b", "\x7f", "\x80", "\xff", "a\xff"};
    for (size_t i = 0; i < COUNT(words); i++)
        for (size_t j = 0; j < COUNT(words); j++) {
            char *a = on_heap(words[i], strlen(words[i]) + 1);
            char *b = on_heap(words[j], strlen(words[j]) + 1);
            assert_int_equal(strlen(a), ql_strlen(a));
            assert_int_equal(sign(strcmp(a, b)), sign(ql_strcmp(a, b)));
            for (size_t n = 0; n < 5; n++)
                assert_int_equal(sign(strncmp(a, b, n)), sign(ql_strncmp(a, b, n)));
            free(a);
            free(b);
        }
}

static void a_limited_compare_needs_no_terminator(void **state)
{
    (void)state;
    char *a = on_heap("abcX", 3), *b = on_heap("abcY", 3);
    assert_int_equal(0, ql_strncmp(a, b, 3));
    assert_int_equal(0, ql_strncmp(a, b, 0));
    free(a);
    free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copy_copies_exactly),
        cmocka_unit_test(move_copes_with_every_overlap),
        cmocka_unit_test(set_fills_exactly),
        cmocka_unit_test(set64_fills_exactly),
        cmocka_unit_test(compare_finds_the_first_difference),
        cmocka_unit_test(strings_compare_as_unsigned_bytes_up_to_their_end),
        cmocka_unit_test(a_limited_compare_needs_no_terminator),
    };
    return cmocka_run_group_tests_name("string", tests, NULL, NULL);
}
