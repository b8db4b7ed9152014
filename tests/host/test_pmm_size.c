/* What the frame allocator costs: its metadata, and the memory that it touches, from 10 MiB to a
 * TiB and more. */
#include <sys/mman.h>

#include "maps/random.h"
#include "mm/cpu.h"
#include "pmm_rig.h"

static void ten_mib_of_ram_are_enough(void **state)
{
    (void)state;
    static struct test_map map;
    map_of_10_mib(&map);
    start_map(&map);
    assert_int_equal(1, metadata_frames());
    machine_stop();
}

/* 10 MiB in which nothing is whole: every block is cut in two. */
static void ten_mib_in_pieces_are_enough(void **state)
{
    (void)state;
    struct mem_region map[12];
    for (uint64_t i = 0; i < 6; i++) {
        map[2 * i] = region(i * HUGE_2M, 250 * PAGE_BYTES, MEM_USABLE);
        map[2 * i + 1] = region(i * HUGE_2M + 251 * PAGE_BYTES, 200 * PAGE_BYTES, MEM_USABLE);
    }
    start(map, COUNT(map));
    assert_int_equal(1, metadata_frames());
    assert_int_equal(6 * 450 - 2, machine_free_frames());
    paddr_t pa;
    assert_int_equal(MM_OK, pmm_alloc_frames(250, NULL, &pa));
    assert_int_equal(MM_NOMEM, pmm_alloc_frames(251, NULL, &pa));
    machine_stop();
}

/* Bytes of RAM from pa on that Linux has given us so far. */
static uint64_t touched_bytes(paddr_t pa, uint64_t bytes)
{
    static unsigned char resident[1 << 20];
    uint64_t touched = 0;
    for (uint64_t at = 0; at < bytes; at += sizeof resident * PAGE_BYTES) {
        uint64_t part = bytes - at;
        part = part < sizeof resident * PAGE_BYTES ? part : sizeof resident * PAGE_BYTES;
        assert_int_equal(0, mincore(phys_to_virt(pa_add(pa, at)), part, resident));
        for (uint64_t i = 0; i < part / PAGE_BYTES; i++)
            touched += (resident[i] & 1) * PAGE_BYTES;
    }
    return touched;
}

static void a_tebibyte_is_hardly_touched(void **state)
{
    (void)state;
    const struct mem_region map[] = {
        region(PAGE_BYTES, 600 * KIB, MEM_USABLE),
        region(MIB, 3 * GIB, MEM_USABLE),
        region(4 * GIB, TIB + 100 * MIB, MEM_USABLE),
        region(4 * GIB + TIB + 100 * MIB, MIB, MEM_BOOTLOADER_RECLAIMABLE),
    };
    machine_start(map, COUNT(map));
    assert_int_equal(MM_OK, pmm_init(map, COUNT(map)));
    uint64_t at_start = touched_bytes(map[2].base, map[2].bytes);
    assert_in_range(at_start, 1, 3 * MIB);
    assert_int_equal(0, touched_bytes(map[1].base, map[1].bytes));
    paddr_t pa[64];
    for (size_t i = 0; i < COUNT(pa); i++)
        assert_int_equal(MM_OK, pmm_alloc_frame(&pa[i]));
    assert_int_equal(256, pmm_reclaim());
    for (size_t i = 0; i < COUNT(pa); i++)
        assert_int_equal(MM_OK, pmm_free_frame(pa[i]));
    /* A debug build looks at and fills the frames; beyond them, a block's line and entry. */
    assert_in_range(touched_bytes(map[2].base, map[2].bytes), at_start,
                    at_start + COUNT(pa) * PAGE_BYTES + 16 * PAGE_BYTES);
    machine_stop();
}

static void check_proportion(const struct mem_region *map, size_t n, uint64_t most_kib)
{
    machine_start(map, n);
    assert_int_equal(MM_OK, pmm_init(map, n));
    struct pmm_stats stats;
    pmm_get_stats(&stats);
    assert_in_range(stats.metadata_kib, 1, stats.total_kib * most_kib / (GIB / KIB) + 8);
    machine_stop();
}

static void metadata_is_at_most_40_kib_for_each_gib(void **state)
{
    (void)state;
    static struct mem_region map[2000];
    const struct mem_region one[] = {region(RAM_BASE, GIB, MEM_USABLE)};
    const struct mem_region large[] = {region(RAM_BASE, 64 * GIB, MEM_USABLE)};
    const struct mem_region vast[] = {region(RAM_BASE, 2 * TIB, MEM_USABLE)};
    check_proportion(one, 1, 37);
    check_proportion(large, 1, 37);
    check_proportion(vast, 1, 37);
    for (uint64_t i = 0; i < COUNT(map); i++) /* full blocks, 16 at a time, with holes */
        map[i] = region(i * 50 * MIB, 32 * MIB, MEM_USABLE);
    check_proportion(map, COUNT(map), 40);
    for (uint64_t i = 0; i < COUNT(map); i++) /* a hole in each 64 MiB, whatever its size */
        map[i] = region(RAM_BASE + i * (64 * MIB + 5 * PAGE_BYTES), 64 * MIB, MEM_USABLE);
    check_proportion(map, COUNT(map), 40);
}

/* Blocks that contain a frame or two cost as much as full ones, but not more than a few per cent of
 * that. */
static void thousands_of_tiny_regions_cost_little(void **state)
{
    (void)state;
    static struct random_map map;
    struct rng rng = rng_start();
    for (unsigned i = 0; i < 10; i++) {
        random_map(MAP_SPARSE, &rng, &map);
        start(map.regions, map.n);
        struct pmm_stats stats;
        pmm_get_stats(&stats);
        assert_in_range(stats.metadata_kib, 4, stats.total_kib / 25 + 4);
        machine_stop();
    }
}

static void a_gibibyte_at_once_is_naturally_aligned(void **state)
{
    (void)state;
    const struct mem_region map = region(RAM_BASE + 77 * PAGE_BYTES, 3 * GIB, MEM_USABLE);
    start(&map, 1);
    paddr_t pa;
#ifdef QL_DEBUG
    unsigned order = PMM_ORDER_BLOCK + 3; /* of which each frame is looked at */
#else
    unsigned order = PMM_ORDER_GIB;
#endif
    assert_int_equal(MM_OK, pmm_alloc_order(order, NULL, &pa));
    assert_int_equal(0, pa.v % (PAGE_BYTES << order));
    assert_int_equal(MM_OK, pmm_alloc_order(order, NULL, &pa));
    assert_int_equal(0, pa.v % (PAGE_BYTES << order));
    machine_stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_mib_of_ram_are_enough),
        cmocka_unit_test(ten_mib_in_pieces_are_enough),
        cmocka_unit_test(a_tebibyte_is_hardly_touched),
        cmocka_unit_test(metadata_is_at_most_40_kib_for_each_gib),
        cmocka_unit_test(thousands_of_tiny_regions_cost_little),
        cmocka_unit_test(a_gibibyte_at_once_is_naturally_aligned),
    };
    return cmocka_run_group_tests_name("pmm size", tests, NULL, NULL);
}
