/* Owns: the array that poses as the frame allocator, and the comparison of the two.
 * Relies on: the pmm for what only it can know, which is where it puts its metadata. */
#include "pmm_model.h"

#include "mm/region.h"

#define FRAME_KIB 4

#define MODEL_PROMISING 32 /* blocks: so few are all looked at, whatever the run */

/* --- Making ----------------------------------------------------------------- */

static bool is_ram(const struct mem_region *r)
{
    return r->type == MEM_USABLE || r->type == MEM_BOOTLOADER_RECLAIMABLE;
}

static uint64_t first_frame(const struct mem_region *r)
{
    return r->base.v / FRAME_BYTES;
}

static uint64_t end_frame(const struct mem_region *r)
{
    return (r->base.v + r->bytes) / FRAME_BYTES;
}

static size_t list_blocks(uint64_t *blocks, const struct mem_region *map, size_t n)
{
    size_t count = 0;
    uint64_t next = 0;
    for (size_t i = 0; i < n; i++) {
        if (!is_ram(&map[i]))
            continue;
        uint64_t block = first_frame(&map[i]) / MODEL_BLOCK;
        for (block = block > next ? block : next; block * MODEL_BLOCK < end_frame(&map[i]);
             block++) {
            if (blocks != NULL)
                blocks[count] = block;
            count++;
            next = block + 1;
        }
    }
    return count;
}

static void mark_region(struct model *m, const struct mem_region *r)
{
    uint64_t i;
    for (uint64_t frame = first_frame(r); frame < end_frame(r); frame++) {
        assert_true(model_find(m, frame, &i));
        enum model_state state = r->type == MEM_USABLE ? MODEL_FREE : MODEL_BOOT;
        if (frame == 0 || (state == MODEL_FREE && pmm_is_used(model_address(m, i))))
            state = MODEL_RESERVED;
        model_set(m, i, 1, state);
    }
}

void model_start(struct model *m, const struct mem_region *map, size_t n,
                 const struct mem_region *all, size_t nall)
{
    *m = (struct model){.nblocks = list_blocks(NULL, all, nall)};
    m->blocks = calloc(m->nblocks, sizeof *m->blocks);
    m->zones = calloc(m->nblocks, 1);
    m->frames = calloc(model_size(m), 1);
    m->bad = calloc(model_size(m), sizeof *m->bad);
    m->nodes = calloc(model_size(m), 1);
    list_blocks(m->blocks, all, nall);
    m->counts[MODEL_HOLE] = model_size(m);
    for (size_t i = 0; i < n; i++)
        if (is_ram(&map[i]))
            mark_region(m, &map[i]);
    uint64_t i;
    bool zero = model_find(m, 0, &i) && m->frames[i] == MODEL_RESERVED;
    m->metadata = m->counts[MODEL_RESERVED] - zero;
}

void model_stop(struct model *m)
{
    free(m->blocks);
    free(m->zones);
    free(m->frames);
    free(m->bad);
    free(m->nodes);
}

/* --- Frames ----------------------------------------------------------------- */

bool model_find(const struct model *m, uint64_t frame, uint64_t *i)
{
    size_t low = 0, high = m->nblocks;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (m->blocks[middle] < frame / MODEL_BLOCK)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == m->nblocks || m->blocks[low] != frame / MODEL_BLOCK)
        return false;
    *i = low * MODEL_BLOCK + frame % MODEL_BLOCK;
    return true;
}

static bool follows(const struct model *m, size_t block)
{
    return block < m->nblocks && m->blocks[block] == m->blocks[block - 1] + 1;
}

bool model_is_range(const struct model *m, uint64_t i, uint64_t n)
{
    for (size_t block = i / MODEL_BLOCK + 1; block * MODEL_BLOCK < i + n; block++)
        if (!follows(m, block))
            return false;
    return true;
}

void model_set(struct model *m, uint64_t i, uint64_t n, enum model_state state)
{
    for (uint64_t end = i + n; i < end; i++) {
        m->counts[m->frames[i]]--;
        m->counts[state]++;
        m->frames[i] = (unsigned char)state;
    }
}

uint64_t model_run(const struct model *m, uint64_t i, uint64_t max, enum model_state state)
{
    uint64_t n = 0;
    for (; n < max && i + n < model_size(m) && m->frames[i + n] == state; n++)
        if (n > 0 && (i + n) % MODEL_BLOCK == 0 && !follows(m, (i + n) / MODEL_BLOCK))
            break;
    return n;
}

/* --- Wishes ------------------------------------------------------------------ */

/* A preference does not forbid anything. */
static bool allows(const struct model *m, uint64_t i, const struct model_wish *w)
{
    uint64_t frame = m->blocks[i / MODEL_BLOCK] * MODEL_BLOCK + i % MODEL_BLOCK;
    return frame >= w->low && frame < w->high &&
           (w->rule != PMM_NODE_REQUIRED || m->nodes[i] == w->node);
}

bool model_fits(const struct model *m, uint64_t i, const struct model_wish *w)
{
    uint64_t frame = m->blocks[i / MODEL_BLOCK] * MODEL_BLOCK + i % MODEL_BLOCK;
    uint64_t align = w->n <= MODEL_BLOCK && (w->n & (w->n - 1)) == 0 ? w->n : 1;
    align = w->n > MODEL_BLOCK ? MODEL_BLOCK : align;
    align = align > w->align ? align : w->align;
    if (frame % align != 0 || (w->n <= MODEL_BLOCK && frame % MODEL_BLOCK + w->n > MODEL_BLOCK))
        return false;
    if (model_run(m, i, w->n, MODEL_FREE) != w->n)
        return false;
    for (uint64_t k = i; k < i + w->n; k++)
        if (!allows(m, k, w) || m->zones[k / MODEL_BLOCK] != m->zones[i / MODEL_BLOCK])
            return false;
    return true;
}

/* A run of that many, at a multiple of align, inside one block. */
static bool finds_short(const struct model *m, uint64_t n, uint64_t align,
                        const struct model_wish *w)
{
    for (uint64_t i = 0; i < model_size(m);) {
        uint64_t run = 0;
        if (i % MODEL_BLOCK + n > MODEL_BLOCK) {
            i = (i / MODEL_BLOCK + 1) * MODEL_BLOCK;
            continue;
        }
        while (run < n && m->frames[i + run] == MODEL_FREE && allows(m, i + run, w))
            run++;
        if (run == n)
            return true;
        i = (i + run) / align * align + align;
    }
    return false;
}

static bool block_is_free(const struct model *m, size_t block, const struct model_wish *w)
{
    for (uint64_t i = block * MODEL_BLOCK; i < (block + 1) * MODEL_BLOCK; i++)
        if (m->frames[i] != MODEL_FREE || !allows(m, i, w))
            return false;
    return true;
}

/* A row of free blocks of one zone, which begins at a multiple of align blocks. */
static bool finds_long(const struct model *m, uint64_t nblocks, uint64_t align,
                       const struct model_wish *w)
{
    uint64_t row = 0;
    for (size_t block = 0; block < m->nblocks; block++) {
        if (row > 0 && (!follows(m, block) || m->zones[block] != m->zones[block - 1]))
            row = 0;
        bool good = (row > 0 || m->blocks[block] % align == 0) && block_is_free(m, block, w);
        row = good ? row + 1 : 0;
        if (row == nblocks)
            return true;
    }
    return false;
}

bool model_must_find(const struct model *m, const struct model_wish *w)
{
    uint64_t align = w->align > 1 ? w->align : 1, power = 1;
    if (w->n > MODEL_BLOCK || align > MODEL_BLOCK)
        return finds_long(m, (w->n + MODEL_BLOCK - 1) / MODEL_BLOCK,
                          align > MODEL_BLOCK ? align / MODEL_BLOCK : 1, w);
    while (power < w->n || power < align)
        power *= 2;
    if (m->nblocks > MODEL_PROMISING)
        return finds_short(m, power, power, w);
    return finds_short(m, w->n, (w->n & (w->n - 1)) == 0 && align < w->n ? w->n : align, w);
}

/* --- What the pmm does for itself ------------------------------------------------ */

void model_add(struct model *m, uint64_t frame, uint64_t n, unsigned zone)
{
    for (uint64_t end = frame + n, i; frame < end; frame++) {
        assert_true(model_find(m, frame, &i));
        assert_int_equal(MODEL_HOLE, m->frames[i]);
        bool used = frame == 0 || pmm_is_used(model_address(m, i));
        model_set(m, i, 1, used ? MODEL_RESERVED : MODEL_FREE);
        m->metadata += used && frame != 0;
        m->zones[i / MODEL_BLOCK] = (unsigned char)zone;
    }
}

void model_adopt(struct model *m)
{
    for (uint64_t i = 0; i < model_size(m); i++) {
        bool used = pmm_is_used(model_address(m, i));
        if (m->frames[i] == MODEL_FREE && used)
            model_set(m, i, 1, MODEL_OWN);
        else if (m->frames[i] == MODEL_OWN && !used)
            model_set(m, i, 1, MODEL_FREE);
    }
}

/* --- Comparing ---------------------------------------------------------------- */

void model_compare_counts(const struct model *m)
{
    struct pmm_stats stats;
    uint64_t total = model_size(m) - m->counts[MODEL_HOLE];
    pmm_get_stats(&stats);
    assert_int_equal(total * FRAME_KIB, stats.total_kib);
    assert_int_equal(m->counts[MODEL_FREE] * FRAME_KIB, stats.free_kib);
    assert_int_equal((total - m->counts[MODEL_FREE]) * FRAME_KIB, stats.used_kib);
    assert_int_equal(m->metadata * FRAME_KIB, stats.metadata_kib);
    assert_int_equal(m->counts[MODEL_RETIRED] * FRAME_KIB, stats.retired_kib);
    assert_true(stats.cached_kib <= stats.free_kib);
}

void model_compare(const struct model *m)
{
    struct pmm_node_stats nodes[NUMA_NODES_MAX] = {0}, got;
    for (uint64_t i = 0; i < model_size(m); i++) {
        enum model_state state = (enum model_state)m->frames[i];
        struct pmm_node_stats *node = &nodes[m->nodes[i]];
        node->total_kib += state != MODEL_HOLE ? FRAME_KIB : 0;
        node->free_kib += state == MODEL_FREE ? FRAME_KIB : 0;
        bool used = state != MODEL_HOLE && state != MODEL_FREE;
        if (used != pmm_is_used(model_address(m, i)))
            fail_msg("frame at 0x%lx should be %s", model_address(m, i).v, used ? "used" : "free");
        if (i % 64 == 0)
            assert_int_equal(m->nodes[i], pmm_node_of(model_address(m, i)));
    }
    for (uint32_t node = 0; node < 6; node++) {
        pmm_get_node_stats(node, &got);
        assert_int_equal(nodes[node].total_kib, got.total_kib);
        assert_int_equal(nodes[node].free_kib, got.free_kib);
        assert_int_equal(got.total_kib, got.used_kib + got.free_kib);
    }
    model_compare_counts(m);
}

struct model_walk {
    const struct model *model;
    uint64_t nfree, calls, stop;
    uint64_t ends[256]; /* of each zone so far; frames */
};

static bool is_maximal(const struct model *m, uint64_t i, uint64_t n)
{
    const unsigned char *f = m->frames;
    bool below =
        i % MODEL_BLOCK != 0 || (i > 0 && follows(m, i / MODEL_BLOCK) &&
                                 m->zones[i / MODEL_BLOCK - 1] == m->zones[i / MODEL_BLOCK]);
    uint64_t end = i + n;
    bool above =
        end % MODEL_BLOCK != 0 ||
        (follows(m, end / MODEL_BLOCK) && m->zones[end / MODEL_BLOCK] == m->zones[i / MODEL_BLOCK]);
    return (i == 0 || !below || f[i - 1] != MODEL_FREE) && (!above || f[end] != MODEL_FREE);
}

static bool visit(paddr_t base, uint64_t nframes, void *argument)
{
    struct model_walk *walk = argument;
    uint64_t i, frame = base.v / FRAME_BYTES;
    assert_true(model_find(walk->model, frame, &i));
    assert_int_equal(nframes, model_run(walk->model, i, nframes, MODEL_FREE));
    assert_true(is_maximal(walk->model, i, nframes));
    unsigned zone = walk->model->zones[i / MODEL_BLOCK];
    assert_true(frame >= walk->ends[zone]);
    walk->ends[zone] = frame + nframes;
    walk->nfree += nframes;
    return ++walk->calls != walk->stop;
}

void model_compare_walk(const struct model *m)
{
    struct model_walk walk = {.model = m}, some = {.model = m, .stop = 2};
    pmm_walk_free(visit, &walk);
    assert_int_equal(m->counts[MODEL_FREE], walk.nfree);
    pmm_walk_free(visit, &some);
    assert_int_equal(walk.calls < 2 ? walk.calls : 2, some.calls);
}

/* The largest naturally aligned free run at i, of this node. */
static unsigned order_at(const struct model *m, uint64_t i, uint32_t node)
{
    unsigned order = PMM_ORDER_BLOCK;
    while (i % (1u << order) != 0)
        order--;
    for (uint64_t n = 0; n < 1ull << order;) {
        if (m->frames[i + n] == MODEL_FREE && (node == PMM_ALL_NODES || m->nodes[i + n] == node))
            n++;
        else if (order-- == 0)
            return PMM_ORDER_BLOCK + 1;
    }
    return order;
}

void model_compare_orders(const struct model *m, uint32_t node)
{
    uint64_t got[PMM_ORDER_BLOCK + 1], want[PMM_ORDER_BLOCK + 1] = {0};
    for (uint64_t i = 0; i < model_size(m);) {
        unsigned order = order_at(m, i, node);
        bool some = order <= PMM_ORDER_BLOCK;
        want[some ? order : 0] += some;
        i += some ? 1ull << order : 1;
    }
    pmm_get_order_stats(node, got);
    for (unsigned order = 0; order <= PMM_ORDER_BLOCK; order++)
        if (want[order] != got[order])
            fail_msg("%lu runs of order %u on node %d, not %lu", got[order], order, (int)node,
                     want[order]);
}
