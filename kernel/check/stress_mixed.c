/* Owns: the stress test of frames, heap and mappings in any order on all CPUs.
 * Relies on: stress.c, crew.c. Stage: after cpus_start. */
#include "check/stress.h"
#include "check/stress_parts.h"
#include "mm/heap.h"
#include "mm/hhdm.h"
#include "mm/mapper.h"
#include "mm/pmm.h"
#include "mm/string.h"

#define SLOTS     32
#define BLOCK_MAX 3000

/* Whoever unmaps waits for all other CPUs, so that is rare: one operation on frames in so many. */
#define PAGING_RARITY 128

struct frame_slot {
    bool taken, mapped;
    uint64_t nframes;
    paddr_t base;
};

struct block_slot {
    uint8_t *block; /* NULL: none */
    size_t bytes;
    uint8_t mark;
};

/* What a CPU has at the moment, known to nobody else. */
struct hoard {
    unsigned number;
    uint64_t random;
    struct frame_slot frames[SLOTS];
    struct block_slot blocks[SLOTS];
};

static struct hoard *hoards; /* one for each of the crew */

/* splitmix64. source: Steele, Lea, Flood, OOPSLA 2014 */
static uint64_t next_random(struct hoard *hoard)
{
    uint64_t z = hoard->random += 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

/* ---- frames ------------------------------------------------------------------------------ */

/* The first and the last word of a run say whose it is. */
static uint64_t *run_word(const struct frame_slot *slot, bool last)
{
    return phys_to_virt(last ? pa_add(slot->base, slot->nframes * FRAME_BYTES - 8) : slot->base);
}

static uint64_t frame_mark(const struct hoard *hoard, const struct frame_slot *slot)
{
    return 0xf00d0000ull + hoard->number * SLOTS + (uint64_t)(slot - hoard->frames);
}

static void take_frames(struct hoard *hoard, struct frame_slot *slot)
{
    slot->nframes = next_random(hoard) % 4 ? 1 : 1 + next_random(hoard) % 8;
    mm_status_t status = slot->nframes == 1 ? pmm_alloc_frame(&slot->base)
                                            : pmm_alloc_frames(slot->nframes, NULL, &slot->base);
    if (!STRESS_CHECK(status == MM_OK))
        return;
    slot->taken = true;
    *run_word(slot, false) = frame_mark(hoard, slot);
    *run_word(slot, true) = ~frame_mark(hoard, slot);
    if (slot->nframes > 1) /* of one frame the last word was written last */
        STRESS_CHECK(*run_word(slot, false) == frame_mark(hoard, slot));
}

static void give_frames(struct hoard *hoard, struct frame_slot *slot)
{
    STRESS_CHECK(*run_word(slot, false) == frame_mark(hoard, slot));
    STRESS_CHECK(*run_word(slot, true) == ~frame_mark(hoard, slot));
    STRESS_CHECK(pmm_free_frames(slot->base, slot->nframes) == MM_OK);
    slot->taken = false;
}

/* ---- mappings of such frames ---------------------------------------------------------------- */

static vaddr_t slot_page(const struct hoard *hoard, const struct frame_slot *slot)
{
    return stress_page(hoard->number, (uint64_t)(slot - hoard->frames) * 16); /* room for a run */
}

static void map_frames(struct hoard *hoard, struct frame_slot *slot)
{
    vaddr_t va = slot_page(hoard, slot);
    uint64_t seen;

    slot->mapped = STRESS_CHECK(paging_map(mapper_kernel_space(), va, slot->base, slot->nframes,
                                           PROT_READ | PROT_WRITE, CACHE_WB) == MM_OK);
    if (slot->mapped)
        STRESS_CHECK(stress_read(va, &seen, 0) && seen == frame_mark(hoard, slot));
}

static void unmap_frames(struct hoard *hoard, struct frame_slot *slot)
{
    vaddr_t va = slot_page(hoard, slot);
    uint64_t seen;

    STRESS_CHECK(paging_unmap(mapper_kernel_space(), va, slot->nframes) == MM_OK);
    STRESS_CHECK(!stress_read(va, &seen, 0));
    slot->mapped = false;
}

static void frame_operation(struct hoard *hoard)
{
    struct frame_slot *slot = &hoard->frames[next_random(hoard) % SLOTS];
    bool paging = next_random(hoard) % PAGING_RARITY == 0;

    if (!slot->taken)
        take_frames(hoard, slot);
    else if (slot->mapped && paging)
        unmap_frames(hoard, slot);
    else if (!slot->mapped && paging)
        map_frames(hoard, slot);
    else if (!slot->mapped)
        give_frames(hoard, slot);
}

/* ---- the heap ------------------------------------------------------------------------------ */

static bool block_is_whole(const struct block_slot *slot, size_t bytes)
{
    return slot->block[0] == slot->mark && slot->block[bytes / 2] == slot->mark &&
           slot->block[bytes - 1] == slot->mark;
}

static void fill_block(struct hoard *hoard, struct block_slot *slot, size_t bytes)
{
    slot->bytes = bytes;
    slot->mark = (uint8_t)next_random(hoard);
    memset(slot->block, slot->mark, bytes);
}

static void heap_operation(struct hoard *hoard)
{
    struct block_slot *slot = &hoard->blocks[next_random(hoard) % SLOTS];
    size_t bytes = 1 + next_random(hoard) % (next_random(hoard) % 8 ? 200 : BLOCK_MAX);

    if (!slot->block) {
        slot->block = kmalloc(bytes);
        if (STRESS_CHECK(slot->block != NULL))
            fill_block(hoard, slot, bytes);
        return;
    }
    STRESS_CHECK(block_is_whole(slot, slot->bytes));
    if (next_random(hoard) % 4) {
        kfree(slot->block);
        slot->block = NULL;
        return;
    }
    uint8_t *moved = krealloc(slot->block, bytes);
    if (!STRESS_CHECK(moved != NULL))
        return;
    slot->block = moved;
    STRESS_CHECK(block_is_whole(slot, bytes < slot->bytes ? bytes : slot->bytes));
    fill_block(hoard, slot, bytes);
}

/* ---- all of it ----------------------------------------------------------------------------- */

static void give_all_back(struct hoard *hoard)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        if (hoard->frames[i].mapped)
            unmap_frames(hoard, &hoard->frames[i]);
        if (hoard->frames[i].taken)
            give_frames(hoard, &hoard->frames[i]);
        kfree(hoard->blocks[i].block);
    }
}

static void mix_on(unsigned number)
{
    struct hoard *hoard = &hoards[number];

    hoard->number = number;
    hoard->random = number;
    for (unsigned round = 0; round < stress.rounds; round++) {
        for (unsigned i = 0; i < STRESS_ROUND_OPERATIONS; i += 2) {
            frame_operation(hoard);
            heap_operation(hoard);
        }
        stress_count(STRESS_ROUND_OPERATIONS);
    }
    give_all_back(hoard);
}

void stress_mixed(void)
{
    hoards = kcalloc(crew.n, sizeof *hoards);
    if (!STRESS_CHECK(hoards != NULL))
        return;
    crew_run(mix_on);
    kfree(hoards);
}
