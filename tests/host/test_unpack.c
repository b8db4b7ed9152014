/* efi/unpack.c: what efi/pack.py packs comes out again; what is cut short or damaged is refused, and
 * stays within its memory (ASan watches). */
#include "test.h"

#include "boot/elf.h"
#include "unpack.h"

#define FILE_MAX     300000
#define HEADER_BYTES 24

static uint8_t file[FILE_MAX], packed[FILE_MAX];
static size_t file_bytes, packed_bytes;
static struct fault fault;

static void *exact(const uint8_t *from, size_t bytes)
{
    void *copy = malloc(bytes ? bytes : 1);
    assert_non_null(copy);
    memcpy(copy, from, bytes);
    return copy;
}

/* Unpack from and to memory of just the size; true only if the file came out. */
static bool unpacks(size_t bytes)
{
    uint8_t *in = exact(packed, bytes);
    struct packed header;
    fault = (struct fault){0};
    bool ok = unpack_parse(in, bytes, &header, &fault);
    if (ok && header.bytes > FILE_MAX * 2) {
        ok = false; /* the caller has no memory for it */
    } else if (ok) {
        uint8_t *out = exact(file, 0);
        out = realloc(out, header.bytes ? header.bytes : 1);
        assert_non_null(out);
        ok = unpack(&header, out, &fault);
        assert_true(ok || (fault.field && fault.what));
        assert_true(!ok || (header.bytes == file_bytes && !memcmp(out, file, file_bytes)));
        free(out);
    }
    free(in);
    return ok;
}

static void pack(void)
{
    char plain[] = "/tmp/test_unpack.XXXXXX", target[64], command[256];
    int handle = mkstemp(plain);
    assert_true(handle >= 0);
    assert_int_equal(write(handle, file, file_bytes), (ssize_t)file_bytes);
    close(handle);
    snprintf(target, sizeof target, "%s.packed", plain);
    snprintf(command, sizeof command, "/usr/bin/python3 -B efi/pack.py %s %s", plain, target);
    assert_int_equal(system(command), 0);
    FILE *in = fopen(target, "rb");
    assert_non_null(in);
    packed_bytes = fread(packed, 1, sizeof packed, in);
    fclose(in);
    unlink(plain);
    unlink(target);
}

/* An ELF file with a segment of code in it: bytes, many of which are opcodes of branches and of
 * instructions with addresses, and parts of near and far targets. */
static void fill(struct rng *rng, size_t code, size_t bytes)
{
    static const uint8_t common[] = {0xe8, 0xe9, 0x8b, 0x05, 0x3b, 0, 0, 0xff, 0xff, 1};
    struct elf64_ehdr header = {.e_phoff = sizeof header, .e_phentsize = 56, .e_phnum = 1};
    struct elf64_phdr segment = {.p_type = ELF_PT_LOAD,
                                 .p_flags = ELF_PF_R | ELF_PF_X,
                                 .p_offset = sizeof header + sizeof segment,
                                 .p_filesz = code};
    memcpy(header.e_ident, "\177ELF", 4);
    memcpy(file, &header, sizeof header);
    memcpy(file + sizeof header, &segment, sizeof segment);
    for (file_bytes = sizeof header + sizeof segment; file_bytes < bytes; file_bytes++) {
        uint64_t random = rng_next(rng);
        file[file_bytes] =
            (uint8_t)(random % 3 ? common[random / 4 % COUNT(common)] : random >> 40);
    }
}

static void everything_comes_back(void **state)
{
    (void)state;
    struct rng rng = rng_start();
    for (size_t code = 0; code < 40; code++) {
        fill(&rng, code, 120 + code);
        pack();
        assert_true(unpacks(packed_bytes));
    }
    for (unsigned i = 0; i < 10; i++) {
        size_t code = rng_size(&rng, 20000);
        fill(&rng, code, 120 + code + rng_below(&rng, 100));
        pack();
        assert_true(unpacks(packed_bytes));
    }
}

static void own_program_comes_back(void **state)
{
    (void)state;
    FILE *in = fopen("/proc/self/exe", "rb");
    assert_non_null(in);
    fill(&(struct rng){0}, 250000, 120);
    file_bytes = 120 + fread(file + 120, 1, 260000, in);
    fclose(in);
    assert_true(file_bytes > 120 + 250000);
    pack();
    assert_true(unpacks(packed_bytes));
}

static void cut_short_anywhere_it_is_refused(void **state)
{
    (void)state;
    fill(&(struct rng){1}, 2000, 3000);
    pack();
    for (size_t bytes = 0; bytes < packed_bytes; bytes++)
        assert_false(unpacks(bytes));
}

/* The sum notices. Not what changes nothing: padding behind the last bit, code where there is none. */
static void damage_anywhere_is_refused_or_harmless(void **state)
{
    (void)state;
    unsigned harmless = 0;
    fill(&(struct rng){2}, 2000, 3000);
    pack();
    for (size_t bit = 0; bit < packed_bytes * 8; bit++) {
        packed[bit / 8] ^= (uint8_t)(1u << bit % 8);
        harmless += unpacks(packed_bytes);
        packed[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_true(unpacks(packed_bytes));
    assert_true(harmless < 64);
}

static void refused(size_t at, uint32_t value, const char *field, uint64_t named)
{
    uint8_t good[4];
    memcpy(good, packed + at, 4);
    memcpy(packed + at, &value, 4);
    assert_false(unpacks(packed_bytes));
    assert_string_equal(fault.field, field);
    if (named != UINT64_MAX)
        assert_int_equal(fault.value, named);
    memcpy(packed + at, good, 4);
}

static void what_is_wrong_in_the_header_is_named(void **state)
{
    (void)state;
    fill(&(struct rng){3}, 2000, 3000);
    pack();
    refused(0, 7, "magic", 7);
    refused(4, 3001, "output", 3000);
    refused(4, 2000, "end of code", 2120);
    refused(8, 2121, "begin of code", 2121);
    refused(8, 0xffffffff, "begin of code", 0xffffffff);
    refused(12, 3001, "end of code", 3001);
    refused(16, 0, "sum", UINT64_MAX);
    assert_false(unpacks(HEADER_BYTES - 1));
    assert_string_equal(fault.field, "size");
    assert_true(unpacks(packed_bytes));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_comes_back),
        cmocka_unit_test(own_program_comes_back),
        cmocka_unit_test(cut_short_anywhere_it_is_refused),
        cmocka_unit_test(damage_anywhere_is_refused_or_harmless),
        cmocka_unit_test(what_is_wrong_in_the_header_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
