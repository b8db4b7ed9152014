/* Owns: nothing; the making of random memory maps. */
#include "random.h"

#include "../machine.h"

static void add(struct random_map *map, uint64_t *frame, uint64_t nframes, enum mem_type type)
{
    if (nframes != 0)
        map->regions[map->n++] =
            (struct mem_region){PA(*frame * PAGE_BYTES), nframes * PAGE_BYTES, type};
    *frame += nframes;
}

static enum mem_type random_type(struct rng *rng)
{
    static const enum mem_type types[] = {
        MEM_USABLE,   MEM_USABLE,      MEM_USABLE, MEM_BOOTLOADER_RECLAIMABLE,
        MEM_RESERVED, MEM_ACPI_NVS,    MEM_USABLE, MEM_BOOTLOADER_RECLAIMABLE,
        MEM_BAD,      MEM_FRAMEBUFFER,
    };
    return types[rng_below(rng, COUNT(types))];
}

/* Entries of at most so many frames, with holes at times. */
static void add_entries(struct random_map *map, struct rng *rng, uint64_t frame, size_t n,
                        uint64_t longest, uint64_t widest)
{
    for (size_t i = 0; i < n; i++) {
        add(map, &frame, rng_size(rng, longest), random_type(rng));
        if (rng_below(rng, 2) == 0)
            frame += rng_size(rng, widest);
    }
}

static void add_tibs(struct random_map *map, struct rng *rng)
{
    uint64_t frame = rng_below(rng, 3);
    for (unsigned bank = 0; bank < 4; bank++) {
        add_entries(map, rng, frame, rng_between(rng, 1, 3), 900, 700);
        frame = (frame + rng_between(rng, 1, 5) * TIB / PAGE_BYTES) - rng_below(rng, 1000);
    }
}

static void add_borders(struct random_map *map, struct rng *rng)
{
    uint64_t frame = rng_below(rng, 3);
    add(map, &frame, rng_below(rng, 200), MEM_BOOTLOADER_RECLAIMABLE);
    add(map, &frame, 20 * MIB / PAGE_BYTES + rng_below(rng, 4096), MEM_USABLE);
    frame = (4 * GIB - 6 * MIB) / PAGE_BYTES + rng_below(rng, 700);
    add(map, &frame, 12 * MIB / PAGE_BYTES + rng_below(rng, 1024), MEM_USABLE);
}

static void add_room(struct random_map *map)
{
    const struct mem_region *last = &map->regions[map->n - 1];
    uint64_t frame = (last->base.v + last->bytes) / PAGE_BYTES;
    add(map, &frame, map->n / 10 + 10, MEM_USABLE);
}

static void add_later(struct random_map *map, struct rng *rng)
{
    const struct mem_region *last = &map->regions[map->n - 1];
    uint64_t block = (last->base.v + last->bytes) / HUGE_2M + 1;
    while (map->nlater < RANDOM_MAP_LATER) {
        block += rng_below(rng, 3);
        uint64_t offset = rng_below(rng, 2) * rng_below(rng, 512);
        uint64_t nframes = rng_size(rng, 1500);
        map->later[map->nlater++] = (struct mem_region){PA(block * HUGE_2M + offset * PAGE_BYTES),
                                                        nframes * PAGE_BYTES, MEM_USABLE};
        block += (offset + nframes + 511) / 512;
    }
}

void random_map(enum map_kind kind, struct rng *rng, struct random_map *out)
{
    size_t fixed;
    uint64_t base = rng_below(rng, 2) * rng_below(rng, 4 * GIB / PAGE_BYTES);
    out->n = out->nlater = 0;
    switch (kind) {
    case MAP_TINY:
        add_entries(out, rng, base, rng_between(rng, 1, 5), 20, 600);
        break;
    case MAP_RAGGED:
        add_entries(out, rng, base, rng_between(rng, 10, 60), 1200, 800);
        break;
    case MAP_SPARSE:
        add_entries(out, rng, base, rng_between(rng, 1000, 4000), 3, 40);
        break;
    case MAP_TIBS:
        add_tibs(out, rng);
        break;
    default:
        add_borders(out, rng);
    }
    add_room(out);
    assert_int_equal(MM_OK,
                     region_normalise(out->regions, out->n, RANDOM_MAP_CAPACITY, &out->n, &fixed));
    add_later(out, rng);
}
