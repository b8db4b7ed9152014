/* efi/lz.c: what efi/lz.py packs comes out again; what is cut short or of another size is refused, what is
 * damaged stays within its memory (ASan watches). */
#include "packing_rig.h"

#include "lz.h"

#define PADDING_BYTES 8
#define PACKER                                                          \
    "/usr/bin/python3 -B -c 'import sys; sys.path.insert(0, \"efi\")\n" \
    "import lz\n"                                                       \
    "sys.stdout.buffer.write(lz.pack(open(sys.argv[1], \"rb\").read()))'"

/* Decode to memory of just that size; true if it says that it did, and then same counts. */
static bool decode(size_t bytes, size_t room, bool *same)
{
    uint8_t *in = exact_copy(packed, bytes), *out = malloc(room ? room : 1);
    assert_non_null(out);
    memset(out, 0xaa, room);
    bool ok = lz_decode(in, bytes, out, room);
    *same = room == content_bytes && !memcmp(out, content, room);
    free(in);
    free(out);
    return ok;
}

static void assert_decodes(void)
{
    bool same;
    assert_true(decode(packed_bytes, content_bytes, &same));
    assert_true(same);
}

static void everything_that_is_packed_comes_back(void **state)
{
    static void (*const fills[])(size_t) = {fill_text, fill_random, fill_skewed, fill_near};
    (void)state;
    for (size_t bytes = 0; bytes < 4000; bytes = bytes * 5 + 1) {
        for (size_t i = 0; i < COUNT(fills); i++) {
            fills[i](bytes);
            pack(PACKER);
            assert_decodes();
        }
        memset(content, 0, bytes);
        pack(PACKER);
        assert_decodes();
    }
    fill_program();
    content_bytes = 10000;
    pack(PACKER);
    assert_decodes();
    assert_true(packed_bytes < content_bytes);
}

/* Each of the packer's choices: distances and lengths around the borders of what is short. */
static void matches_of_all_lengths_and_distances_come_back(void **state)
{
    (void)state;
    struct rng rng = rng_start();
    for (size_t back = 1; back < 5000; back = back * 2 + back % 3) {
        content_bytes = 0;
        while (content_bytes < back)
            content[content_bytes++] = (uint8_t)rng_next(&rng);
        for (size_t length = 1; length < 400; length = length * 2 + length % 2) {
            for (size_t i = 0; i < length; i++, content_bytes++)
                content[content_bytes] = content[content_bytes - back];
            content[content_bytes++] = (uint8_t)rng_next(&rng);
        }
        pack(PACKER);
        assert_decodes();
    }
}

static void the_size_must_be_right(void **state)
{
    bool same;
    (void)state;
    fill_text(1000);
    pack(PACKER);
    for (size_t room = 0; room < 1300; room++)
        assert_true(decode(packed_bytes, room, &same) == (room == 1000));
    packed[packed_bytes++] = 0;
    assert_false(decode(packed_bytes, 1000, &same));
}

static void cut_short_anywhere_it_is_refused(void **state)
{
    bool same;
    (void)state;
    fill_near(3000);
    pack(PACKER);
    assert_decodes();
    for (size_t bytes = 0; bytes < packed_bytes; bytes++)
        assert_false(decode(bytes, content_bytes, &same));
}

/* Some damage goes unnoticed here, like a changed literal; none leaves the memory. */
static void damage_anywhere_stays_within_bounds(void **state)
{
    bool same;
    unsigned refused = 0;
    (void)state;
    fill_near(3000);
    pack(PACKER);
    for (size_t bit = 0; bit < packed_bytes * 8; bit++) {
        packed[bit / 8] ^= (uint8_t)(1u << bit % 8);
        refused += !decode(packed_bytes, content_bytes, &same);
        packed[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_true(refused > packed_bytes);
    assert_decodes();
}

static void noise_stays_within_bounds(void **state)
{
    bool same;
    (void)state;
    struct rng rng = rng_start();
    content_bytes = 2000;
    for (unsigned round = 0; round < 30000; round++) {
        packed_bytes = rng_size(&rng, 600);
        bool sparse = rng_below(&rng, 2); /* long numbers */
        for (size_t i = 0; i < packed_bytes; i++)
            packed[i] =
                (uint8_t)(rng_next(&rng) & (sparse ? rng_next(&rng) & rng_next(&rng) : 0xff));
        (void)decode(packed_bytes, content_bytes, &same);
    }
}

static void what_cannot_be_is_refused(void **state)
{
    bool same;
    (void)state;
    memset(packed, 0, sizeof packed);
    content[0] = 0;
    content_bytes = 1;
    packed_bytes = 2 + PADDING_BYTES; /* a literal of 9 bits */
    assert_decodes();
    assert_false(decode(packed_bytes - 1, 1, &same));
    assert_false(decode(packed_bytes + 1, 1, &same));
    packed[0] = 0xe0; /* again, from where nothing is */
    assert_false(decode(packed_bytes, 1, &same));
    packed[0] = 0x80; /* a number without end */
    packed_bytes = 30;
    assert_false(decode(packed_bytes, 4000, &same));
    for (size_t bytes = 0; bytes < PADDING_BYTES; bytes++)
        assert_false(decode(bytes, 0, &same));
    assert_true(decode(PADDING_BYTES, 0, &same)); /* nothing */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_that_is_packed_comes_back),
        cmocka_unit_test(matches_of_all_lengths_and_distances_come_back),
        cmocka_unit_test(the_size_must_be_right),
        cmocka_unit_test(cut_short_anywhere_it_is_refused),
        cmocka_unit_test(damage_anywhere_stays_within_bounds),
        cmocka_unit_test(noise_stays_within_bounds),
        cmocka_unit_test(what_cannot_be_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
