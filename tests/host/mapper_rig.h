/* What the tests of the kernel's address space share: a captured memory map, an image with two
 * guarded stacks, and short names for looking at the result. */
#ifndef MAPPER_RIG_H
#define MAPPER_RIG_H

#include "machine.h"
#include "maps/maps.h"
#include "mm/hhdm.h"
#include "mm/mapper.h"
#include "mm/pmm.h"
#include "test.h"
#include "walker.h"

#define IMAGE_VA     0xffffffff80000000ull
#define WINDOWS      0xffffc00000000000ull
#define WINDOWS_END  0xfffff00000000000ull
#define FRAMEBUFFER  0x80000000ull /* what no map calls RAM */
#define TEXT_PAGES   40
#define RODATA_PAGES 20
#define DATA_PAGES   60

static struct test_map map;
static struct mapper_input input;
static struct space space;
static uint64_t frames_at_start;

/* Two stacks in the data, each with a guard page under it; the first guard is data's first page. */
static struct image_part guards[2];
static const char *const guard_names[] = {"guard of stack A", "guard of stack B"};

static inline struct image_part part(uint64_t first_page, uint64_t npages)
{
    return (struct image_part){VA(IMAGE_VA + first_page * PAGE_BYTES),
                               VA(IMAGE_VA + (first_page + npages) * PAGE_BYTES)};
}

static inline void prepare(void)
{
    guards[0] = part(TEXT_PAGES + RODATA_PAGES, 1);
    guards[1] = part(TEXT_PAGES + RODATA_PAGES + 9, 1);
    input = (struct mapper_input){
        .text = part(0, TEXT_PAGES),
        .rodata = part(TEXT_PAGES, RODATA_PAGES),
        .data = part(TEXT_PAGES + RODATA_PAGES, DATA_PAGES),
        .guards = guards,
        .guard_names = guard_names,
        .nguards = 2,
        .image_va = VA(IMAGE_VA),
        .image_pa = map.image_pa,
        .map = map.regions,
        .nmap = map.n,
        .windows = VA(WINDOWS),
        .windows_end = VA(WINDOWS_END),
    };
    machine_start(map.regions, map.n);
    assert_int_equal(MM_OK, pmm_init(map.regions, map.n));
    frames_at_start = machine_free_frames();
}

static inline void build(void)
{
    assert_int_equal(MM_OK, mapper_build(&input, &space));
    assert_true(paging_validate(&space));
}

static inline int start_captured(void **state)
{
    (void)state;
    captured_map(0, &map);
    prepare();
    return 0;
}

static inline int start_built(void **state)
{
    start_captured(state);
    build();
    return 0;
}

static inline int stop(void **state)
{
    (void)state;
    paging_leave();
    assert_true(pmm_validate());
    machine_stop();
    return 0;
}

static inline struct walk look(uint64_t va)
{
    return walk(space.root.v, va);
}

static inline struct walk look_direct(uint64_t pa)
{
    return look(hhdm.base.v + pa);
}

/* The pointers are good until the next call of the same function. */
static inline const struct map_range *range_called(const char *name)
{
    static struct map_range r;
    r = (struct map_range){0};
    while (mapper_next_range(&r))
        if (strcmp(r.name, name) == 0)
            return &r;
    return NULL;
}

static inline const struct map_range *range_at(uint64_t va)
{
    static struct map_range r;
    return mapper_find(VA(va), &r) ? &r : NULL;
}

static inline void check_ranges_are_sorted(void)
{
    uint64_t floor = 0;
    for (struct map_range r = {0}; mapper_next_range(&r);) {
        assert_true(r.npages > 0 && r.va.v >= floor);
        floor = r.va.v + r.npages * PAGE_BYTES;
        assert_int_equal(r.va.v, range_at(r.va.v)->va.v);
        assert_int_equal(r.va.v, range_at(floor - 1)->va.v);
    }
}

#define WITH_INPUT(name) cmocka_unit_test_setup_teardown(name, start_captured, stop)
#define WITH_SPACE(name) cmocka_unit_test_setup_teardown(name, start_built, stop)

#endif
