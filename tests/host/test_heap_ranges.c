/* Virtual ranges of the heap: those of the kernel, over the vmm, in the simulated tables, and those of a
 * Linux process, in its own. */
#include <signal.h>
#include <sys/wait.h>

#include "vmm_rig.h"

/* The kernel's are not linked into programs of Linux: here they are, under other names. */
#define ranges_alloc       kernel_alloc
#define ranges_free        kernel_free
#define ranges_resize      kernel_resize
#define ranges_find_object kernel_find
#define ranges_next_object kernel_next
#include "../../mm/heap/ranges.c"
#undef ranges_alloc
#undef ranges_free
#undef ranges_resize
#undef ranges_find_object
#undef ranges_next_object
#undef QL_MM_HEAP_RANGES_H
#include "../../host/ranges.h"

static int start(void **state)
{
    (void)state;
    start_machine(4, 64 * MIB);
    return 0;
}

static int start_5_levels(void **state)
{
    (void)state;
    start_machine(5, 64 * MIB);
    return 0;
}

/* --- The kernel's ----------------------------------------------------------------- */

static uint64_t number(const void *p)
{
    return (uint64_t)(uintptr_t)p;
}

/* Every page says which it is. */
static void write_pages(uint64_t va, uint64_t from, uint64_t npages)
{
    for (uint64_t i = from; i < npages; i++)
        write_at(KERNEL, va + i * PAGE_BYTES, 1000 + i);
}

static void expect_pages(uint64_t va, uint64_t from, uint64_t npages)
{
    for (uint64_t i = from; i < npages; i++)
        assert_int_equal(1000 + i, read_at(KERNEL, va + i * PAGE_BYTES));
}

static void expect_zeros(uint64_t va, uint64_t from, uint64_t npages)
{
    for (uint64_t i = from; i < npages; i++)
        assert_int_equal(0, read_at(KERNEL, va + i * PAGE_BYTES));
}

static void expect_found(const void *p, const void *base, uint64_t npages)
{
    void *found;
    uint64_t n;
    assert_true(kernel_find(p, &found, &n));
    assert_ptr_equal(base, found);
    assert_int_equal(npages, n);
}

static void a_range_is_zeroed_between_guards_and_found(void **state)
{
    (void)state;
    void *found;
    uint64_t n, value = 1;
    char *a = kernel_alloc(RANGES_OBJECT, 300, 1), *b = kernel_alloc("heap samples", 3, 1);
    expect_zeros(number(a), 0, 300);
    assert_int_equal(VMM_GUARD_HIT, touch(KERNEL, number(a) - 1, VMM_READ, &value));
    assert_int_equal(VMM_GUARD_HIT, touch(KERNEL, number(a) + 300 * PAGE_BYTES, VMM_WRITE, &value));
    expect_found(a, a, 300);
    expect_found(a + 300 * PAGE_BYTES - 1, a, 300);
    assert_false(kernel_find(a - 1, &found, &n));
    assert_false(kernel_find(a + 300 * PAGE_BYTES, &found, &n));
    assert_false(kernel_find(b, &found, &n)); /* no object */
    assert_false(kernel_find(&n, &found, &n));
    assert_false(kernel_find(NULL, &found, &n));
    kernel_free(a, 300);
    assert_false(kernel_find(a, &found, &n));
    kernel_free(b, 3);
}

static void ranges_are_aligned(void **state)
{
    (void)state;
    for (uint64_t align = 1; align <= GIB / PAGE_BYTES; align *= 2) {
        void *p = kernel_alloc(RANGES_OBJECT, 257, align);
        assert_int_equal(0, number(p) % (align * PAGE_BYTES));
        kernel_free(p, 257);
    }
}

static void a_range_grows_and_shrinks_with_its_contents(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {256,  257,  400,  511,  512,  513,  700, 1024, 1500, 2100,
                                     3000, 2999, 2048, 1700, 1025, 1024, 513, 512,  511,  256};
    uint64_t before = used_frames(), had = sizes[0];
    void *p = kernel_alloc(RANGES_OBJECT, had, 1);
    write_pages(number(p), 0, had);
    for (size_t i = 1; i < COUNT(sizes); i++) {
        uint64_t now = sizes[i], old = number(p);
        p = kernel_resize(p, had, now);
        assert_non_null(p);
        expect_pages(number(p), 0, now < had ? now : had);
        expect_zeros(number(p), had, now);
        expect_found((char *)p + now * PAGE_BYTES - 1, p, now);
        uint64_t value;
        if (number(p) != old)
            assert_int_not_equal(VMM_RESOLVED, touch(KERNEL, old, VMM_READ, &value));
        write_pages(number(p), 0, now);
        assert_int_equal(VMM_GUARD_HIT, touch(KERNEL, number(p) - 1, VMM_READ, &value));
        assert_int_not_equal(VMM_RESOLVED,
                             touch(KERNEL, number(p) + now * PAGE_BYTES, VMM_READ, &value));
        check_everything();
        had = now;
    }
    kernel_free(p, had);
    assert_int_equal(before, used_frames());
}

static void large_pages_stay_large_when_a_range_moves(void **state)
{
    (void)state;
    void *p = kernel_alloc(RANGES_OBJECT, 1024, 1);
    p = kernel_resize(p, 1024, 1536);
    assert_int_equal(HUGE_2M, run_from(KERNEL, number(p)).page_bytes);
    assert_int_equal(HUGE_2M, run_from(KERNEL, number(p) + 2 * HUGE_2M).page_bytes);
    kernel_free(p, 1536);
}

static void a_range_that_cannot_be_resized_stays(void **state)
{
    (void)state;
    unsigned failed = 0;
    static const uint64_t to[] = {100, 511, 600, 1500, 4000};
    void *p = kernel_alloc(RANGES_OBJECT, 1100, 1);
    write_pages(number(p), 0, 1100);
    for (size_t i = 0; i < COUNT(to); i++) {
        for (unsigned k = 1;; k++) {
            uint64_t before = used_frames(), seen = dump(KERNEL, false);
            machine_fail_allocation(k);
            void *moved = kernel_resize(p, 1100, to[i]);
            bool hit = machine_failed();
            failed += hit && moved == NULL;
            if (moved != NULL) {
                expect_pages(number(moved), 0, to[i] < 1100 ? to[i] : 1100);
                kernel_free(moved, to[i]);
                p = kernel_alloc(RANGES_OBJECT, 1100, 1);
                write_pages(number(p), 0, 1100);
            } else {
                assert_true(hit);
                assert_int_equal(before, used_frames());
                assert_int_equal(seen, dump(KERNEL, false));
                expect_pages(number(p), 0, 1100);
            }
            check_everything();
            if (!hit)
                break;
        }
    }
    assert_true(failed > 20);
    assert_null(kernel_resize(p, 1100, 64 * MIB / PAGE_BYTES)); /* more than there is */
    expect_pages(number(p), 0, 1100);
    kernel_free(p, 1100);
}

static void what_is_no_such_range_is_not_resized(void **state)
{
    (void)state;
    vaddr_t out;
    uint64_t lazy = alloc_pages(KERNEL, 20, VMM_LAZY), now = alloc_pages(KERNEL, 20, VMM_NOW);
    assert_int_equal(MM_DENIED, vmm_resize(VA(lazy), 30, &out));
    assert_int_equal(MM_NOTFOUND, vmm_resize(VA(now + PAGE_BYTES), 30, &out));
    assert_int_equal(MM_NOTFOUND, vmm_resize(VA(now - PAGE_BYTES), 30, &out));
    assert_int_equal(MM_NOTFOUND, vmm_resize(VA(0), 30, &out));
    assert_int_equal(MM_INVAL, vmm_resize(VA(now), 0, &out));
    assert_int_equal(MM_OK, vmm_resize(VA(now), 20, &out));
    assert_int_equal(now, out.v);
}

static void every_failing_allocation_of_a_range_leaves_nothing(void **state)
{
    (void)state;
    for (unsigned k = 1;; k++) {
        uint64_t before = used_frames();
        machine_fail_allocation(k);
        void *p = kernel_alloc(RANGES_OBJECT, 600, 1);
        bool hit = machine_failed();
        assert_true(hit || p != NULL);
        if (p != NULL)
            kernel_free(p, 600);
        assert_int_equal(before, used_frames());
        if (!hit) {
            assert_true(k > 4);
            break;
        }
    }
}

/* --- Those of a Linux process ----------------------------------------------------------- */

static int stop_linux(void **state)
{
    (void)state;
    ranges_forget();
    return 0;
}

static bool dies(const char *p)
{
    pid_t child = fork();
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL);
        _exit(*(const volatile char *)p == 0);
    }
    int status;
    assert_int_equal(child, waitpid(child, &status, 0));
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
}

static void expect_linux(const char *p, const char *base, uint64_t npages)
{
    void *found;
    uint64_t n;
    assert_true(ranges_find_object(p, &found, &n));
    assert_ptr_equal(base, found);
    assert_int_equal(npages, n);
}

static bool linux_finds(const char *p)
{
    void *found;
    uint64_t n;
    return ranges_find_object(p, &found, &n);
}

static void ranges_of_linux_have_guards_and_are_found(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {1,   2,   255, 256,  257,
                                     511, 512, 513, 5000, 3 * GIB / PAGE_BYTES};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        uint64_t bytes = sizes[i] * PAGE_BYTES;
        char *p = ranges_alloc(RANGES_OBJECT, sizes[i], 1);
        assert_non_null(p);
        assert_true(p[0] == 0 && p[bytes - 1] == 0);
        p[0] = p[bytes - 1] = 1;
        expect_linux(p, p, sizes[i]);
        expect_linux(p + bytes / 2, p, sizes[i]);
        expect_linux(p + bytes - 1, p, sizes[i]);
        assert_false(linux_finds(p - 1));
        assert_false(linux_finds(p + bytes));
        assert_true(dies(p - 1));
        assert_true(dies(p + bytes));
        ranges_free(p, sizes[i]);
        assert_false(linux_finds(p));
        assert_false(linux_finds(p + bytes - 1));
        assert_true(dies(p));
    }
    char *p = ranges_alloc("heap samples", 10, 1);
    assert_false(linux_finds(p));
    assert_false(linux_finds((char *)UINTPTR_MAX) || linux_finds(NULL));
    assert_null(ranges_alloc(RANGES_OBJECT, UINT64_MAX, 1));
    assert_null(ranges_alloc(RANGES_OBJECT, 1ull << 40, 1));
}

/* Many at a time, of all sizes, against a table. */
static void random_ranges_of_linux_keep_their_contents(void **state)
{
    (void)state;
    struct rng rng = rng_start();
    struct slot {
        unsigned char *p;
        uint64_t npages;
        unsigned char tag;
    } slots[40] = {{0}};
    for (unsigned step = 0; step < 4000; step++) {
        struct slot *s = &slots[rng_below(&rng, COUNT(slots))];
        uint64_t npages = rng_size(&rng, 3000), most, had = s->npages;
        if (s->p == NULL) {
            uint64_t align = 1ull << rng_below(&rng, 12);
            s->p = ranges_alloc(RANGES_OBJECT, npages, align);
            assert_int_equal(0, (uintptr_t)s->p % (align * PAGE_BYTES));
            assert_true(s->p[0] == 0 && s->p[npages * PAGE_BYTES - 1] == 0);
        } else if (rng_below(&rng, 2) == 0) {
            s->p = ranges_resize(s->p, had, npages);
            assert_non_null(s->p);
            most = npages < had ? npages : had;
            for (uint64_t i = 0; i < most; i++)
                assert_int_equal(s->tag, s->p[i * PAGE_BYTES + i % PAGE_BYTES]);
            for (uint64_t i = most; i < npages; i++)
                assert_int_equal(0, s->p[i * PAGE_BYTES + i % PAGE_BYTES]);
        } else {
            expect_linux((char *)s->p + rng_below(&rng, had * PAGE_BYTES), (char *)s->p, had);
            ranges_free(s->p, had);
            *s = (struct slot){0};
            continue;
        }
        s->npages = npages;
        s->tag = (unsigned char)(1 + step % 255);
        for (uint64_t i = 0; i < npages; i++)
            s->p[i * PAGE_BYTES + i % PAGE_BYTES] = s->tag;
        expect_linux((char *)s->p + rng_below(&rng, npages * PAGE_BYTES), (char *)s->p, npages);
        assert_false(linux_finds((char *)s->p + npages * PAGE_BYTES));
        assert_false(linux_finds((char *)s->p - 1));
    }
}

#define TEST(name)       TEST_ON_4_AND_5_LEVELS(name, start, stop)
#define TEST_LINUX(name) cmocka_unit_test_teardown(name, stop_linux)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_range_is_zeroed_between_guards_and_found),
        TEST(ranges_are_aligned),
        TEST(a_range_grows_and_shrinks_with_its_contents),
        TEST(large_pages_stay_large_when_a_range_moves),
        TEST(a_range_that_cannot_be_resized_stays),
        TEST(what_is_no_such_range_is_not_resized),
        TEST(every_failing_allocation_of_a_range_leaves_nothing),
        TEST_LINUX(ranges_of_linux_have_guards_and_are_found),
        TEST_LINUX(random_ranges_of_linux_keep_their_contents),
    };
    return cmocka_run_group_tests_name("ranges of the heap", tests, NULL, NULL);
}
