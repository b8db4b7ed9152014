/* efi/unpack.c: what efi/pack.py packs comes out again; what is cut short or damaged is refused, and
 * stays within its memory (ASan watches). */
#include "test.h"

#include "boot/elf.h"
#include "unpack.h"

#define FILE_MAX     300000
#define HEADER_BYTES 32

struct headers {
    struct elf64_ehdr elf;
    struct elf64_phdr segments[3];
    struct elf64_dyn dynamic[2];
};
#define BEFORE_CODE sizeof(struct headers)

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

/* An ELF file with a segment of code, and one that is a table of relocations to its end. Bytes: many are opcodes
 * of branches and of instructions with addresses, and parts of near and far targets. */
static void fill(struct rng *rng, size_t code, size_t bytes)
{
    static const uint8_t common[] = {0xe8, 0xe9, 0x8b, 0x05, 0x3b, 0, 0, 0xff, 0xff, 1};
    const size_t rela = bytes - BEFORE_CODE - code;
    const struct headers headers = {
        .elf = {.e_ident = "\177ELF",
                .e_phoff = offsetof(struct headers, segments),
                .e_phentsize = sizeof(struct elf64_phdr),
                .e_phnum = COUNT(headers.segments)},
        .segments = {{.p_type = ELF_PT_LOAD,
                      .p_flags = ELF_PF_R | ELF_PF_X,
                      .p_offset = BEFORE_CODE,
                      .p_filesz = code},
                     {.p_type = ELF_PT_LOAD,
                      .p_flags = ELF_PF_R,
                      .p_offset = BEFORE_CODE + code,
                      .p_vaddr = 0x100000,
                      .p_filesz = rela},
                     {.p_type = ELF_PT_DYNAMIC,
                      .p_offset = offsetof(struct headers, dynamic),
                      .p_filesz = sizeof headers.dynamic}},
        .dynamic = {{ELF_DT_RELA, 0x100000}, {ELF_DT_RELASZ, rela}},
    };
    memcpy(file, &headers, sizeof headers);
    for (file_bytes = sizeof headers; file_bytes < bytes; file_bytes++) {
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
        fill(&rng, code, BEFORE_CODE + code);
        pack();
        assert_true(unpacks(packed_bytes));
        fill(&rng, 0, BEFORE_CODE + code * 3); /* only relocations */
        pack();
        assert_true(unpacks(packed_bytes));
    }
    for (unsigned i = 0; i < 10; i++) {
        size_t code = rng_size(&rng, 20000);
        fill(&rng, code, BEFORE_CODE + code + rng_below(&rng, 5000));
        pack();
        assert_true(unpacks(packed_bytes));
    }
}

static void own_program_comes_back(void **state)
{
    (void)state;
    FILE *in = fopen("/proc/self/exe", "rb");
    assert_non_null(in);
    fill(&(struct rng){0}, 250000, BEFORE_CODE + 250000);
    file_bytes = BEFORE_CODE + fread(file + BEFORE_CODE, 1, 260000, in);
    fclose(in);
    assert_true(file_bytes > BEFORE_CODE + 250000);
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
    refused(4, 2000, "end of code", BEFORE_CODE + 2000);
    refused(8, BEFORE_CODE + 2001, "begin of code", BEFORE_CODE + 2001);
    refused(8, 0xffffffff, "begin of code", 0xffffffff);
    refused(12, 3001, "end of code", 3001);
    refused(16, 3001, "begin of relocations", 3001);
    refused(16, 0xffffffff, "begin of relocations", 0xffffffff);
    refused(20, 3001, "end of relocations", 3001);
    refused(24, 0, "sum", UINT64_MAX);
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
