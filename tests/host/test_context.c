/* kernel/boot/context.c and requests.c: the answers that are about neither memory nor CPUs. */
#include "context_rig.h"

/* ---- what is good --------------------------------------------------------------------------- */

static void good_answers_are_copied(void **state)
{
    (void)state;
    assert_quiet();
    const struct boot_context *c = boot_context();
    assert_string_equal(c->loader_name, "Quicklime");
    assert_string_equal(c->loader_version, "0.1.0");
    assert_string_equal(c->cmdline, "exit=debug report=json");
    assert_int_equal(c->base_revision, BASE_REVISION);
    assert_int_equal(c->firmware_type, LIMINE_FIRMWARE_EFI64);
    assert_int_equal(c->hhdm_base.v, HHDM);
    assert_int_equal(c->nmemory, GOOD);
    for (size_t i = 0; i < GOOD; i++) {
        assert_int_equal(c->memory[i].base.v, good_map[i].base);
        assert_int_equal(c->memory[i].bytes, good_map[i].length);
        assert_int_equal(c->memory[i].type, good_map[i].type);
    }
    assert_int_equal(c->image_pa.v, IMAGE_PA);
    assert_int_equal(c->image_va.v, IMAGE_VA);
    assert_true(c->have_rsdp && c->have_smbios_32 && c->have_smbios_64 && c->have_efi_system_table);
    assert_int_equal(c->rsdp.v, 0x8000014);
    assert_int_equal(c->smbios_32.v, 0xf0000);
    assert_int_equal(c->smbios_64.v, 0xf0020);
    assert_int_equal(c->efi_system_table.v, 0x7fed018);
    assert_int_equal(c->date_at_boot, 1700000000);
    assert_int_equal(c->init_usec, 2000);
    assert_int_equal(c->exec_usec, 5000);
    assert_int_equal(c->tsc_hz, 2500000000);
    assert_int_equal(c->nentropy, 8);
    assert_int_equal(c->entropy[7], 8);
}

static void good_framebuffer_is_copied(void **state)
{
    (void)state;
    assert_quiet();
    const struct boot_framebuffer *f = &boot_context()->framebuffer;
    assert_true(boot_context()->have_framebuffer);
    assert_int_equal((uint64_t)(uintptr_t)f->pixels, HHDM + 0xc0000000);
    assert_int_equal(f->base.v, 0xc0000000);
    assert_true(f->width == 1024 && f->height == 768 && f->pitch == 4096);
    assert_true(f->red_size == 8 && f->green_size == 8 && f->blue_size == 8);
    assert_true(f->red_shift == 16 && f->green_shift == 8 && f->blue_shift == 0);
}

static void nothing_of_the_loaders_memory_is_needed_afterwards(void **state)
{
    (void)state;
    assert_quiet();
    memset(loader.memory, 0xee, LOADER_BYTES);
    const struct boot_context *c = boot_context();
    assert_string_equal(c->cmdline, "exit=debug report=json");
    assert_int_equal(c->memory[GOOD - 1].base.v, good_map[GOOD - 1].base);
    assert_int_equal(c->efi_memmap.bytes, 144);
    assert_int_equal(c->efi_memmap.descriptor_bytes, 48);
    assert_int_equal(c->efi_memmap.version, 1);
    assert_int_equal(((const uint64_t *)c->efi_memmap.descriptors)[1], 0x1000);
}

static void what_may_be_missing_is_left_out_silently(void **state)
{
    (void)state;
    for (int request = 0; request < REQUESTS; request++)
        if (request != REQUEST_HHDM && request != REQUEST_MEMMAP &&
            request != REQUEST_EXECUTABLE_ADDRESS)
            *slot((enum request)request) = 0;
    assert_quiet();
    const struct boot_context *c = boot_context();
    assert_int_equal(c->nmemory, GOOD);
    assert_false(c->have_framebuffer || c->have_rsdp || c->have_smbios_32 || c->have_smbios_64 ||
                 c->have_efi_system_table);
    assert_null(c->efi_memmap.descriptors);
    assert_string_equal(c->cmdline, "");
    assert_true(c->nentropy == 0 && c->tsc_hz == 0 && c->date_at_boot == 0);
}

static void what_must_not_be_missing_ends_the_boot_by_name(void **state)
{
    static const enum request needed[] = {REQUEST_HHDM, REQUEST_MEMMAP, REQUEST_EXECUTABLE_ADDRESS};
    for (size_t i = 0; i < COUNT(needed); i++) {
        char words[64];
        start(state);
        *slot(needed[i]) = 0;
        snprintf(words, sizeof words, "no valid %s response", request_name(needed[i]));
        assert_ends(words);
    }
}

/* ---- pointers ------------------------------------------------------------------------------- */

static void bad_responses_are_named_and_left_out(void **state)
{
    static const struct {
        uint64_t address;
        const char *why;
    } bad[] = {
        {0x200000, "is below the direct map"},
        {HHDM - 8, "is below the direct map"},
        {UINT64_MAX, "is beyond the direct map"},
        {VMM_DEVICE_BASE - 8, "is beyond the direct map"},
        {HHDM + LOADER_PA + 4, "is not aligned"},
        {HHDM + 0x1ffffffff8, "is not in memory that the loader maps"},
        {HHDM + 0xfec00000, "is not in memory that the loader maps"},
        {HHDM + LOADER_PA + LOADER_BYTES - 8, "is not in memory that the loader maps"},
    };
    for (int i = 0; i < REQUESTS; i++) {
        enum request request = (enum request)i;
        if (request == REQUEST_HHDM || request == REQUEST_MEMMAP ||
            request == REQUEST_PAGING_MODE || request == REQUEST_EXECUTABLE_ADDRESS ||
            request == REQUEST_EXECUTABLE_FILE)
            continue; /* these are asked for first, or not at all */
        for (size_t j = 0; j < COUNT(bad); j++) {
            char line[256];
            start(state);
            *slot(request) = bad[j].address;
            snprintf(line, sizeof line, "%s: response 0x%lx %s", request_name(request),
                     bad[j].address, bad[j].why);
            assert_complaint(line);
            assert_int_equal(boot_context()->nmemory, GOOD);
        }
    }
}

/* ---- paging mode, base revision ------------------------------------------------------------- */

static void levels_that_the_cpu_does_not_use_are_named(void **state)
{
    (void)state;
    loader.paging->mode = LIMINE_PAGING_5LEVEL;
    assert_complaint("paging mode: mode 0x1 is not that of the CPU");
    loader.cr4 = CR4_LA57;
    assert_quiet();
    loader.paging->mode = LIMINE_PAGING_4LEVEL;
    assert_complaint("paging mode: mode 0x0 is not that of the CPU");
}

static void another_base_revision_is_tried(void **state)
{
    (void)state;
    base_revision[2] = BASE_REVISION; /* untouched: not acknowledged */
    base_revision[1] = 1;
    assert_complaint("the loader does not know base revision 3 (it uses 1): trying");
    assert_int_equal(boot_context()->base_revision, 1);
    base_revision[1] = (uint64_t[]){LIMINE_BASE_REVISION}[1]; /* a loader that does not tell */
    assert_true(boots());
    assert_int_equal(boot_context()->base_revision, 0);
    base_revision[2] = 0;
    assert_quiet();
    assert_int_equal(boot_context()->base_revision, BASE_REVISION);

    base_revision[1] = 1;
    base_revision[2] = BASE_REVISION;
    /* Base revisions below 3 map 4 GiB, whatever the memory map calls it. */
    loader.map[2].type = MEM_RESERVED;
    *slot(REQUEST_MP) = 0; /* whose CPUs could not be released from there */
    assert_complaint("the loader does not know base revision 3 (it uses 1): trying");
    assert_true(boot_context()->have_rsdp);
    *slot(REQUEST_RSDP) = HHDM + 4 * HUGE_1G - 8;
    assert_true(boots());
    assert_non_null(strstr(log_text, "RSDP: response 0xffff9000fffffff8 is not in memory"));
}

/* ---- the framebuffer ------------------------------------------------------------------------ */

#define BAD(member, value, line)                                                                 \
    {                                                                                            \
        offsetof(struct limine_framebuffer, member), sizeof good_framebuffer.member, value, line \
    }

static void bad_framebuffers_are_named_and_the_next_one_is_taken(void **state)
{
    static const struct {
        size_t offset, bytes;
        uint64_t value;
        const char *line;
    } bad[] = {
        BAD(memory_model, 0, "memory model 0x0 is not RGB"),
        BAD(bpp, 24, "bpp 0x18 is not 32"),
        BAD(bpp, 0xffff, "bpp 0xffff is not 32"),
        BAD(red_mask_size, 0, "shifts 0x100800 colour mask is outside of 32 bits"),
        BAD(red_mask_size, 17, "shifts 0x100800 colour mask is outside of 32 bits"),
        BAD(green_mask_shift, 25, "shifts 0x101900 colour mask is outside of 32 bits"),
        BAD(blue_mask_shift, 255, "shifts 0x1008ff colour mask is outside of 32 bits"),
        BAD(green_mask_shift, 9, "shifts 0x100900 colour masks overlap"),
        BAD(blue_mask_size, 9, "shifts 0x100800 colour masks overlap"),
        BAD(width, 0, "width 0x0 cannot be"),
        BAD(width, 65536, "width 0x10000 cannot be"),
        BAD(height, 0, "height 0x0 cannot be"),
        BAD(height, UINT64_MAX, "height 0xffffffffffffffff cannot be"),
        BAD(pitch, 4095, "pitch 0xfff does not fit the width and height"),
        BAD(pitch, 0, "pitch 0x0 does not fit the width and height"),
        BAD(pitch, 1u << 31, "pitch 0x80000000 does not fit the width and height"),
        BAD(pitch, UINT64_MAX, "pitch 0xffffffffffffffff does not fit the width and height"),
        BAD(address, 0xc0000000, "address 0xc0000000 is not in the direct map"),
        BAD(address, HHDM - 1, "address 0xffff8fffffffffff is not in the direct map"),
        BAD(address, UINT64_MAX, "address 0xffffffffffffffff is not in the direct map"),
        BAD(address, VMM_DEVICE_BASE - 4096, "address 0xffffdffffffff000 is not in the direct map"),
        BAD(address, HHDM + (1ull << 40) - 4096,
            "address 0xffff90fffffff000 is beyond what the CPU can address"),
        BAD(address, HHDM + IMAGE_PA + IMAGE_BYTES - 1,
            "address 0xffff90000037ffff is the kernel's own memory"),
        BAD(address, HHDM + IMAGE_PA - 4096,
            "address 0xffff9000002ff000 is the kernel's own memory"),
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        char line[256];
        start(state);
        memcpy((uint8_t *)&loader.framebuffer[0] + bad[i].offset, &bad[i].value, bad[i].bytes);
        snprintf(line, sizeof line, "framebuffer: %s", bad[i].line);
        assert_complaint(line);
        assert_true(boot_context()->have_framebuffer);
        assert_int_equal(boot_context()->framebuffer.width, 800);
        loader.framebuffers->framebuffer_count = 1;
        assert_complaint(line);
        assert_false(boot_context()->have_framebuffer);
    }
}

static void odd_but_possible_framebuffers_are_taken(void **state)
{
    (void)state;
    struct limine_framebuffer *f = &loader.framebuffer[0];
    f->pitch = 4100;
    f->red_mask_size = f->green_mask_size = f->blue_mask_size = 10;
    f->red_mask_shift = 22;
    f->green_mask_shift = 12;
    f->blue_mask_shift = 2;
    assert_quiet();
    assert_int_equal(boot_context()->framebuffer.pitch, 4100);
    *f = good_framebuffer;
    f->address = HHDM + IMAGE_PA + IMAGE_BYTES; /* right behind the kernel */
    assert_quiet();
    f->address = HHDM + IMAGE_PA - 4096 * 768; /* right before it */
    assert_quiet();
    *f = good_framebuffer;
    f->red_mask_size = f->red_mask_shift = 16;
    assert_quiet();
    assert_int_equal(boot_context()->framebuffer.red_size, 16);
    *f = good_framebuffer;
    f->width = 65535;
    f->height = 4096;
    f->pitch = 262144; /* 1 GiB, exactly */
    f->address = HHDM + 0x4000000000;
    assert_quiet();
    assert_int_equal(boot_context()->framebuffer.width, 65535);
    f->width = 1000;
    f->height = 65535;
    f->pitch = 4000;
    assert_quiet();
    assert_int_equal(boot_context()->framebuffer.height, 65535);
    f->width = 15360;
    f->height = 8640;
    f->pitch = 65536;
    f->address = HHDM + 0x4000000000;
    assert_quiet();
    assert_int_equal(boot_context()->framebuffer.width, 15360);
}

static void absurd_numbers_of_framebuffers_are_survived(void **state)
{
    (void)state;
    loader.framebuffers->framebuffer_count = UINT64_MAX;
    assert_quiet();
    assert_true(boot_context()->have_framebuffer);
    loader.framebuffers->framebuffer_count = 0;
    assert_quiet();
    assert_false(boot_context()->have_framebuffer);
    loader.framebuffers->framebuffer_count = 2;
    loader.framebuffer_list[0] = 3;
    assert_complaint("framebuffer: framebuffer 0x3 is below the direct map");
    assert_int_equal(boot_context()->framebuffer.width, 800);
    loader.framebuffers->framebuffers = HHDM;
    assert_complaint(
        "framebuffer: framebuffers 0xffff900000000000 is not in memory that the loader maps");
}

/* ---- strings -------------------------------------------------------------------------------- */

static void strings_that_do_not_end_are_cut(void **state)
{
    char line[256];
    (void)state;
    size_t room = LOADER_BYTES - loader.used;
    char *rest = place(NULL, room);
    memset(rest, 'x', room);
    loader.cmdline->cmdline = address_of(rest);
    snprintf(line, sizeof line, "command line: cmdline 0x%lx is a string that is too long: cut off",
             address_of(rest));
    assert_complaint(line);
    assert_int_equal(strlen(boot_context()->cmdline), sizeof context.cmdline - 1);

    loader.info->version = address_of(rest + room - 5); /* runs out of what is mapped */
    loader.cmdline->cmdline = 0;
    assert_complaint(
        "bootloader info: version 0xffff900000240000 is not in memory that the loader maps");
    assert_string_equal(boot_context()->loader_version, "xxxxx");
    assert_string_equal(boot_context()->cmdline, "");
}

static void a_string_that_just_fits_is_whole(void **state)
{
    (void)state;
    char *text = place(NULL, sizeof context.cmdline);
    memset(text, 'y', sizeof context.cmdline - 1);
    loader.cmdline->cmdline = address_of(text) + 0;
    assert_quiet();
    assert_string_equal(boot_context()->cmdline, text);
}

static void control_characters_become_blanks(void **state)
{
    (void)state;
    loader.cmdline->cmdline = place_string("a\x1b[2Jb\nc\x7f\td \xc3\xa9");
    assert_quiet();
    assert_string_equal(boot_context()->cmdline, "a [2Jb c  d \xc3\xa9");
}

static void the_command_line_may_be_with_the_file(void **state)
{
    (void)state;
    struct limine_file file = {.string = place_string("verbose")};
    *slot(REQUEST_CMDLINE) = 0;
    loader.file = ANSWER(REQUEST_EXECUTABLE_FILE, limine_executable_file_response, 0,
                         address_of(place(&file, sizeof file)));
    assert_quiet();
    assert_string_equal(boot_context()->cmdline, "verbose");
    loader.file->executable_file = 17;
    assert_complaint("executable file: file 0x11 is below the direct map");
}

/* ---- firmware tables, EFI memory map, clocks, entropy --------------------------------------- */

static void tables_are_physical_or_in_the_direct_map(void **state)
{
    (void)state;
    loader.rsdp->address = HHDM + 0x8000014;
    assert_quiet();
    assert_int_equal(boot_context()->rsdp.v, 0x8000014);
    loader.rsdp->address = 0;
    assert_quiet();
    assert_false(boot_context()->have_rsdp);
    loader.rsdp->address = HHDM;
    assert_complaint("RSDP: address 0xffff900000000000 is no physical address");
    assert_false(boot_context()->have_rsdp);
    loader.rsdp->address = PADDR_LIMIT;
    assert_complaint("RSDP: address 0x10000000000000 is no physical address");
    loader.rsdp->address = 0x8000014;
    loader.smbios->entry_32 = UINT64_MAX / 2;
    assert_complaint("SMBIOS: entry_32 0x7fffffffffffffff is no physical address");
    assert_true(!boot_context()->have_smbios_32 && boot_context()->have_smbios_64);
    loader.smbios->entry_32 = 0xf0000;
    loader.efi->address = PADDR_LIMIT;
    assert_complaint("EFI system table: address 0x10000000000000 is no physical address");
    assert_false(boot_context()->have_efi_system_table);
}

static void bad_efi_memory_maps_are_named_and_left_out(void **state)
{
    static const struct {
        uint64_t bytes, descriptor_bytes;
        const char *line;
    } bad[] = {
        {144, 0, "desc_size 0x0 cannot be: at least 40 are needed"},
        {144, 39, "desc_size 0x27 cannot be: at least 40 are needed"},
        {144, 44, "desc_size 0x2c cannot be: at least 40 are needed"},
        {144, 8192, "desc_size 0x2000 cannot be: at least 40 are needed"},
        {144, UINT64_MAX, "desc_size 0xffffffffffffffff cannot be: at least 40 are needed"},
        {0, 48, "memmap_size 0x0 is empty or more than CONFIG_EFI_MEMMAP_BYTES: left out"},
        {47, 48, "memmap_size 0x2f is empty or more than CONFIG_EFI_MEMMAP_BYTES: left out"},
        {0x10001, 48,
         "memmap_size 0x10001 is empty or more than CONFIG_EFI_MEMMAP_BYTES: left out"},
        {UINT64_MAX, 48,
         "memmap_size 0xffffffffffffffff is empty or more than CONFIG_EFI_MEMMAP_BYTES: left out"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        char line[256];
        loader.efi_memmap->memmap_size = bad[i].bytes;
        loader.efi_memmap->desc_size = bad[i].descriptor_bytes;
        snprintf(line, sizeof line, "EFI memory map: %s", bad[i].line);
        assert_complaint(line);
        assert_null(boot_context()->efi_memmap.descriptors);
    }
    loader.efi_memmap->memmap_size = loader.efi_memmap->desc_size = 40;
    assert_quiet();
    assert_int_equal(boot_context()->efi_memmap.bytes, 40);
    loader.efi_memmap->memmap = HHDM + LOADER_PA;
    loader.efi_memmap->memmap_size = CONFIG_EFI_MEMMAP_BYTES;
    loader.efi_memmap->desc_size = PAGE_BYTES;
    assert_quiet();
    assert_int_equal(boot_context()->efi_memmap.bytes, CONFIG_EFI_MEMMAP_BYTES);
    loader.efi_memmap->memmap_size = 143; /* the last one is not whole */
    loader.efi_memmap->desc_size = 48;
    assert_quiet();
    assert_int_equal(boot_context()->efi_memmap.bytes, 96);
    loader.efi_memmap->memmap = HHDM + LOADER_PA + LOADER_BYTES - 8;
    assert_complaint(
        "EFI memory map: memmap 0xffff90000023fff8 is not in memory that the loader maps");
}

static void absurd_clocks_are_left_out(void **state)
{
    (void)state;
    loader.tsc->frequency = 999999;
    assert_complaint("TSC frequency: frequency 0xf423f cannot be");
    assert_int_equal(boot_context()->tsc_hz, 0);
    loader.tsc->frequency = UINT64_MAX;
    assert_complaint("TSC frequency: frequency 0xffffffffffffffff cannot be");
    loader.tsc->frequency = 100000000001;
    assert_complaint("TSC frequency: frequency 0x174876e801 cannot be");
    loader.tsc->frequency = 100000000000;
    assert_quiet();
    loader.tsc->frequency = 1000000;
    loader.date->timestamp = INT64_MIN;
    assert_quiet();
    assert_int_equal(boot_context()->tsc_hz, 1000000);
    assert_int_equal(boot_context()->date_at_boot, 0);
}

static void entropy_is_taken_as_far_as_there_is_room(void **state)
{
    (void)state;
    loader.entropy->value_count = UINT64_MAX;
    assert_quiet();
    assert_int_equal(boot_context()->nentropy, 8);
    loader.entropy->value_count = 3;
    assert_quiet();
    assert_int_equal(boot_context()->nentropy, 3);
    assert_int_equal(boot_context()->entropy[3], 0);
    loader.entropy->value_count = 0;
    assert_quiet();
    assert_int_equal(boot_context()->nentropy, 0);
    loader.entropy->value_count = 2;
    loader.entropy->values = 9;
    assert_complaint("entropy: values 0x9 is below the direct map");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(good_answers_are_copied),
        TEST(good_framebuffer_is_copied),
        TEST(nothing_of_the_loaders_memory_is_needed_afterwards),
        TEST(what_may_be_missing_is_left_out_silently),
        TEST(what_must_not_be_missing_ends_the_boot_by_name),
        TEST(bad_responses_are_named_and_left_out),
        TEST(levels_that_the_cpu_does_not_use_are_named),
        TEST(another_base_revision_is_tried),
        TEST(bad_framebuffers_are_named_and_the_next_one_is_taken),
        TEST(odd_but_possible_framebuffers_are_taken),
        TEST(absurd_numbers_of_framebuffers_are_survived),
        TEST(strings_that_do_not_end_are_cut),
        TEST(a_string_that_just_fits_is_whole),
        TEST(control_characters_become_blanks),
        TEST(the_command_line_may_be_with_the_file),
        TEST(tables_are_physical_or_in_the_direct_map),
        TEST(bad_efi_memory_maps_are_named_and_left_out),
        TEST(absurd_clocks_are_left_out),
        TEST(entropy_is_taken_as_far_as_there_is_room),
    };
    return cmocka_run_group_tests_name("context", tests, NULL, release);
}
