/* efi/lz4.c: what the lz4 tool packs comes out again; every frame of our own making decodes as an
 * oracle says; what is cut short or damaged is refused or stays
 * within its memory (ASan watches). */
#include "test.h"

#include "lz4.h"

#define CONTENT_MAX 300000
#define FRAME_MAX   (CONTENT_MAX + 4096)
#define HEADER      15

static uint8_t content[CONTENT_MAX], frame[FRAME_MAX];
static size_t content_bytes, frame_bytes;

/* A copy that ends where the sanitizer sees the next byte being touched. */
static uint8_t *exact_copy(const uint8_t *data, size_t bytes)
{
    uint8_t *copy = malloc(bytes ? bytes : 1);
    assert_non_null(copy);
    memcpy(copy, data, bytes);
    return copy;
}

/* Decode to memory of just that size; what comes out counts only if it was a success. */
static EFI_STATUS decode(const uint8_t *data, size_t bytes, size_t room, bool *same)
{
    uint8_t *in = exact_copy(data, bytes), *out = malloc(room ? room : 1);
    assert_non_null(out);
    memset(out, 0xaa, room);
    EFI_STATUS status = lz4_decode(in, bytes, out, room);
    *same = room == content_bytes && !memcmp(out, content, room);
    free(in);
    free(out);
    return status;
}

static void assert_decodes(void)
{
    uint64_t bytes;
    bool same;
    assert_int_equal(lz4_content_bytes(frame, frame_bytes, &bytes), EFI_SUCCESS);
    assert_int_equal(bytes, content_bytes);
    assert_int_equal(decode(frame, frame_bytes, bytes, &same), EFI_SUCCESS);
    assert_true(same);
}

static void assert_refused(EFI_STATUS expected)
{
    bool same;
    assert_int_equal(decode(frame, frame_bytes, content_bytes, &same), expected);
}

/* ---- what the tool writes ------------------------------------------------------------------- */

static void write_file(const char *path)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(content, 1, content_bytes, file), content_bytes);
    assert_int_equal(fclose(file), 0);
}

/* Pack the content with the tool. */
static void pack(const char *options)
{
    char plain[] = "/tmp/test_lz4.XXXXXX", command[256];
    int handle = mkstemp(plain);
    assert_true(handle >= 0);
    close(handle);
    write_file(plain);
    snprintf(command, sizeof command, "lz4 -q %s %s -c", options, plain);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    frame_bytes = fread(frame, 1, sizeof frame, pipe);
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

static void fill_program(void)
{
    FILE *file = fopen("/proc/self/exe", "rb");
    assert_non_null(file);
    content_bytes = fread(content, 1, sizeof content, file);
    assert_true(content_bytes > 100000);
    fclose(file);
}

#define AS_THE_BUILD "-12 --content-size --no-frame-crc"

static void everything_the_tool_packs_comes_back(void **state)
{
    static const char *const options[] = {
        AS_THE_BUILD, "-1 --content-size --no-frame-crc",
        "-9 -B4 -BD --content-size --no-frame-crc", /* blocks of 64 KiB, with matches across */
        "-9 -B4 -BI --content-size --no-frame-crc"};
    (void)state;
    for (size_t i = 0; i < COUNT(options); i++) {
        for (size_t bytes = 1; bytes <= CONTENT_MAX; bytes = bytes * 3 + 1) {
            fill_text(bytes);
            pack(options[i]);
            assert_decodes();
            fill_random(bytes);
            pack(options[i]);
            assert_decodes();
            memset(content, 0, bytes);
            pack(options[i]);
            assert_decodes();
        }
        fill_program();
        pack(options[i]);
        assert_decodes();
    }
}

static void other_kinds_of_frames_are_refused(void **state)
{
    (void)state;
    fill_text(1000);
    pack("-9"); /* no content size, but a content checksum */
    assert_refused(EFI_UNSUPPORTED);
    pack("-9 --no-frame-crc");
    assert_refused(EFI_UNSUPPORTED);
    pack("-9 --content-size");
    assert_refused(EFI_UNSUPPORTED);
    pack("-9 --content-size --no-frame-crc -BX"); /* a checksum for each block */
    assert_refused(EFI_UNSUPPORTED);
    pack(AS_THE_BUILD);
    frame[0] ^= 1;
    assert_refused(EFI_UNSUPPORTED);
}

static void the_size_must_be_right(void **state)
{
    bool same;
    (void)state;
    fill_text(1000);
    pack(AS_THE_BUILD);
    for (size_t room = 0; room < 1010; room++)
        assert_int_equal(decode(frame, frame_bytes, room, &same),
                         room == 1000 ? EFI_SUCCESS : EFI_VOLUME_CORRUPTED);
    frame[6] ^= 1;
    assert_refused(EFI_VOLUME_CORRUPTED);
    frame[6] ^= 1;
    frame[frame_bytes++] = 0;
    assert_refused(EFI_VOLUME_CORRUPTED);
}

/* A block of text and zeros, and one that is stored: both kinds are there to be damaged. */
static void pack_small(void)
{
    static uint8_t block[65536];
    uint32_t size;
    fill_text(1000);
    memcpy(block, content, content_bytes);
    fill_random(sizeof block + 300);
    memcpy(content, block, sizeof block);
    pack("-9 -B4 --content-size --no-frame-crc");
    assert_decodes();
    memcpy(&size, frame + HEADER, 4);
    assert_true(size < 1000 && frame[HEADER + 4 + size + 3] == 0x80);
}

static void cut_short_anywhere_it_is_refused(void **state)
{
    bool same;
    (void)state;
    pack_small();
    for (size_t bytes = 0; bytes < frame_bytes; bytes++)
        assert_int_equal(decode(frame, bytes, content_bytes, &same), EFI_END_OF_FILE);
}

/* With no checksum some damage goes unnoticed, like a changed literal; none leaves the memory. */
static void damage_anywhere_stays_within_bounds(void **state)
{
    bool same;
    (void)state;
    pack_small();
    for (size_t at = 0; at < frame_bytes; at++) {
        const uint8_t good = frame[at], values[] = {0, 0xff, good ^ 0x80, good + 1, good - 16};
        for (size_t i = 0; i < COUNT(values); i++) {
            frame[at] = values[i];
            EFI_STATUS status = decode(frame, frame_bytes, content_bytes, &same);
            assert_true(status == EFI_SUCCESS || status == EFI_UNSUPPORTED ||
                        status == EFI_END_OF_FILE || status == EFI_VOLUME_CORRUPTED);
        }
        frame[at] = good;
    }
}

/* ---- frames of our own making --------------------------------------------------------------- */

static void put(const void *data, size_t bytes)
{
    memcpy(frame + frame_bytes, data, bytes);
    frame_bytes += bytes;
}

static void put_byte(uint64_t byte)
{
    frame[frame_bytes++] = (uint8_t)byte;
}

static void put32(uint32_t value)
{
    put(&value, sizeof value);
}

static void begin_frame(void)
{
    frame_bytes = content_bytes = 0;
    put("\x04\x22\x4d\x18\x48\x40\0\0\0\0\0\0\0\0", HEADER);
}

static void end_frame(void)
{
    put32(0);
    memcpy(frame + 6, &(uint64_t){content_bytes}, 8);
}

/* A whole block as it stands. */
static void put_block(const char *block, size_t bytes)
{
    put32((uint32_t)bytes);
    put(block, bytes);
}

static void put_length(uint64_t length)
{
    if (length < 15)
        return;
    for (length -= 15; length >= 255; length -= 255)
        put_byte(255);
    put_byte(length);
}

/* Literals, and if offset is not 0 a match, in the frame and as the oracle has them. */
static void put_sequence(struct rng *rng, uint64_t literals, uint64_t offset, uint64_t match)
{
    uint64_t high = literals < 15 ? literals : 15, rest = offset ? match - 4 : 0;
    put_byte(high << 4 | (rest < 15 ? rest : 15));
    put_length(literals);
    while (literals-- > 0)
        put_byte(content[content_bytes++] = (uint8_t)rng_next(rng));
    if (offset == 0)
        return;
    put(&offset, 2);
    put_length(rest);
    for (; match-- > 0; content_bytes++)
        content[content_bytes] = content[content_bytes - offset];
}

static void random_sequences_decode_as_the_oracle_says(void **state)
{
    (void)state;
    struct rng rng = rng_start();
    for (unsigned round = 0; round < 3000; round++) {
        begin_frame();
        for (uint64_t blocks = rng_between(&rng, 1, 3); blocks-- > 0;) {
            size_t size_at = frame_bytes;
            put32(0);
            for (uint64_t n = rng_below(&rng, 20); n-- > 0;) {
                uint64_t literals = rng_size(&rng, 600) - (content_bytes != 0);
                uint64_t reach = content_bytes + literals;
                put_sequence(&rng, literals, rng_size(&rng, reach < 65535 ? reach : 65535),
                             rng_between(&rng, 4, 4 + rng_size(&rng, 1000)));
            }
            put_sequence(&rng, rng_size(&rng, 40) - 1, 0, 0);
            uint32_t size = (uint32_t)(frame_bytes - size_at - 4);
            memcpy(frame + size_at, &size, 4);
        }
        end_frame();
        assert_decodes();
    }
}

static void broken_blocks_are_refused(void **state)
{
#define BLOCK(text)           \
    {                         \
        text, sizeof text - 1 \
    }
    static const struct {
        const char *data;
        size_t bytes;
    } blocks[] = {
        BLOCK("\x10"),                     /* a literal that is not there */
        BLOCK("\xf0"),                     /* a length that does not go on */
        BLOCK("\xf0\xff"),                 /* nor end */
        BLOCK("\x10\x61\x01"),             /* half an offset */
        BLOCK("\x10\x61\0\0\x10\x61"),     /* offset 0 */
        BLOCK("\x10\x61\x02\0\x10\x61"),   /* before the beginning */
        BLOCK("\x04\x01\0\x10\x61"),       /* a match before anything */
        BLOCK("\x1f\x61\x01\0\xff\xff"),   /* a match whose length does not end */
        BLOCK("\x10\x61\x01\0"),           /* no literals at the end */
        BLOCK("\x1f\x61\x01\0\xff\0\x00"), /* a match longer than the content */
    };
    (void)state;
    for (size_t i = 0; i < COUNT(blocks); i++) {
        begin_frame();
        put_block(blocks[i].data, blocks[i].bytes);
        content_bytes = 100;
        end_frame();
        assert_refused(EFI_VOLUME_CORRUPTED);
    }
}

static void empty_content_is_a_frame(void **state)
{
    (void)state;
    begin_frame();
    end_frame();
    assert_decodes();
    begin_frame();
    put_block("", 1); /* no literals, no match */
    end_frame();
    assert_decodes();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_the_tool_packs_comes_back),
        cmocka_unit_test(other_kinds_of_frames_are_refused),
        cmocka_unit_test(the_size_must_be_right),
        cmocka_unit_test(cut_short_anywhere_it_is_refused),
        cmocka_unit_test(damage_anywhere_stays_within_bounds),
        cmocka_unit_test(random_sequences_decode_as_the_oracle_says),
        cmocka_unit_test(broken_blocks_are_refused),
        cmocka_unit_test(empty_content_is_a_frame),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
