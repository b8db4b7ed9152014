/* Owns: every frame of RAM; one bit each, 1 = used.
 * Relies on: the direct map, through which it reaches its own metadata.
 * Stage: "frames", and everything after.
 *
 * RAM is a handful of extents with holes between them. Usable and bootloader-reclaimable neighbours
 * share an extent, so that once the latter is reclaimed a run may cross the border. Extents, the
 * spans of reclaimable frames and the bitmaps lie together at the top of the highest usable region
 * that has room: low memory is scarce, and reclaimable memory is not ours yet. Searches go
 * downwards for the same reason. */
#include "mm/pmm.h"

#include "bitmap.h"
#include "check.h"
#include "extent.h"
#include "lock.h"
#include "mm/hhdm.h"
#include "mm/string.h"

struct pmm {
    struct extent *extents; /* ascending, never touching */
    size_t nextents;
    struct span *reclaimable; /* the bootloader's frames, ascending */
    size_t nreclaimable;
    struct span metadata;
    struct span node_table;          /* metadata too, that came later; at first empty */
    const struct node_piece *pieces; /* in it */
    size_t npieces;
    uint64_t total; /* frames */
    uint64_t nfree;
    uint64_t node_total[NUMA_NODES_MAX];
    uint64_t node_nfree[NUMA_NODES_MAX];
    bool reclaimed;
};

static struct spinlock pmm_lock = SPINLOCK_INIT(LOCK_PMM, "pmm");
static struct pmm pmm GUARDED_BY(pmm_lock);

/* The part of the span that lies on the node of its first frame; the rest stays in *span. */
static struct span cut_node(struct span *span, uint32_t *node) REQUIRES(pmm_lock)
{
    size_t i = numa_find(pmm.pieces, pmm.npieces, span->base);
    uint64_t room = pa_diff(span->base, numa_piece_end(pmm.pieces, pmm.npieces, i)) >> FRAME_SHIFT;
    struct span part = {span->base, span->nframes < room ? span->nframes : room};
    *node = pmm.pieces[i].node;
    span->base = span_end(part);
    span->nframes -= part.nframes;
    return part;
}

/* --- The metadata --------------------------------------------------------- */

static bool is_ram(const struct mem_region *r)
{
    return r->type == MEM_USABLE || r->type == MEM_BOOTLOADER_RECLAIMABLE;
}

static struct span region_span(const struct mem_region *r)
{
    return (struct span){r->base, r->bytes >> FRAME_SHIFT};
}

/* The next extent of the map: the regions from *cursor on that touch.
 * False if there is none left. */
static bool next_extent(const struct mem_region *map, size_t n, size_t *cursor, struct span *out)
{
    size_t i = *cursor;
    while (i < n && !is_ram(&map[i]))
        i++;
    if (i == n)
        return false;
    *out = region_span(&map[i]);
    for (i++; i < n && is_ram(&map[i]) && pa_eq(map[i].base, span_end(*out)); i++)
        out->nframes += region_span(&map[i]).nframes;
    *cursor = i;
    return true;
}

/* What the metadata of a map consists of. */
struct layout {
    size_t nextents;
    size_t nreclaimable;
    uint64_t nwords;
};

static struct layout measure(const struct mem_region *map, size_t n)
{
    struct layout l = {0};
    struct span span;
    for (size_t cursor = 0; next_extent(map, n, &cursor, &span); l.nextents++)
        l.nwords += bitmap_words(span.nframes);
    for (size_t i = 0; i < n; i++)
        l.nreclaimable += map[i].type == MEM_BOOTLOADER_RECLAIMABLE;
    return l;
}

static uint64_t layout_bytes(const struct layout *l)
{
    return l->nextents * sizeof(struct extent) + l->nreclaimable * sizeof(struct span) +
           l->nwords * sizeof(uint64_t);
}

/* The top of the highest usable region with room; frame 0 does not count as room. */
static mm_status_t place(const struct mem_region *map, size_t n, uint64_t nframes, struct span *out)
{
    for (size_t i = n; i-- > 0;) {
        struct span region = region_span(&map[i]);
        if (map[i].type != MEM_USABLE || region.nframes < nframes)
            continue;
        paddr_t base = pa_add(region.base, (region.nframes - nframes) << FRAME_SHIFT);
        if (pa_eq(base, PA(0)))
            continue;
        *out = (struct span){base, nframes};
        return MM_OK;
    }
    return MM_NOMEM;
}

/* Lay the three arrays out in the metadata, extents first, and fill the first two. */
static void describe(const struct mem_region *map, size_t n, const struct layout *l)
    REQUIRES(pmm_lock)
{
    static const struct node_piece one_node = {PA(0), 0};
    pmm.pieces = &one_node;
    pmm.npieces = 1;
    pmm.extents = phys_to_virt(pmm.metadata.base);
    pmm.reclaimable = (struct span *)(pmm.extents + l->nextents);
    uint64_t *words = (uint64_t *)(pmm.reclaimable + l->nreclaimable);

    struct span span;
    for (size_t cursor = 0; next_extent(map, n, &cursor, &span);) {
        pmm.extents[pmm.nextents++] = (struct extent){.span = span, .used = words};
        pmm.total += span.nframes;
        uint64_t nwords = bitmap_words(span.nframes);
        words[0] = words[nwords - 1] = ~0ull; /* for frame 0, and for the bits behind the last */
        words += nwords;
    }
    for (size_t i = 0; i < n; i++)
        if (map[i].type == MEM_BOOTLOADER_RECLAIMABLE)
            pmm.reclaimable[pmm.nreclaimable++] = region_span(&map[i]);
}

/* --- Extents -------------------------------------------------------------- */

/* The extent that contains pa; NULL if it is not RAM. */
static struct extent *find_extent(paddr_t pa) REQUIRES(pmm_lock)
{
    size_t low = 0, high = pmm.nextents; /* the answer's successor is in [low, high] */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (pa_le(pmm.extents[middle].span.base, pa))
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0 || !pa_lt(pa, span_end(pmm.extents[low - 1].span)))
        return NULL;
    return &pmm.extents[low - 1];
}

/* Extents never touch, so contiguous frames are all in the extent of the first or not all RAM. */
static struct extent *find_extent_of_span(struct span span) REQUIRES(pmm_lock)
{
    struct extent *e = find_extent(span.base);
    return e != NULL && span.nframes <= e->span.nframes - frame_index(e, span.base) ? e : NULL;
}

static void take(struct extent *e, uint64_t first, uint64_t nframes) REQUIRES(pmm_lock)
{
    bitmap_write(e->used, first, nframes, true);
    e->nfree -= nframes;
    pmm.nfree -= nframes;
    uint32_t node;
    for (struct span rest = extent_part(e, first, nframes); rest.nframes > 0;) {
        uint64_t count = cut_node(&rest, &node).nframes;
        pmm.node_nfree[node] -= count;
    }
}

static void give(struct extent *e, uint64_t first, uint64_t nframes) REQUIRES(pmm_lock)
{
    bitmap_write(e->used, first, nframes, false);
    e->nfree += nframes;
    pmm.nfree += nframes;
    uint32_t node;
    for (struct span rest = extent_part(e, first, nframes); rest.nframes > 0;) {
        uint64_t count = cut_node(&rest, &node).nframes;
        pmm.node_nfree[node] += count;
    }
    if (e->top < first + nframes)
        e->top = first + nframes;
}

/* Give a span, as it is found in the memory map, that counts as used; frame 0 stays used. */
static uint64_t give_span(struct span span) REQUIRES(pmm_lock)
{
    if (pa_eq(span.base, PA(0))) {
        span.base = pa_add(span.base, FRAME_BYTES);
        span.nframes--;
    }
    if (span.nframes == 0)
        return 0;
    struct extent *e = find_extent_of_span(span);
    give(e, frame_index(e, span.base), span.nframes);
    return span.nframes;
}

/* Fill the bitmaps, each bit once: a terabyte of RAM has 32 MiB of them. */
static void give_usable(const struct mem_region *map, size_t n) REQUIRES(pmm_lock)
{
    for (size_t i = 0; i < n; i++) {
        struct span span = region_span(&map[i]);
        if (map[i].type == MEM_USABLE) {
            give_span(span);
        } else if (map[i].type == MEM_BOOTLOADER_RECLAIMABLE) {
            struct extent *e = find_extent_of_span(span);
            bitmap_write(e->used, frame_index(e, span.base), span.nframes, true);
        }
    }
}

/* --- Searching ------------------------------------------------------------ */

static mm_status_t alloc_run(uint64_t nframes, const struct pmm_limits *limits, paddr_t *out)
    REQUIRES(pmm_lock)
{
    uint64_t align_bytes = FRAME_BYTES;
    if (limits->align_frames > 1)
        align_bytes = limits->align_frames << FRAME_SHIFT;

    for (size_t i = pmm.nextents; i-- > 0;) {
        struct extent *e = &pmm.extents[i];
        if (e->nfree < nframes)
            continue;
        tighten(e);
        uint64_t low, high, first;
        clip(e, limits, &low, &high);
        if (!find_run(e, low, high, nframes, align_bytes, &first))
            continue;
        take(e, first, nframes);
        *out = pa_add(e->span.base, first << FRAME_SHIFT);
        return MM_OK;
    }
    return MM_NOMEM;
}

/* The same on one node: in each of its pieces, downwards. */
static mm_status_t alloc_on_node(uint64_t nframes, const struct pmm_limits *limits, paddr_t *out)
    REQUIRES(pmm_lock)
{
    for (size_t i = pmm.npieces; i-- > 0;) {
        struct pmm_limits inside = *limits;
        paddr_t end = numa_piece_end(pmm.pieces, pmm.npieces, i);
        inside.min_addr = pa_max(limits->min_addr, pmm.pieces[i].base);
        if (pa_eq(limits->max_addr, PA(0)) || pa_lt(end, limits->max_addr))
            inside.max_addr = end;
        if (pmm.pieces[i].node == limits->node && pa_lt(inside.min_addr, inside.max_addr) &&
            alloc_run(nframes, &inside, out) == MM_OK)
            return MM_OK;
    }
    return MM_NOMEM;
}

/* --- The interface -------------------------------------------------------- */

mm_status_t pmm_init(const struct mem_region *map, size_t n)
{
    if (!region_validate(map, n))
        return MM_INVAL;
    struct layout l = measure(map, n);
    struct span metadata;
    mm_status_t status = place(map, n, bytes_to_frames(layout_bytes(&l)), &metadata);
    if (status != MM_OK)
        return status;

    irq_state_t irq = spin_lock(&pmm_lock);
    pmm = (struct pmm){.metadata = metadata};
    describe(map, n, &l);
    give_usable(map, n);
    pmm.node_total[0] = pmm.total;
    struct extent *e = find_extent_of_span(metadata);
    take(e, frame_index(e, metadata.base), metadata.nframes);
    spin_unlock(&pmm_lock, irq);
    return MM_OK;
}

uint64_t pmm_reclaim(void)
{
    irq_state_t irq = spin_lock(&pmm_lock);
    bool again = pmm.reclaimed;
    uint64_t gained = 0;
    for (size_t i = 0; !again && i < pmm.nreclaimable; i++)
        gained += give_span(pmm.reclaimable[i]);
    pmm.reclaimed = true;
    spin_unlock(&pmm_lock, irq);

    if (again)
        port_misuse("pmm: bootloader memory was reclaimed already");
    return gained;
}

mm_status_t pmm_alloc_frame(paddr_t *out)
{
    return pmm_alloc_frames(1, NULL, out);
}

mm_status_t pmm_alloc_frames(uint64_t nframes, const struct pmm_limits *limits, paddr_t *out)
{
    static const struct pmm_limits none = {0};
    if (limits == NULL)
        limits = &none;
    uint64_t align = limits->align_frames;
    if (nframes == 0 || (align & (align - 1)) != 0 || align > PADDR_LIMIT / FRAME_BYTES)
        return MM_INVAL;
    if ((unsigned)limits->node_rule > PMM_NODE_REQUIRED ||
        (limits->node_rule != PMM_NODE_ANY && limits->node >= NUMA_NODES_MAX))
        return MM_INVAL;

    mm_status_t status = MM_NOMEM;
    irq_state_t irq = spin_lock(&pmm_lock);
    if (limits->node_rule != PMM_NODE_ANY)
        status = alloc_on_node(nframes, limits, out);
    if (status != MM_OK && limits->node_rule != PMM_NODE_REQUIRED)
        status = alloc_run(nframes, limits, out);
    spin_unlock(&pmm_lock, irq);
    return status;
}

static bool well_formed(struct span span)
{
    return span.nframes > 0 && span.nframes <= PADDR_LIMIT / FRAME_BYTES &&
           pa_aligned(span.base, FRAME_BYTES) && pa_lt(span.base, PA(PADDR_LIMIT));
}

/* Why the span must not be freed; NULL if it may be. */
static const char *objection(struct span span) REQUIRES(pmm_lock)
{
    if (!well_formed(span))
        return "not a range of frames";
    const struct extent *e = find_extent_of_span(span);
    if (e == NULL)
        return "not all RAM";
    if (pa_eq(span.base, PA(0)))
        return "frame 0 is never free";
    if (spans_meet(span, pmm.metadata))
        return "the frame bitmaps are there";
    if (spans_meet(span, pmm.node_table))
        return "the table of nodes is there";
    for (size_t i = 0; !pmm.reclaimed && i < pmm.nreclaimable; i++)
        if (spans_meet(span, pmm.reclaimable[i]))
            return "the bootloader's, not reclaimed yet";
    if (!bitmap_all(e->used, frame_index(e, span.base), span.nframes, true))
        return "free already (a double free)";
    return NULL;
}

mm_status_t pmm_free_frame(paddr_t frame)
{
    return pmm_free_frames(frame, 1);
}

mm_status_t pmm_free_frames(paddr_t base, uint64_t nframes)
{
    struct span span = {base, nframes};
    irq_state_t irq = spin_lock(&pmm_lock);
    const char *why = objection(span);
    if (why == NULL)
        give_span(span);
    spin_unlock(&pmm_lock, irq);

    if (why == NULL)
        return MM_OK;
    port_misuse("pmm: bad free of %lu frames at 0x%lx: %s", nframes, pa_number(base), why);
    return MM_INVAL;
}

mm_status_t pmm_mark_used(paddr_t base, uint64_t nframes)
{
    struct span span = {base, nframes};
    if (!well_formed(span))
        return MM_INVAL;

    irq_state_t irq = spin_lock(&pmm_lock);
    mm_status_t status = MM_NOTFOUND;
    struct extent *e = find_extent_of_span(span);
    if (e != NULL) {
        uint64_t first = frame_index(e, base);
        status = bitmap_all(e->used, first, nframes, false) ? MM_OK : MM_EXISTS;
        if (status == MM_OK)
            take(e, first, nframes);
    }
    spin_unlock(&pmm_lock, irq);
    return status;
}

mm_status_t pmm_mark_free(paddr_t base, uint64_t nframes)
{
    return pmm_free_frames(base, nframes);
}

bool pmm_is_used(paddr_t frame)
{
    irq_state_t irq = spin_lock(&pmm_lock);
    const struct extent *e = find_extent(frame);
    bool used = e != NULL && bitmap_all(e->used, frame_index(e, frame), 1, true);
    spin_unlock(&pmm_lock, irq);
    return used;
}

void pmm_get_stats(struct pmm_stats *out)
{
    const uint64_t kib = FRAME_BYTES / 1024;
    irq_state_t irq = spin_lock(&pmm_lock);
    *out = (struct pmm_stats){
        .total_kib = pmm.total * kib,
        .used_kib = (pmm.total - pmm.nfree) * kib,
        .free_kib = pmm.nfree * kib,
        .metadata_kib = (pmm.metadata.nframes + pmm.node_table.nframes) * kib,
    };
    spin_unlock(&pmm_lock, irq);
}

/* --- Nodes ---------------------------------------------------------------- */

/* Count the frames of each node, and those of them that are free. */
static void count_nodes(uint64_t *total, uint64_t *nfree) REQUIRES(pmm_lock)
{
    for (size_t i = 0; i < pmm.nextents; i++) {
        const struct extent *e = &pmm.extents[i];
        uint32_t node;
        for (struct span rest = e->span; rest.nframes > 0;) {
            struct span part = cut_node(&rest, &node);
            uint64_t used = bitmap_count(e->used, frame_index(e, part.base), part.nframes);
            total[node] += part.nframes;
            nfree[node] += part.nframes - used;
        }
    }
}

static mm_status_t use_nodes(struct span table, size_t npieces) REQUIRES(pmm_lock)
{
    if (pmm.node_table.nframes > 0)
        return MM_EXISTS;
    pmm.node_table = table;
    pmm.pieces = phys_to_virt(table.base);
    pmm.npieces = npieces;
    memset(pmm.node_total, 0, sizeof pmm.node_total);
    memset(pmm.node_nfree, 0, sizeof pmm.node_nfree);
    count_nodes(pmm.node_total, pmm.node_nfree);
    return MM_OK;
}

mm_status_t pmm_set_nodes(const struct mem_node *nodes, size_t n)
{
    struct span table = {.nframes = bytes_to_frames(NUMA_PIECES(n) * sizeof(struct node_piece))};
    mm_status_t status = pmm_alloc_frames(table.nframes, NULL, &table.base);
    if (status != MM_OK)
        return status;
    size_t npieces = 0;
    status = numa_divide(nodes, n, phys_to_virt(table.base), &npieces);
    if (status == MM_OK) {
        irq_state_t irq = spin_lock(&pmm_lock);
        status = use_nodes(table, npieces);
        spin_unlock(&pmm_lock, irq);
    }
    if (status != MM_OK)
        pmm_free_frames(table.base, table.nframes);
    return status;
}

uint32_t pmm_node_of(paddr_t pa)
{
    irq_state_t irq = spin_lock(&pmm_lock);
    uint32_t node = pmm.pieces[numa_find(pmm.pieces, pmm.npieces, pa)].node;
    spin_unlock(&pmm_lock, irq);
    return node;
}

void pmm_get_node_stats(uint32_t node, struct pmm_node_stats *out)
{
    const uint64_t kib = FRAME_BYTES / 1024;
    *out = (struct pmm_node_stats){0};
    if (node >= NUMA_NODES_MAX)
        return;
    irq_state_t irq = spin_lock(&pmm_lock);
    out->total_kib = pmm.node_total[node] * kib;
    out->free_kib = pmm.node_nfree[node] * kib;
    out->used_kib = out->total_kib - out->free_kib;
    spin_unlock(&pmm_lock, irq);
}

/* --- The invariants ------------------------------------------------------- */

static bool span_is_used(struct span span) REQUIRES(pmm_lock)
{
    const struct extent *e = find_extent_of_span(span);
    return e != NULL && bitmap_all(e->used, frame_index(e, span.base), span.nframes, true);
}

static bool nodes_are_valid(void) REQUIRES(pmm_lock)
{
    uint64_t total[NUMA_NODES_MAX] = {0}, nfree[NUMA_NODES_MAX] = {0};
    count_nodes(total, nfree);
    bool valid = pmm.node_table.nframes == 0 || span_is_used(pmm.node_table);
    for (size_t i = 0; i < NUMA_NODES_MAX; i++)
        valid = valid && total[i] == pmm.node_total[i] && nfree[i] == pmm.node_nfree[i];
    return valid;
}

bool pmm_validate(void)
{
    irq_state_t irq = spin_lock(&pmm_lock);
    uint64_t total = 0, nfree = 0;
    bool valid = span_is_used(pmm.metadata) && nodes_are_valid();
    for (size_t i = 0; i < pmm.nextents; i++) {
        const struct extent *e = &pmm.extents[i];
        total += e->span.nframes;
        nfree += e->nfree;
        valid = valid && extent_is_valid(e);
        valid = valid && (i == 0 || pa_lt(span_end(e[-1].span), e->span.base));
        if (pa_eq(e->span.base, PA(0)))
            valid = valid && span_is_used((struct span){PA(0), 1});
    }
    for (size_t i = 0; !pmm.reclaimed && i < pmm.nreclaimable; i++)
        valid = valid && span_is_used(pmm.reclaimable[i]);
    valid = valid && total == pmm.total && nfree == pmm.nfree;
    spin_unlock(&pmm_lock, irq);
    return valid;
}
