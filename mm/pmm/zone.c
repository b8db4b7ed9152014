/* Owns: nothing; the making of zones and what is where in them.
 * Relies on: the direct map for the metadata. Stage: "frames". */
#include "zone.h"

#include "block.h"
#include "mm/hhdm.h"
#include "mm/string.h"

#define CACHE_LINE 64u

static bool is_ram(const struct mem_region *r)
{
    return r->type == MEM_USABLE || r->type == MEM_BOOTLOADER_RECLAIMABLE;
}

static uint64_t region_base(const struct mem_region *r)
{
    return frame_number(r->base);
}

static uint64_t region_end(const struct mem_region *r)
{
    return region_base(r) + (r->bytes >> FRAME_SHIFT);
}

/* --- Layout --------------------------------------------------------------- */

/* The next extent of the map: the regions from *cursor on whose blocks touch. */
static bool next_extent(const struct mem_region *map, size_t n, size_t *cursor, struct extent *out)
{
    size_t i = *cursor;
    while (i < n && !is_ram(&map[i]))
        i++;
    if (i == n)
        return false;
    uint64_t first = region_base(&map[i]) >> BLOCK_SHIFT, end = first;
    for (; i < n; i++) {
        if (!is_ram(&map[i]))
            continue;
        if (region_base(&map[i]) >> BLOCK_SHIFT > end)
            break;
        end = (region_end(&map[i]) + BLOCK_FRAMES - 1) >> BLOCK_SHIFT;
    }
    out->number = first;
    out->count = end - first;
    *cursor = i;
    return true;
}

/* The parts of the metadata, in this order. Spans: each region, one more where the metadata is cut
 * out of a region and one for frame 0. */
struct layout {
    uint64_t nblocks, nextents, nspans;
    uint64_t lines, entries, trees, extents, spans, bytes; /* where they begin, and the end */
};

static uint64_t align_line(uint64_t bytes)
{
    return (bytes + CACHE_LINE - 1) & ~(uint64_t)(CACHE_LINE - 1);
}

static struct layout measure(const struct mem_region *map, size_t n)
{
    struct layout l = {.nspans = 3};
    struct extent e;
    for (size_t cursor = 0; next_extent(map, n, &cursor, &e); l.nextents++)
        l.nblocks += e.count + 1;
    for (size_t i = 0; i < n; i++)
        l.nspans += is_ram(&map[i]);
    l.entries = l.nblocks * LINE_ROWS * sizeof(uint64_t);
    l.trees = align_line(l.entries + l.nblocks * sizeof(uint32_t));
    l.extents = l.trees + (1 + ZONE_KINDS * ZONE_LISTS) * tree_words(l.nblocks) * sizeof(uint64_t);
    l.spans = l.extents + l.nextents * sizeof(struct extent);
    l.bytes = l.spans + l.nspans * sizeof(struct span);
    return l;
}

uint64_t zone_metadata_bytes(const struct mem_region *map, size_t n)
{
    return measure(map, n).bytes;
}

static void lay_out(struct zone *z, const struct layout *l)
{
    uint8_t *base = phys_to_virt(frame_address(z->metadata.base));
    z->lines = (uint64_t(*)[LINE_ROWS])base;
    z->entries = (uint32_t *)(base + l->entries);
    z->nblocks = l->nblocks;
    uint64_t *words = (uint64_t *)(base + l->trees);
    uint64_t each = tree_words(l->nblocks);
    tree_init(&z->whole, words, l->nblocks);
    for (unsigned kind = 0; kind < ZONE_KINDS; kind++)
        for (unsigned order = 0; order < ZONE_LISTS; order++)
            tree_init(&z->lists[kind][order], words += each, l->nblocks);
    z->spans = (struct span *)(base + l->spans);
}

static void describe_extents(struct zone *z, const struct mem_region *map, size_t n,
                             struct extent *extents)
{
    uint64_t index = 0;
    struct extent e;
    for (size_t cursor = 0; next_extent(map, n, &cursor, &e);) {
        e.index = index;
        extents[z->nextents++] = e;
        index += e.count + 1;
    }
    z->extents = extents;
}

/* --- Spans ---------------------------------------------------------------- */

static void add_span(struct zone *z, uint64_t base, uint64_t end, enum span_kind kind)
{
    if (base < end)
        z->spans[z->nspans++] = (struct span){base, end, kind};
}

/* A region, with frame 0 and the metadata cut out. */
static void describe_region(struct zone *z, const struct mem_region *r)
{
    uint64_t base = region_base(r), end = region_end(r);
    enum span_kind kind = r->type == MEM_USABLE ? SPAN_RAM : SPAN_RECLAIMABLE;
    z->total += end - base;
    if (base == 0)
        add_span(z, base++, 1, SPAN_RESERVED);
    if (z->metadata.base < base || z->metadata.base >= end) {
        add_span(z, base, end, kind);
        return;
    }
    add_span(z, base, z->metadata.base, kind);
    add_span(z, z->metadata.base, z->metadata.end, SPAN_RESERVED);
    add_span(z, z->metadata.end, end, kind);
}

/* --- Blocks --------------------------------------------------------------- */

/* What of a span is whole blocks that are free from the start: [first, end) in numbers. */
static void inner_blocks(const struct span *s, uint64_t *first, uint64_t *end)
{
    *first = (s->base + BLOCK_FRAMES - 1) >> BLOCK_SHIFT;
    *end = s->end >> BLOCK_SHIFT;
    if (s->kind != SPAN_RAM || *end < *first)
        *end = *first;
}

/* Call make for each block of the span that is not an inner one. */
static void each_edge(struct zone *z, const struct span *s,
                      void (*make)(struct zone *z, const struct span *s, uint64_t index,
                                   uint64_t number))
{
    uint64_t first, end, index;
    inner_blocks(s, &first, &end);
    for (uint64_t number = s->base >> BLOCK_SHIFT; number << BLOCK_SHIFT < s->end; number++) {
        if (number == first && first < end)
            number = end;
        if (number << BLOCK_SHIFT < s->end && zone_find_block(z, number, &index))
            make(z, s, index, number);
    }
}

static void make_used(struct zone *z, const struct span *s, uint64_t index, uint64_t number)
{
    (void)s, (void)number;
    memset64(z->lines[index], ~0ull, LINE_ROWS);
    z->entries[index] = ENTRY_RAGGED;
}

static void make_free(struct zone *z, const struct span *s, uint64_t index, uint64_t number)
{
    uint64_t base = number << BLOCK_SHIFT, end = base + BLOCK_FRAMES;
    if (s->kind != SPAN_RAM)
        return;
    base = s->base > base ? s->base : base;
    end = s->end < end ? s->end : end;
    for (unsigned r = 0; r < LINE_ROWS; r++)
        z->lines[index][r] &=
            ~line_part((unsigned)(base % BLOCK_FRAMES), (unsigned)(end - base), r);
}

static void make_listed(struct zone *z, const struct span *s, uint64_t index, uint64_t number)
{
    (void)s, (void)number;
    uint32_t entry = z->entries[index];
    if (entry_listed(entry) != 0 || entry_owner(entry) != 0)
        return; /* by the span before, or whole since then */
    if (line_is_free(z->lines[index]))
        entry &= ~ENTRY_RAGGED; /* two spans make it whole */
    z->entries[index] = entry | BOOT_OWNER;
    block_settle(z, index, BOOT_OWNER);
}

static void fill_blocks(struct zone *z)
{
    for (size_t i = 0; i < z->nspans; i++)
        each_edge(z, &z->spans[i], make_used);
    for (size_t i = 0; i < z->nspans; i++)
        each_edge(z, &z->spans[i], make_free);
    for (size_t i = 0; i < z->nspans; i++) {
        uint64_t first, end, index;
        each_edge(z, &z->spans[i], make_listed);
        inner_blocks(&z->spans[i], &first, &end);
        if (first < end && zone_find_block(z, first, &index))
            tree_fill(&z->whole, index, end - first);
    }
}

void zone_init(struct zone *z, const struct mem_region *map, size_t n, uint64_t metadata_base,
               uint64_t metadata_frames)
{
    struct layout l = measure(map, n);
    *z = (struct zone){.metadata = {metadata_base, metadata_base + metadata_frames, SPAN_RESERVED}};
    lay_out(z, &l);
    describe_extents(z, map, n, (struct extent *)((uint8_t *)z->lines + l.extents));
    for (size_t i = 0; i < n; i++)
        if (is_ram(&map[i]))
            describe_region(z, &map[i]);
    z->tiers[1] = zone_lower_bound(z, (16ull << 20 >> FRAME_SHIFT) >> BLOCK_SHIFT);
    z->tiers[2] = z->nblocks;
    fill_blocks(z);
}

/* --- Finding -------------------------------------------------------------- */

/* The last extent that begins at or below the block; nextents if there is none. */
static size_t find_extent(const struct zone *z, uint64_t number)
{
    size_t low = 0, high = z->nextents;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (z->extents[middle].number <= number)
            low = middle + 1;
        else
            high = middle;
    }
    return low == 0 ? z->nextents : low - 1;
}

bool zone_find_block(const struct zone *z, uint64_t number, uint64_t *index)
{
    size_t i = find_extent(z, number);
    if (i == z->nextents || number - z->extents[i].number >= z->extents[i].count)
        return false;
    *index = z->extents[i].index + number - z->extents[i].number;
    return true;
}

uint64_t zone_lower_bound(const struct zone *z, uint64_t number)
{
    size_t i = find_extent(z, number);
    if (i == z->nextents)
        return 0;
    const struct extent *e = &z->extents[i];
    uint64_t offset = number - e->number;
    return offset < e->count ? e->index + offset : e->index + e->count + 1;
}

/* The extent of a block. */
static const struct extent *extent_of(const struct zone *z, uint64_t index)
{
    size_t low = 0, high = z->nextents; /* the answer is in [low, high): the first begins at 0 */
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (z->extents[middle].index <= index)
            low = middle;
        else
            high = middle;
    }
    return &z->extents[low];
}

uint64_t zone_block_number(const struct zone *z, uint64_t index)
{
    const struct extent *e = extent_of(z, index);
    return e->number + index - e->index;
}

void zone_word_numbers(const struct zone *z, uint64_t word, uint64_t index, uint64_t *number,
                       uint64_t *mask)
{
    const struct extent *e = extent_of(z, index);
    uint64_t first = word * TREE_WORD_BITS, end = first + TREE_WORD_BITS;
    *number = e->number + first - e->index; /* may wrap: only differences count */
    *mask = ~0ull;
    if (first < e->index)
        *mask &= ~0ull << (e->index - first);
    if (e->index + e->count < end)
        *mask &= ~0ull >> (end - e->index - e->count);
}

/* The span that contains the frame; NULL if none does. */
static const struct span *find_span(const struct zone *z, uint64_t frame)
{
    size_t low = 0, high = z->nspans;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (z->spans[middle].base <= frame)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 && frame < z->spans[low - 1].end ? &z->spans[low - 1] : NULL;
}

bool zone_has_frame(const struct zone *z, uint64_t frame)
{
    return find_span(z, frame) != NULL;
}

bool zone_span(const struct zone *z, uint64_t frame, uint64_t end, uint64_t *n)
{
    const struct span *s = find_span(z, frame);
    *n = s == NULL ? 1 : (s->end < end ? s->end : end) - frame;
    return s != NULL && s->kind == SPAN_RAM;
}

bool zone_is_ours(const struct zone *z, uint64_t frame, uint64_t n)
{
    uint64_t end = frame + n;
    for (const struct span *s = find_span(z, frame); s != NULL; s = find_span(z, frame)) {
        if (s->kind != SPAN_RAM)
            return false;
        if (end <= s->end)
            return true;
        frame = s->end;
    }
    return false;
}
