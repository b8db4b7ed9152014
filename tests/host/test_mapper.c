/* The kernel's address space: what the list says, and what the tables hold. */
#include "mapper_rig.h"

/* --- What is mapped ------------------------------------------------------- */

static void expect_part(const char *name, const struct image_part *p, bool write, bool exec)
{
    const struct map_range *r = range_called(name);
    assert_non_null(r);
    assert_int_equal(p->start.v, r->va.v);
    for (uint64_t va = p->start.v; va < p->end.v; va += PAGE_BYTES) {
        struct walk w = look(va);
        assert_true(w.present);
        assert_int_equal(map.image_pa.v + (va - IMAGE_VA), w.pa);
        assert_int_equal(write, w.write);
        assert_int_equal(exec, w.exec);
        assert_true(w.global && !w.user);
        assert_int_equal(CACHE_WB, w.pat);
    }
}

static void the_image_is_mapped_by_its_parts(void **state)
{
    (void)state;
    expect_part("kernel text", &input.text, false, true);
    expect_part("kernel rodata", &input.rodata, false, false);
    struct image_part piece = {guards[0].end, guards[1].start};
    expect_part("kernel data", &piece, true, false);
    piece = (struct image_part){guards[1].end, input.data.end};
    assert_int_equal(piece.start.v, range_at(piece.start.v)->va.v);
    assert_true(look(piece.start.v).write);
    assert_true(look(piece.end.v - 1).write);
    assert_false(look(piece.end.v).present);
}

static void guards_and_the_null_page_stay_unmapped_under_their_names(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        assert_false(look(guards[i].start.v).present);
        const struct map_range *r = range_at(guards[i].start.v + 0x123);
        assert_string_equal(guard_names[i], r->name);
        assert_int_equal(0, r->prot);
        assert_int_equal(1, r->npages);
    }
    assert_false(look(0).present);
    assert_string_equal("null page", range_at(8)->name);
    assert_null(range_at(PAGE_BYTES));
}

/* What the direct map must allow at an address, from the memory map alone. */
static void expect_direct(uint64_t pa)
{
    enum mem_type type = MEM_RESERVED;
    for (size_t i = 0; i < map.n; i++)
        if (pa >= map.regions[i].base.v && pa - map.regions[i].base.v < map.regions[i].bytes)
            type = map.regions[i].type;
    uint64_t in_image = pa - map.image_pa.v;
    bool read_only_image = in_image < (TEXT_PAGES + RODATA_PAGES) * PAGE_BYTES;
    bool write = (type == MEM_USABLE || type == MEM_BOOTLOADER_RECLAIMABLE ||
                  type == MEM_EXECUTABLE_AND_MODULES || type == MEM_ACPI_NVS) &&
                 !read_only_image;
    bool present =
        write || read_only_image || type == MEM_ACPI_RECLAIMABLE || type == MEM_RESERVED_MAPPED;
    struct walk w = look_direct(pa);
    assert_int_equal(present, w.present);
    if (!present)
        return;
    assert_int_equal(pa, w.pa);
    assert_int_equal(write, w.write);
    assert_false(w.exec);
    assert_false(w.user);
    assert_true(w.global);
    assert_int_equal(CACHE_WB, w.pat);
}

static void the_direct_map_shows_memory_as_its_type_allows(void **state)
{
    (void)state;
    for (size_t i = 0; i < CAPTURED_MAPS; i++) {
        captured_map(i, &map);
        prepare();
        build();
        uint64_t step = map.regions[map.n - 1].base.v > GIB ? 7 * PAGE_BYTES : PAGE_BYTES;
        for (uint64_t pa = 0; pa < hhdm.bytes; pa += step)
            expect_direct(pa);
        for (size_t j = 0; j < map.n; j++) {
            uint64_t base = map.regions[j].base.v, end = base + map.regions[j].bytes;
            if (base >= hhdm.bytes)
                continue;
            expect_direct(base);
            expect_direct(end - 1);
        }
        machine_stop();
    }
}

/* Each page in the tables belongs to a range, and has the protection that the range states. */
static void check_page(uint64_t va, const struct walk *page, void *context)
{
    uint64_t *npages = context;
    const struct map_range *r = range_at(va);
    assert_non_null(r);
    assert_int_equal(r->pa.v + (va - r->va.v), page->pa);
    assert_int_equal((r->prot & PROT_WRITE) != 0, page->write);
    assert_int_equal((r->prot & PROT_EXEC) != 0, page->exec);
    assert_int_equal(r->cache, page->pat);
    assert_false(page->user);
    assert_false(page->write && page->exec);
    *npages += 1ull << (page->shift - 12);
}

static void list_and_tables_agree_on_every_map(void **state)
{
    (void)state;
    for (size_t i = 0; i < CAPTURED_MAPS + 3; i++) {
        if (i < CAPTURED_MAPS)
            captured_map(i, &map);
        else if (i == CAPTURED_MAPS)
            map_of_500_entries(&map);
        else if (i == CAPTURED_MAPS + 1)
            map_of_10_mib(&map);
        else
            map_with_a_1_tib_hole(&map);
        prepare();
        build();
        check_ranges_are_sorted();
        uint64_t mapped = 0, listed = 0;
        walk_all(space.root.v, check_page, &mapped);
        for (struct map_range r = {0}; mapper_next_range(&r);)
            listed += r.prot != 0 ? r.npages : 0;
        assert_int_equal(listed, mapped);
        struct mapper_audit audit;
        assert_true(mapper_audit(&space, &audit));
        assert_int_equal(mapped,
                         audit.pages_4k + 512 * audit.pages_2m + 512 * 512 * audit.pages_1g);
        machine_stop();
    }
}

static void adjacent_ram_is_one_range_whatever_its_types(void **state)
{
    (void)state;
    map = (struct test_map){.n = 3,
                            .regions = {
                                {PA(RAM_BASE), 8 * MIB, MEM_USABLE},
                                {PA(RAM_BASE + 8 * MIB), 8 * MIB, MEM_BOOTLOADER_RECLAIMABLE},
                                {PA(RAM_BASE + 16 * MIB), 8 * MIB, MEM_EXECUTABLE_AND_MODULES},
                            }};
    map.image_pa = PA(RAM_BASE + 18 * MIB);
    prepare();
    build();
    const struct map_range *r = range_called("direct map");
    assert_int_equal(18 * MIB / PAGE_BYTES, r->npages);
    struct map_range next = *r;
    assert_true(mapper_next_range(&next));
    assert_string_equal("kernel alias", next.name);
    assert_int_equal(TEXT_PAGES + RODATA_PAGES, next.npages);
    assert_true(mapper_next_range(&next));
    assert_string_equal("direct map", next.name);
    machine_stop();
}

static void regions_that_share_a_page_do_not_collide(void **state)
{
    (void)state;
    map = (struct test_map){.n = 4,
                            .regions = {
                                {PA(MIB), 8 * MIB, MEM_USABLE},
                                {PA(9 * MIB + 0x10), 0x1000, MEM_ACPI_RECLAIMABLE},
                                {PA(9 * MIB + 0x1010), 0x100, MEM_ACPI_NVS},
                                {PA(9 * MIB + 0x1f00), 0x1100, MEM_RESERVED_MAPPED},
                            }};
    prepare();
    build();
    assert_int_equal(2, range_called("ACPI tables")->npages);
    assert_null(range_called("ACPI NVS"));
    assert_int_equal(1, range_called("firmware data")->npages);
    for (uint64_t pa = 9 * MIB; pa < 9 * MIB + 0x3000; pa += PAGE_BYTES)
        assert_true(look_direct(pa).present);
    machine_stop();
}

/* As many pieces as there can be: each end of text and rodata lies inside of a region. */
static void an_image_across_regions_is_cut_out_of_each(void **state)
{
    (void)state;
    for (uint64_t before = 1; before < TEXT_PAGES + RODATA_PAGES; before++) {
        map = (struct test_map){.n = 3,
                                .regions = {
                                    {PA(RAM_BASE), 8 * MIB, MEM_USABLE},
                                    {PA(RAM_BASE + 8 * MIB), 8 * MIB, MEM_ACPI_NVS},
                                    {PA(RAM_BASE + 16 * MIB), 8 * MIB, MEM_USABLE},
                                }};
        map.image_pa = PA(RAM_BASE + 8 * MIB - before * PAGE_BYTES);
        prepare();
        input.rodata = part(TEXT_PAGES + 1, RODATA_PAGES - 1); /* a page between them */
        build();
        for (uint64_t i = 0; i < TEXT_PAGES + RODATA_PAGES + 1; i++)
            assert_int_equal(i == TEXT_PAGES || i == TEXT_PAGES + RODATA_PAGES,
                             look_direct(map.image_pa.v + i * PAGE_BYTES).write);
        check_ranges_are_sorted();
        machine_stop();
    }
}

static void the_order_of_the_image_does_not_matter(void **state)
{
    (void)state;
    input.rodata = part(0, RODATA_PAGES);
    input.text = part(RODATA_PAGES, TEXT_PAGES);
    build();
    for (uint64_t i = 0; i < RODATA_PAGES + TEXT_PAGES + DATA_PAGES; i++)
        assert_int_equal(i >= RODATA_PAGES + TEXT_PAGES,
                         look_direct(map.image_pa.v + i * PAGE_BYTES).write);
    check_ranges_are_sorted();
}

/* --- What is refused ------------------------------------------------------ */

static void refuse(mm_status_t want, const char *what)
{
    struct space out = {.ntables = 42};
    mm_status_t status = mapper_build(&input, &out);
    if (status != want)
        fail_msg("%s: %s", what, mm_status_name(status));
    assert_int_equal(42, out.ntables);
    assert_int_equal(frames_at_start, machine_free_frames());
}

#define REFUSED(want, spoil)    \
    do {                        \
        input = good;           \
        guards[0] = good_guard; \
        spoil;                  \
        refuse(want, #spoil);   \
    } while (0)

static void malformed_input_is_invalid_and_costs_nothing(void **state)
{
    (void)state;
    const struct mapper_input good = input;
    const struct image_part good_guard = guards[0];
    const uint64_t data = TEXT_PAGES + RODATA_PAGES; /* data's first page */
    struct mem_region unsorted[] = {map.regions[1], map.regions[0]};

    REFUSED(MM_INVAL, input.text.end.v -= 1);
    REFUSED(MM_INVAL, input.rodata.start.v += 8);
    REFUSED(MM_INVAL, input.image_pa.v += 8);
    REFUSED(MM_INVAL, input.image_va.v += 8);
    REFUSED(MM_INVAL, input.text.end = VA(IMAGE_VA - PAGE_BYTES));   /* ends before it starts */
    REFUSED(MM_INVAL, input.text.start = VA(IMAGE_VA - PAGE_BYTES)); /* in front of the image */
    REFUSED(MM_INVAL, input.rodata.start.v -= PAGE_BYTES);           /* overlaps text */
    REFUSED(MM_INVAL, (input.rodata = part(0, 6), input.text = part(5, 9)));
    REFUSED(MM_INVAL, input.data.start.v -= PAGE_BYTES); /* overlaps rodata */
    REFUSED(MM_INVAL, guards[0] = part(0, 1));           /* not in data */
    REFUSED(MM_INVAL, guards[0] = part(data + 20, 1));   /* not ascending */
    REFUSED(MM_INVAL, guards[0] = part(data + 9, 1));    /* the other guard */
    REFUSED(MM_INVAL, input.data.end = input.data.start);
    REFUSED(MM_INVAL, (input.map = unsorted, input.nmap = 2));
    REFUSED(MM_INVAL, input.windows = VA(WINDOWS_END + PAGE_BYTES)); /* ends before it starts */
    REFUSED(MM_INVAL, input.windows_end = VA(IMAGE_VA + 1));         /* reaches into the image */
    REFUSED(MM_INVAL, input.windows = hhdm_address(PA(hhdm.bytes - 1))); /* into the direct map */
    REFUSED(MM_INVAL, input.windows = VA(0));                            /* the null page */
    REFUSED(MM_RANGE, input.image_pa = PA(1ull << 50));                  /* more than the CPU has */
}

static void every_failing_allocation_gives_everything_back(void **state)
{
    (void)state;
    map_of_500_entries(&map); /* a list of more than one frame */
    prepare();
    unsigned k = 1;
    for (;; k++) {
        machine_fail_allocation(k);
        mm_status_t status = mapper_build(&input, &space);
        if (!machine_failed()) {
            assert_int_equal(MM_OK, status);
            break;
        }
        assert_int_equal(MM_NOMEM, status);
        assert_int_equal(frames_at_start, machine_free_frames());
    }
    assert_in_range(k, 6, 100);
    check_ranges_are_sorted();
    assert_true(pmm_validate());
    machine_stop();
}

/* --- After the switch ----------------------------------------------------- */

static void the_kernel_space_is_known_after_the_switch(void **state)
{
    (void)state;
    assert_panics((void)mapper_kernel_space(), "space != NULL");
    mapper_switch(&space);
    assert_ptr_equal(&space, mapper_kernel_space());
    assert_int_equal(space.root.v, port_get_root().v);
}

static void what_was_built_is_seen_by_all_and_does_not_change(void **state)
{
    (void)state;
    mapper_switch(&space);
    struct map_range before[64];
    size_t n = 0;
    for (struct map_range r = {0}; mapper_next_range(&r);)
        before[n++] = r;
    assert_in_range(n, 8, COUNT(before));
    const vaddr_t va = VA(WINDOWS); /* what others map is not in it */
    assert_int_equal(MM_OK, paging_map(&space, va, PA(FRAMEBUFFER), 3, PROT_READ, CACHE_WC));
    assert_null(range_at(va.v));
    struct map_range r = {0};
    for (size_t i = 0; i < n; i++) {
        assert_true(mapper_next_range(&r));
        assert_memory_equal(&before[i], &r, sizeof r);
    }
    assert_false(mapper_next_range(&r));
    assert_int_equal(MM_OK, paging_unmap(&space, va, 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SPACE(the_image_is_mapped_by_its_parts),
        WITH_SPACE(guards_and_the_null_page_stay_unmapped_under_their_names),
        cmocka_unit_test(the_direct_map_shows_memory_as_its_type_allows),
        cmocka_unit_test(list_and_tables_agree_on_every_map),
        cmocka_unit_test(adjacent_ram_is_one_range_whatever_its_types),
        cmocka_unit_test(regions_that_share_a_page_do_not_collide),
        WITH_INPUT(malformed_input_is_invalid_and_costs_nothing),
        cmocka_unit_test(every_failing_allocation_gives_everything_back),
        WITH_SPACE(the_kernel_space_is_known_after_the_switch),
        WITH_SPACE(what_was_built_is_seen_by_all_and_does_not_change),
        cmocka_unit_test(an_image_across_regions_is_cut_out_of_each),
        WITH_INPUT(the_order_of_the_image_does_not_matter),
    };
    return cmocka_run_group_tests_name("mapper", tests, NULL, NULL);
}
