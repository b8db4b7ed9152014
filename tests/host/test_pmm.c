/* The frame allocator: what it hands out, what it refuses, and what its own memory costs. */
#include "pmm_rig.h"

/* --- What may be handed out ----------------------------------------------- */

static const struct mem_region *region_of(const struct test_map *map, paddr_t pa)
{
    for (size_t i = 0; i < map->n; i++)
        if (pa_le(map->regions[i].base, pa) &&
            pa_diff(map->regions[i].base, pa) < map->regions[i].bytes)
            return &map->regions[i];
    return NULL;
}

static uint64_t frames_of_type(const struct test_map *map, enum mem_type type)
{
    uint64_t nframes = 0;
    for (size_t i = 0; i < map->n; i++)
        if (map->regions[i].type == type)
            nframes += map->regions[i].bytes / PAGE_BYTES;
    return nframes;
}

static int compare_addresses(const void *a, const void *b)
{
    const paddr_t *left = a, *right = b;
    return pa_lt(*left, *right) ? -1 : pa_lt(*right, *left);
}

/* Take every frame there is. Each must be of that type or usable, whole, and handed out once. */
static uint64_t drain(const struct test_map *map, enum mem_type also)
{
    uint64_t taken = 0, expected = machine_free_frames();
    paddr_t pa, *frames = calloc(expected + 1, sizeof *frames);
    for (; pmm_alloc_frame(&pa) == MM_OK; taken++) {
        const struct mem_region *r = region_of(map, pa);
        assert_non_null(r);
        assert_true(r->type == MEM_USABLE || r->type == also);
        assert_true(pa_aligned(pa, PAGE_BYTES));
        assert_int_not_equal(0, pa.v);
        assert_true(taken < expected);
        frames[taken] = pa;
    }
    qsort(frames, taken, sizeof *frames, compare_addresses);
    for (uint64_t i = 1; i < taken; i++)
        assert_true(pa_lt(frames[i - 1], frames[i]));
    free(frames);
    assert_int_equal(0, machine_free_frames());
    return taken;
}

static void check_map(const struct test_map *map)
{
    start_map(map);
    uint64_t usable = frames_of_type(map, MEM_USABLE);
    uint64_t reclaimable = frames_of_type(map, MEM_BOOTLOADER_RECLAIMABLE);
    const struct mem_region *zero = region_of(map, PA(0));
    bool usable_zero = zero != NULL && zero->type == MEM_USABLE;
    bool reclaimable_zero = zero != NULL && zero->type == MEM_BOOTLOADER_RECLAIMABLE;
    struct pmm_stats stats;
    pmm_get_stats(&stats);
    assert_int_equal((usable + reclaimable) * 4, stats.total_kib);

    assert_int_equal(usable - metadata_frames() - usable_zero, drain(map, MEM_USABLE));
    assert_true(pmm_validate());
    assert_int_equal(reclaimable - reclaimable_zero, pmm_reclaim());
    assert_int_equal(reclaimable - reclaimable_zero, drain(map, MEM_BOOTLOADER_RECLAIMABLE));
    assert_true(pmm_validate());
    machine_stop();
}

static void every_frame_of_ram_is_handed_out_once_and_no_other(void **state)
{
    (void)state;
    static struct test_map map;
    for (size_t i = 0; i < CAPTURED_MAPS; i += 2) { /* the small ones */
        captured_map(i, &map);
        check_map(&map);
    }
    map_of_500_entries(&map);
    check_map(&map);
    map_of_10_mib(&map);
    check_map(&map);
}

static void every_captured_map_is_accepted(void **state)
{
    (void)state;
    static struct test_map map;
    for (size_t i = 0; i < CAPTURED_MAPS; i++) {
        captured_map(i, &map);
        start_map(&map);
        uint64_t usable = frames_of_type(&map, MEM_USABLE), before = machine_free_frames();
        assert_in_range(before, usable - metadata_frames() - 1, usable);
        assert_in_range(pmm_reclaim(), 1, frames_of_type(&map, MEM_BOOTLOADER_RECLAIMABLE));
        assert_true(pmm_validate());
        machine_stop();
    }
}

static void a_map_that_is_not_normalised_is_refused(void **state)
{
    (void)state;
    const struct mem_region map[] = {
        region(0x3000, 0x1000, MEM_USABLE),
        region(0x1000, 0x1000, MEM_USABLE),
    };
    assert_int_equal(MM_INVAL, pmm_init(map, 2));
}

static void without_usable_memory_there_is_no_start(void **state)
{
    (void)state;
    const struct mem_region reclaimable = region(MIB, 64 * MIB, MEM_BOOTLOADER_RECLAIMABLE);
    assert_int_equal(MM_NOMEM, pmm_init(&reclaimable, 1));
    const struct mem_region zero = region(0, PAGE_BYTES, MEM_USABLE);
    assert_int_equal(MM_NOMEM, pmm_init(&zero, 1));
    assert_int_equal(MM_NOMEM, pmm_init(NULL, 0));
}

/* --- The metadata --------------------------------------------------------- */

static void metadata_is_at_the_top_of_the_highest_usable_region(void **state)
{
    (void)state;
    /* The last usable region is at RAM_BASE + 400 frames, 200 long. */
    assert_int_equal(1, metadata_frames());
    assert_true(pmm_is_used(PA(RAM_BASE + 599 * PAGE_BYTES)));
    assert_false(pmm_is_used(PA(RAM_BASE + 598 * PAGE_BYTES)));
    assert_int_equal(MM_INVAL, pmm_free_frame(PA(RAM_BASE + 599 * PAGE_BYTES)));
    assert_misuse("never allocated");
}

static void metadata_that_fits_nowhere_high_goes_lower(void **state)
{
    (void)state;
    const struct mem_region map[] = {
        region(MIB, 64 * MIB, MEM_USABLE),
        region(RAM_BASE, GIB, MEM_BOOTLOADER_RECLAIMABLE), /* needs metadata of 9 frames */
        region(RAM_BASE + 2 * GIB, 4 * PAGE_BYTES, MEM_USABLE),
    };
    start(map, COUNT(map));
    assert_in_range(metadata_frames(), 9, 11);
    assert_true(pmm_is_used(PA(65 * MIB - PAGE_BYTES)));
    assert_false(pmm_is_used(PA(RAM_BASE + 2 * GIB)));
    machine_stop();
}

static void a_hole_of_a_terabyte_costs_nothing(void **state)
{
    (void)state;
    static struct test_map map;
    map_with_a_1_tib_hole(&map);
    start_map(&map);
    assert_in_range(metadata_frames(), 1, 2);
    paddr_t pa;
    assert_int_equal(MM_OK, pmm_alloc_frame(&pa));
    assert_true(pa.v > TIB);
    assert_int_equal(MM_OK, pmm_alloc_frames(256, &(struct pmm_limits){.max_addr = PA(TIB)}, &pa));
    assert_int_equal(MIB, pa.v);
    assert_true(pmm_validate());
    machine_stop();
}

/* --- Runs ----------------------------------------------------------------- */

static void runs_are_exact(void **state)
{
    (void)state;
    uint64_t before = machine_free_frames();
    paddr_t pa;
    assert_int_equal(MM_OK, pmm_alloc_frames(37, NULL, &pa));
    assert_int_equal(before - 37, machine_free_frames());
    assert_int_equal(MM_OK, pmm_free_frames(pa, 37));
    assert_int_equal(before, machine_free_frames());
}

static void a_run_may_be_freed_in_parts(void **state)
{
    (void)state;
    uint64_t before = machine_free_frames();
    paddr_t pa;
    assert_int_equal(MM_OK, pmm_alloc_frames(100, NULL, &pa));
    assert_int_equal(MM_OK, pmm_free_frames(pa_add(pa, 30 * PAGE_BYTES), 40));
    assert_int_equal(MM_OK, pmm_free_frames(pa_add(pa, 70 * PAGE_BYTES), 30));
    assert_int_equal(MM_OK, pmm_free_frames(pa, 30));
    assert_int_equal(before, machine_free_frames());
    assert_true(pmm_validate());
}

/* Real RAM is not zero when a machine starts, and the bitmaps go into it as it is. */
static void what_memory_held_before_does_not_matter(void **state)
{
    (void)state;
    static const int old[] = {0x00, 0xff, 0xa5};
    for (size_t i = 0; i < COUNT(old); i++) {
        machine_start(banks, COUNT(banks));
        memset(phys_to_virt(PA(0)), old[i], 16 * PAGE_BYTES);
        memset(phys_to_virt(PA(RAM_BASE)), old[i], 670 * PAGE_BYTES);
        assert_int_equal(MM_OK, pmm_init(banks, COUNT(banks)));
        assert_true(pmm_validate());
        assert_int_equal(15 + 499, machine_free_frames()); /* without frame 0 and the metadata */
        assert_int_equal(170, pmm_reclaim());
        assert_true(pmm_validate());
        machine_stop();
    }
}

static void reclaimed_memory_joins_its_neighbours(void **state)
{
    (void)state;
    paddr_t pa;
    assert_int_equal(MM_NOMEM, pmm_alloc_frames(301, NULL, &pa));
    assert_int_equal(170, pmm_reclaim());
    assert_int_equal(MM_OK, pmm_alloc_frames(512, NULL, &pa));
    assert_int_equal(RAM_BASE, pa.v);
    assert_int_equal(MM_OK, pmm_alloc_frames(87, NULL, &pa)); /* up to the metadata */
    assert_int_equal(RAM_BASE + 512 * PAGE_BYTES, pa.v);
    assert_int_equal(MM_OK, pmm_alloc_frames(70, NULL, &pa));
    assert_int_equal(RAM_BASE + 600 * PAGE_BYTES, pa.v);
}

static void limits_hold_to_the_byte(void **state)
{
    (void)state;
    paddr_t pa;
    struct pmm_limits l = {.max_addr = PA(6 * PAGE_BYTES)};
    assert_int_equal(MM_NOMEM, pmm_alloc_frames(6, &l, &pa)); /* frame 0 is not to be had */
    assert_int_equal(MM_OK, pmm_alloc_frames(5, &l, &pa));
    assert_int_equal(PAGE_BYTES, pa.v);
    assert_int_equal(MM_OK, pmm_free_frames(pa, 5));

    l = (struct pmm_limits){.max_addr = PA(6 * PAGE_BYTES - 1)};
    assert_int_equal(MM_NOMEM, pmm_alloc_frames(5, &l, &pa));
    l = (struct pmm_limits){.min_addr = PA(PAGE_BYTES + 1), .max_addr = PA(6 * PAGE_BYTES)};
    assert_int_equal(MM_NOMEM, pmm_alloc_frames(5, &l, &pa));
    assert_int_equal(MM_NOMEM, pmm_alloc_frames(4, &l, &pa)); /* four are aligned to four */
    assert_int_equal(MM_OK, pmm_alloc_frames(3, &l, &pa));
    assert_in_range(pa.v, 2 * PAGE_BYTES, 3 * PAGE_BYTES);

    l = (struct pmm_limits){.min_addr = PA(UINT64_MAX)};
    assert_int_equal(MM_NOMEM, pmm_alloc_frames(1, &l, &pa));
    l = (struct pmm_limits){.max_addr = PA(1)};
    assert_int_equal(MM_NOMEM, pmm_alloc_frames(1, &l, &pa));
    l = (struct pmm_limits){.min_addr = PA(RAM_BASE + 700 * PAGE_BYTES)};
    assert_int_equal(MM_NOMEM, pmm_alloc_frames(1, &l, &pa));
    l = (struct pmm_limits){.align_frames = 1ull << 40}; /* nothing but 0 is so aligned */
    assert_int_equal(MM_NOMEM, pmm_alloc_frames(1, &l, &pa));
}

static void alignment_is_that_of_the_address(void **state)
{
    (void)state;
    const struct mem_region map = region(RAM_BASE + 3 * PAGE_BYTES, 64 * MIB, MEM_USABLE);
    start(&map, 1);
    for (uint64_t align = 1; align <= 512; align *= 2) {
        paddr_t pa;
        struct pmm_limits l = {.align_frames = align};
        assert_int_equal(MM_OK, pmm_alloc_frames(3, &l, &pa));
        assert_int_equal(0, pa.v % (align * PAGE_BYTES));
    }
    machine_stop();
}

static void malformed_requests_are_invalid(void **state)
{
    (void)state;
    paddr_t pa = PA(0xdead);
    assert_int_equal(MM_INVAL, pmm_alloc_frames(0, NULL, &pa));
    assert_int_equal(MM_INVAL, pmm_alloc_frames(1, &(struct pmm_limits){.align_frames = 3}, &pa));
    assert_int_equal(MM_INVAL,
                     pmm_alloc_frames(1, &(struct pmm_limits){.align_frames = 1ull << 63}, &pa));
    assert_int_equal(MM_INVAL, pmm_alloc_frames(UINT64_MAX, NULL, &pa));
    assert_int_equal(MM_INVAL,
                     pmm_alloc_frames(1, &(struct pmm_limits){.kind = PMM_LONG + 1}, &pa));
    assert_int_equal(MM_INVAL, pmm_alloc_order(PMM_ORDER_MAX + 1, NULL, &pa));
    assert_int_equal(MM_INVAL, pmm_alloc_order(2, &(struct pmm_limits){.align_frames = 3}, &pa));
    assert_int_equal(MM_INVAL, pmm_alloc_batch(1, &(struct pmm_limits){.align_frames = 3}, &pa));
    assert_int_equal(MM_NOMEM, pmm_alloc_order(PMM_ORDER_MAX, NULL, &pa));
    assert_int_equal(0xdead, pa.v);
    assert_int_equal(MM_OK, pmm_alloc_batch(0, NULL, NULL));
}

/* --- Misuse --------------------------------------------------------------- */

static void bad_frees(paddr_t pa, uint64_t nframes, const char *words)
{
    uint64_t before = machine_free_frames();
    assert_int_equal(MM_INVAL, pmm_free_frames(pa, nframes));
    assert_misuse(words);
    assert_int_equal(MM_INVAL, pmm_mark_free(pa, nframes));
    assert_misuse(words);
    assert_int_equal(before, machine_free_frames());
    assert_true(pmm_validate());
}

static void bad_frees_are_caught_and_free_nothing(void **state)
{
    (void)state;
    paddr_t pa;
    assert_int_equal(MM_OK, pmm_alloc_frames(4, NULL, &pa));
    bad_frees(pa_add(pa, 1), 1, "not a range of frames");
    bad_frees(pa, 0, "not a range of frames");
    bad_frees(pa, UINT64_MAX, "not a range of frames");
    bad_frees(PA(UINT64_MAX - PAGE_BYTES + 1), 1, "not a range of frames");
    bad_frees(PA(PADDR_LIMIT - PAGE_BYTES), 2, "not a range of frames");
    bad_frees(PA(0), 1, "never allocated");
    bad_frees(PA(16 * PAGE_BYTES), 1, "never allocated");
    bad_frees(PA(RAM_BASE + 670 * PAGE_BYTES), 1, "never allocated");
    bad_frees(PA(RAM_BASE - PAGE_BYTES), 1, "not RAM of ours");
    bad_frees(PA(RAM_BASE - PAGE_BYTES), 2, "not RAM of ours");
    bad_frees(PA(PADDR_LIMIT - PAGE_BYTES), 1, "not RAM of ours");
    bad_frees(pa, 100000, "bad free of 100000 frames");
    bad_frees(PA(RAM_BASE + 300 * PAGE_BYTES), 1, "bootloader");
    bad_frees(PA(RAM_BASE + 399 * PAGE_BYTES), 1, "bootloader");
    assert_int_equal(MM_OK, pmm_free_frames(pa, 4));
    bad_frees(pa, 4, "double free");
    bad_frees(pa, 1, "double free");
}

static void a_free_that_is_partly_wrong_frees_nothing(void **state)
{
    (void)state;
    paddr_t pa;
    assert_int_equal(MM_OK, pmm_alloc_frames(8, NULL, &pa));
    assert_int_equal(MM_OK, pmm_free_frame(pa_add(pa, 7 * PAGE_BYTES)));
    bad_frees(pa, 8, "double free");
    for (uint64_t i = 0; i < 7; i++)
        assert_true(pmm_is_used(pa_add(pa, i * PAGE_BYTES)));
}

static void reclaiming_twice_is_misuse(void **state)
{
    (void)state;
    assert_int_equal(170, pmm_reclaim());
    uint64_t before = machine_free_frames();
    assert_int_equal(0, pmm_reclaim());
    assert_misuse("reclaimed already");
    assert_int_equal(before, machine_free_frames());
}

static void marking_takes_all_or_none(void **state)
{
    (void)state;
    paddr_t base = PA(RAM_BASE + 100 * PAGE_BYTES), last = pa_add(base, 9 * PAGE_BYTES);
    assert_int_equal(MM_OK, pmm_mark_used(last, 1));
    assert_int_equal(MM_EXISTS, pmm_mark_used(base, 10));
    assert_false(pmm_is_used(base));
    assert_int_equal(MM_OK, pmm_mark_used(base, 9));
    assert_true(pmm_is_used(base));
    assert_int_equal(MM_OK, pmm_mark_free(base, 10));
    assert_int_equal(MM_EXISTS, pmm_mark_used(PA(0), 1));
    assert_int_equal(MM_EXISTS, pmm_mark_used(PA(RAM_BASE + 300 * PAGE_BYTES), 1));
    assert_int_equal(MM_NOTFOUND, pmm_mark_used(PA(15 * PAGE_BYTES), 2));
    assert_int_equal(MM_NOTFOUND, pmm_mark_used(PA(64 * GIB), 1));
    assert_int_equal(MM_INVAL, pmm_mark_used(base, 0));
    assert_int_equal(MM_INVAL, pmm_mark_used(pa_add(base, 8), 1));
    assert_int_equal(MM_NOTFOUND, pmm_mark_used(base, UINT64_MAX));
    assert_int_equal(MM_NOTFOUND, pmm_mark_used(PA(PADDR_LIMIT), 1));
    assert_int_equal(MM_NOTFOUND, pmm_mark_used(PA(PADDR_LIMIT - PAGE_BYTES), 1));
}

static void a_run_grows_into_the_free_frames_behind_it(void **state)
{
    (void)state;
    paddr_t base = PA(RAM_BASE + 100 * PAGE_BYTES), behind = pa_add(base, 9 * PAGE_BYTES);
    assert_int_equal(MM_OK, pmm_mark_used(base, 9));
    for (unsigned times = 0; times < 3; times++) {
        assert_int_equal(MM_EXISTS, pmm_try_mark_used(base, 10));
        assert_int_equal(MM_OK, pmm_try_mark_used(behind, 80)); /* over rows */
        assert_true(pmm_is_used(behind) && pmm_is_used(pa_add(behind, 79 * PAGE_BYTES)));
        assert_false(pmm_is_used(pa_add(behind, 80 * PAGE_BYTES)));
        assert_int_equal(MM_EXISTS, pmm_try_mark_used(pa_add(behind, 79 * PAGE_BYTES), 2));
        assert_int_equal(MM_EXISTS, pmm_try_mark_used(pa_add(behind, 190 * PAGE_BYTES), 4));
        assert_int_equal(MM_OK, pmm_free_frames(pa_add(base, 5 * PAGE_BYTES), 84));
        assert_int_equal(MM_OK, pmm_try_mark_used(pa_add(base, 5 * PAGE_BYTES), 4));
        assert_true(pmm_validate());
    }
    assert_int_equal(MM_OK, pmm_free_frames(base, 9));
    assert_int_equal(MM_EXISTS, pmm_try_mark_used(PA(0), 1));
    assert_int_equal(MM_EXISTS, pmm_try_mark_used(PA(64 * GIB), 1));
    assert_int_equal(MM_INVAL, pmm_try_mark_used(base, 0));
    assert_int_equal(MM_INVAL, pmm_try_mark_used(base, 413)); /* into the next block */
    assert_int_equal(MM_INVAL, pmm_try_mark_used(pa_add(base, 8), 1));
    assert_int_equal(MM_INVAL, pmm_try_mark_used(base, UINT64_MAX));
}

static void what_is_not_ram_is_not_used(void **state)
{
    (void)state;
    assert_false(pmm_is_used(PA(16 * PAGE_BYTES)));
    assert_false(pmm_is_used(PA(RAM_BASE - 1)));
    assert_false(pmm_is_used(PA(RAM_BASE + 670 * PAGE_BYTES)));
    assert_false(pmm_is_used(PA(UINT64_MAX)));
    assert_true(pmm_is_used(PA(RAM_BASE + 670 * PAGE_BYTES - 1))); /* reclaimable */
    assert_true(pmm_is_used(PA(0)));
}

/* The first 64 bits that change in the metadata when that frame is marked. */
static uint64_t *bits_of(paddr_t frame)
{
    static uint64_t before[PAGE_BYTES / sizeof(uint64_t)];
    uint64_t *metadata = phys_to_virt(PA(RAM_BASE + 599 * PAGE_BYTES));
    pmm_drain();
    memcpy(before, metadata, sizeof before);
    assert_int_equal(MM_OK, pmm_mark_used(frame, 1));
    size_t at = 0;
    while (before[at] == metadata[at])
        at++;
    assert_int_equal(MM_OK, pmm_mark_free(frame, 1));
    pmm_drain();
    return &metadata[at];
}

/* Of a block that is not all free, as the bits of those mean nothing. */
static void validation_sees_a_bit_that_flips(void **state)
{
    (void)state;
    uint64_t *bits = bits_of(PA(RAM_BASE)); /* of the bank's first block; the free ones are clear */
    assert_int_equal(0, bits[0]);
    unsigned unseen = 0;
    for (size_t bit = 0; bit < 512; bit++) {
        bits[bit / 64] ^= 1ull << bit % 64;
        unseen += pmm_validate();
        bits[bit / 64] ^= 1ull << bit % 64;
    }
    /* A free frame that becomes used is seen in the block's largest free run, of 256; one of the
     * bootloader's that becomes free always. */
    assert_int_equal(512 - 256 - (400 - 300), unseen);
    assert_true(pmm_validate());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_map_that_is_not_normalised_is_refused),
        cmocka_unit_test(without_usable_memory_there_is_no_start),
        cmocka_unit_test(every_frame_of_ram_is_handed_out_once_and_no_other),
        cmocka_unit_test(every_captured_map_is_accepted),
        TEST(metadata_is_at_the_top_of_the_highest_usable_region),
        cmocka_unit_test(metadata_that_fits_nowhere_high_goes_lower),
        cmocka_unit_test(a_hole_of_a_terabyte_costs_nothing),
        cmocka_unit_test(what_memory_held_before_does_not_matter),
        TEST(runs_are_exact),
        TEST(a_run_may_be_freed_in_parts),
        TEST(reclaimed_memory_joins_its_neighbours),
        TEST(limits_hold_to_the_byte),
        cmocka_unit_test(alignment_is_that_of_the_address),
        TEST(malformed_requests_are_invalid),
        TEST(bad_frees_are_caught_and_free_nothing),
        TEST(a_free_that_is_partly_wrong_frees_nothing),
        TEST(reclaiming_twice_is_misuse),
        TEST(marking_takes_all_or_none),
        TEST(a_run_grows_into_the_free_frames_behind_it),
        TEST(what_is_not_ram_is_not_used),
        TEST(validation_sees_a_bit_that_flips),
    };
    return cmocka_run_group_tests_name("pmm", tests, NULL, NULL);
}
