/* Large objects, alignment, zeros, nodes, every size: what memory they take, where it comes from and goes
 * to, and what misuse is seen. */
#include "heap_rig.h"

#include "../../mm/heap/ranges.h"

static int start_64_mib(void **state)
{
    (void)state;
    return start_with(64 * MIB);
}

/* --- Every size -------------------------------------------------------------------- */

static size_t most_for(size_t bytes)
{
    if (bytes <= 128)
        return (bytes + 15) / 16 * 16 + (bytes == 0 ? 16 : 0);
    if (bytes <= HEAP_CLASS_BYTES)
        return bytes + bytes / 8;
    size_t pages = (bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
    if (bytes < HEAP_RANGE_BYTES) /* or one that is kept, not much longer */
        return pages + pages / PAGE_BYTES / 8 * PAGE_BYTES;
    return bytes + bytes / 7 + PAGE_BYTES;
}

static void check_size(size_t bytes, unsigned char *p)
{
    assert_non_null(p);
    size_t usable = kmalloc_size(p);
    if (usable < bytes || usable > most_for(bytes))
        fail_msg("%zu bytes: %zu usable, %zu would be all right", bytes, usable, most_for(bytes));
    assert_int_equal(0, (uintptr_t)p % HEAP_ALIGN);
    if (bytes != 0 && bytes <= PAGE_BYTES && (bytes & (bytes - 1)) == 0)
        assert_int_equal(0, (uintptr_t)p % bytes);
}

/* Several at a time, so that they would overlap if any did. */
static void use_size(size_t bytes)
{
    unsigned char *p[3];
    for (unsigned i = 0; i < COUNT(p); i++) {
        p[i] = i == 1 ? kcalloc(1, bytes) : kmalloc(bytes);
        check_size(bytes, p[i]);
        if (i == 1)
            expect_zeros(p[i], bytes);
        memset(p[i], 0x10 + (int)i, kmalloc_size(p[i]));
    }
    for (unsigned i = 0; i < COUNT(p); i++) {
        size_t usable = kmalloc_size(p[i]);
        for (size_t k = 0; k < usable; k += k < usable - 4096 && usable > 8192 ? 509 : 1)
            if (p[i][k] != 0x10 + i)
                fail_msg("byte %zu of %zu is another object's", k, bytes);
        if (i == 2)
            kfree_sized(p[i], bytes);
        else
            kfree(p[i]);
    }
}

static void every_size_wastes_at_most_an_eighth(void **state)
{
    (void)state;
    for (size_t bytes = 0; bytes <= 40000; bytes++)
        use_size(bytes);
    for (size_t bytes = 40000; bytes <= 4 * MIB; bytes += bytes < MIB ? 8191 : 65521) {
        use_size(bytes);
        size_t near = bytes / PAGE_BYTES * PAGE_BYTES;
        use_size(near - 1);
        use_size(near);
        use_size(near + 1);
    }
}

/* --- Alignment ------------------------------------------------------------------------ */

static void every_alignment_is_that_of_the_address(void **state)
{
    (void)state;
    static const size_t sizes[] = {0,    1,        24,        100,      2000,
                                   5000, 40 * KIB, 300 * KIB, MIB + 10, 3 * MIB};
    for (size_t align = 1; align <= 32 * MIB; align *= 2)
        for (size_t i = 0; i < COUNT(sizes); i++) {
            unsigned char *p = kaligned_alloc(align, sizes[i]),
                          *q = kaligned_alloc(align, sizes[i]);
            assert_non_null(p);
            if (align <= 8 * MIB)
                assert_non_null(q);
            assert_int_equal(0, (uintptr_t)p % align);
            assert_int_equal(0, (uintptr_t)q % align);
            assert_true(kmalloc_size(p) >= sizes[i]);
            size_t most = most_for((sizes[i] + (sizes[i] == 0) + align - 1) / align * align);
            if (align <= PAGE_BYTES) /* what is skipped for more is not lost */
                assert_true(kmalloc_size(p) <= (most > 16 ? most : 16));
            else
                assert_true(kmalloc_size(p) <=
                            most_for(sizes[i] > 40000 ? sizes[i] : PAGE_BYTES * 8));
            memset(p, 1, kmalloc_size(p));
            kfree_sized(p, sizes[i]);
            kfree(q);
        }
    assert_null(kaligned_alloc(0, 8));
    assert_null(kaligned_alloc(24, 8));
    assert_null(kaligned_alloc(3 * PAGE_BYTES, 8));
    assert_null(kaligned_alloc(2 * HEAP_ALIGN_MAX, 8));
    assert_null(kaligned_alloc(HEAP_ALIGN_MAX, SIZE_MAX));
    unsigned char *p =
        kaligned_alloc(HEAP_ALIGN_MAX, MIB + 1); /* no such run of so little memory */
    assert_int_equal(0, (uintptr_t)p % HEAP_ALIGN_MAX);
    kfree(p);
}

/* --- Where it comes from ------------------------------------------------------------------ */

static bool is_range(const void *p)
{
    void *base;
    uint64_t npages;
    return ranges_find_object(p, &base, &npages);
}

static uint64_t taken_by(size_t bytes, void **p)
{
    uint64_t before = frames_there();
    *p = kmalloc(bytes);
    assert_non_null(*p);
    return before - frames_there();
}

static void runs_take_exactly_their_frames(void **state)
{
    (void)state;
    static const size_t sizes[] = {HEAP_CLASS_BYTES + 1, 40 * KIB, 600 * KIB + 5, MIB - 1};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        void *p;
        assert_int_equal((sizes[i] + FRAME_BYTES - 1) / FRAME_BYTES, taken_by(sizes[i], &p));
        assert_false(is_range(p));
        kfree(p);
    }
}

static void what_fills_whole_blocks_is_blocks_and_all_else_a_range(void **state)
{
    (void)state;
    static const struct {
        size_t bytes;
        uint64_t blocks; /* 0: a range */
    } cases[] = {{MIB, 0},         {3 * MIB / 2, 0},  {7 * MIB / 4, 1}, {2 * MIB - 1, 1},
                 {2 * MIB, 1},     {2 * MIB + 1, 0},  {3 * MIB, 0},     {7 * MIB / 2, 2},
                 {4 * MIB + 1, 0}, {11 * MIB / 2, 3}, {16 * MIB + 1, 9}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        void *p;
        assert_int_equal(cases[i].blocks * 512, taken_by(cases[i].bytes, &p));
        assert_int_equal(cases[i].blocks == 0, is_range(p));
        if (cases[i].blocks != 0)
            assert_int_equal(0, (uintptr_t)p % (2 * MIB));
        kfree(p);
    }
}

static void who_cannot_wait_gets_a_run(void **state)
{
    (void)state;
    const struct heap_want want = {.flags = HEAP_NOWAIT};
    void *p = kmalloc_want(3 * MIB, &want);
    assert_non_null(p);
    assert_false(is_range(p));
    assert_int_equal(3 * MIB, kmalloc_size(p));
    kfree(p);
}

static void where_one_sort_is_not_to_be_had_the_other_is(void **state)
{
    (void)state;
    unsigned sorts = 0;
    for (unsigned k = 1; k < 8; k++) {
        machine_fail_allocation(k);
        void *p = kmalloc(2 * MIB), *q = kmalloc(3 * MIB);
        (void)machine_failed();
        assert_non_null(p);
        assert_non_null(q);
        sorts |= 1u << is_range(p) | 4u << is_range(q);
        kfree(p);
        kfree(q);
    }
    assert_int_equal(15, sorts);
}

static void zeroed_memory_is_zeroed_however_large(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 100, 5000, 50 * KIB, MIB - 5, 2 * MIB, 3 * MIB};
    const struct heap_want zeroed = {.flags = HEAP_ZERO}, now = {.flags = HEAP_ZERO | HEAP_NOWAIT};
    for (size_t i = 0; i < COUNT(sizes); i++)
        for (unsigned k = 0; k < 6; k++) {
            unsigned char *p = k % 3 == 0   ? kcalloc(1, sizes[i])
                               : k % 3 == 1 ? kmalloc_want(sizes[i], &zeroed)
                                            : kmalloc_want(sizes[i], &now);
            expect_zeros(p, sizes[i]);
            memset(p, 0xff, kmalloc_size(p));
            kfree(p);
        }
}

/* --- Nodes ------------------------------------------------------------------------------------- */

static int start_nodes(void **state)
{
    (void)state;
    const uint64_t third = 24 * MIB;
    const struct mem_node nodes[] = {{PA(RAM_BASE), third, 0},
                                     {PA(RAM_BASE + third), third, 1},
                                     {PA(RAM_BASE + 2 * third), third, 2}};
    int status = start_with(3 * third);
    uint64_t before = frames_there();
    assert_int_equal(MM_OK, pmm_set_nodes(nodes, COUNT(nodes)));
    frames_at_start -= before - frames_there(); /* its table */
    return status;
}

static uint32_t node_of(const void *p)
{
    return pmm_node_of(virt_to_phys(p));
}

static void objects_are_on_the_node_that_is_asked_for(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 64, 1000, 5000, 30000, 100 * KIB, 900 * KIB, 2 * MIB};
    void *p[3][COUNT(sizes)][4];
    for (size_t i = 0; i < COUNT(sizes); i++)
        for (uint32_t node = 0; node < 3; node++)
            for (unsigned k = 0; k < 4; k++) {
                void *q = kmalloc_node(sizes[i], node);
                assert_non_null(q);
                assert_int_equal(node, node_of(q));
                assert_true(kmalloc_size(q) >= sizes[i]);
                p[node][i][k] = q;
            }
    be(1); /* freed by whomever */
    assert_true(heap_validate());
    for (size_t i = 0; i < COUNT(sizes); i++)
        for (uint32_t node = 0; node < 3; node++)
            for (unsigned k = 0; k < 4; k++)
                kfree(p[node][i][k]);
    kfree(p[0][1][0]);
    assert_misuse("double free");
    void *q = kmalloc_node(64, 7); /* no such node: anywhere will do */
    assert_non_null(q);
    kfree(q);
    q = kmalloc_node(64, UINT32_MAX);
    assert_non_null(q);
    kfree(q);
}

static void a_node_that_cannot_be_is_any(void **state)
{
    (void)state;
    for (size_t bytes = 100; bytes <= 100000; bytes *= 1000) {
        void *p = kmalloc_node(bytes, NUMA_NODES_MAX);
        assert_non_null(p);
        kfree(p);
    }
}

static void a_full_node_is_no_reason_to_fail(void **state)
{
    (void)state;
    static void *objects[1000];
    const struct heap_want want = {.on_node = true, .node = 2, .flags = HEAP_ZERO};
    unsigned on_node = 0;
    for (size_t i = 0; i < COUNT(objects); i++) {
        objects[i] = kmalloc_want(30000, &want);
        assert_non_null(objects[i]);
        on_node += node_of(objects[i]) == 2;
    }
    assert_in_range(on_node, 700, 850); /* all that it has */
    for (size_t i = 0; i < COUNT(objects); i++)
        kfree(objects[i]);
}

static void slabs_of_a_cpu_come_from_its_node(void **state)
{
    (void)state;
    void *p[3];
    for (unsigned cpu = 0; cpu < 3; cpu++) {
        heap_set_node(cpu, 2 - cpu);
        be(cpu);
        p[cpu] = kmalloc(9000); /* not of what heap_init took */
        assert_int_equal(2 - cpu, node_of(p[cpu]));
    }
    for (unsigned cpu = 0; cpu < 3; cpu++)
        kfree(p[cpu]);
}

/* The share of a node is frames, too. */
static void a_node_without_memory_for_a_share_is_passed_over(void **state)
{
    (void)state;
    for (unsigned k = 1; k < 6; k++) {
        machine_fail_allocation(k);
        void *p = kmalloc_node(100, 1), *q = kmalloc_node(100, 2);
        (void)machine_failed();
        assert_non_null(p);
        assert_non_null(q);
        kfree(p);
        kfree(q);
        assert_true(heap_validate());
    }
}

/* --- Memory that ends ------------------------------------------------------------------------ */

static void exhaustion_returns_null_and_all_is_well_again(void **state)
{
    (void)state;
    static const size_t sizes[] = {MIB - PAGE_BYTES, 100 * KIB, 30 * KIB, 3000, 16};
    static void *objects[64 * MIB / 3000 + 100];
    for (size_t i = 0; i < COUNT(sizes); i++) {
        size_t n = 0;
        while (n < COUNT(objects) && (objects[n] = kmalloc(sizes[i])) != NULL)
            n++;
        uint64_t used = n * sizes[i];
        if (sizes[i] > 16) {
            assert_in_range(used, 54 * MIB, 64 * MIB);
            assert_null(kmalloc(sizes[i]));
            assert_true(totals().all.failures > 2 * i);
        }
        while (n > 0)
            kfree(objects[--n]);
        assert_true(heap_validate());
    }
    assert_in_range(machine.logs, 0, 1); /* said once */
}

static uint64_t whole_blocks(void)
{
    uint64_t orders[PMM_ORDER_BLOCK + 1];
    pmm_get_order_stats(PMM_ALL_NODES, orders);
    return orders[PMM_ORDER_BLOCK];
}

/* What the heap keeps for good lies together, and keeps few blocks of 2 MiB from being whole again. */
static void memory_that_was_full_of_objects_is_whole_again(void **state)
{
    (void)state;
    static void *objects[56 * MIB / 100];
    uint64_t before = whole_blocks();
    for (size_t bytes = 96; bytes < 40 * KIB; bytes *= 5) {
        size_t n = 0;
        while (n < COUNT(objects) && (n + 1) * bytes < 54 * MIB &&
               (objects[n] = kmalloc(bytes)) != NULL)
            n++;
        assert_true(n * bytes > 48 * MIB && whole_blocks() < before / 4);
        while (n > 0)
            kfree(objects[--n]);
        heap_shrink();
        print_message("             %lu of %lu blocks are whole\n", whole_blocks(), before);
        assert_true(whole_blocks() >= before * 2 / 3);
    }
}

static void without_fail_means_a_panic_that_says_for_what(void **state)
{
    (void)state;
    const struct heap_want want = {.flags = HEAP_NOFAIL, .what = "the table of tests"};
    void *p = kmalloc_want(1000, &want);
    assert_non_null(p);
    kfree(p);
    assert_panics(p = kmalloc_want(1ull << 45, &want), "the table of tests");
}

/* --- Misuse ------------------------------------------------------------------------------------ */

static void refused(void *p, const char *words)
{
    struct heap_totals before = totals();
    uint64_t frames = machine_free_frames();
    kfree(p);
    assert_misuse(words);
    kfree_sized(p, 10);
    assert_misuse(words);
    assert_int_equal(0, kmalloc_size(p));
    assert_misuse(words);
    assert_int_equal(before.all.live, totals().all.live);
    assert_int_equal(frames, machine_free_frames());
}

static void misuse_of_large_objects_is_said_with_what_they_are(void **state)
{
    (void)state;
    unsigned char *run = kmalloc(500 * KIB), *blocks = kmalloc(6 * MIB), *range = kmalloc(3 * MIB);
    unsigned char *bad[] = {run + 16,   run + 5000,         run + 499 * KIB,
                            blocks + 1, blocks + 3 * MIB,   blocks + 6 * MIB - 1,
                            range + 8,  range + 2 * MIB + 1};
    for (size_t i = 0; i < COUNT(bad); i++)
        refused(bad[i], "inside an object");
    kfree_sized(run, 501 * KIB);
    assert_misuse("another size");
    unsigned char *odd[] = {kmalloc(100 * KIB), kmalloc(100 * KIB), kmalloc(100 * KIB)};
    for (size_t i = 0; i < COUNT(odd); i++) {
        if ((uintptr_t)odd[i] % (2 * FRAME_BYTES) !=
            0) { /* else an alignment may have asked for it */
            kfree_sized(odd[i], 100);
            assert_misuse("another size");
        }
        kfree_sized(odd[i], 100 * KIB);
    }
    kfree_sized(range, 4 * MIB);
    assert_misuse("another size");
    kfree(run);
    kfree(blocks);
    kfree(range);
    refused(run, "double free");
    refused(blocks, "double free");
    refused(range, "not from this heap");
    refused(blocks + 100, "");
}

static void foreign_pointers_are_not_followed(void **state)
{
    (void)state;
    int on_stack;
    refused((void *)16, "not from this heap");
    refused((void *)UINTPTR_MAX, "not from this heap");
    refused((void *)(uintptr_t)(1ull << 63), "not from this heap");
    refused(&on_stack, "not from this heap");
    paddr_t frame;
    assert_int_equal(MM_OK, pmm_alloc_frame(&frame));
    refused(phys_to_virt(frame), "not from this heap");
    assert_int_equal(MM_OK, pmm_free_frame(frame));
}

static void what_lies_where_can_be_found(void **state)
{
    (void)state;
    static const size_t sizes[] = {40, 5000, 100 * KIB, 2 * MIB, 3 * MIB};
    struct heap_place place;
    for (size_t i = 0; i < COUNT(sizes); i++) {
        unsigned char *p = kmalloc(sizes[i]);
        for (size_t at = 0; at < sizes[i]; at += sizes[i] / 7 + 1) {
            assert_true(heap_find(p + at, &place));
            assert_ptr_equal(p, place.object);
            assert_int_equal(kmalloc_size(p), place.bytes);
            assert_true(place.live);
            assert_non_null(heap_class_name(place.class));
        }
        kfree(p);
        assert_true(!heap_find(p, &place) || !place.live);
    }
    assert_false(heap_find(&place, &place));
    assert_false(heap_find(NULL, &place));
}

struct walk {
    const void *seen[8];
    size_t n, bytes;
};

static bool note(const struct heap_object *object, void *argument)
{
    struct walk *w = argument;
    assert_true(w->n < COUNT(w->seen));
    w->seen[w->n++] = object->address;
    w->bytes += object->bytes;
    return true;
}

static void a_walk_sees_every_live_object_once(void **state)
{
    (void)state;
    static const size_t sizes[] = {40, 40, 5000, 100 * KIB, 2 * MIB, 3 * MIB, MIB};
    void *p[COUNT(sizes)];
    struct walk w = {.n = 0};
    for (size_t i = 0; i < COUNT(sizes); i++)
        p[i] = kmalloc(sizes[i]);
    kfree(p[1]);
    heap_walk(note, &w);
    assert_int_equal(COUNT(sizes) - 1, w.n);
    assert_int_equal(totals().all.live_bytes, w.bytes);
    for (size_t i = 0; i < COUNT(sizes); i++) {
        size_t seen = 0;
        for (size_t k = 0; k < w.n; k++)
            seen += w.seen[k] == p[i];
        assert_int_equal(i != 1, seen);
        if (i != 1)
            kfree(p[i]);
    }
}

#undef TEST
#define TEST(name)       cmocka_unit_test_setup_teardown(name, start_64_mib, stop)
#define TEST_NODES(name) cmocka_unit_test_setup_teardown(name, start_nodes, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_size_wastes_at_most_an_eighth),
        TEST(every_alignment_is_that_of_the_address),
        TEST(runs_take_exactly_their_frames),
        TEST(what_fills_whole_blocks_is_blocks_and_all_else_a_range),
        TEST(who_cannot_wait_gets_a_run),
        TEST(where_one_sort_is_not_to_be_had_the_other_is),
        TEST(zeroed_memory_is_zeroed_however_large),
        TEST_NODES(objects_are_on_the_node_that_is_asked_for),
        TEST(a_node_that_cannot_be_is_any),
        TEST_NODES(a_full_node_is_no_reason_to_fail),
        TEST_NODES(slabs_of_a_cpu_come_from_its_node),
        TEST_NODES(a_node_without_memory_for_a_share_is_passed_over),
        TEST(exhaustion_returns_null_and_all_is_well_again),
        TEST(memory_that_was_full_of_objects_is_whole_again),
        TEST(without_fail_means_a_panic_that_says_for_what),
        TEST(misuse_of_large_objects_is_said_with_what_they_are),
        TEST(foreign_pointers_are_not_followed),
        TEST(what_lies_where_can_be_found),
        TEST(a_walk_sees_every_live_object_once),
    };
    return cmocka_run_group_tests_name("large objects", tests, NULL, NULL);
}
