/* Frames that know their node: the division of addresses against an array, and the pmm with it. */
#include "pmm_rig.h"

#define FIRST 100 /* frame; the arrays of the tests begin here */

static struct mem_node range(uint64_t first, uint64_t nframes, uint32_t node)
{
    return (struct mem_node){PA((FIRST + first) * PAGE_BYTES), nframes * PAGE_BYTES, node};
}

static mm_status_t divide(const struct mem_node *nodes, size_t n, struct node_piece *pieces,
                          size_t *npieces)
{
    memset(pieces, 0xee, NUMA_PIECES(n) * sizeof *pieces);
    mm_status_t status = numa_divide(nodes, n, pieces, npieces);
    if (status != MM_OK)
        return status;
    assert_in_range(*npieces, 1, NUMA_PIECES(n));
    assert_int_equal(0, pieces[0].base.v);
    for (size_t i = 1; i < *npieces; i++) {
        assert_true(pa_lt(pieces[i - 1].base, pieces[i].base));
        assert_true(pa_aligned(pieces[i].base, FRAME_BYTES));
        assert_true(pieces[i - 1].node != pieces[i].node);
    }
    return MM_OK;
}

static mm_status_t divide_one(uint64_t base, uint64_t bytes, uint32_t node, size_t *npieces)
{
    struct node_piece pieces[NUMA_PIECES(1)];
    struct mem_node one = {PA(base), bytes, node};
    return divide(&one, 1, pieces, npieces);
}

static void what_nobody_names_is_node_0(void **state)
{
    (void)state;
    struct node_piece pieces[NUMA_PIECES(1)];
    size_t n;
    assert_int_equal(MM_OK, divide(NULL, 0, pieces, &n));
    assert_int_equal(1, n);
    struct mem_node one = range(0, 10, 3);
    assert_int_equal(MM_OK, divide(&one, 1, pieces, &n));
    assert_int_equal(3, n);
    assert_int_equal(0, pieces[numa_find(pieces, n, PA(0))].node);
    assert_int_equal(0, pieces[numa_find(pieces, n, PA(FIRST * PAGE_BYTES - 1))].node);
    assert_int_equal(3, pieces[numa_find(pieces, n, PA(FIRST * PAGE_BYTES))].node);
    assert_int_equal(3, pieces[numa_find(pieces, n, PA((FIRST + 10) * PAGE_BYTES - 1))].node);
    assert_int_equal(0, pieces[numa_find(pieces, n, PA((FIRST + 10) * PAGE_BYTES))].node);
    assert_int_equal(0, pieces[numa_find(pieces, n, PA(UINT64_MAX))].node);
}

static void ranges_that_are_none_are_refused(void **state)
{
    (void)state;
    size_t n = 77;
    assert_int_equal(MM_RANGE, divide_one(0, PAGE_BYTES, NUMA_NODES_MAX, &n));
    assert_int_equal(MM_RANGE, divide_one(0, PADDR_LIMIT + 1, 1, &n));
    assert_int_equal(MM_RANGE, divide_one(PADDR_LIMIT, 1, 1, &n));
    assert_int_equal(MM_RANGE, divide_one(PADDR_LIMIT + 4096, -4096ull, 1, &n));
    assert_int_equal(MM_RANGE, divide_one(4096, UINT64_MAX, 1, &n));
    assert_int_equal(77, n);
    assert_int_equal(MM_OK, divide_one(0, PADDR_LIMIT, NUMA_NODES_MAX - 1, &n));
    assert_int_equal(1, n);
    assert_int_equal(MM_OK, divide_one(PADDR_LIMIT, 0, 1, &n));
    assert_int_equal(MM_OK, divide_one(12345, 0, 1, &n));
    assert_int_equal(1, n);
}

static void a_frame_on_the_border_is_the_lower_nodes(void **state)
{
    (void)state;
    const struct mem_node two[] = {{PA(0x10000), 0x1800, 1}, {PA(0x11800), 0x1800, 2}};
    struct node_piece pieces[NUMA_PIECES(2)];
    size_t n;
    assert_int_equal(MM_OK, divide(two, 2, pieces, &n));
    assert_int_equal(1, pieces[numa_find(pieces, n, PA(0x11fff))].node);
    assert_int_equal(2, pieces[numa_find(pieces, n, PA(0x12000))].node);
    assert_int_equal(2, pieces[numa_find(pieces, n, PA(0x12fff))].node);
    assert_int_equal(0, pieces[numa_find(pieces, n, PA(0x13000))].node);
}

/* Random ranges in any order, some of them overlapping, against an array of frames. */
#define MODEL_FRAMES 60
#define MODEL_RANGES 8

static void random_ranges_match_an_array(void **state)
{
    (void)state;
    struct rng rng = rng_start();
    unsigned refused = 0, divided = 0;
    for (unsigned round = 0; round < 20000; round++) {
        struct mem_node nodes[MODEL_RANGES];
        struct node_piece pieces[NUMA_PIECES(MODEL_RANGES)];
        int owner[MODEL_FRAMES + 2];
        memset(owner, -1, sizeof owner);
        bool clash = false;
        size_t count = rng_between(&rng, 1, MODEL_RANGES), n;
        for (size_t i = 0; i < count; i++) {
            uint64_t first = rng_below(&rng, MODEL_FRAMES);
            uint64_t size = rng_below(&rng, 1 + (MODEL_FRAMES - first) / count);
            nodes[i] = range(first, size, (uint32_t)rng_below(&rng, 3));
            for (uint64_t frame = first; frame < first + size; frame++) {
                clash = clash || (owner[frame] >= 0 && owner[frame] != (int)nodes[i].node);
                owner[frame] = (int)nodes[i].node;
            }
        }
        mm_status_t status = divide(nodes, count, pieces, &n);
        assert_int_equal(clash ? MM_INVAL : MM_OK, status);
        refused += clash;
        divided += !clash;
        for (uint64_t frame = 0; !clash && frame < MODEL_FRAMES + 2; frame++) {
            size_t i = numa_find(pieces, n, PA((FIRST + frame) * PAGE_BYTES + 17));
            assert_int_equal(owner[frame] < 0 ? 0 : owner[frame], pieces[i].node);
        }
    }
    assert_true(refused > 1000 && divided > 1000);
}

/* --- The pmm -------------------------------------------------------------- */

/* Of the second bank: a node in two parts, one without memory, one that reaches over the end. */
static const struct mem_node nodes[] = {
    {PA(RAM_BASE + 500 * PAGE_BYTES), 4 * GIB, 5},
    {PA(RAM_BASE), 200 * PAGE_BYTES, 1},
    {PA(RAM_BASE + 400 * PAGE_BYTES), 100 * PAGE_BYTES, 1},
    {PA(3 * GIB), 64 * MIB, 7},
};

static struct pmm_node_stats stats_of(uint32_t node)
{
    struct pmm_node_stats stats;
    pmm_get_node_stats(node, &stats);
    assert_int_equal(stats.total_kib, stats.used_kib + stats.free_kib);
    return stats;
}

static mm_status_t alloc_on(uint32_t node, enum pmm_node_rule rule, uint64_t nframes, paddr_t *out)
{
    struct pmm_limits limits = {.node_rule = rule, .node = node};
    return pmm_alloc_frames(nframes, &limits, out);
}

static void without_ranges_all_is_node_0(void **state)
{
    (void)state;
    struct pmm_stats all;
    pmm_get_stats(&all);
    assert_int_equal(all.total_kib, stats_of(0).total_kib);
    assert_int_equal(all.free_kib, stats_of(0).free_kib);
    assert_int_equal(0, stats_of(1).total_kib);
    assert_int_equal(0, stats_of(UINT32_MAX).total_kib);
    assert_int_equal(0, pmm_node_of(PA(RAM_BASE)));
    paddr_t frame;
    assert_int_equal(MM_NOMEM, alloc_on(1, PMM_NODE_REQUIRED, 1, &frame));
    assert_int_equal(MM_OK, alloc_on(1, PMM_NODE_PREFERRED, 1, &frame));
    assert_int_equal(MM_OK, alloc_on(0, PMM_NODE_REQUIRED, 1, &frame));
}

static void every_frame_knows_its_node(void **state)
{
    (void)state;
    uint64_t metadata = metadata_frames();
    assert_int_equal(MM_OK, pmm_set_nodes(nodes, COUNT(nodes)));
    assert_true(pmm_validate());
    assert_int_equal(metadata + 1, metadata_frames());
    assert_int_equal((16 + 200) * 4, stats_of(0).total_kib);
    assert_int_equal(300 * 4, stats_of(1).total_kib);
    assert_int_equal(170 * 4, stats_of(5).total_kib);
    assert_int_equal(0, stats_of(7).total_kib);
    assert_int_equal(1, pmm_node_of(PA(RAM_BASE + 499 * PAGE_BYTES)));
    assert_int_equal(5, pmm_node_of(PA(RAM_BASE + 500 * PAGE_BYTES)));
    assert_int_equal(7, pmm_node_of(PA(3 * GIB))); /* no RAM there */
    uint64_t before = stats_of(5).free_kib;
    pmm_reclaim();
    assert_int_equal(before + 70 * 4, stats_of(5).free_kib);
    assert_true(pmm_validate());
}

static void a_required_node_gives_its_own_frames_to_the_last(void **state)
{
    (void)state;
    assert_int_equal(MM_OK, pmm_set_nodes(nodes, COUNT(nodes)));
    uint64_t frames = stats_of(1).free_kib / 4, others = stats_of(0).free_kib;
    paddr_t pa = PA(0);
    for (uint64_t i = 0; i < frames; i++) {
        assert_int_equal(MM_OK, alloc_on(1, PMM_NODE_REQUIRED, 1, &pa));
        assert_int_equal(1, pmm_node_of(pa));
    }
    assert_int_equal(MM_NOMEM, alloc_on(1, PMM_NODE_REQUIRED, 1, &pa));
    assert_int_equal(MM_NOMEM, alloc_on(7, PMM_NODE_REQUIRED, 1, &pa));
    assert_int_equal(0, stats_of(1).free_kib);
    assert_int_equal(others, stats_of(0).free_kib);
    assert_int_equal(MM_OK, alloc_on(1, PMM_NODE_PREFERRED, 1, &pa));
    assert_true(pmm_node_of(pa) != 1);
    assert_int_equal(MM_OK, alloc_on(7, PMM_NODE_PREFERRED, 5, &pa));
    assert_int_equal(MM_INVAL, alloc_on(NUMA_NODES_MAX, PMM_NODE_PREFERRED, 1, &pa));
    assert_int_equal(MM_INVAL, alloc_on(0, (enum pmm_node_rule)3, 1, &pa));
    assert_true(pmm_validate());
}

/* A limited run is on the node with all its frames, and within the other limits too. */
static void runs_on_a_node_keep_all_limits(void **state)
{
    (void)state;
    assert_int_equal(MM_OK, pmm_set_nodes(nodes, COUNT(nodes)));
    paddr_t pa;
    assert_int_equal(MM_OK, alloc_on(1, PMM_NODE_REQUIRED, 200, &pa));
    assert_int_equal(RAM_BASE, pa.v);
    assert_int_equal(MM_NOMEM, alloc_on(1, PMM_NODE_REQUIRED, 101, &pa));
    assert_int_equal(MM_OK, pmm_free_frames(PA(RAM_BASE), 200));
    struct pmm_limits limits = {.align_frames = 16,
                                .min_addr = PA(RAM_BASE + 100 * PAGE_BYTES),
                                .max_addr = PA(RAM_BASE + 450 * PAGE_BYTES),
                                .node_rule = PMM_NODE_REQUIRED,
                                .node = 1};
    uint64_t found = 0; /* 112 to 160, 112 to 167 and 400 to 416 are where one may begin */
    for (; pmm_alloc_frames(33, &limits, &pa) == MM_OK; found++) {
        assert_int_equal(0, pa.v % (16 * PAGE_BYTES));
        uint64_t first = (pa.v - RAM_BASE) / PAGE_BYTES;
        assert_true((first >= 100 && first + 33 <= 200) || (first >= 400 && first + 33 <= 450));
    }
    assert_in_range(found, 2, 3);
    limits.max_addr = PA(RAM_BASE + 400 * PAGE_BYTES);
    limits.min_addr = PA(RAM_BASE + 200 * PAGE_BYTES);
    assert_int_equal(MM_NOMEM, pmm_alloc_frames(1, &limits, &pa));
    assert_true(pmm_validate());
}

static void runs_across_nodes_are_counted_on_each(void **state)
{
    (void)state;
    assert_int_equal(MM_OK, pmm_set_nodes(nodes, COUNT(nodes)));
    uint64_t zero = stats_of(0).free_kib, one = stats_of(1).free_kib;
    assert_int_equal(MM_OK, pmm_mark_used(PA(RAM_BASE + 190 * PAGE_BYTES), 30));
    assert_int_equal(zero - 20 * 4, stats_of(0).free_kib);
    assert_int_equal(one - 10 * 4, stats_of(1).free_kib);
    assert_true(pmm_validate());
    assert_int_equal(MM_OK, pmm_free_frames(PA(RAM_BASE + 190 * PAGE_BYTES), 30));
    assert_int_equal(zero, stats_of(0).free_kib);
    assert_true(pmm_validate());
}

static void what_is_refused_changes_nothing(void **state)
{
    (void)state;
    const struct mem_node clash[] = {{PA(RAM_BASE), MIB, 1}, {PA(RAM_BASE), MIB, 2}};
    uint64_t before = machine_free_frames();
    assert_int_equal(MM_INVAL, pmm_set_nodes(clash, 2));
    paddr_t frames[1000];
    size_t n = 0;
    while (pmm_alloc_frame(&frames[n]) == MM_OK)
        n++;
    assert_int_equal(MM_NOMEM, pmm_set_nodes(nodes, COUNT(nodes)));
    while (n > 0)
        assert_int_equal(MM_OK, pmm_free_frame(frames[--n]));
    assert_int_equal(before, machine_free_frames());
    assert_int_equal(0, stats_of(1).total_kib);
    assert_int_equal(MM_OK, pmm_set_nodes(nodes, COUNT(nodes)));
    before = machine_free_frames();
    assert_int_equal(MM_EXISTS, pmm_set_nodes(nodes, 1));
    assert_int_equal(before, machine_free_frames());
    assert_true(pmm_validate());
}

/* Other than the runs of a single node, which end where it does. */
static void runs_across_nodes_count_as_one_in_all(void **state)
{
    (void)state;
    uint64_t before[PMM_ORDER_BLOCK + 1], all[PMM_ORDER_BLOCK + 1], one[PMM_ORDER_BLOCK + 1];
    paddr_t table;
    assert_int_equal(MM_OK, pmm_alloc_frame(&table)); /* where the table of nodes will be */
    pmm_get_order_stats(PMM_ALL_NODES, before);
    assert_int_equal(MM_OK, pmm_free_frame(table));
    assert_int_equal(MM_OK, pmm_set_nodes(nodes, COUNT(nodes)));
    pmm_get_order_stats(PMM_ALL_NODES, all);
    uint64_t sum = 0;
    for (unsigned order = 0; order <= PMM_ORDER_BLOCK; order++)
        sum += all[order] << order;
    assert_int_equal(machine_free_frames(), sum);
    pmm_get_order_stats(1, one);
    assert_int_equal(1, before[8]);
    assert_int_equal(1, all[8]); /* frames 0 to 255, of nodes 1 and 0 */
    assert_int_equal(0, one[8]);
    pmm_get_order_stats(7, one);
    for (unsigned order = 0; order <= PMM_ORDER_BLOCK; order++)
        assert_int_equal(0, one[order]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_nobody_names_is_node_0),
        cmocka_unit_test(ranges_that_are_none_are_refused),
        cmocka_unit_test(a_frame_on_the_border_is_the_lower_nodes),
        cmocka_unit_test(random_ranges_match_an_array),
        TEST(without_ranges_all_is_node_0),
        TEST(every_frame_knows_its_node),
        TEST(a_required_node_gives_its_own_frames_to_the_last),
        TEST(runs_on_a_node_keep_all_limits),
        TEST(runs_across_nodes_are_counted_on_each),
        TEST(what_is_refused_changes_nothing),
        TEST(runs_across_nodes_count_as_one_in_all),
    };
    return cmocka_run_group_tests_name("numa", tests, NULL, NULL);
}
