/* efi/limine_map.c and pagetables.c: from captured and hostile firmware maps to the protocol's map,
 * and to tables that map exactly what they should. */
#include "test.h"

#include "bytes.h"
#include "limine_map.h"
#include "pagetables.h"

#define STRIDE          48
#define DESCRIPTORS_MAX 1000
#define CARVES_MAX      16
#define HHDM_4          0xffff800000000000ull
#define HHDM_5          0xff00000000000000ull
#define PAGES           64 /* of the small world in which maps are compared with an oracle */

struct captured {
    uint32_t type;
    uint64_t base, npages;
};

static const struct captured ovmf[] = {
#include "maps/ovmf_pc_4g.inc"
};
static const struct captured uboot[] = {
#include "maps/uboot_pc_6g.inc"
};

static uint8_t descriptors[DESCRIPTORS_MAX * STRIDE];
static size_t ndescriptors;
static struct carve_out carves[CARVES_MAX];
static size_t ncarves;
static struct map_edge edges[LIMINE_MAP_EDGES(DESCRIPTORS_MAX, CARVES_MAX)];
static struct limine_memmap_entry entries[COUNT(edges)];
static struct limine_map map;

static int empty(void **state)
{
    (void)state;
    ndescriptors = ncarves = 0;
    map = (struct limine_map){.edges = edges, .edge_capacity = COUNT(edges), .entries = entries};
    return 0;
}

static void add(uint32_t type, uint64_t base, uint64_t npages)
{
    uint64_t d[STRIDE / 8] = {type, base, 0, npages, 0xf};
    assert_true(ndescriptors < DESCRIPTORS_MAX);
    memcpy(descriptors + ndescriptors++ * STRIDE, d, sizeof d);
}

static void carve(uint64_t base, uint64_t end, enum limine_type type)
{
    assert_true(ncarves < CARVES_MAX);
    carves[ncarves++] = (struct carve_out){base, end, type};
}

/* Build, and check what holds for every map. */
static void build(uint64_t revision)
{
    assert_true(limine_map_build(&map, descriptors, ndescriptors * STRIDE, STRIDE, revision, carves,
                                 ncarves));
    uint64_t end = 0, type = LIMINE_TYPES;
    for (size_t i = 0; i < map.count; i++) {
        const struct limine_memmap_entry *e = &entries[i];
        assert_true(e->length && !(e->base % 4096) && !(e->length % 4096));
        assert_true(i == 0 || e->base >= end);
        assert_true(e->base != end || e->type != type || i == 0);
        end = e->base + e->length;
        type = e->type;
    }
}

static void assert_entry(size_t i, uint64_t base, uint64_t end, uint64_t type)
{
    assert_true(i < map.count);
    assert_int_equal(entries[i].base, base);
    assert_int_equal(entries[i].base + entries[i].length, end);
    assert_int_equal(entries[i].type, type);
}

static void neighbours_of_one_type_are_joined(void **state)
{
    (void)state;
    add(1, 0x1000, 1);
    add(2, 0x2000, 1);
    add(3, 0x3000, 1);
    add(4, 0x4000, 1);
    add(7, 0x5000, 2);
    build(3);
    assert_int_equal(map.count, 2);
    assert_entry(0, 0x1000, 0x5000, LIMINE_RECLAIMABLE);
    assert_entry(1, 0x5000, 0x7000, LIMINE_USABLE);
}

static void types_follow_the_base_revision(void **state)
{
    (void)state;
    for (uint64_t revision = 3; revision <= 6; revision++) {
        empty(state);
        for (uint32_t type = 0; type < 16; type++)
            add(type, 0x100000 + type * 0x2000ull, 1);
        build(revision);
        assert_int_equal(map.count, 16);
        uint64_t runtime = revision >= 5 ? LIMINE_RESERVED_MAPPED : LIMINE_RESERVED;
        const uint64_t wanted[16] = {1, 5, 5, 5, 5, runtime, runtime, 0, 1, 2, 3, 1, 1, 1, 1, 1};
        for (size_t i = 0; i < 16; i++)
            assert_int_equal(entries[i].type, wanted[i]);
    }
}

static void our_ranges_are_cut_out(void **state)
{
    (void)state;
    add(2, 0x100000, 0x100);
    add(7, 0x200000, 0x100);
    carve(0x110000, 0x120000, LIMINE_EXECUTABLE);
    carve(0x2ff800, 0x400123, LIMINE_FRAMEBUFFER_MEMORY); /* shares a page with usable memory */
    build(3);
    assert_int_equal(map.count, 5);
    assert_entry(1, 0x110000, 0x120000, LIMINE_EXECUTABLE);
    assert_entry(3, 0x200000, 0x2ff000, LIMINE_USABLE);
    assert_entry(4, 0x2ff000, 0x401000, LIMINE_FRAMEBUFFER_MEMORY);
}

static void tables_become_mapped_unless_they_lie_in_acpi_memory(void **state)
{
    (void)state;
    add(4, 0x100000, 4);
    add(9, 0x104000, 4);
    add(0, 0x108000, 4);
    carve(0x101234, 0x101300, LIMINE_RESERVED_MAPPED);
    carve(0x105000, 0x106000, LIMINE_RESERVED_MAPPED);
    carve(0x109000, 0x109010, LIMINE_RESERVED_MAPPED);
    build(4);
    assert_int_equal(map.count, 7);
    assert_entry(1, 0x101000, 0x102000, LIMINE_RESERVED_MAPPED);
    assert_entry(3, 0x104000, 0x108000, LIMINE_ACPI_RECLAIMABLE);
    assert_entry(5, 0x109000, 0x10a000, LIMINE_RESERVED_MAPPED);
}

static void broken_descriptors_give_no_memory_away(void **state)
{
    (void)state;
    add(7, 0x100000, UINT64_MAX);        /* wraps: not a page of it is believed */
    add(7, 0xfffffffffffff000, 2);       /* wraps */
    add(7, 0x200800, 3);                 /* misaligned: shrunk */
    add(0, 0xff00000000000, UINT64_MAX); /* reserved that wraps reserves up to the end */
    add(7, 0x300000, 0);                 /* empty */
    build(3);
    assert_int_equal(map.odd, 4);
    assert_int_equal(map.count, 2);
    assert_entry(0, 0x201000, 0x203000, LIMINE_USABLE);
    assert_entry(1, 0xff00000000000, 1ull << 52, LIMINE_RESERVED);
}

static void too_little_storage_is_reported(void **state)
{
    (void)state;
    add(7, 0x100000, 1);
    add(7, 0x200000, 1);
    map.edge_capacity = 3;
    assert_false(limine_map_build(&map, descriptors, 2 * STRIDE, STRIDE, 3, NULL, 0));
}

/* The strongest of all that cover a page, by brute force. */
static void random_maps_agree_with_an_oracle(void **state)
{
    static const int rank[LIMINE_TYPES] = {0, 2, 4, 5, 6, 1, 7, 8, 3};
    struct rng rng = rng_start();
    for (int run = 0; run < 3000; run++) {
        int best[PAGES];
        memset(best, -1, sizeof best);
        empty(state);
        for (uint64_t n = rng_size(&rng, 40); n; n--) {
            uint64_t base = rng_below(&rng, PAGES), npages = rng_below(&rng, PAGES - base + 1);
            uint32_t type = (uint32_t)rng_below(&rng, 16);
            add(type, base * 4096, npages);
            int limine = limine_type_of(type, 5);
            for (uint64_t p = base; p < base + npages; p++)
                if (best[p] < 0 || rank[limine] > rank[best[p]])
                    best[p] = limine;
        }
        build(5);
        for (uint64_t p = 0; p < PAGES; p++) {
            int found = -1;
            for (size_t i = 0; i < map.count; i++)
                if (p * 4096 >= entries[i].base && p * 4096 - entries[i].base < entries[i].length)
                    found = (int)entries[i].type;
            assert_int_equal(found, best[p]);
        }
    }
}

/* ---- tables
 * ---------------------------------------------------------------------------------------- */
static struct page_tables tables;
static uint64_t hhdm;

/* The entry that maps va (with its level), 0 if none does. */
static uint64_t find(uint64_t va, int *level)
{
    const uint64_t *table = tables.pool;
    for (*level = (int)tables.levels - 1;; --*level) {
        uint64_t entry = table[va >> (12 + 9 * *level) & 511];
        if (!(entry & 1) || *level == 0 || entry & 0x80)
            return entry & 1 ? entry : 0;
        table =
            (const uint64_t *)(entry & 0x000ffffffffff000ull); /* the pool is "physical" memory */
    }
}

static void assert_mapped(uint64_t pa, bool mapped, bool write_combining)
{
    int level;
    uint64_t entry = find(hhdm + pa, &level);
    if (!mapped) {
        assert_int_equal(entry, 0);
        return;
    }
    uint64_t span = 4096ull << (9 * level), pat = level ? 1ull << 12 : 0x80;
    assert_true(entry & 2 && !(entry >> 63));
    assert_int_equal((entry & 0x000fffffffffe000ull & ~(span - 1)) | (level ? 0 : entry & 0x1000),
                     pa & ~(span - 1));
    assert_int_equal(!!(entry & pat), write_combining);
    assert_int_equal(!!(entry & 8), write_combining);
}

/* Build tables for the map and look at the first, last and neighbouring page of every entry. */
static size_t check_tables(uint64_t revision, bool huge, unsigned levels, uint64_t base)
{
    tables = (struct page_tables){.levels = levels, .nx = true, .huge_1gib = huge};
    hhdm = base;
    tables.capacity = tables_bound(&tables, 0, &map, revision, hhdm, 0);
    tables.pool = aligned_alloc(4096, tables.capacity * 4096);
    memset(tables.pool, 0xff, tables.capacity * 4096);
    tables_reset(&tables);
    assert_true(tables_map_hhdm(&tables, &map, revision, hhdm));
    for (size_t i = 0; i < map.count; i++) {
        const struct limine_memmap_entry *e = &entries[i];
        bool mapped = limine_type_is_mapped(e->type, revision);
        bool combining = e->type == LIMINE_FRAMEBUFFER_MEMORY;
        assert_mapped(e->base, mapped, combining);
        assert_mapped(e->base + e->length - 4096, mapped, combining);
        assert_mapped(e->base + e->length / 8192 * 4096, mapped, combining);
        bool gap = i + 1 == map.count || entries[i + 1].base > e->base + e->length;
        if (gap)
            assert_mapped(e->base + e->length, false, false);
    }
    size_t used = tables.used;
    free(tables.pool);
    return used;
}

static void add_all(const struct captured *captured, size_t count)
{
    for (size_t i = 0; i < count; i++)
        add(captured[i].type, captured[i].base, captured[i].npages);
}

static void captured_maps_are_mapped_with_few_pages(void **state)
{
    for (uint64_t revision = 3; revision <= 6; revision++) {
        empty(state);
        add_all(ovmf, COUNT(ovmf));
        carve(0xc0000000, 0xc03e8000, LIMINE_FRAMEBUFFER_MEMORY);
        build(revision);
        assert_in_range(check_tables(revision, true, 4, HHDM_4), 3, 20);
        assert_in_range(check_tables(revision, false, 4, HHDM_4), 3, 24);
        assert_in_range(check_tables(revision, true, 5, HHDM_5), 4, 21);
        assert_in_range(check_tables(revision, false, 5, HHDM_5), 4, 25);
        empty(state);
        add_all(uboot, COUNT(uboot));
        build(revision);
        assert_in_range(check_tables(revision, true, 4, HHDM_4), 3, 20);
    }
}

static void random_maps_are_mapped_exactly(void **state)
{
    struct rng rng = rng_start();
    for (int run = 0; run < 300; run++) {
        empty(state);
        uint64_t at = 0;
        for (uint64_t n = rng_size(&rng, 60); n; n--) {
            at += rng_below(&rng, 2) ? 0 : rng_size(&rng, 1 << 20);
            uint64_t npages = rng_size(&rng, 1 << 20);
            add((uint32_t)rng_below(&rng, 12), at * 4096, npages);
            at += npages;
        }
        carve(rng_below(&rng, at) * 4096, at * 4096, LIMINE_FRAMEBUFFER_MEMORY);
        uint64_t revision = rng_between(&rng, 3, 6);
        build(revision);
        check_tables(revision, rng_below(&rng, 2), 4, HHDM_4);
        check_tables(revision, rng_below(&rng, 2), 5,
                     HHDM_5 + rng_below(&rng, HHDM_SLIDES_5) * HHDM_SLIDE_BYTES);
    }
}

/* Where entries of the root and of the tables below it meet, and at both ends of what is possible. */
static void a_slid_direct_map_needs_no_more_than_its_bound(void **state)
{
    const uint64_t last = HHDM_SLIDES_5 - 1, root_entry = (1ull << 48) / HHDM_SLIDE_BYTES;
    const uint64_t slides[] = {0, 1, root_entry - 1, root_entry, last - 1, last};
    assert_int_equal(HHDM_5 + last * HHDM_SLIDE_BYTES + HHDM_BYTES_MAX_5, 0xffff000000000000);
    for (size_t i = 0; i < COUNT(slides); i++) {
        empty(state);
        add(7, 0x1000, 1);
        add(7, HHDM_SLIDE_BYTES - 0x1000, 2 << 20);
        add(7, HHDM_BYTES_MAX_5 - 0x3000, 3);
        build(3);
        check_tables(3, true, 5, HHDM_5 + slides[i] * HHDM_SLIDE_BYTES);
    }
}

static void memory_beyond_the_direct_map_is_reported(void **state)
{
    static const uint64_t ends[] = {HHDM_BYTES_MAX_4, HHDM_BYTES_MAX_5};
    for (unsigned i = 0; i < 2; i++) {
        for (unsigned beyond = 0; beyond < 2; beyond++) {
            empty(state);
            add(7, ends[i] - 0x2000 * !beyond, 2);
            if (beyond && i)
                map.entries[0] = (struct limine_memmap_entry){ends[i], 0x2000, LIMINE_USABLE};
            else
                build(3);
            map.count = 1;
            hhdm = i ? HHDM_5 : HHDM_4;
            tables = (struct page_tables){.levels = 4 + i, .huge_1gib = true};
            tables.capacity = tables_bound(&tables, 0, &map, 3, hhdm, 0);
            tables.pool = aligned_alloc(4096, tables.capacity * 4096);
            tables_reset(&tables);
            assert_true(tables_map_hhdm(&tables, &map, 3, hhdm) == !beyond);
            free(tables.pool);
        }
    }
}

static void a_full_pool_is_reported(void **state)
{
    (void)state;
    tables = (struct page_tables){.levels = 4, .capacity = 3};
    tables.pool = aligned_alloc(4096, 3 * 4096);
    tables_reset(&tables);
    assert_false(tables_map(&tables, HHDM_4, 0, 4096, PAGE_WRITE));
    assert_int_equal(tables.used, 3);
    free(tables.pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(neighbours_of_one_type_are_joined, empty),
        cmocka_unit_test_setup(types_follow_the_base_revision, empty),
        cmocka_unit_test_setup(our_ranges_are_cut_out, empty),
        cmocka_unit_test_setup(tables_become_mapped_unless_they_lie_in_acpi_memory, empty),
        cmocka_unit_test_setup(broken_descriptors_give_no_memory_away, empty),
        cmocka_unit_test_setup(too_little_storage_is_reported, empty),
        cmocka_unit_test_setup(random_maps_agree_with_an_oracle, empty),
        cmocka_unit_test_setup(captured_maps_are_mapped_with_few_pages, empty),
        cmocka_unit_test_setup(random_maps_are_mapped_exactly, empty),
        cmocka_unit_test_setup(a_slid_direct_map_needs_no_more_than_its_bound, empty),
        cmocka_unit_test_setup(memory_beyond_the_direct_map_is_reported, empty),
        cmocka_unit_test_setup(a_full_pool_is_reported, empty),
    };
    return cmocka_run_group_tests_name("limine_map", tests, NULL, NULL);
}
