/* The heap: what its calls promise, where its memory comes from and goes to, and what misuse it
 * sees. */
#include <signal.h>
#include <sys/wait.h>

#include "heap_rig.h"

/* --- Single properties ---------------------------------------------------- */

static void init_takes_one_growth_and_reports_when_it_cannot(void **state)
{
    (void)state;
    assert_int_equal(RESERVE_FRAMES + 1, frames_at_start - machine_free_frames());
    struct heap_stats stats;
    heap_get_stats(&stats);
    assert_int_equal(CONFIG_HEAP_GROW_BYTES - HEADER, stats.free_bytes);
    machine_stop();
    for (unsigned k = 1; k <= 3; k++) {
        machine_start_simple(MIB);
        uint64_t before = machine_free_frames();
        machine_fail_allocation(k);
        mm_status_t status = heap_init();
        if (k == 1) /* the growth may be smaller than usual */
            assert_int_equal(MM_OK, status);
        if (k == 2) {
            assert_int_equal(MM_NOMEM, status);
            assert_int_equal(before, machine_free_frames());
        }
        assert_int_equal(k < 3, machine_failed());
        assert_true(heap_validate());
        machine_stop();
    }
    start(state);
}

static void a_small_growth_is_taken_when_memory_is_short(void **state)
{
    (void)state;
    machine_stop();
    machine_start_simple(8 * FRAME_BYTES); /* far less than the usual growth */
    assert_int_equal(MM_OK, heap_init());
    void *p = kmalloc(2 * FRAME_BYTES);
    assert_non_null(p);
    assert_null(kmalloc(8 * FRAME_BYTES));
    kfree(p);
    assert_true(heap_validate());
    machine_stop();
    start(state);
}

static void blocks_are_aligned_usable_and_apart(void **state)
{
    (void)state;
    unsigned char *blocks[200];
    for (size_t i = 0; i < COUNT(blocks); i++) {
        blocks[i] = kmalloc(i);
        assert_non_null(blocks[i]);
        assert_int_equal(0, (uintptr_t)blocks[i] % HEAP_ALIGN);
        assert_in_range(kmalloc_size(blocks[i]), i, i + 47);
        memset(blocks[i], (int)i, kmalloc_size(blocks[i]));
    }
    assert_true(heap_validate()); /* all of what kmalloc_size says may be written */
    for (size_t i = 0; i < COUNT(blocks); i++) {
        for (size_t j = 0; j < kmalloc_size(blocks[i]); j++)
            assert_int_equal(i, blocks[i][j]);
        kfree(blocks[i]);
    }
}

static void empty_blocks_are_unique(void **state)
{
    (void)state;
    void *a = kmalloc(0), *b = kmalloc(0), *c = kcalloc(0, 8);
    assert_non_null(a);
    assert_ptr_not_equal(a, b);
    assert_ptr_not_equal(b, c);
    kfree(a);
    kfree(b);
    kfree(c);
    kfree(NULL);
    assert_int_equal(0, kmalloc_size(NULL));
}

static void freed_neighbours_become_one_block(void **state)
{
    (void)state;
    /* In every order of freeing three neighbours, all of it can be had again in one piece. */
    static const int orders[][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                    {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    void *all = kmalloc(64 * KIB); /* a known place: the lowest of the run */
    kfree(all);
    for (size_t i = 0; i < COUNT(orders); i++) {
        void *p[3] = {kmalloc(16 * KIB), kmalloc(16 * KIB), kmalloc(16 * KIB)};
        void *stopper = kmalloc(16);
        assert_ptr_equal(all, p[0]);
        for (int j = 0; j < 3; j++) {
            kfree(p[orders[i][j]]);
            assert_true(heap_validate());
        }
        void *joined = kmalloc(48 * KIB + 2 * HEADER);
        assert_ptr_equal(all, joined);
        kfree(joined);
        kfree(stopper);
    }
}

static void zeroed_memory_is_zeroed_and_its_size_is_checked(void **state)
{
    (void)state;
    unsigned char *dirty = kmalloc(1000);
    memset(dirty, 0xff, 1000);
    kfree(dirty);
    unsigned char *p = kcalloc(10, 100);
    assert_ptr_equal(dirty, p);
    for (size_t i = 0; i < 1000; i++)
        assert_int_equal(0, p[i]);
    kfree(p);
    uint64_t before = failures();
    assert_null(kcalloc(SIZE_MAX / 8 + 2, 8)); /* the product would be 8 */
    assert_null(kcalloc(1ull << 32, 1ull << 32));
    assert_int_equal(before + 2, failures());
}

static void absurd_sizes_fail(void **state)
{
    (void)state;
    uint64_t before = failures();
    assert_null(kmalloc(SIZE_MAX));
    assert_null(kmalloc(SIZE_MAX - 15));
    assert_null(kmalloc(1ull << 40));
    assert_null(kmalloc(1ull << 35));
    void *p = kmalloc(16);
    assert_null(krealloc(p, SIZE_MAX));
    assert_int_equal(before + 5, failures());
    kfree(p);
}

static void alignments_up_to_a_mebibyte_are_honoured(void **state)
{
    (void)state;
    for (size_t align = 1; align <= MIB; align *= 2) {
        unsigned char *p = kaligned_alloc(align, 100), *q = kaligned_alloc(align, 3 * KIB);
        assert_non_null(p);
        assert_non_null(q);
        assert_int_equal(0, (uintptr_t)p % align);
        assert_int_equal(0, (uintptr_t)q % align);
        memset(p, 1, 100);
        memset(q, 2, 3 * KIB);
        assert_true(heap_validate());
        assert_true(kmalloc_size(p) < 200); /* what alignment skips is not lost */
        kfree(p);
        kfree(q);
        assert_true(heap_validate());
    }
    assert_null(kaligned_alloc(0, 8));
    assert_null(kaligned_alloc(24, 8));
    assert_null(kaligned_alloc(2 * MIB, 8));
}

static void exhaustion_returns_null_and_is_logged_once(void **state)
{
    (void)state;
    void *blocks[40];
    size_t n = 0, bytes = MIB - PAGE_BYTES; /* with the header a run of 256 frames: half 2 MiB */
    while ((blocks[n] = kmalloc(bytes)) != NULL)
        n++;
    assert_in_range(n, 29, 31);
    assert_int_equal(1, machine.logs);
    assert_message("heap");
    assert_null(kmalloc(bytes));
    assert_int_equal(1, machine.logs);
    while (n > 0)
        kfree(blocks[--n]);
    void *p = kmalloc(MIB); /* and all is well again */
    assert_non_null(p);
    kfree(p);
}

/* --- krealloc ------------------------------------------------------------- */

static void resizing_keeps_the_contents(void **state)
{
    (void)state;
    struct rng rng = rng_start();
    unsigned char *p = krealloc(NULL, 100);
    size_t bytes = 100;
    fill(p, bytes, 1);
    for (unsigned i = 1; i < 500; i++) {
        size_t next = rng_size(&rng, 512 * KIB);
        void *between = kmalloc(rng_size(&rng, 4096));
        p = krealloc(p, next);
        assert_non_null(p);
        expect_fill(p, next < bytes ? next : bytes, i);
        bytes = next;
        fill(p, bytes, i + 1);
        kfree(between);
        assert_true(heap_validate());
    }
    p = krealloc(p, 0);
    assert_non_null(p);
    kfree(p);
}

static void growing_into_a_free_neighbour_does_not_move(void **state)
{
    (void)state;
    unsigned char *p = kmalloc(1000), *q = kmalloc(1000), *r = kmalloc(1000);
    fill(p, 1000, 5);
    kfree(q);
    assert_ptr_equal(p, krealloc(p, 1500));
    assert_true(heap_validate());
    assert_ptr_equal(p, krealloc(p, 2000)); /* all of the hole */
    assert_true(heap_validate());
    expect_fill(p, 1000, 5);
    unsigned char *moved = krealloc(p, 4000);
    assert_ptr_not_equal(p, moved);
    expect_fill(moved, 1000, 5);
    kfree(moved);
    kfree(r);
}

static void shrinking_gives_the_rest_back(void **state)
{
    (void)state;
    unsigned char *p = kmalloc(8000), *stopper = kmalloc(16);
    uint64_t before = used_bytes();
    assert_ptr_equal(p, krealloc(p, 1000));
    assert_int_equal(before - 6992, used_bytes());
    assert_true(heap_validate());
    unsigned char *q = kmalloc(6900);
    assert_true(q > p && q < stopper);
    kfree(p);
    kfree(q);
    kfree(stopper);
}

static void a_failed_resize_leaves_the_block(void **state)
{
    (void)state;
    unsigned char *p = kmalloc(100), *stopper = kmalloc(100);
    fill(p, 100, 9);
    uint64_t before = used_bytes();
    machine_fail_allocation(1);
    assert_null(krealloc(p, MIB));
    assert_true(machine_failed());
    expect_fill(p, 100, 9);
    assert_int_equal(before, used_bytes());
    kfree(p);
    kfree(stopper);
}

/* --- Runs ----------------------------------------------------------------- */

static void big_blocks_have_runs_of_their_own_that_go_back_at_once(void **state)
{
    (void)state;
    uint64_t before = machine_free_frames();
    unsigned char *big = kmalloc(3 * MIB + 100);
    assert_int_equal(before - (3 * MIB / FRAME_BYTES + 1), machine_free_frames());
    void *small = kmalloc(16); /* does not settle in what is left of the last frame */
    assert_int_equal(3 * MIB + FRAME_BYTES - 2 * HEADER, kmalloc_size(big));
    memset(big, 0x77, kmalloc_size(big));
    assert_true(heap_validate());
    kfree(big);
    assert_int_equal(before, machine_free_frames());
    kfree(small);
}

static void one_empty_run_is_kept_and_the_others_go_back(void **state)
{
    (void)state;
    void *blocks[64];
    uint64_t before = machine_free_frames();
    for (size_t i = 0; i < COUNT(blocks); i++)
        blocks[i] = kmalloc(100 * KIB); /* two to a run */
    assert_true(before - machine_free_frames() >= 30 * RESERVE_FRAMES);
    for (size_t i = 0; i < COUNT(blocks); i++)
        kfree(blocks[i]);
    assert_int_equal(before, machine_free_frames());
}

static void the_list_of_runs_grows_with_the_heap(void **state)
{
    (void)state;
    machine_stop();
    machine_start_simple(128 * MIB);
    frames_at_start = machine_free_frames();
    assert_int_equal(MM_OK, heap_init());
    unsigned char *blocks[400]; /* 256 runs fill the first frame of the list */
    for (size_t i = 0; i < COUNT(blocks); i++) {
        blocks[i] = kmalloc(CONFIG_HEAP_GROW_BYTES - 4 * HEADER);
        fill(blocks[i], 100, (unsigned)i);
    }
    assert_true(heap_validate());
    for (size_t i = 0; i < COUNT(blocks); i++) {
        size_t victim = i * 37 % COUNT(blocks);
        expect_fill(blocks[victim], 100, (unsigned)victim);
        kfree(blocks[victim]);
    }
    assert_true(heap_validate());
}

static void a_block_that_comes_and_goes_does_not_touch_the_pmm(void **state)
{
    (void)state;
    machine_fail_allocation(1); /* would be noticed */
    for (int i = 0; i < 100; i++) {
        void *p = kmalloc(100 * KIB);
        assert_non_null(p);
        kfree(p);
    }
    assert_false(machine_failed());
}

/* --- Misuse --------------------------------------------------------------- */

static void bad_pointer(void *p, const char *words)
{
    uint64_t used = used_bytes(), frames = machine_free_frames();
    kfree(p);
    assert_misuse(words);
    assert_null(krealloc(p, 100));
    assert_misuse(words);
    assert_int_equal(0, kmalloc_size(p));
    assert_misuse(words);
    assert_int_equal(used, used_bytes());
    assert_int_equal(frames, machine_free_frames());
}

static void double_frees_are_caught(void **state)
{
    (void)state;
    void *a = kmalloc(100), *b = kmalloc(100), *c = kmalloc(100);
    kfree(b);
    bad_pointer(b, "double free");
    kfree(a); /* b's header is inside a free block now */
    bad_pointer(b, "not the start of a live block");
    bad_pointer(a, "double free");
    kfree(c);
    assert_true(heap_validate());
}

static void foreign_pointers_are_caught_before_they_are_read(void **state)
{
    (void)state;
    int on_stack;
    void *p = kmalloc(64);
    bad_pointer((void *)16, "not from this heap"); /* reading in front of it would crash */
    bad_pointer((void *)(uintptr_t)(hhdm.base.v + 16), "not from this heap");
    bad_pointer((void *)UINTPTR_MAX, "not from this heap");
    bad_pointer(&on_stack, "not from this heap");
    paddr_t frame;
    assert_int_equal(MM_OK, pmm_alloc_frame(&frame));
    bad_pointer(phys_to_virt(frame), "not from this heap");
    assert_int_equal(MM_OK, pmm_free_frame(frame));
    void *big = kmalloc(MIB);
    kfree(big);
    bad_pointer(big, "not from this heap"); /* its run is gone */
    kfree(p);
    assert_true(heap_validate());
}

static void interior_pointers_are_caught(void **state)
{
    (void)state;
    unsigned char *p = kmalloc(256);
    memset(p, 0, 256);
    bad_pointer(p + 1, "not the start of a block");
    bad_pointer(p - 8, "not the start of a block");
    bad_pointer(p + 16, "not the start of a live block");
    bad_pointer(p + 128, "not the start of a live block");
    memcpy(p + 64, p - HEADER, HEADER); /* not even a copy of a header passes elsewhere */
    bad_pointer(p + 64 + HEADER, "not the start of a live block");
    kfree(p);
    /* The first and the last address of the run. */
    unsigned char *run = (unsigned char *)((uintptr_t)p & ~(FRAME_BYTES - 1));
    bad_pointer(run, "not the start of a block");
    bad_pointer(run + CONFIG_HEAP_GROW_BYTES, "not from this heap");
    bad_pointer(run + CONFIG_HEAP_GROW_BYTES - HEADER, "not from this heap");
}

static void damaged_headers_are_caught(void **state)
{
    (void)state;
    unsigned char *a = kmalloc(64), *b = kmalloc(64), *c = kmalloc(64);
    for (int i = 1; i <= HEADER; i++) {
        b[-i] ^= 0x10;
        bad_pointer(b, "overwritten");
        bad_pointer(a, "overrun"); /* the neighbours notice, too */
        bad_pointer(c, "in front");
        assert_false(heap_validate());
        b[-i] ^= 0x10;
        assert_true(heap_validate());
    }
    kfree(a);
    kfree(b);
    kfree(c);
}

static void an_overrun_is_found_when_the_block_is_freed(void **state)
{
    (void)state;
    unsigned char *p = kmalloc(40), *next = kmalloc(40);
    unsigned char saved = p[48]; /* 40 bytes are rounded up to 48 */
    p[48] = (unsigned char)(saved + 1);
    kfree(p);
    assert_misuse("overrun");
    p[48] = saved;
    kfree(p);
    kfree(next);
}

/* The list of free blocks is checked before it is followed. The panic leaves the heap locked, so it
 * happens in a process of its own. */
static void writing_to_a_freed_block_panics_at_the_latest_when_it_is_reused(void **state)
{
    (void)state;
    unsigned char *p = kmalloc(64), *between = kmalloc(16), *q = kmalloc(64), *behind = kmalloc(16);
    kfree(p);
    kfree(q); /* now in front of p in their bin */
    pid_t child = fork();
    if (child == 0) {
        close(STDERR_FILENO);
        memset(p, 0, 64);
        kfree(kmalloc(64));
        _exit(0);
    }
    int status;
    assert_int_equal(child, waitpid(child, &status, 0));
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    kfree(between);
    kfree(behind);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(init_takes_one_growth_and_reports_when_it_cannot),
        TEST(a_small_growth_is_taken_when_memory_is_short),
        TEST(blocks_are_aligned_usable_and_apart),
        TEST(empty_blocks_are_unique),
        TEST(freed_neighbours_become_one_block),
        TEST(zeroed_memory_is_zeroed_and_its_size_is_checked),
        TEST(absurd_sizes_fail),
        TEST(alignments_up_to_a_mebibyte_are_honoured),
        TEST(exhaustion_returns_null_and_is_logged_once),
        TEST(resizing_keeps_the_contents),
        TEST(growing_into_a_free_neighbour_does_not_move),
        TEST(shrinking_gives_the_rest_back),
        TEST(a_failed_resize_leaves_the_block),
        TEST(big_blocks_have_runs_of_their_own_that_go_back_at_once),
        TEST(one_empty_run_is_kept_and_the_others_go_back),
        TEST(the_list_of_runs_grows_with_the_heap),
        TEST(a_block_that_comes_and_goes_does_not_touch_the_pmm),
        TEST(double_frees_are_caught),
        TEST(foreign_pointers_are_caught_before_they_are_read),
        TEST(interior_pointers_are_caught),
        TEST(damaged_headers_are_caught),
        TEST(an_overrun_is_found_when_the_block_is_freed),
        TEST(writing_to_a_freed_block_panics_at_the_latest_when_it_is_reused),
    };
    return cmocka_run_group_tests_name("heap", tests, NULL, NULL);
}
