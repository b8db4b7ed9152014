/* Owns: nothing; counting and walking what is free.
 * Relies on: zones, blocks, caches. Stage: "frames". */
#include "mm/string.h"
#include "state.h"

#define KIB_PER_FRAME (FRAME_BYTES / 1024)

struct count {
    uint64_t nfree, cached;
};

/* The free frames of a block, wherever they are; 1 = free. */
static void read_block(const struct zone *z, uint64_t b, uint64_t number, uint64_t free[LINE_ROWS],
                       uint64_t kept[LINE_ROWS])
{
    memset64(kept, 0, LINE_ROWS);
    if (tree_has(&z->whole, b)) {
        memset64(free, ~0ull, LINE_ROWS);
        return;
    }
    block_read_free(z, b, free);
    unsigned owner = entry_owner(block_entry(z, b));
    if (owner == 0)
        return;
    for (unsigned r = 0; r < LINE_ROWS; r++) {
        kept[r] = cache_keeps_row(pmm.caches[owner - 1], z, b, number, r);
        free[r] |= kept[r];
    }
}

static void mask_line(uint64_t line[LINE_ROWS], unsigned first, unsigned n)
{
    for (unsigned r = 0; r < LINE_ROWS; r++)
        line[r] &= line_part(first, n, r);
}

/* Call visit for what there is of frames [low, high) in each block of the zone. */
typedef bool (*visit_block_t)(const struct zone *z, uint64_t b, uint64_t number, unsigned first,
                              unsigned n, void *argument);

static bool each_block(const struct zone *z, uint64_t low, uint64_t high, visit_block_t visit,
                       void *argument)
{
    for (size_t i = 0; i < z->nextents; i++) {
        const struct extent *e = &z->extents[i];
        uint64_t number = e->number, end = e->number + e->count;
        number = number > low >> BLOCK_SHIFT ? number : low >> BLOCK_SHIFT;
        for (; number < end && number << BLOCK_SHIFT < high; number++) {
            uint64_t base = number << BLOCK_SHIFT;
            uint64_t from = base > low ? base : low;
            uint64_t to = base + BLOCK_FRAMES < high ? base + BLOCK_FRAMES : high;
            if (!visit(z, e->index + number - e->number, number, (unsigned)(from - base),
                       (unsigned)(to - from), argument))
                return false;
        }
    }
    return true;
}

static bool count_block(const struct zone *z, uint64_t b, uint64_t number, unsigned first,
                        unsigned n, void *argument)
{
    struct count *count = argument;
    if (tree_has(&z->whole, b)) { /* most are */
        count->nfree += n;
        return true;
    }
    uint64_t free[LINE_ROWS], kept[LINE_ROWS];
    read_block(z, b, number, free, kept);
    mask_line(free, first, n);
    mask_line(kept, first, n);
    count->nfree += line_count(free);
    count->cached += line_count(kept);
    return true;
}

static struct count count_frames(uint64_t low, uint64_t high)
{
    struct count count = {0};
    for (unsigned i = 0; i < pmm_nzones(); i++)
        each_block(&pmm.zones[i], low, high, count_block, &count);
    return count;
}

/* Frames of all spans in [low, high). */
static uint64_t count_total(uint64_t low, uint64_t high)
{
    uint64_t total = 0;
    for (unsigned i = 0; i < pmm_nzones(); i++) {
        const struct zone *z = &pmm.zones[i];
        for (size_t k = 0; k < z->nspans; k++) {
            uint64_t base = z->spans[k].base > low ? z->spans[k].base : low;
            uint64_t end = z->spans[k].end < high ? z->spans[k].end : high;
            total += base < end ? end - base : 0;
        }
    }
    return total;
}

void pmm_get_stats(struct pmm_stats *out)
{
    uint64_t all = PADDR_LIMIT >> FRAME_SHIFT, metadata = 0, retired = 0;
    struct count count = count_frames(0, all);
    uint64_t total = count_total(0, all);
    for (unsigned i = 0; i < pmm_nzones(); i++)
        metadata += pmm.zones[i].metadata.end - pmm.zones[i].metadata.base;
    irq_state_t irq = irq_save();
    struct pmm_cache *c = cache_enter(); /* the tables stay while we are inside */
    metadata += pmm.node_table.end - pmm.node_table.base;
    for (size_t i = 0; i < pmm.nbad; i++)
        retired += !CACHE_GET(pmm.bad[i].in_use);
    cache_leave(c);
    irq_restore(irq);
    *out = (struct pmm_stats){
        .total_kib = total * KIB_PER_FRAME,
        .used_kib = (total - count.nfree) * KIB_PER_FRAME,
        .free_kib = count.nfree * KIB_PER_FRAME,
        .metadata_kib = metadata * KIB_PER_FRAME,
        .cached_kib = count.cached * KIB_PER_FRAME,
        .retired_kib = retired * KIB_PER_FRAME,
    };
}

/* Call visit with the frames of each piece of a node. */
static void each_piece(const struct node_piece *pieces, size_t n, uint32_t node,
                       void (*visit)(uint64_t low, uint64_t high, void *argument), void *argument)
{
    for (size_t i = 0; i < n; i++)
        if (pieces[i].node == node)
            visit(frame_number(pieces[i].base), frame_number(numa_piece_end(pieces, n, i)),
                  argument);
}

static void add_piece(uint64_t low, uint64_t high, void *argument)
{
    struct pmm_node_stats *sum = argument;
    uint64_t total = count_total(low, high), nfree = count_frames(low, high).nfree;
    sum->total_kib += total * KIB_PER_FRAME;
    sum->free_kib += nfree * KIB_PER_FRAME;
    sum->used_kib += (total - nfree) * KIB_PER_FRAME;
}

void pmm_get_node_stats(uint32_t node, struct pmm_node_stats *out)
{
    irq_state_t irq = irq_save();
    struct pmm_cache *c = cache_enter(); /* these two belong together, and once made they stay */
    const struct node_piece *pieces = pmm.pieces;
    size_t npieces = pmm.npieces;
    cache_leave(c);
    irq_restore(irq);
    *out = (struct pmm_node_stats){0};
    if (node < NUMA_NODES_MAX)
        each_piece(pieces, npieces, node, add_piece, out);
}

/* --- By order ------------------------------------------------------------------- */

/* The largest first: what is part of a larger run is not part of a smaller one. */
static void count_orders(uint64_t free[LINE_ROWS], uint64_t out[PMM_ORDER_BLOCK + 1])
{
    for (unsigned order = PMM_ORDER_BLOCK + 1; order-- > 0;) {
        unsigned first;
        while ((first = line_find_order(free, order)) != LINE_NONE) {
            out[order]++;
            for (unsigned r = 0; r < LINE_ROWS; r++)
                free[r] &= ~line_part(first, 1u << order, r);
        }
    }
}

static bool add_block_orders(const struct zone *z, uint64_t b, uint64_t number, unsigned first,
                             unsigned n, void *argument)
{
    uint64_t free[LINE_ROWS], kept[LINE_ROWS], *out = argument;
    if (n == BLOCK_FRAMES && tree_has(&z->whole, b)) { /* most are */
        out[PMM_ORDER_BLOCK]++;
        return true;
    }
    read_block(z, b, number, free, kept);
    mask_line(free, first, n);
    count_orders(free, out);
    return true;
}

static void add_piece_orders(uint64_t low, uint64_t high, void *argument)
{
    for (unsigned i = 0; i < pmm_nzones(); i++)
        each_block(&pmm.zones[i], low, high, add_block_orders, argument);
}

void pmm_get_order_stats(uint32_t node, uint64_t out[PMM_ORDER_BLOCK + 1])
{
    memset64(out, 0, PMM_ORDER_BLOCK + 1);
    irq_state_t irq = pmm_stop_others();
    if (node == PMM_ALL_NODES)
        add_piece_orders(0, PADDR_LIMIT >> FRAME_SHIFT, out); /* runs across nodes are runs */
    else
        each_piece(pmm.pieces, pmm.npieces, node, add_piece_orders, out);
    pmm_resume_others(irq);
}

/* --- Ranges ----------------------------------------------------------------------- */

struct walk {
    pmm_visit_t visit;
    void *argument;
    uint64_t base, end; /* free so far */
};

static bool end_range(struct walk *w)
{
    uint64_t n = w->end - w->base;
    return n == 0 || w->visit(frame_address(w->base), n, w->argument);
}

static bool add_range(struct walk *w, uint64_t base, uint64_t end)
{
    if (base != w->end) {
        if (!end_range(w))
            return false;
        w->base = base;
    }
    w->end = end;
    return true;
}

static bool walk_block(const struct zone *z, uint64_t b, uint64_t number, unsigned first,
                       unsigned n, void *argument)
{
    uint64_t free[LINE_ROWS], kept[LINE_ROWS], base = number << BLOCK_SHIFT;
    (void)first, (void)n;
    read_block(z, b, number, free, kept);
    for (unsigned r = 0; r < LINE_ROWS; r++, base += ROW_FRAMES) {
        for (uint64_t rest = free[r]; rest != 0;) {
            unsigned from = (unsigned)__builtin_ctzll(rest);
            uint64_t used = ~rest & (~0ull << from);
            unsigned to = used == 0 ? ROW_FRAMES : (unsigned)__builtin_ctzll(used);
            if (!add_range(argument, base + from, base + to))
                return false;
            rest &= ~row_mask(from, to - from);
        }
    }
    return true;
}

void pmm_walk_free(pmm_visit_t visit, void *argument)
{
    pmm_drain();
    for (unsigned i = 0; i < pmm_nzones(); i++) {
        struct walk w = {visit, argument, 0, 0};
        if (!each_block(&pmm.zones[i], 0, PADDR_LIMIT >> FRAME_SHIFT, walk_block, &w) ||
            !end_range(&w))
            return;
    }
}
