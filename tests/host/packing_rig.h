/* Contents of all kinds to pack and unpack, and a pipe to what packs them. */
#ifndef PACKING_RIG_H
#define PACKING_RIG_H

#include "test.h"

#define CONTENT_MAX 300000
#define PACKED_MAX  (CONTENT_MAX + 4096)

static uint8_t content[CONTENT_MAX], packed[PACKED_MAX];
static size_t content_bytes, packed_bytes;

/* A copy that ends where the sanitizer sees the next byte being touched. */
static uint8_t *exact_copy(const uint8_t *data, size_t bytes)
{
    uint8_t *copy = malloc(bytes ? bytes : 1);
    assert_non_null(copy);
    memcpy(copy, data, bytes);
    return copy;
}

/* Pack the content with the packer, which writes to its output. */
static void pack(const char *packer)
{
    char plain[] = "/tmp/test_packing.XXXXXX", command[1024];
    int handle = mkstemp(plain);
    assert_true(handle >= 0);
    assert_int_equal(write(handle, content, content_bytes), (ssize_t)content_bytes);
    close(handle);
    snprintf(command, sizeof command, "%s %s", packer, plain);
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

/* Bytes of very unequal number. */
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

#endif
