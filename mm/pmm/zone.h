/* A zone: RAM that the pmm got to know at one time, and the metadata for it. The machine's memory at
 * boot is one; every range that is added later is another.
 *
 * Only blocks of 2 MiB that contain RAM have metadata. They are numbered without gaps in the order
 * of their addresses (the block's index; its number is its address / 2 MiB), with one index left out
 * after each hole, so that neighbours by index are neighbours in memory. For each block there is
 *   line    512 bits, 1 = used, or taken by a CPU for its cache
 *   entry   who owns the block (may take bits), on which list it is, what kind it is
 *   whole   a bit: all of it is free, nobody owns it, line and entry mean nothing
 * and lists: trees of bits by the order of the largest free run in the block.
 *
 *   spans    |reclaimable|usable............|      hole      |usable|reserved: metadata|
 *   blocks   [ragged][ whole ][ whole ][ragged]    (none)    [ragged]
 *   index        0       1        2       3        4 = gap       5                        */
#ifndef QL_MM_PMM_ZONE_H
#define QL_MM_PMM_ZONE_H

#include "bit_tree.h"
#include "line.h"
#include "mm/addr.h"
#include "mm/pmm.h"

#define BLOCK_SHIFT 9 /* frames to blocks */
#define ZONE_LISTS  9 /* orders 0 .. 8; a block with a free run of order 9 is whole */
#define ZONE_KINDS  2

/* Memory below 16 MiB is all that ISA devices reach, and little: the first tier, given out last. */
#define ZONE_TIERS 2

/* Frame and block numbers are plain integers in here: they are indices. */
static inline uint64_t frame_number(paddr_t pa)
{
    return pa_to_pfn(pa).v;
}
static inline paddr_t frame_address(uint64_t frame)
{
    return pfn_to_pa((pfn_t){frame});
}

/* Frames [base, end) of one kind, in the order of addresses. */
enum span_kind {
    SPAN_RAM,         /* ours to give */
    SPAN_RECLAIMABLE, /* the bootloader's, until pmm_reclaim */
    SPAN_RESERVED,    /* frame 0, and our metadata */
};
struct span {
    uint64_t base, end;
    enum span_kind kind;
};

/* Blocks [number, number + count), whose indices begin with index. */
struct extent {
    uint64_t number, count, index;
};

struct zone {
    uint64_t (*lines)[LINE_ROWS];
    uint32_t *entries;
    struct bit_tree whole;
    struct bit_tree lists[ZONE_KINDS][ZONE_LISTS];
    uint64_t nblocks;               /* indices, gaps included */
    uint64_t tiers[ZONE_TIERS + 1]; /* where they begin, and the end; indices */

    const struct extent *extents;
    size_t nextents;
    struct span *spans;
    size_t nspans;
    struct span metadata;
    uint64_t total; /* frames of all spans */
};

/* Entry of a block. Whoever holds a block owned changes the rest. */
#define ENTRY_OWNER        0xffffu /* CPU + 1; 0: nobody */
#define ENTRY_LISTED_SHIFT 16      /* order of the list it is on, plus one; 0: none */
#define ENTRY_LISTED       (0xfu << ENTRY_LISTED_SHIFT)
#define ENTRY_LONG         (1u << 20) /* its frames are of PMM_LONG */
#define ENTRY_RAGGED       (1u << 21) /* some frame of it is not ours to give, see spans, bad.h */

static inline unsigned entry_owner(uint32_t entry)
{
    return entry & ENTRY_OWNER;
}
static inline unsigned entry_listed(uint32_t entry)
{
    return (entry & ENTRY_LISTED) >> ENTRY_LISTED_SHIFT;
}

static inline struct bit_tree *zone_list(struct zone *z, uint32_t entry, unsigned order)
{
    return &z->lists[(entry & ENTRY_LONG) != 0][order];
}

/* The bytes of metadata for a memory map, without and with what depends on where it is placed. */
uint64_t zone_metadata_bytes(const struct mem_region *map, size_t n);

/* Make the zone of a memory map, its metadata in these frames, which are usable in the map. */
void zone_init(struct zone *z, const struct mem_region *map, size_t n, uint64_t metadata_base,
               uint64_t metadata_frames);

/* The index of a block. False if the zone does not have it. */
bool zone_find_block(const struct zone *z, uint64_t number, uint64_t *index);

/* The index of the first block with that number or above; nblocks if there is none. */
uint64_t zone_lower_bound(const struct zone *z, uint64_t number);

/* The number of a block, which is no gap. */
uint64_t zone_block_number(const struct zone *z, uint64_t index);

/* True if the zone has the frame, whatever its kind. */
bool zone_has_frame(const struct zone *z, uint64_t frame);

/* The blocks of a word of the tree that lie in the extent of block index, which is one of them: their
 * bits, and the number that bit 0 would then have. */
void zone_word_numbers(const struct zone *z, uint64_t word, uint64_t index, uint64_t *number,
                       uint64_t *mask);

/* How far [frame, end) goes on as it begins: true if that is ours to give. */
bool zone_span(const struct zone *z, uint64_t frame, uint64_t end, uint64_t *n);

/* True if all of [frame, frame + n) is ours to give. */
bool zone_is_ours(const struct zone *z, uint64_t frame, uint64_t n);

#endif
