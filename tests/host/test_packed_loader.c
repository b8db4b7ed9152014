/* efi/packed_loader.c: the loader that was built comes out of its pack as it was linked, relocated to where it
 * is; what is damaged is refused, and stays within its memory (ASan watches). */
#include "test.h"

#include "boot/elf.h"
#include "filter.h"
#include "packed_loader.h"

#define PAGE     4096u
#define FILE_MAX (4u << 20)

struct file {
    uint8_t *data;
    size_t bytes;
};

static struct file read_built(const char *name)
{
    const char *build = getenv("BUILD");
    char path[512];
    snprintf(path, sizeof path, "%s/%s", build ? build : "build", name);
    FILE *in = fopen(path, "rb");
    assert_non_null(in);
    struct file file = {malloc(FILE_MAX), 0};
    assert_non_null(file.data);
    file.bytes = fread(file.data, 1, FILE_MAX, in);
    assert_true(file.bytes > sizeof(struct packed_loader) && file.bytes < FILE_MAX);
    file.data = realloc(file.data, file.bytes); /* so that the sanitizer sees its end */
    fclose(in);
    return file;
}

/* Unpack to memory of just the size; NULL if it is refused. */
static uint8_t *unpacked(const void *packed, size_t bytes)
{
    const struct packed_loader *loader = packed;
    if (!packed_loader_is_sound(loader, bytes))
        return NULL;
    uint8_t *image = aligned_alloc(PAGE, loader->npages * PAGE);
    assert_non_null(image);
    memset(image, 0xaa, loader->npages * PAGE);
    if (packed_loader_unpack(loader, bytes, image))
        return image;
    free(image);
    return NULL;
}

/* ---- the one that was built ------------------------------------------------------------------- */

static void every_segment_is_as_it_was_linked(void **state)
{
    struct file elf = read_built("loader.so"), packed = read_built("loader.packed");
    const struct packed_loader *loader = (const struct packed_loader *)packed.data;
    const struct elf64_ehdr *header = (const struct elf64_ehdr *)elf.data;
    unsigned relocated = 0;
    (void)state;
    uint8_t *image = unpacked(packed.data, packed.bytes);
    assert_non_null(image);
    assert_int_equal(loader->entry, header->e_entry);
    for (unsigned i = 0; i < 2; i++) { /* code and constants */
        const struct elf64_phdr *segment =
            (const struct elf64_phdr *)(elf.data + header->e_phoff) + i;
        assert_int_equal(segment->p_vaddr, i == 0 ? 0 : loader->constants);
        assert_true(segment->p_filesz > PAGE);
        assert_memory_equal(image + segment->p_vaddr, elf.data + segment->p_offset,
                            segment->p_filesz);
    }
    const struct elf64_phdr *data = (const struct elf64_phdr *)(elf.data + header->e_phoff) + 2;
    assert_int_equal(data->p_vaddr, loader->data);
    for (uint64_t at = loader->data; at + 8 <= loader->data_end; at += 8) {
        uint64_t linked, now;
        memcpy(&linked, elf.data + data->p_offset + (at - loader->data), 8);
        memcpy(&now, image + at, 8);
        assert_true(now == linked || now == linked + (uintptr_t)image);
        assert_true(now == linked || linked < loader->npages * PAGE);
        relocated += now != linked;
    }
    assert_int_equal(relocated, (loader->bytes - loader->data_end) / 2);
    assert_true(relocated > 50);
    for (uint64_t at = loader->data_end; at < loader->npages * PAGE; at++)
        assert_int_equal(image[at], 0);
    free(image);
    free(elf.data);
    free(packed.data);
}

static void damage_in_the_header_is_refused_or_harmless(void **state)
{
    struct file packed = read_built("loader.packed");
    (void)state;
    unsigned harmless = 0;
    for (size_t bit = 0; bit < sizeof(struct packed_loader) * 8; bit++) {
        packed.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        uint8_t *image = unpacked(packed.data, packed.bytes);
        harmless += image != NULL; /* more pages, another entry, less of the list */
        free(image);
        packed.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_true(harmless < 100);
    free(packed.data);
}

/* The sum notices. Not what changes nothing, like a match from another place that has the same bytes. */
static void damage_in_the_data_is_refused_or_harmless(void **state)
{
    struct file packed = read_built("loader.packed");
    struct rng rng = rng_start();
    unsigned harmless = 0;
    (void)state;
    uint8_t *good = unpacked(packed.data, packed.bytes);
    assert_non_null(good);
    for (unsigned i = 0; i < 300; i++) {
        size_t at = rng_between(&rng, sizeof(struct packed_loader), packed.bytes - 9);
        uint8_t bit = (uint8_t)(1u << rng_below(&rng, 8));
        packed.data[at] ^= bit;
        uint8_t *image = unpacked(packed.data, packed.bytes);
        if (image) {
            assert_memory_equal(image, good, ((struct packed_loader *)packed.data)->data);
            harmless++;
        }
        free(image);
        packed.data[at] ^= bit;
    }
    assert_true(harmless < 30);
    free(good);
    for (unsigned i = 0; i < 100; i++) {
        size_t bytes = rng_below(&rng, packed.bytes);
        uint8_t *cut = malloc(bytes ? bytes : 1);
        memcpy(cut, packed.data, bytes);
        assert_null(unpacked(cut, bytes));
        free(cut);
    }
    free(packed.data);
}

/* ---- small ones ------------------------------------------------------------------------------- */

/* Three pages of code, constants and data, the last with 24 bytes, and a list; as literals. */
static struct packed_loader *make(const uint16_t *list, size_t n, size_t *bytes)
{
    static uint8_t plain[2 * PAGE + 24 + 64];
    const size_t plain_bytes = 2 * PAGE + 24 + n * 2;
    struct packed_loader *loader = calloc(1, sizeof *loader + sizeof plain * 9 / 8 + 16);
    assert_non_null(loader);
    memset(plain, 0x90, sizeof plain);
    for (size_t i = 0; i < n; i++)
        memcpy(plain + 2 * PAGE + 24 + i * 2, &list[i], 2);
    for (size_t i = 0, at = 0; i < plain_bytes; i++) {
        at++; /* a zero: a literal */
        for (unsigned bit = 0; bit < 8; bit++, at++)
            loader->packed[at / 8] |= (uint8_t)((plain[i] >> (7 - bit) & 1) << (7 - at % 8));
    }
    *loader = (struct packed_loader){.magic = PACKED_LOADER_MAGIC,
                                     .npages = 3,
                                     .entry = 8,
                                     .constants = PAGE,
                                     .data = 2 * PAGE,
                                     .data_end = 2 * PAGE + 24,
                                     .bytes = plain_bytes,
                                     .sum = filter_sum(plain, plain_bytes)};
    *bytes = sizeof *loader + (plain_bytes * 9 + 7) / 8 + 8;
    return loader;
}

static bool unpacks(const uint16_t *list, size_t n)
{
    size_t bytes;
    struct packed_loader *loader = make(list, n, &bytes);
    uint8_t *image = unpacked(loader, bytes);
    bool did = image != NULL;
    free(image);
    free(loader);
    return did;
}

static void only_words_of_the_data_are_relocated(void **state)
{
    (void)state;
    assert_true(unpacks(NULL, 0));
    assert_true(unpacks((const uint16_t[]){0, 8, 8}, 3));
    assert_true(unpacks((const uint16_t[]){16}, 1));
    assert_false(unpacks((const uint16_t[]){17}, 1));
    assert_false(unpacks((const uint16_t[]){0, 8, 8, 8}, 4));
    assert_false(unpacks((const uint16_t[]){0xffff}, 1));
}

static void headers_that_make_no_sense_are_refused(void **state)
{
    static const struct {
        size_t at;
        uint64_t value, bytes;
    } bad[] = {
        {offsetof(struct packed_loader, magic), 0, 4},
        {offsetof(struct packed_loader, npages), 2, 4},
        {offsetof(struct packed_loader, npages), 0xfffff, 4},
        {offsetof(struct packed_loader, entry), PAGE, 4},
        {offsetof(struct packed_loader, constants), PAGE + 8, 4},
        {offsetof(struct packed_loader, constants), 3 * PAGE, 4},
        {offsetof(struct packed_loader, data), 2 * PAGE + 8, 4},
        {offsetof(struct packed_loader, data), 3 * PAGE, 4},
        {offsetof(struct packed_loader, data_end), 2 * PAGE - 8, 4},
        {offsetof(struct packed_loader, data_end), 3 * PAGE, 4},
        {offsetof(struct packed_loader, bytes), 3 * PAGE + 1, 8},
        {offsetof(struct packed_loader, bytes), UINT64_MAX, 8},
    };
    size_t bytes;
    (void)state;
    struct packed_loader *loader = make(NULL, 0, &bytes);
    assert_true(packed_loader_is_sound(loader, bytes));
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct packed_loader good = *loader;
        memcpy((uint8_t *)loader + bad[i].at, &bad[i].value, bad[i].bytes);
        assert_false(packed_loader_is_sound(loader, bytes));
        *loader = good;
    }
    for (size_t cut = 0; cut < sizeof *loader; cut++)
        assert_false(packed_loader_is_sound(loader, cut));
    free(loader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_segment_is_as_it_was_linked),
        cmocka_unit_test(damage_in_the_header_is_refused_or_harmless),
        cmocka_unit_test(damage_in_the_data_is_refused_or_harmless),
        cmocka_unit_test(only_words_of_the_data_are_relocated),
        cmocka_unit_test(headers_that_make_no_sense_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
