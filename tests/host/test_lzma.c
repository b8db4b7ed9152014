/* efi/lzma.c: what Python's lzma module writes comes out again; what cannot be is refused with the field
 * named; what is cut short is refused, what is damaged stays within its memory (ASan watches). */
#include "packing_rig.h"

#include "lzma.h"

static struct fault fault;

/* Decode to memory of just that size; true if it says that it did, and then same counts. */
static bool decode(size_t bytes, size_t room, bool *same)
{
    uint8_t *in = exact_copy(packed, bytes), *out = malloc(room ? room : 1);
    assert_non_null(out);
    memset(out, 0xaa, room);
    fault = (struct fault){0};
    bool ok = lzma_decode(in, bytes, out, room, &fault);
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
        fail_msg("byte %lu: %s %lu %s", fault.index, fault.field, fault.value, fault.what);
    assert_true(same);
}

static void assert_refused(const char *field, uint64_t value)
{
    bool same;
    assert_false(decode(packed_bytes, content_bytes, &same));
    assert_string_equal(fault.field, field);
    assert_int_equal(fault.value, value);
}

/* ---- what the module writes ------------------------------------------------------------------ */

/* The match finder, its depth, and the length from which on no longer match is looked for. */
#define PACKER(mode, finder, depth, length)                                                   \
    "/usr/bin/python3 -c 'import lzma, sys\n"                                                 \
    "d = open(sys.argv[1], \"rb\").read()\n"                                                  \
    "f = dict(id=lzma.FILTER_LZMA1, dict_size=1 << 24, lc=3, lp=0, pb=0, "                    \
    "mode=lzma.MODE_" mode ", mf=lzma.MF_" finder ", depth=" depth ", nice_len=" length ")\n" \
    "sys.stdout.buffer.write(lzma.compress(d, lzma.FORMAT_RAW, filters=[f]))'"
#define BEST PACKER("NORMAL", "BT4", "1000", "273")

static const char *const packers[] = {BEST, PACKER("NORMAL", "BT2", "5", "8"),
                                      PACKER("FAST", "HC3", "1", "16")};

static void everything_the_module_packs_comes_back(void **state)
{
    static void (*const fills[])(size_t) = {fill_text, fill_random, fill_skewed, fill_near};
    (void)state;
    for (size_t packer = 0; packer < COUNT(packers); packer++) {
        for (size_t bytes = 1; bytes < 100000; bytes = bytes * 7 + 1) {
            for (size_t i = 0; i < COUNT(fills); i++) {
                fills[i](bytes);
                pack(packers[packer]);
                assert_decodes();
            }
            memset(content, 0, bytes);
            pack(packers[packer]);
            assert_decodes();
        }
        fill_program();
        pack(packers[packer]);
        assert_decodes();
    }
    content_bytes = 0;
    pack(BEST);
    assert_decodes();
}

static void the_size_must_be_right(void **state)
{
    bool same;
    (void)state;
    fill_text(1000);
    pack(BEST);
    for (size_t room = 0; room < 1300; room++)
        assert_true(decode(packed_bytes, room, &same) == (room == 1000));
    packed[packed_bytes++] = 0;
    assert_refused("input", 1);
}

static void cut_short_anywhere_it_is_refused(void **state)
{
    bool same;
    (void)state;
    for (size_t packer = 0; packer < COUNT(packers); packer++) {
        fill_near(3000);
        pack(packers[packer]);
        assert_decodes();
        for (size_t bytes = 0; bytes < packed_bytes; bytes++)
            assert_false(decode(bytes, content_bytes, &same));
    }
}

/* Some damage may go unnoticed here, like a changed literal; none leaves the memory. */
static void damage_anywhere_stays_within_bounds(void **state)
{
    bool same;
    (void)state;
    for (size_t packer = 0; packer < COUNT(packers); packer++) {
        fill_near(3000);
        pack(packers[packer]);
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
        packed[0] = 0; /* without it nothing is decoded */
        (void)decode(packed_bytes, content_bytes, &same);
    }
}

/* ---- what cannot be -------------------------------------------------------------------------- */

static void what_does_not_fit_is_named(void **state)
{
    (void)state;
    fill_random(1000);
    pack(BEST);
    content_bytes = 999;
    assert_refused("literal", 0);
    assert_int_equal(fault.index, 999);
    content_bytes = 1001;
    assert_refused("output", 1000);
    content_bytes = 1000;
    memset(content, 7, 1000);
    pack(BEST);
    content_bytes = 999; /* all but the first few bytes are matches, of up to 273 */
    bool same;
    assert_false(decode(packed_bytes, content_bytes, &same));
    assert_string_equal(fault.field, "length");
    assert_int_equal(fault.index + fault.value, 1000);
}

static void what_cannot_be_a_beginning_is_named(void **state)
{
    (void)state;
    fill_text(1000);
    pack(BEST);
    packed[0] = 1;
    assert_refused("first byte", 1);
    packed_bytes = 4;
    assert_refused("input", 4);
    content_bytes = packed_bytes =
        100; /* a match, of a distance that has been used before, comes first */
    memset(packed, 0xff, 100);
    packed[0] = 0;
    assert_refused("distance", 1);
}

static void what_is_left_at_the_end_is_named(void **state)
{
    (void)state;
    fill_text(1000);
    pack(BEST);
    packed[packed_bytes - 1] ^= 1;
    assert_refused("rest", 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_the_module_packs_comes_back),
        cmocka_unit_test(the_size_must_be_right),
        cmocka_unit_test(cut_short_anywhere_it_is_refused),
        cmocka_unit_test(damage_anywhere_stays_within_bounds),
        cmocka_unit_test(noise_stays_within_bounds),
        cmocka_unit_test(what_does_not_fit_is_named),
        cmocka_unit_test(what_cannot_be_a_beginning_is_named),
        cmocka_unit_test(what_is_left_at_the_end_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
