/* efi/memmap.c and command_memmap.c: the firmware's memory map as a person sees it, from good
 * firmware and from firmware that lies. The firmware is played by GetMemoryMap and a console that
 * remembers. */
#include "test.h"

#include <efi.h>

#include "commands.h"
#include "firmware.h"
#include "memmap.h"
#include "print.h"

#define GROWTH          200 /* descriptors, more than the headroom */
#define CONSOLE_CHARS   (1 << 20)
#define DESCRIPTORS_MAX 1200
#define STRIDE          56 /* larger than the structure, as real firmware's is */

EFI_SYSTEM_TABLE *ST;
EFI_BOOT_SERVICES *BS;

static char console[CONSOLE_CHARS];
static size_t console_used;
static EFI_MEMORY_DESCRIPTOR descriptors[DESCRIPTORS_MAX];
static size_t ndescriptors;
static size_t
    grows; /* so often the map has grown by one page of descriptors when it is asked for */
static void *allocated;

static EFI_STATUS EFIAPI output_string(SIMPLE_TEXT_OUTPUT_INTERFACE *out, CHAR16 *text)
{
    (void)out;
    for (; *text; text++) {
        assert_true(console_used + 1 < sizeof console);
        console[console_used++] = (char)*text;
    }
    console[console_used] = 0;
    return EFI_SUCCESS;
}

static EFI_STATUS EFIAPI get_memory_map(UINTN *bytes, EFI_MEMORY_DESCRIPTOR *map, UINTN *key,
                                        UINTN *descriptor_bytes, UINT32 *version)
{
    UINTN room = *bytes;
    *bytes = ndescriptors * STRIDE;
    *descriptor_bytes = STRIDE;
    *version = 1;
    *key = 0;
    if (map && grows && ndescriptors + GROWTH < DESCRIPTORS_MAX) {
        grows--;
        ndescriptors += GROWTH;
        *bytes = ndescriptors * STRIDE;
    }
    if (room < *bytes)
        return EFI_BUFFER_TOO_SMALL;
    memset(map, 0xee, *bytes);
    for (size_t i = 0; i < ndescriptors; i++)
        memcpy((char *)map + i * STRIDE, &descriptors[i], sizeof descriptors[i]);
    return EFI_SUCCESS;
}

EFI_STATUS firmware_alloc_raw(UINTN npages, UINTN align, void **out)
{
    (void)align;
    assert_null(allocated);
    *out = allocated = malloc(npages * 4096);
    return EFI_SUCCESS;
}

UINTN firmware_mark(void)
{
    return 0;
}

void firmware_free_since(UINTN mark)
{
    (void)mark;
    free(allocated);
    allocated = NULL;
}

static SIMPLE_TEXT_OUTPUT_INTERFACE output = {.OutputString = output_string};
static EFI_SYSTEM_TABLE system_table = {.ConOut = &output};
static EFI_BOOT_SERVICES boot_services = {.GetMemoryMap = get_memory_map};

static int reset(void **state)
{
    (void)state;
    ST = &system_table;
    BS = &boot_services;
    console_used = ndescriptors = grows = 0;
    memset(descriptors, 0, sizeof descriptors);
    return 0;
}

static void add(UINT32 type, UINT64 start, UINT64 pages, UINT64 attributes)
{
    assert_true(ndescriptors < DESCRIPTORS_MAX);
    descriptors[ndescriptors++] = (EFI_MEMORY_DESCRIPTOR){
        .Type = type, .PhysicalStart = start, .NumberOfPages = pages, .Attribute = attributes};
}

/* Run the command; whatever the map holds, no line may be wider than the console. */
static EFI_STATUS show(void)
{
    struct options options = {0};
    EFI_STATUS status = command_memmap(&options);
    firmware_free_since(0);
    size_t column = 0;
    for (size_t i = 0; i < console_used; i++) {
        column = console[i] == '\n' ? 0 : column + (console[i] != '\r');
        if (column >= 80)
            fail_msg("too wide: ...%.60s", &console[i - 60]);
    }
    return status;
}

static void assert_said(const char *text)
{
    if (!strstr(console, text))
        fail_msg("\"%s\" is not in \"%s\"", text, console);
}

static void a_good_map_is_shown_summed_up_and_fine(void **state)
{
    reset(state);
    add(EfiConventionalMemory, 0x1000, 0x9f, 0xf);
    add(EfiConventionalMemory, 0x100000, 0x700, 0xf);
    add(EfiRuntimeServicesData, 0x800000, 2, 0x800000000000000full);
    add(EfiMemoryMappedIO, 0xfec00000, 1, 0x8000000000000001ull);
    add(0x80000001, 0x100000000ull, 0x100, 0);
    assert_int_equal(show(), EXIT_FINE);
    assert_said("000000001000-00000009ffff    636 KiB Conventional        UC WC WT WB\r\n");
    assert_said("000000800000-000000801fff      8 KiB RuntimeServicesData UC WC WT WB RT\r\n");
    assert_said("0000fec00000-0000fec00fff      4 KiB MMIO                UC RT\r\n");
    assert_said("000100000000-0001000fffff      1 MiB type 0x80000001    \r\n");
    assert_said("Conventional                       2            1951      7.6 MiB\r\n");
    assert_said("RAM                                3            1953      7.6 MiB\r\n");
    assert_null(strstr(console, "Note"));
}

static void a_map_out_of_order_is_noted_but_fine(void **state)
{
    reset(state);
    add(EfiConventionalMemory, 0x100000000ull, 1, 0xf);
    add(EfiMemoryMappedIO, 0xfec00000, 1, 1);
    assert_int_equal(show(), EXIT_FINE);
    assert_said("Note: not sorted by address, from descriptor 1");
}

static void each_fault_is_named_and_sets_the_status(void **state)
{
    (void)state;
    static const struct {
        EFI_MEMORY_DESCRIPTOR second;
        const char *said;
    } cases[] = {
        {{.PhysicalStart = 0x1fff000, .NumberOfPages = 2}, "overlap"},
        {{.PhysicalStart = 0x1000000, .NumberOfPages = 0x1000}, "overlap"},
        {{.PhysicalStart = 0x0, .NumberOfPages = 0x100000}, "overlap"},
        {{.PhysicalStart = 0x1800000, .NumberOfPages = 1}, "overlap"},
        {{.PhysicalStart = 0x3000000, .NumberOfPages = 0}, "has no pages"},
        {{.PhysicalStart = 0x3000800, .NumberOfPages = 1}, "does not begin at a page"},
        {{.PhysicalStart = 0xfffffffffffff000, .NumberOfPages = 2}, "wraps around"},
        {{.PhysicalStart = 0x3000000, .NumberOfPages = UINT64_MAX}, "wraps around"},
        {{.PhysicalStart = 0x3000000, .NumberOfPages = 1ull << 52}, "wraps around"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        reset(NULL);
        add(EfiConventionalMemory, 0x1000000, 0x1000, 0xf);
        descriptors[ndescriptors++] = cases[i].second;
        assert_int_equal(show(), EXIT_FOUND);
        assert_said(cases[i].said);
    }
}

static void neighbours_and_the_last_page_there_is_are_no_fault(void **state)
{
    reset(state);
    add(EfiConventionalMemory, 0x1000, 1, 0xf);
    add(EfiLoaderData, 0x2000, 1, 0xf);
    add(EfiReservedMemoryType, 0xfffffffffffff000, 1, 0);
    assert_int_equal(show(), EXIT_FINE);
}

static void a_thousand_faults_do_not_flood_the_screen(void **state)
{
    reset(state);
    for (unsigned i = 0; i < 300; i++)
        add(EfiConventionalMemory, 0x1000, 1, 0xf);
    assert_int_equal(show(), EXIT_FOUND);
    assert_said("... and 44838 more.");
}

static void more_types_than_there_is_room_for_are_summed_up_together(void **state)
{
    reset(state);
    for (unsigned i = 0; i < 50; i++)
        add(0x80000000 + 50 - i, 0x100000 + i * 0x1000, 1, 0);
    assert_int_equal(show(), EXIT_FINE);
    assert_said("other types                       26              26");
    assert_said("Total                             50              50");
}

static void every_attribute_at_once_breaks_into_lines(void **state)
{
    reset(state);
    add(EfiRuntimeServicesCode, 0x1000, 1, UINT64_MAX);
    assert_int_equal(show(), EXIT_FINE);
    assert_said(" RT\r\n");
}

static void a_map_that_grows_meanwhile_is_asked_for_again(void **state)
{
    reset(state);
    add(EfiConventionalMemory, 0x1000, 1, 0xf);
    grows = 2;
    struct efi_memmap map;
    assert_int_equal(memmap_get(&map), EFI_SUCCESS);
    assert_int_equal(map.bytes, 401 * STRIDE);
    assert_non_null(memmap_at(&map, 400));
    assert_null(memmap_at(&map, 401));
    firmware_free_since(0);

    reset(state);
    add(EfiConventionalMemory, 0x1000, 1, 0xf);
    grows = 1000;
    assert_true(EFI_ERROR(memmap_get(&map)));
    firmware_free_since(0);
}

/* Random numbers in every field, with a taste for the extremes. */
static void random_maps_end_in_a_status_and_in_lines_that_fit(void **state)
{
    static const UINT64 extremes[] = {0,         1, 0xfff, 0x1000, 1ull << 52, UINT64_MAX >> 12,
                                      UINT64_MAX};
    struct rng rng = rng_start();
    for (int round = 0; round < 200; round++) {
        reset(state);
        size_t n = rng_between(&rng, 1, 100);
        for (size_t i = 0; i < n; i++) {
            UINT64 start = rng_below(&rng, 4) ? rng_size(&rng, UINT64_MAX)
                                              : extremes[rng_below(&rng, COUNT(extremes))];
            UINT64 pages = rng_below(&rng, 4) ? rng_size(&rng, UINT64_MAX)
                                              : extremes[rng_below(&rng, COUNT(extremes))];
            add((UINT32)(rng_below(&rng, 2) ? rng_below(&rng, 20) : rng_next(&rng)), start, pages,
                rng_next(&rng));
        }
        EFI_STATUS status = show();
        assert_true(status == EXIT_FINE || status == EXIT_FOUND);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_map_is_shown_summed_up_and_fine),
        cmocka_unit_test(a_map_out_of_order_is_noted_but_fine),
        cmocka_unit_test(each_fault_is_named_and_sets_the_status),
        cmocka_unit_test(neighbours_and_the_last_page_there_is_are_no_fault),
        cmocka_unit_test(a_thousand_faults_do_not_flood_the_screen),
        cmocka_unit_test(more_types_than_there_is_room_for_are_summed_up_together),
        cmocka_unit_test(every_attribute_at_once_breaks_into_lines),
        cmocka_unit_test(a_map_that_grows_meanwhile_is_asked_for_again),
        cmocka_unit_test(random_maps_end_in_a_status_and_in_lines_that_fit),
    };
    return cmocka_run_group_tests_name("efi_memmap", tests, NULL, NULL);
}
