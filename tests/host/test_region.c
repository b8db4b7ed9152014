/* Normalisation of memory maps: region.c against a map that is painted cell by cell. */
#include "maps/maps.h"
#include "mm/region.h"
#include "machine.h"
#include "test.h"

#define CAPACITY 64

/* A map under test, in an array with room to spare and a canary behind it. */
struct bench {
    struct mem_region map[CAPACITY + 1];
    size_t n;
    size_t fixed;
};

static struct mem_region region(uint64_t base, uint64_t bytes, enum mem_type type)
{
    return (struct mem_region){PA(base), bytes, type};
}

static void load(struct bench *b, const struct mem_region *map, size_t n)
{
    memset(b, 0xa5, sizeof *b);
    for (size_t i = 0; i < n; i++)
        b->map[i] = map[i];
    b->n = n;
}

static void normalise(struct bench *b)
{
    assert_int_equal(MM_OK, region_normalise(b->map, b->n, CAPACITY, &b->n, &b->fixed));
    assert_true(region_validate(b->map, b->n));
    for (size_t i = 0; i < sizeof b->map[CAPACITY]; i++)
        assert_int_equal(0xa5, ((unsigned char *)&b->map[CAPACITY])[i]);
}

static void expect(const struct bench *b, const struct mem_region *map, size_t n)
{
    assert_int_equal(n, b->n);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(map[i].base.v, b->map[i].base.v);
        assert_int_equal(map[i].bytes, b->map[i].bytes);
        assert_int_equal(map[i].type, b->map[i].type);
    }
}

#define NORMALISES_TO(in, want)            \
    do {                                   \
        load(&bench, in, COUNT(in));       \
        normalise(&bench);                 \
        expect(&bench, want, COUNT(want)); \
    } while (0)

static struct bench bench;

static void a_clean_map_is_left_alone_and_needs_no_room(void **state)
{
    (void)state;
    struct mem_region map[] = {
        {PA(0), 0x1000, MEM_RESERVED},      {PA(0x1000), 0x9e000, MEM_USABLE},
        {PA(0x9f123), 0x100, MEM_ACPI_NVS}, {PA(0x100000), 0x1000, MEM_BOOTLOADER_RECLAIMABLE},
        {PA(0x101000), 0x1000, MEM_USABLE},
    };
    const struct bench before = {.map = {map[0], map[1], map[2], map[3], map[4]}};
    size_t n, fixed;
    assert_int_equal(MM_OK, region_normalise(map, 5, 5, &n, &fixed));
    assert_int_equal(5, n);
    assert_int_equal(0, fixed);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(before.map[i].base.v, map[i].base.v);
        assert_int_equal(before.map[i].bytes, map[i].bytes);
        assert_int_equal(before.map[i].type, map[i].type);
    }
}

static void an_empty_map_stays_empty(void **state)
{
    (void)state;
    load(&bench, NULL, 0);
    normalise(&bench);
    assert_int_equal(0, bench.n);
    assert_int_equal(0, bench.fixed);
}

static void unsorted_regions_are_sorted_and_counted(void **state)
{
    (void)state;
    const struct mem_region in[] = {
        region(0x5000, 0x1000, MEM_USABLE),
        region(0x1000, 0x1000, MEM_RESERVED),
        region(0x3000, 0x1000, MEM_ACPI_NVS),
    };
    const struct mem_region want[] = {in[1], in[2], in[0]};
    NORMALISES_TO(in, want);
    assert_int_equal(2, bench.fixed);
}

static void neighbours_of_one_type_are_joined(void **state)
{
    (void)state;
    const struct mem_region in[] = {
        region(0x1000, 0x1000, MEM_USABLE),
        region(0x2000, 0x3000, MEM_USABLE),
        region(0x6000, 0x1000, MEM_USABLE),
    };
    const struct mem_region want[] = {
        region(0x1000, 0x4000, MEM_USABLE),
        region(0x6000, 0x1000, MEM_USABLE),
    };
    NORMALISES_TO(in, want);
    assert_int_equal(0, bench.fixed);
}

static void the_less_free_type_wins_an_overlap(void **state)
{
    (void)state;
    const enum mem_type others[] = {
        MEM_RESERVED,    MEM_ACPI_RECLAIMABLE, MEM_ACPI_NVS, MEM_BAD, MEM_EXECUTABLE_AND_MODULES,
        MEM_FRAMEBUFFER, MEM_RESERVED_MAPPED};
    for (size_t i = 0; i < COUNT(others); i++) {
        const enum mem_type ram[] = {MEM_USABLE, MEM_BOOTLOADER_RECLAIMABLE};
        for (size_t j = 0; j < COUNT(ram); j++) {
            const struct mem_region in[] = {
                region(0x4000, 0x2000, others[i]),
                region(0x1000, 0x4000, ram[j]),
            };
            const struct mem_region want[] = {
                region(0x1000, 0x3000, ram[j]),
                region(0x4000, 0x2000, others[i]),
            };
            NORMALISES_TO(in, want);
            assert_int_equal(2, bench.fixed);
        }
    }
    const struct mem_region in[] = {
        region(0x1000, 0x4000, MEM_USABLE),
        region(0x3000, 0x4000, MEM_BOOTLOADER_RECLAIMABLE),
    };
    const struct mem_region want[] = {
        region(0x1000, 0x2000, MEM_USABLE),
        region(0x3000, 0x4000, MEM_BOOTLOADER_RECLAIMABLE),
    };
    NORMALISES_TO(in, want);
}

static void a_region_inside_another_splits_it(void **state)
{
    (void)state;
    const struct mem_region in[] = {
        region(0x0, 0x100000, MEM_USABLE),
        region(0x4000, 0x1000, MEM_RESERVED),
        region(0x8000, 0x1000, MEM_BAD),
    };
    const struct mem_region want[] = {
        region(0x0, 0x4000, MEM_USABLE),     region(0x4000, 0x1000, MEM_RESERVED),
        region(0x5000, 0x3000, MEM_USABLE),  region(0x8000, 0x1000, MEM_BAD),
        region(0x9000, 0xf7000, MEM_USABLE),
    };
    NORMALISES_TO(in, want);
}

static void the_same_region_twice_is_one_region(void **state)
{
    (void)state;
    const struct mem_region in[] = {
        region(0x1000, 0x4000, MEM_USABLE),
        region(0x1000, 0x4000, MEM_USABLE),
    };
    NORMALISES_TO(in, ((const struct mem_region[]){in[0]}));
    assert_int_equal(1, bench.fixed);
}

static void empty_regions_vanish(void **state)
{
    (void)state;
    const struct mem_region in[] = {
        region(0x1000, 0, MEM_RESERVED),
        region(0x2000, 0x1000, MEM_USABLE),
        region(0x2800, 0, MEM_BAD),
    };
    NORMALISES_TO(in, ((const struct mem_region[]){in[1]}));
    assert_int_equal(2, bench.fixed);
}

static void what_wraps_or_passes_the_limit_is_cut_there(void **state)
{
    (void)state;
    const struct mem_region in[] = {
        region(PADDR_LIMIT - 0x2000, UINT64_MAX, MEM_USABLE), /* wraps */
        region(PADDR_LIMIT - 0x4000, 0x1000, MEM_RESERVED),
        region(PADDR_LIMIT, 0x1000, MEM_USABLE),              /* beyond */
        region(UINT64_MAX - 0xfff, 0x1000, MEM_USABLE),       /* ends at 2^64 */
        region(PADDR_LIMIT + 0x1000, -0x1000ull, MEM_USABLE), /* wraps to the limit itself */
    };
    const struct mem_region want[] = {
        in[1],
        region(PADDR_LIMIT - 0x2000, 0x2000, MEM_USABLE),
    };
    NORMALISES_TO(in, want);
}

static void an_unknown_type_counts_as_reserved(void **state)
{
    (void)state;
    const struct mem_region in[] = {
        region(0x1000, 0x2000, (enum mem_type)77),
        region(0x2000, 0x2000, MEM_USABLE),
    };
    const struct mem_region want[] = {
        region(0x1000, 0x2000, MEM_RESERVED),
        region(0x3000, 0x1000, MEM_USABLE),
    };
    NORMALISES_TO(in, want);
    assert_int_equal(2, bench.fixed);
}

static void ram_shrinks_to_whole_frames_and_nothing_else_does(void **state)
{
    (void)state;
    const struct mem_region in[] = {
        region(0x1001, 0x2fff, MEM_USABLE),
        region(0x5000, 0x1fff, MEM_BOOTLOADER_RECLAIMABLE),
        region(0x8100, 0x0e00, MEM_USABLE), /* nothing is left */
        region(0x9001, 0x10, MEM_ACPI_NVS),
    };
    const struct mem_region want[] = {
        region(0x2000, 0x2000, MEM_USABLE),
        region(0x5000, 0x1000, MEM_BOOTLOADER_RECLAIMABLE),
        region(0x9001, 0x10, MEM_ACPI_NVS),
    };
    NORMALISES_TO(in, want);
    assert_int_equal(3, bench.fixed);
}

static void ram_is_joined_before_it_is_shrunk(void **state)
{
    (void)state;
    const struct mem_region in[] = {
        region(0x1000, 0x800, MEM_USABLE),
        region(0x1800, 0x1800, MEM_USABLE),
    };
    NORMALISES_TO(in, ((const struct mem_region[]){region(0x1000, 0x2000, MEM_USABLE)}));
}

/* n - 1 small regions in one large one: 2 n - 1 pieces. */
static void room_for_the_pieces_is_enough_and_less_is_refused(void **state)
{
    (void)state;
    for (size_t capacity = 15; capacity <= 16; capacity++) {
        struct mem_region map[17] = {region(0, 0x100000, MEM_USABLE)};
        map[capacity] = region(0x1234, 0x5678, MEM_BAD); /* a canary */
        for (size_t i = 1; i < 8; i++)
            map[i] = region(i * 0x4000, 0x1000, MEM_RESERVED);
        size_t n = 99, fixed;
        assert_int_equal(MM_OK, region_normalise(map, 8, capacity, &n, &fixed));
        assert_int_equal(15, n);
        assert_true(region_validate(map, n));
        assert_int_equal(0x1234, map[capacity].base.v);
    }
    struct mem_region map[14] = {region(0, 0x100000, MEM_USABLE)};
    for (size_t i = 1; i < 8; i++)
        map[i] = region(i * 0x4000, 0x1000, MEM_RESERVED);
    size_t n = 99, fixed = 99;
    assert_int_equal(MM_NOMEM, region_normalise(map, 8, 14, &n, &fixed));
    assert_int_equal(MM_NOMEM, region_normalise(map, 14, 13, &n, &fixed));
    assert_int_equal(99, n);
    assert_int_equal(99, fixed);
}

/* --- The painted model ---------------------------------------------------- */

#define CELLS      96
#define CELL_BYTES 0x400ull /* a quarter of a frame */

static bool is_ram(enum mem_type type)
{
    return type == MEM_USABLE || type == MEM_BOOTLOADER_RECLAIMABLE;
}

/* How free a type is, as far as the contract says: 2, 1, 0. */
static int freedom(enum mem_type type)
{
    return type == MEM_USABLE ? 2 : type == MEM_BOOTLOADER_RECLAIMABLE ? 1 : 0;
}

static bool covers(const struct mem_region *r, uint64_t address)
{
    return address >= r->base.v && address - r->base.v < r->bytes;
}

/* What the map says of an address; NULL for nothing. Its regions must not overlap. */
static const struct mem_region *find(const struct mem_region *map, size_t n, uint64_t address)
{
    const struct mem_region *found = NULL;
    for (size_t i = 0; i < n; i++)
        if (covers(&map[i], address)) {
            assert_null(found);
            found = &map[i];
        }
    return found;
}

/* The freedom that a cell must end up with: that of the least free
 * claimant; -1 if nobody claims. */
static int claimed_freedom(const struct mem_region *in, size_t n, uint64_t address)
{
    int least = -1;
    for (size_t i = 0; i < n; i++)
        if (covers(&in[i], address) && (least < 0 || freedom(in[i].type) < least))
            least = freedom(in[i].type);
    return least;
}

/* RAM survives only where all four cells of a frame agree. */
static bool frame_is_uniform(const struct mem_region *in, size_t n, uint64_t address)
{
    uint64_t frame = address & ~0xfffull;
    for (uint64_t cell = frame; cell < frame + 0x1000; cell += CELL_BYTES)
        if (claimed_freedom(in, n, cell) != claimed_freedom(in, n, address))
            return false;
    return true;
}

static void compare_with_paint(const struct mem_region *in, size_t n_in)
{
    for (uint64_t address = 0; address < CELLS * CELL_BYTES; address += CELL_BYTES) {
        int want = claimed_freedom(in, n_in, address);
        if (want > 0 && !frame_is_uniform(in, n_in, address))
            want = -1;
        const struct mem_region *got = find(bench.map, bench.n, address);
        assert_int_equal(want, got == NULL ? -1 : freedom(got->type));
        if (got == NULL)
            continue;
        bool claimed = false; /* somebody said that it is of this very type */
        for (size_t i = 0; i < n_in; i++)
            claimed = claimed || (covers(&in[i], address) && in[i].type == got->type);
        assert_true(claimed);
    }
}

static void random_maps_match_a_painted_one(void **state)
{
    (void)state;
    struct rng rng = rng_start();
    for (int round = 0; round < 20000; round++) {
        struct mem_region in[12];
        size_t n = rng_below(&rng, COUNT(in) + 1);
        for (size_t i = 0; i < n; i++) {
            uint64_t base = rng_below(&rng, CELLS);
            uint64_t cells = rng_below(&rng, round % 2 != 0 ? 8 : CELLS);
            cells = cells < CELLS - base ? cells : CELLS - base;
            in[i] = region(base * CELL_BYTES, cells * CELL_BYTES, rng_below(&rng, MEM_TYPES));
        }
        load(&bench, in, n);
        normalise(&bench);
        compare_with_paint(in, n);

        const struct bench once = bench; /* what is normal stays as it is */
        normalise(&bench);
        expect(&bench, once.map, once.n);
        assert_int_equal(0, bench.fixed);
    }
}

/* --- Whole maps ----------------------------------------------------------- */

static void captured_and_hostile_maps_become_valid(void **state)
{
    (void)state;
    static struct test_map map;
    uint64_t ram[CAPTURED_MAPS] = {0};
    for (size_t i = 0; i < CAPTURED_MAPS; i++) {
        captured_map(i, &map);
        assert_true(region_validate(map.regions, map.n));
        for (size_t j = 0; j < map.n; j++)
            ram[i] += is_ram(map.regions[j].type) ? map.regions[j].bytes : 0;
    }
    assert_in_range(ram[0], 240 * MIB, 256 * MIB);
    assert_in_range(ram[1], 4050 * MIB, 4096 * MIB);
    assert_in_range(ram[2], 460 * MIB, 512 * MIB);
    assert_in_range(ram[3], 6050 * MIB, 6144 * MIB);

    map_of_500_entries(&map);
    assert_true(region_validate(map.regions, map.n));
    map_with_a_1_tib_hole(&map);
    assert_true(region_validate(map.regions, map.n));
    map_of_10_mib(&map);
    assert_true(region_validate(map.regions, map.n));
}

static void validate_refuses_each_defect(void **state)
{
    (void)state;
    const struct mem_region good[] = {
        region(0x1000, 0x1000, MEM_USABLE),
        region(0x2000, 0x1000, MEM_RESERVED),
        region(0x4000, 0x1000, MEM_RESERVED),
    };
    assert_true(region_validate(good, 3));
    assert_true(region_validate(good, 0));

    const struct {
        size_t at;
        struct mem_region bad;
    } defects[] = {
        {0, region(0x1000, 0, MEM_RESERVED)},    /* empty */
        {0, region(0x1000, 0x1000, MEM_TYPES)},  /* unknown type */
        {0, region(0x1800, 0x0800, MEM_USABLE)}, /* half a frame */
        {0, region(0x1000, 0x0800, MEM_BOOTLOADER_RECLAIMABLE)},
        {0, region(0x1000, 0x2000, MEM_USABLE)},                   /* overlap */
        {0, region(0x9000, 0x1000, MEM_USABLE)},                   /* order */
        {0, region(0x1000, 0x1000, MEM_RESERVED)},                 /* to be joined */
        {2, region(PADDR_LIMIT - 0x1000, 0x2000, MEM_USABLE)},     /* beyond the limit */
        {2, region(0x4000, UINT64_MAX, MEM_RESERVED)},             /* wraps */
        {2, region(PADDR_LIMIT + 0x1000, -0x1000ull, MEM_USABLE)}, /* wraps to the limit */
    };
    for (size_t i = 0; i < COUNT(defects); i++) {
        struct mem_region map[] = {good[0], good[1], good[2]};
        map[defects[i].at] = defects[i].bad;
        if (region_validate(map, 3))
            fail_msg("defect %zu passed", i);
    }
}

static void every_type_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (unsigned i = 0; i < MEM_TYPES; i++) {
        assert_string_not_equal("unknown", mem_type_name((enum mem_type)i));
        for (unsigned j = 0; j < i; j++)
            assert_string_not_equal(mem_type_name((enum mem_type)j),
                                    mem_type_name((enum mem_type)i));
    }
    assert_string_equal("usable", mem_type_name(MEM_USABLE));
    assert_string_equal("unknown", mem_type_name(MEM_TYPES));
    assert_string_equal("unknown", mem_type_name((enum mem_type) - 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_clean_map_is_left_alone_and_needs_no_room),
        cmocka_unit_test(an_empty_map_stays_empty),
        cmocka_unit_test(unsorted_regions_are_sorted_and_counted),
        cmocka_unit_test(neighbours_of_one_type_are_joined),
        cmocka_unit_test(the_less_free_type_wins_an_overlap),
        cmocka_unit_test(a_region_inside_another_splits_it),
        cmocka_unit_test(the_same_region_twice_is_one_region),
        cmocka_unit_test(empty_regions_vanish),
        cmocka_unit_test(what_wraps_or_passes_the_limit_is_cut_there),
        cmocka_unit_test(an_unknown_type_counts_as_reserved),
        cmocka_unit_test(ram_shrinks_to_whole_frames_and_nothing_else_does),
        cmocka_unit_test(ram_is_joined_before_it_is_shrunk),
        cmocka_unit_test(room_for_the_pieces_is_enough_and_less_is_refused),
        cmocka_unit_test(random_maps_match_a_painted_one),
        cmocka_unit_test(captured_and_hostile_maps_become_valid),
        cmocka_unit_test(validate_refuses_each_defect),
        cmocka_unit_test(every_type_has_a_name_of_its_own),
    };
    return cmocka_run_group_tests_name("region", tests, NULL, NULL);
}
