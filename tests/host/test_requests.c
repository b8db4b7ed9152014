/* efi/requests.c: what of a loaded image counts as tag and request. */
#include "test.h"

#include "boot/elf.h"
#include "boot/limine.h"
#include "requests.h"

#define IMAGE_BYTES 0x3000
#define FILE_PART   0x2000 /* what the file filled of it */

static uint8_t *memory;
static struct elf_image image;
static struct request_list list;
static struct fault fault;

static void put(size_t offset, const uint64_t *words, size_t count)
{
    memcpy(memory + offset, words, count * 8);
}

static void put_tag(size_t offset, uint64_t revision)
{
    put(offset, (const uint64_t[]){LIMINE_BASE_REVISION, revision}, 3);
}

static void put_request(size_t offset, uint64_t a, uint64_t b)
{
    put(offset, (const uint64_t[]){LIMINE_COMMON_MAGIC, a, b, 0, 0}, 6);
}

static int empty(void **state)
{
    (void)state;
    free(memory);
    memory = calloc(1, IMAGE_BYTES);
    image = (struct elf_image){
        .base = 0xffffffff80000000, .end = 0xffffffff80000000 + IMAGE_BYTES, .nsegments = 1};
    image.segments[0] = (struct elf_segment){
        .va = image.base, .memory_bytes = IMAGE_BYTES, .file_bytes = FILE_PART, .flags = ELF_PF_R};
    return 0;
}

static int release(void **state)
{
    (void)state;
    free(memory);
    return 0;
}

static void assert_found(size_t count)
{
    if (!requests_find(&image, memory, &list, &fault))
        fail_msg("%s %s", fault.field, fault.what);
    assert_int_equal(list.count, count);
}

static void assert_refused(const char *part_of_what)
{
    assert_false(requests_find(&image, memory, &list, &fault));
    assert_non_null(strstr(fault.what, part_of_what));
}

static void tag_and_requests_are_found(void **state)
{
    (void)state;
    put_tag(0x100, 6);
    put_request(0x200, LIMINE_HHDM);
    put_request(0x1fd0, LIMINE_MEMMAP);
    put_request(0x300, 1, 2);
    assert_found(3);
    assert_int_equal(list.base_revision, 6);
    assert_int_equal(list.tag_offset, 0x100);
    assert_ptr_equal(requests_get(&list, FEATURE_MEMMAP, memory), memory + 0x1fd0);
    assert_null(requests_get(&list, FEATURE_RSDP, memory));
    assert_string_equal(feature_name(list.found[0].feature), "HHDM");
    assert_string_equal(feature_name(list.found[1].feature), "unknown feature");
}

static void only_what_is_between_the_markers_counts(void **state)
{
    (void)state;
    put_tag(0x40, 2);
    put(0x100, (const uint64_t[]){LIMINE_START_MARKER}, 4);
    put_request(0x180, LIMINE_RSDP);
    put(0x200, (const uint64_t[]){LIMINE_START_MARKER}, 4); /* the last one */
    put_tag(0x240, 3);
    put_request(0x280, LIMINE_HHDM);
    put(0x300, (const uint64_t[]){LIMINE_END_MARKER}, 2); /* the first one */
    put_request(0x340, LIMINE_HHDM);
    put(0x400, (const uint64_t[]){LIMINE_END_MARKER}, 2);
    put_tag(0x440, 4);
    assert_found(1);
    assert_int_equal(list.base_revision, 3);
    assert_int_equal(list.found[0].offset, 0x280);
}

static void what_is_not_aligned_is_no_request(void **state)
{
    (void)state;
    put_tag(0x100, 3);
    put_request(0x204, LIMINE_HHDM);
    assert_found(0);
}

static void what_the_file_did_not_fill_is_not_looked_at(void **state)
{
    (void)state;
    put_tag(0x100, 3);
    put_request(FILE_PART + 0x10, LIMINE_HHDM);
    assert_found(0);
}

static void a_request_across_two_segments_is_found(void **state)
{
    (void)state;
    put_tag(0x100, 3);
    image.segments[0].memory_bytes = image.segments[0].file_bytes = 0x1000;
    image.segments[1] = (struct elf_segment){
        .va = image.base + 0x1000, .memory_bytes = 0x1000, .file_bytes = 0x1000};
    image.nsegments = 2;
    put_request(0xff0, LIMINE_HHDM);
    assert_found(1);
}

static void revisions_we_do_not_have_are_refused(void **state)
{
    (void)state;
    assert_refused("without a tag");
    put_tag(0x100, 2);
    assert_refused("the lowest");
    assert_int_equal(fault.value, 2);
    put_tag(0x100, 7);
    assert_refused("the highest");
    put_tag(0x100, 3);
    put_tag(0x200, 3);
    assert_refused("second base revision tag");
}

static void requests_that_come_twice_are_refused(void **state)
{
    put_tag(0x100, 3);
    put_request(0x200, LIMINE_HHDM);
    put_request(0x400, LIMINE_HHDM);
    assert_refused("second request");
    assert_string_equal(fault.where, "HHDM");
    assert_int_equal(fault.value, image.base + 0x400);
    empty(state);
    put_tag(0x100, 3);
    put_request(0x200, 7, 7);
    put_request(0x400, 7, 7);
    assert_refused("second request"); /* also of a feature we do not know */
}

static void requests_cut_off_by_the_end_are_refused(void **state)
{
    (void)state;
    image.segments[0].file_bytes = IMAGE_BYTES;
    put_tag(0x100, 3);
    put(IMAGE_BYTES - 40, (const uint64_t[]){LIMINE_COMMON_MAGIC, LIMINE_HHDM, 0}, 5);
    assert_refused("cut off");
    put(IMAGE_BYTES - 48, (const uint64_t[]){0, LIMINE_COMMON_MAGIC, LIMINE_ENTROPY, 0}, 6);
    assert_refused("cut off");
    put(IMAGE_BYTES - 64, (const uint64_t[]){LIMINE_COMMON_MAGIC, LIMINE_PAGING_MODE, 1, 0, 0, 0},
        8);
    assert_refused("cut off"); /* it ends with max_mode: there is no min_mode */
    put(IMAGE_BYTES - 64, (const uint64_t[]){LIMINE_COMMON_MAGIC, LIMINE_PAGING_MODE, 0, 0, 0, 0},
        8);
    assert_found(1); /* of revision 0 that is all */
}

static void a_flood_of_requests_is_refused(void **state)
{
    (void)state;
    put_tag(0x8, 3);
    for (uint64_t i = 0; i <= REQUESTS_MAX; i++)
        put_request(0x40 + i * 48, 1, i);
    assert_refused("more than 128");
}

static void noise_is_survived(void **state)
{
    struct rng rng = rng_start();
    static const uint64_t magics[] = {LIMINE_COMMON_MAGIC, LIMINE_BASE_REVISION,
                                      LIMINE_START_MARKER, LIMINE_END_MARKER, LIMINE_HHDM};
    for (int run = 0; run < 3000; run++) {
        empty(state);
        image.segments[0].file_bytes = IMAGE_BYTES;
        for (size_t at = 0; at < IMAGE_BYTES / 8; at++)
            put(at * 8, &magics[rng_below(&rng, COUNT(magics))], 1);
        (void)!requests_find(&image, memory, &list, &fault);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(tag_and_requests_are_found, empty),
        cmocka_unit_test_setup(only_what_is_between_the_markers_counts, empty),
        cmocka_unit_test_setup(what_is_not_aligned_is_no_request, empty),
        cmocka_unit_test_setup(what_the_file_did_not_fill_is_not_looked_at, empty),
        cmocka_unit_test_setup(a_request_across_two_segments_is_found, empty),
        cmocka_unit_test_setup(revisions_we_do_not_have_are_refused, empty),
        cmocka_unit_test_setup(requests_that_come_twice_are_refused, empty),
        cmocka_unit_test_setup(requests_cut_off_by_the_end_are_refused, empty),
        cmocka_unit_test_setup(a_flood_of_requests_is_refused, empty),
        cmocka_unit_test_setup(noise_is_survived, empty),
    };
    return cmocka_run_group_tests_name("requests", tests, NULL, release);
}
