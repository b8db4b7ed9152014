/* efi/elf.c and elf_relocate.c: good files load as they say, odd ones from the field too, hostile
 * ones get a sentence with the field, and nothing is touched outside the image (ASan watches). */
#include "test.h"

#include "boot/elf.h"
#include "elf.h"

#define FILE_BYTES 0x6000
#define FUZZ_RUNS  20000
#define BASE       0xffffffff80000000ull

static uint8_t *file; /* exactly FILE_BYTES, so that reading beyond is caught */
static struct elf64_ehdr *header;
static struct elf64_phdr *ph;
static struct elf_image image;
static struct fault fault;

static void segment(size_t i, uint32_t flags, uint64_t va, uint64_t offset, uint64_t file_bytes,
                    uint64_t memory_bytes)
{
    ph[i] = (struct elf64_phdr){.p_type = ELF_PT_LOAD,
                                .p_flags = flags,
                                .p_vaddr = va,
                                .p_offset = offset,
                                .p_filesz = file_bytes,
                                .p_memsz = memory_bytes,
                                .p_align = 0x1000};
    if (header->e_phnum <= i)
        header->e_phnum = (uint16_t)(i + 1);
}

/* A PIE: text, rodata, data with bss; the dynamic table with two relocations lies in data. */
static int good(void **state)
{
    (void)state;
    free(file);
    file = calloc(1, FILE_BYTES);
    header = (struct elf64_ehdr *)file;
    ph = (struct elf64_phdr *)(file + 64);
    memcpy(header->e_ident, "\177ELF\2\1\1", 7);
    header->e_type = ELF_TYPE_DYN;
    header->e_machine = ELF_MACHINE_X86_64;
    header->e_phoff = 64;
    header->e_phentsize = sizeof *ph;
    header->e_entry = 0x10;
    memset(file + 0x1000, 0xcc, 0x3000);
    segment(0, ELF_PF_R | ELF_PF_X, 0, 0x1000, 0x800, 0x800);
    segment(1, ELF_PF_R, 0x1000, 0x2000, 0x100, 0x100);
    segment(2, ELF_PF_R | ELF_PF_W, 0x2000, 0x3000, 0x400, 0x3000);
    segment(3, ELF_PF_R | ELF_PF_W, 0x2100, 0x3100, 0x40, 0x40);
    ph[3].p_type = ELF_PT_DYNAMIC;
    const struct elf64_dyn dynamic[] = {{ELF_DT_RELA, 0x2200}, {ELF_DT_RELASZ, 48}, {0, 0}};
    const struct elf64_rela rela[] = {{0x2000, 8, 0x10}, {0x2009, 8, 0x1000}};
    memcpy(file + 0x3100, dynamic, sizeof dynamic);
    memcpy(file + 0x3200, rela, sizeof rela);
    return 0;
}

static int release(void **state)
{
    (void)state;
    free(file);
    file = NULL;
    return 0;
}

static uint8_t *load(uint64_t slide)
{
    assert_true(elf_parse(file, FILE_BYTES, &image, &fault));
    uint8_t *memory = malloc(image.end - image.base);
    memset(memory, 0xaa, image.end - image.base);
    elf_load(&image, memory);
    if (!elf_relocate(&image, memory, slide, &fault))
        fail_msg("%s: %s", fault.field, fault.what);
    return memory;
}

static void assert_refused(const char *field)
{
    if (elf_parse(file, FILE_BYTES, &image, &fault))
        fail_msg("accepted, but %s is wrong", field);
    assert_string_equal(fault.field, field);
    assert_non_null(fault.what);
}

static void assert_not_relocated(const char *field)
{
    assert_true(elf_parse(file, FILE_BYTES, &image, &fault));
    uint8_t *memory = malloc(image.end - image.base);
    elf_load(&image, memory);
    assert_false(elf_relocate(&image, memory, BASE, &fault));
    assert_string_equal(fault.field, field);
    free(memory);
}

static uint64_t word(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static void a_pie_is_loaded_zero_filled_and_relocated(void **state)
{
    (void)state;
    uint8_t *memory = load(BASE);
    assert_true(image.movable);
    assert_int_equal(image.base, 0);
    assert_int_equal(image.end, 0x5000);
    assert_int_equal(memory[0x7ff], 0xcc);
    assert_int_equal(word(memory + 0x2000), BASE + 0x10);
    assert_int_equal(word(memory + 0x2009), BASE + 0x1000); /* unaligned target */
    for (size_t i = 0x800; i < 0x1000; i++)
        assert_int_equal(memory[i], 0); /* between segments */
    for (size_t i = 0x2400; i < 0x5000; i++)
        assert_int_equal(memory[i], 0); /* bss, and the rest of its page */
    free(memory);
}

static void a_fixed_file_is_loaded_where_it_is_linked(void **state)
{
    (void)state;
    header->e_type = ELF_TYPE_EXEC;
    segment(0, ELF_PF_R | ELF_PF_W, BASE, 0x1000, 0x100, 0x100);           /* writable first */
    segment(1, ELF_PF_R | ELF_PF_W, BASE + 0x1000, 0x7777000, 0, 0x20000); /* no file bytes */
    segment(2, ELF_PF_R, BASE + 0x33, 0x123456789, 0, 0); /* empty: means nothing */
    segment(3, ELF_PF_R | ELF_PF_X, BASE + 0x21000, 0x2000, 0x100, 0x100);
    uint8_t *memory = load(0);
    assert_false(image.movable);
    assert_int_equal(image.nsegments, 3);
    assert_int_equal(image.base, BASE);
    assert_int_equal(memory[0x20fff], 0);
    assert_int_equal(memory[0x21000], 0xcc);
    assert_true(elf_is_executable(&image, BASE + 0x210ff));
    assert_false(elf_is_executable(&image, BASE + 0x21100));
    assert_false(elf_is_executable(&image, BASE));
    free(memory);
}

static void segments_in_any_order_are_sorted(void **state)
{
    (void)state;
    struct elf64_phdr first = ph[0];
    ph[0] = ph[2];
    ph[2] = first;
    uint8_t *memory = load(BASE);
    assert_int_equal(image.segments[0].va, 0);
    assert_int_equal(image.segments[2].va, 0x2000);
    free(memory);
}

static void bad_headers_are_named(void **state)
{
    file[0] = 0;
    assert_refused("e_ident");
    good(state), file[4] = 1;
    assert_refused("EI_CLASS");
    good(state), file[5] = 2;
    assert_refused("EI_DATA");
    good(state), header->e_machine = 3;
    assert_refused("e_machine");
    good(state), header->e_type = 1;
    assert_refused("e_type");
    good(state), header->e_phentsize = 32;
    assert_refused("e_phentsize");
    good(state), header->e_phnum = 0;
    assert_refused("e_phnum");
    good(state), header->e_phnum = 0xffff;
    assert_refused("e_phnum");
    good(state), header->e_phoff = UINT64_MAX - 8;
    assert_refused("e_phoff");
    good(state), header->e_phoff = FILE_BYTES - 100;
    assert_refused("e_phoff");
    assert_false(elf_parse(file, 63, &image, &fault));
    assert_string_equal(fault.field, "size");
}

static void bad_segments_are_named(void **state)
{
    ph[1].p_offset = UINT64_MAX - 0xfff;
    assert_refused("p_offset");
    good(state), ph[1].p_filesz = ph[1].p_memsz = 0x10000;
    assert_refused("p_filesz");
    good(state), ph[2].p_memsz = 0x3ff;
    assert_refused("p_memsz");
    good(state), ph[2].p_memsz = 1ull << 40;
    assert_refused("p_memsz");
    good(state), ph[1].p_align = 0x1001;
    assert_refused("p_align");
    good(state), ph[1].p_align = 1ull << 63;
    assert_refused("p_align");
    good(state), ph[1].p_vaddr = 0x1010; /* offset 0x2000, alignment 0x1000 */
    assert_refused("p_vaddr");
    good(state), ph[1].p_vaddr = 0;
    assert_refused("p_vaddr"); /* overlaps the first */
    assert_string_equal(fault.what, "overlaps another segment");
    assert_int_equal(fault.index, 1);
    good(state), ph[2].p_vaddr = UINT64_MAX - 0xfff;
    assert_refused("p_vaddr");
    good(state), ph[2].p_vaddr = 0x7fff00000000;
    assert_refused("p_vaddr"); /* too far from the others */
    good(state), header->e_type = ELF_TYPE_EXEC;
    assert_refused("p_vaddr"); /* below the window */
    good(state), ph[0].p_type = ph[1].p_type = ph[2].p_type = 0;
    assert_refused("e_phnum"); /* nothing to load */
}

static void more_segments_than_fit_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ELF_SEGMENTS_MAX + 1; i++)
        segment(i, ELF_PF_R, i * 0x1000, 0, 0, 0x1000);
    assert_refused("e_phnum");
}

static void dynamic_tables_outside_are_refused(void **state)
{
    ph[3].p_vaddr = 0x100000;
    assert_refused("p_vaddr");
    good(state), ph[3].p_memsz = UINT64_MAX;
    assert_refused("p_vaddr");
    good(state), ph[3].p_vaddr = 0x4ff8, ph[3].p_memsz = 0x10;
    assert_refused("p_vaddr");
}

static void bad_relocations_are_named(void **state)
{
    struct elf64_dyn *dynamic = (struct elf64_dyn *)(file + 0x3100);
    dynamic[0].d_val = 0x4fe0;
    assert_not_relocated("DT_RELA");
    good(state), dynamic = (struct elf64_dyn *)(file + 0x3100), dynamic[1].d_val = UINT64_MAX;
    assert_not_relocated("DT_RELA");
    good(state), ((struct elf64_rela *)(file + 0x3200))->r_offset = 0x4ffc;
    assert_not_relocated("r_offset");
    good(state), ((struct elf64_rela *)(file + 0x3200))->r_offset = UINT64_MAX;
    assert_not_relocated("r_offset");
    good(state), ((struct elf64_rela *)(file + 0x3200))->r_info = 16; /* a TLS relocation */
    assert_not_relocated("type");
    assert_int_equal(fault.value, 16);
    good(state), ((struct elf64_rela *)(file + 0x3200))->r_info = 5ull << 32 | 6;
    assert_not_relocated("symbol"); /* there is no symbol table */
}

static void packed_relocations_slide_the_words_they_name(void **state)
{
    (void)state;
    const struct elf64_dyn dynamic[] = {{ELF_DT_RELR, 0x2300}, {35, 16}, {0, 0}};
    const uint64_t relr[] = {0x2000, 0xb}; /* 0x2000, then words 0 and 2 of those behind it */
    const uint64_t words[] = {1, 2, 3, 4};
    memcpy(file + 0x3100, dynamic, sizeof dynamic);
    memcpy(file + 0x3300, relr, sizeof relr);
    memcpy(file + 0x3000, words, sizeof words);
    uint8_t *memory = load(BASE);
    const uint64_t wanted[] = {BASE + 1, BASE + 2, 3, BASE + 4};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(word(memory + 0x2000 + 8 * i), wanted[i]);
    free(memory);
}

static void pages_shared_by_segments_get_both_protections(void **state)
{
    (void)state;
    header->e_phnum = 0;
    segment(0, ELF_PF_R | ELF_PF_X, 0, 0, 0, 0x1800);
    segment(1, ELF_PF_R | ELF_PF_W, 0x1800, 0, 0, 0x100);
    segment(2, ELF_PF_R, 0x1a00, 0, 0, 0x2000);
    ph[0].p_align = ph[1].p_align = ph[2].p_align = 1;
    assert_true(elf_parse(file, FILE_BYTES, &image, &fault));
    struct elf_run runs[ELF_RUNS_MAX];
    assert_int_equal(elf_runs(&image, runs), 3);
    assert_int_equal(runs[0].bytes, 0x1000);
    assert_int_equal(runs[0].flags, ELF_PF_R | ELF_PF_X);
    assert_int_equal(runs[1].va, 0x1000);
    assert_int_equal(runs[1].bytes, 0x1000);
    assert_int_equal(runs[1].flags, ELF_PF_R | ELF_PF_W | ELF_PF_X);
    assert_int_equal(runs[2].va, 0x2000);
    assert_int_equal(runs[2].bytes, 0x2000);
    assert_int_equal(runs[2].flags, ELF_PF_R);
}

/* Whatever the bytes say: accepted or refused with a field, and nothing outside is touched. */
static void no_mutation_reaches_outside(void **state)
{
    struct rng rng = rng_start();
    for (int run = 0; run < FUZZ_RUNS; run++) {
        good(state);
        for (uint64_t n = rng_size(&rng, 6); n; n--) {
            static const uint16_t places[] = {0, 64, 64, 0x3100, 0x3200};
            size_t at = places[rng_below(&rng, COUNT(places))] + rng_below(&rng, 224) / 8 * 8;
            uint64_t value = rng_next(&rng) >> rng_below(&rng, 64);
            memcpy(file + at, &value, rng_below(&rng, 2) ? 8 : 2);
        }
        if (!elf_parse(file, FILE_BYTES, &image, &fault)) {
            assert_non_null(fault.field);
            continue;
        }
        if (image.end - image.base > 1 << 24)
            continue; /* right, but slow to zero */
        uint8_t *memory = malloc(image.end - image.base);
        elf_load(&image, memory);
        (void)!elf_relocate(&image, memory, BASE, &fault);
        struct elf_run runs[ELF_RUNS_MAX];
        assert_in_range(elf_runs(&image, runs), 1, ELF_RUNS_MAX);
        free(memory);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_pie_is_loaded_zero_filled_and_relocated, good),
        cmocka_unit_test_setup(a_fixed_file_is_loaded_where_it_is_linked, good),
        cmocka_unit_test_setup(segments_in_any_order_are_sorted, good),
        cmocka_unit_test_setup(bad_headers_are_named, good),
        cmocka_unit_test_setup(bad_segments_are_named, good),
        cmocka_unit_test_setup(more_segments_than_fit_are_refused, good),
        cmocka_unit_test_setup(dynamic_tables_outside_are_refused, good),
        cmocka_unit_test_setup(bad_relocations_are_named, good),
        cmocka_unit_test_setup(packed_relocations_slide_the_words_they_name, good),
        cmocka_unit_test_setup(pages_shared_by_segments_get_both_protections, good),
        cmocka_unit_test_setup(no_mutation_reaches_outside, good),
    };
    return cmocka_run_group_tests_name("elf", tests, NULL, release);
}
