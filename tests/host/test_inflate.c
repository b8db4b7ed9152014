/* efi/inflate.c: what zlib (python3) and zopfli write comes out again; blocks of our own making are
 * taken or refused with the field named; what is cut short is refused, what is damaged stays within
 * its memory (ASan watches). */
#include "test.h"

#include "inflate.h"

#define CONTENT_MAX 300000
#define PACKED_MAX  (CONTENT_MAX + 4096)

static uint8_t content[CONTENT_MAX], packed[PACKED_MAX];
static size_t content_bytes, packed_bytes;
static struct fault fault;

/* A copy that ends where the sanitizer sees the next byte being touched. */
static uint8_t *exact_copy(const uint8_t *data, size_t bytes)
{
    uint8_t *copy = malloc(bytes ? bytes : 1);
    assert_non_null(copy);
    memcpy(copy, data, bytes);
    return copy;
}

/* Decode to memory of just that size; true if it says that it did, and then same counts. */
static bool decode(size_t bytes, size_t room, bool *same)
{
    uint8_t *in = exact_copy(packed, bytes), *out = malloc(room ? room : 1);
    assert_non_null(out);
    memset(out, 0xaa, room);
    fault = (struct fault){0};
    bool ok = inflate(in, bytes, out, room, &fault);
    assert_true(ok || (fault.field && fault.what));
    *same = room == content_bytes && !memcmp(out, content, room);
    free(in);
    free(out);
    return ok;
}

static void assert_decodes(void)
{
    bool same;
    if (!decode(packed_bytes, content_bytes, &same))
        fail_msg("block %lu: %s %lu %s", fault.index, fault.field, fault.value, fault.what);
    assert_true(same);
}

static void assert_refused(const char *field, uint64_t value)
{
    bool same;
    assert_false(decode(packed_bytes, content_bytes, &same));
    assert_string_equal(fault.field, field);
    assert_int_equal(fault.value, value);
}

/* ---- what the tools write -------------------------------------------------------------------- */

/* zlib: level, strategy (4: the fixed codes), bytes of input after which a block is ended (0: never) */
#define ZLIB(level, strategy, flush)                                                     \
    "/usr/bin/python3 -c 'import sys, zlib\n"                                            \
    "d = open(sys.argv[1], \"rb\").read(); n = " flush " or len(d)\n"                    \
    "z = zlib.compressobj(" level ", 8, -15, 9, " strategy ")\n"                         \
    "p = b\"\".join(z.compress(d[i:i + n]) + (z.flush(2) if i + n < len(d) else b\"\") " \
    "for i in range(0, len(d), n))\n"                                                    \
    "sys.stdout.buffer.write(p + z.flush())'"
#define ZOPFLI "zopfli --deflate --i5 -c"

/* Pack the content with the tool, which writes to its output. */
static void pack(const char *tool)
{
    char plain[] = "/tmp/test_inflate.XXXXXX", command[1024];
    int handle = mkstemp(plain);
    assert_true(handle >= 0);
    assert_int_equal(write(handle, content, content_bytes), (ssize_t)content_bytes);
    close(handle);
    snprintf(command, sizeof command, "%s %s", tool, plain);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    packed_bytes = fread(packed, 1, sizeof packed, pipe);
    assert_int_equal(pclose(pipe), 0);
    unlink(plain);
}

static void fill_text(size_t bytes)
{
    static const char *const words[] = {"frame ", "page ", "the ", "a ", "kernel\n", "of ", "\t"};
    struct rng rng = {1};
    content_bytes = 0;
    while (content_bytes < bytes) {
        const char *word = words[rng_below(&rng, COUNT(words))];
        for (; *word && content_bytes < bytes; word++)
            content[content_bytes++] = (uint8_t)*word;
    }
}

static void fill_random(size_t bytes)
{
    struct rng rng = {2};
    for (content_bytes = 0; content_bytes < bytes; content_bytes++)
        content[content_bytes] = (uint8_t)rng_next(&rng);
}

/* Bytes of very unequal number: long codes. */
static void fill_skewed(size_t bytes)
{
    struct rng rng = {3};
    for (content_bytes = 0; content_bytes < bytes; content_bytes++)
        content[content_bytes] = (uint8_t)__builtin_ctzll(rng_next(&rng) | 1ull << 40);
}

/* Runs that repeat what is 1 to 20 bytes back. */
static void fill_near(size_t bytes)
{
    struct rng rng = {4};
    content_bytes = 0;
    while (content_bytes < bytes) {
        size_t back = rng_between(&rng, 1, 20), run = rng_size(&rng, 600);
        for (; run > 0 && content_bytes < bytes; run--, content_bytes++)
            content[content_bytes] = run % 97 == 0 || back > content_bytes
                                         ? (uint8_t)rng_next(&rng)
                                         : content[content_bytes - back];
    }
}

static void fill_program(void)
{
    FILE *file = fopen("/proc/self/exe", "rb");
    assert_non_null(file);
    content_bytes = fread(content, 1, sizeof content, file);
    assert_true(content_bytes > 100000);
    fclose(file);
}

static void everything_the_tools_pack_comes_back(void **state)
{
    static const char *const tools[] = {ZOPFLI, ZLIB("9", "0", "0"), ZLIB("1", "0", "5000"),
                                        ZLIB("9", "4", "0"), ZLIB("0", "0", "0")};
    static void (*const fills[])(size_t) = {fill_text, fill_random, fill_skewed, fill_near};
    (void)state;
    for (size_t tool = 0; tool < COUNT(tools); tool++) {
        for (size_t bytes = 1; bytes < 100000; bytes = bytes * 7 + 1) {
            for (size_t i = 0; i < COUNT(fills); i++) {
                fills[i](bytes);
                pack(tools[tool]);
                assert_decodes();
            }
            memset(content, 0, bytes);
            pack(tools[tool]);
            assert_decodes();
        }
        fill_program();
        pack(tools[tool]);
        assert_decodes();
    }
    content_bytes = 0;
    pack(ZOPFLI);
    assert_decodes();
}

static void the_size_must_be_right(void **state)
{
    bool same;
    (void)state;
    fill_text(1000);
    pack(ZOPFLI);
    for (size_t room = 0; room < 1300; room++)
        assert_true(decode(packed_bytes, room, &same) == (room == 1000));
    packed[packed_bytes++] = 0;
    assert_refused("input", 1);
}

static void cut_short_anywhere_it_is_refused(void **state)
{
    static const char *const tools[] = {ZOPFLI, ZLIB("9", "4", "200"), ZLIB("9", "0", "300"),
                                        ZLIB("0", "0", "0")};
    bool same;
    (void)state;
    for (size_t tool = 0; tool < COUNT(tools); tool++) {
        fill_near(3000);
        pack(tools[tool]);
        assert_decodes();
        for (size_t bytes = 0; bytes < packed_bytes; bytes++)
            assert_false(decode(bytes, content_bytes, &same));
    }
}

/* Some damage goes unnoticed here, like a changed literal; none leaves the memory. */
static void damage_anywhere_stays_within_bounds(void **state)
{
    static const char *const tools[] = {ZOPFLI, ZLIB("9", "4", "200"), ZLIB("9", "0", "300"),
                                        ZLIB("0", "0", "0")};
    bool same;
    (void)state;
    for (size_t tool = 0; tool < COUNT(tools); tool++) {
        fill_near(3000);
        pack(tools[tool]);
        for (size_t bit = 0; bit < packed_bytes * 8; bit++) {
            packed[bit / 8] ^= (uint8_t)(1u << bit % 8);
            (void)decode(packed_bytes, content_bytes, &same);
            packed[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        assert_decodes();
    }
}

static void noise_stays_within_bounds(void **state)
{
    bool same;
    (void)state;
    struct rng rng = rng_start();
    content_bytes = 2000;
    for (unsigned round = 0; round < 30000; round++) {
        packed_bytes = rng_size(&rng, 600);
        for (size_t i = 0; i < packed_bytes; i++)
            packed[i] = (uint8_t)rng_next(&rng);
        if (round % 2) /* a block with codes of its own, which noise alone seldom is */
            packed[0] = (uint8_t)((packed[0] & ~7) | 5);
        (void)decode(packed_bytes, content_bytes, &same);
    }
}

/* ---- blocks of our own making ---------------------------------------------------------------- */

static size_t nbits;

static void begin_bits(size_t output)
{
    memset(packed, 0, 256);
    nbits = 0;
    packed_bytes = 0;
    content_bytes = output;
}

/* Bits as numbers are written: the lowest first. */
static void put(uint64_t value, unsigned n)
{
    for (unsigned i = 0; i < n; i++, nbits++)
        packed[nbits / 8] |= (uint8_t)((value >> i & 1) << nbits % 8);
    packed_bytes = (nbits + 7) / 8;
}

/* A Huffman code: the highest first. */
static void put_code(uint64_t code, unsigned n)
{
    while (n-- > 0)
        put(code >> n & 1, 1);
}

/* The header of a last block with codes of its own, whose lengths are 0, 1, 2, 18 or 16 in two or
 * three bits: 00, 01, 10, 110, 111. */
static void begin_dynamic(unsigned nsymbols, unsigned ndistances)
{
    static const uint8_t lengths[18] = {3, 0, 3, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 2};
    put(5, 3);
    put(nsymbols - 257, 5);
    put(ndistances - 1, 5);
    put(18 - 4, 4);
    for (unsigned i = 0; i < 18; i++)
        put(lengths[i], 3);
}

#define LENGTH_0()     put_code(0, 2)
#define LENGTH_1()     put_code(1, 2)
#define LENGTH_2()     put_code(2, 2)
#define LENGTH_AGAIN() (put_code(6, 3), put(0, 2))
#define ZEROS(n)       (put_code(7, 3), put((n)-11, 7))

static void what_a_block_cannot_be_is_named(void **state)
{
    (void)state;
    begin_bits(10);
    put(7, 3);
    assert_refused("BTYPE", 3);
    begin_bits(10);
    put(1, 3), put(0, 5), put(10, 16), put(10, 16), put(0, 40), put(0, 40);
    assert_refused("NLEN", 10);
    begin_bits(9);
    put(1, 3), put(0, 5), put(10, 16), put(0xffff - 10, 16), put(0, 40), put(0, 40);
    assert_refused("LEN", 10);
    begin_bits(11);
    put(1, 3), put(0, 5), put(10, 16), put(0xffff - 10, 16), put(0, 40), put(0, 40);
    assert_refused("output", 10);
}

/* In the fixed codes: literals from 0x30 in 8 bits, lengths from 257 as 1 in 7 bits, distances 5. */
static void what_a_match_cannot_be_is_named(void **state)
{
    for (unsigned fast = 0; fast < 2; fast++) { /* far from the end, and near to it */
        size_t output = fast ? 1000 : 4;
        (void)state;
        begin_bits(output);
        put(3, 3), put_code(0x30, 8), put_code(1, 7), put_code(1, 5), put(0, 64);
        assert_refused("distance", 2);
        begin_bits(output);
        put(3, 3), put_code(1, 7), put_code(0, 5), put(0, 64);
        assert_refused("distance", 1);
        begin_bits(output);
        put(3, 3), put_code(0x30, 8), put_code(1, 7), put_code(30, 5), put(0, 64);
        assert_refused("distance", 30);
        begin_bits(output);
        put(3, 3), put_code(0xc6, 8), put_code(0, 5), put(0, 64);
        assert_refused("symbol", 286);
    }
    begin_bits(3);
    put(3, 3), put_code(0x30, 8), put_code(1, 7), put_code(0, 5), put_code(0, 7);
    assert_refused("length", 3);
    begin_bits(4);
    put(3, 3), put_code(0x30, 8), put_code(1, 7), put_code(0, 5), put_code(0, 7);
    memset(content, 0, 4);
    assert_decodes();
    begin_bits(0);
    put(3, 3), put_code(0x31, 8), put_code(0, 7);
    assert_refused("literal", 1);
}

static void lengths_of_codes_are_checked(void **state)
{
    (void)state;
    begin_bits(10); /* three codes of one bit */
    begin_dynamic(257, 1);
    LENGTH_1(), LENGTH_1(), LENGTH_1(), ZEROS(138), ZEROS(115), LENGTH_1(), LENGTH_0();
    assert_refused("code length", 1);
    begin_bits(10); /* the one before the first */
    begin_dynamic(257, 1);
    LENGTH_AGAIN(), put(0, 64);
    assert_refused("length of a code", 16);
    begin_bits(10); /* 276 of 258 */
    begin_dynamic(257, 1);
    ZEROS(138), ZEROS(138), put(0, 64);
    assert_refused("length of a code", 18);
    begin_bits(10); /* a code that no length has: 110 is again, and 3 bits are all */
    put(5, 3), put(0, 5), put(0, 5), put(0, 4), put(0, 12), put(0, 64);
    assert_refused("code", 0);
}

/* One symbol has the code 0, the end of the block 10; 11 is nobody's. No distance has a code. */
static void codes_that_nobody_has_are_refused(void **state)
{
    for (unsigned i = 0; i < 2; i++) {
        (void)state;
        begin_bits(1);
        begin_dynamic(257, 1);
        LENGTH_1(), ZEROS(138), ZEROS(117), LENGTH_2(), LENGTH_0();
        put_code(0, 1);
        if (i == 0) {
            put_code(2, 2);
            content[0] = 0;
            assert_decodes();
        } else {
            put(0xffffffff, 32);
            assert_refused("code", 0x7fff);
        }
    }
    begin_bits(4); /* a length, which no distance can follow */
    begin_dynamic(258, 1);
    LENGTH_1(), ZEROS(138), ZEROS(117), LENGTH_2(), LENGTH_2(), LENGTH_0();
    put_code(0, 1), put_code(3, 2), put(0, 64);
    assert_refused("code", 0);
}

static void blocks_follow_one_another(void **state)
{
    (void)state;
    begin_bits(9);
    put(2, 3), put_code(0x91, 8), put_code(0x92, 8), put_code(0, 7); /* "ab" */
    put(0, 3), put(0, (8 - nbits % 8) % 8), put(2, 16), put(0xfffd, 16), put('c' | 'd' << 8, 16);
    put(3, 3), put_code(3, 7), put_code(3, 5), put_code(0, 7); /* five from four back */
    memcpy(content, "abcdabcda", 9);
    assert_decodes();
    content_bytes = 10;
    assert_refused("output", 9);
    assert_int_equal(fault.index, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_the_tools_pack_comes_back),
        cmocka_unit_test(the_size_must_be_right),
        cmocka_unit_test(cut_short_anywhere_it_is_refused),
        cmocka_unit_test(damage_anywhere_stays_within_bounds),
        cmocka_unit_test(noise_stays_within_bounds),
        cmocka_unit_test(what_a_block_cannot_be_is_named),
        cmocka_unit_test(what_a_match_cannot_be_is_named),
        cmocka_unit_test(lengths_of_codes_are_checked),
        cmocka_unit_test(codes_that_nobody_has_are_refused),
        cmocka_unit_test(blocks_follow_one_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
