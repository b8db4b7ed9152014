/* The sampler: where its objects lie, that what is beside them and what is freed cannot be touched,
 * and what it says about who does so. Its pages are real ones of this process. */
#include <setjmp.h>
#include <signal.h>

#include "config.h"
#include "../../mm/heap/sample.h"
#include "machine.h"
#include "test.h"

static int start(void **state)
{
    (void)state;
    machine_start_simple(8 * MIB);
    sample_init();
    return 0;
}

static int stop(void **state)
{
    (void)state;
    struct sample_stats stats;
    sample_get_stats(&stats);
    assert_int_equal(0, stats.live);
    machine_stop();
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

/* --- Faults ------------------------------------------------------------------------------ */

static sigjmp_buf behind_fault;

static void on_fault(int number)
{
    (void)number;
    siglongjmp(behind_fault, 1);
}

/* Without the sanitizer's eyes: it would look at the address first. */
__attribute__((no_sanitize("address"))) static bool can_touch(volatile unsigned char *p, bool write)
{
    struct sigaction action = {.sa_handler = on_fault}, old;
    sigaction(SIGSEGV, &action, &old);
    bool done = sigsetjmp(behind_fault, 1) == 0;
    if (done) {
        unsigned char byte = *p;
        if (write)
            *p = byte;
    }
    sigaction(SIGSEGV, &old, NULL);
    return done;
}

static void assert_explained(const void *p, const char *words)
{
    char text[256] = "";
    assert_true(heap_explain(p, text, sizeof text));
    if (strstr(text, words) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", words, text);
}

/* --- Pages that fail ------------------------------------------------------------------------ */

static bool refuse_open, refuse_close;

bool __real_sample_page_open(void *page);
bool __wrap_sample_page_open(void *page);
bool __wrap_sample_page_open(void *page)
{
    return !refuse_open && __real_sample_page_open(page);
}

bool __real_sample_page_close(void *page);
bool __wrap_sample_page_close(void *page);
bool __wrap_sample_page_close(void *page)
{
    return !refuse_close && __real_sample_page_close(page);
}

/* --- Tests -------------------------------------------------------------------------------- */

static void objects_lie_against_the_end_and_the_start_in_turn(void **state)
{
    (void)state;
    for (size_t bytes = 1; bytes <= PAGE_BYTES; bytes += 1 + bytes / 7) {
        unsigned char *p = sample_alloc(bytes, 0), *q = sample_alloc(bytes, 0);
        assert_non_null(p);
        assert_non_null(q);
        assert_int_equal(0, (uintptr_t)p % HEAP_ALIGN);
        size_t left = (PAGE_BYTES - (uintptr_t)p % PAGE_BYTES) % PAGE_BYTES;
        if ((bytes & (bytes - 1)) == 0)
            assert_int_equal(0, (uintptr_t)p % bytes);
        assert_in_range(left == 0 ? PAGE_BYTES : left, bytes, bytes + HEAP_ALIGN - 1);
        assert_int_equal(0, (uintptr_t)q % PAGE_BYTES);
        memset(p, 1, bytes);
        memset(q, 2, bytes);
        assert_int_equal(bytes, sample_size(p));
        assert_true(sample_free(p) && sample_free(q));
    }
    assert_null(sample_alloc(0, 0));
    assert_null(sample_alloc(PAGE_BYTES + 1, 0));
    assert_null(sample_alloc(1, 2 * PAGE_BYTES));
}

static void alignments_are_honoured(void **state)
{
    (void)state;
    for (size_t align = 1; align <= PAGE_BYTES; align *= 2)
        for (unsigned i = 0; i < 4; i++) {
            unsigned char *p = sample_alloc(24, align);
            assert_int_equal(0, (uintptr_t)p % align);
            memset(p, 1, 24);
            assert_true(sample_free(p));
        }
}

static void what_is_beside_an_object_cannot_be_touched(void **state)
{
    (void)state;
    unsigned char *at_end = sample_alloc(64, 0), *at_start = sample_alloc(64, 0);
    assert_true(can_touch(at_end, true) && can_touch(at_end + 63, true));
    assert_false(can_touch(at_end + 64, false));
    assert_explained(at_end + 64, "out of bounds, 1 bytes behind its end: an object of 64 bytes");
    assert_false(can_touch(at_start - 1, true));
    assert_explained(at_start - 1,
                     "out of bounds, 1 bytes in front of its start: an object of 64 bytes");
    sample_free(at_end);
    sample_free(at_start);
}

static void what_is_freed_cannot_be_touched(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        unsigned char *p = sample_alloc(64, 0);
        assert_explained(p + 3, "access, 3 bytes behind its start: an object of 64 bytes");
        sample_free(p);
        assert_false(can_touch(p + 3, false));
        assert_false(can_touch(p + 3, true));
        assert_explained(p + 3,
                         "use after free, 3 bytes behind its start: a freed object of 64 bytes");
    }
}

static void it_is_known_who_allocated_and_freed(void **state)
{
    (void)state;
    struct heap_origin origin;
    unsigned char *p = sample_alloc(100, 0);
    assert_int_equal(MM_OK, sample_find(p + 99, &origin));
    assert_ptr_equal(p, origin.object);
    assert_int_equal(100, origin.bytes);
    assert_true(origin.live && origin.sampled);
    assert_int_equal(0, origin.freed.count);
    uint64_t here = (uint64_t)(uintptr_t)it_is_known_who_allocated_and_freed;
    assert_true(origin.allocated.count > 0);
    assert_in_range(origin.allocated.callers[0], here, here + 4096);
    sample_free(p);
    assert_int_equal(MM_OK, sample_find(p + 99, &origin));
    assert_false(origin.live);
    assert_in_range(origin.freed.callers[0], here, here + 4096);
    assert_int_equal(MM_NOTFOUND, sample_find(&origin, &origin));
}

static void a_write_beside_an_object_on_its_page_is_seen_when_it_is_freed(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) { /* at the end, where 3 bytes are left; at the start */
        unsigned char *p = sample_alloc(61, 0);
        p[61] ^= 1;
        sample_free(p);
        assert_misuse("write out of bounds");
        p = sample_alloc(61, 0);
        *(i == 0 ? p + PAGE_BYTES - 1 : p - 1) ^= 0x80;
        sample_free(p);
        assert_misuse("an object of 61 bytes");
        if (i == 0)
            assert_true(sample_free(sample_alloc(1, 0)));
    }
}

static void misuse_is_told_and_changes_nothing(void **state)
{
    (void)state;
    unsigned char *p = sample_alloc(64, 0), other;
    assert_true(sample_free(p + 16));
    assert_misuse("is not the start of an object of 64 bytes");
    assert_int_equal(0, sample_size(p + 1));
    assert_misuse("is not the start");
    assert_true(sample_free(p + 64)); /* in the guard page */
    assert_misuse("is not the start");
    assert_true(sample_free_sized(p, 63));
    assert_misuse("is freed with a wrong size: an object of 64 bytes");
    assert_false(sample_free(&other));
    assert_false(sample_owns(&other));
    assert_int_equal(64, sample_size(p));
    assert_true(sample_free(p));
    assert_true(sample_free(p));
    assert_misuse("is freed already (a double free): a freed object of 64 bytes");
    assert_int_equal(0, sample_size(p));
    assert_misuse("double free");
}

static void the_page_freed_longest_ago_is_used_again_first(void **state)
{
    (void)state;
    void *pages[CONFIG_HEAP_SAMPLES];
    for (unsigned i = 0; i < CONFIG_HEAP_SAMPLES; i++)
        sample_free(pages[i] = sample_alloc(PAGE_BYTES, 0));
    for (unsigned i = 0; i < CONFIG_HEAP_SAMPLES; i++)
        for (unsigned j = 0; j < i; j++)
            assert_ptr_not_equal(pages[i], pages[j]);
    for (unsigned i = 0; i < CONFIG_HEAP_SAMPLES; i++) {
        void *p = sample_alloc(PAGE_BYTES, 0);
        assert_ptr_equal(pages[i], p);
        sample_free(p);
    }
}

/* Another place in the code, so another stack. */
__attribute__((noinline)) static void *alloc_elsewhere(void)
{
    void *p = sample_alloc(16, 0);
    __asm__ volatile("" ::: "memory");
    return p;
}

static bool count(const struct heap_origin *sample, void *argument)
{
    assert_int_equal(16, sample->bytes);
    ++*(unsigned *)argument;
    return true;
}

static void objects_that_stay_leave_room_for_others(void **state)
{
    (void)state;
    void *kept[CONFIG_HEAP_SAMPLES];
    unsigned n = 0, seen = 0;
    for (void *p; (p = sample_alloc(16, 0)) != NULL;)
        kept[n++] = p;
    assert_int_equal(CONFIG_HEAP_SAMPLES - CONFIG_HEAP_SAMPLES / 4, n);
    void *other = alloc_elsewhere();
    assert_non_null(other);
    assert_true(sample_walk(count, &seen));
    assert_int_equal(n + 1, seen);
    struct sample_stats stats;
    sample_get_stats(&stats);
    assert_int_equal(n + 1, stats.live);
    assert_int_equal(n + 1, stats.samples);
    sample_free(other);
    while (n > 0)
        sample_free(kept[--n]);
}

static void without_memory_there_is_no_sample(void **state)
{
    (void)state;
    refuse_open = true;
    for (unsigned i = 0; i < 2 * CONFIG_HEAP_SAMPLES; i++)
        assert_null(sample_alloc(16, 0));
    refuse_open = false;
    void *p = sample_alloc(16, 0);
    assert_non_null(p);
    sample_free(p);
}

/* As where interrupts are off. */
static void a_page_that_cannot_be_closed_is_closed_by_the_next_one(void **state)
{
    (void)state;
    unsigned char *p = sample_alloc(64, 0), *q = sample_alloc(64, 0);
    refuse_close = true;
    sample_free(p);
    sample_free(q);
    assert_true(can_touch(p, false));
    sample_free(p);
    assert_misuse("double free");
    q[5] = 1;
    refuse_close = false;
    void *next = sample_alloc(64, 0);
    assert_misuse("write after free, to a freed object of 64 bytes");
    assert_ptr_not_equal(p, next);
    assert_false(can_touch(p, false) || can_touch(q, true));
    sample_free(next);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(objects_lie_against_the_end_and_the_start_in_turn),
        TEST(alignments_are_honoured),
        TEST(what_is_beside_an_object_cannot_be_touched),
        TEST(what_is_freed_cannot_be_touched),
        TEST(it_is_known_who_allocated_and_freed),
        TEST(a_write_beside_an_object_on_its_page_is_seen_when_it_is_freed),
        TEST(misuse_is_told_and_changes_nothing),
        TEST(the_page_freed_longest_ago_is_used_again_first),
        TEST(objects_that_stay_leave_room_for_others),
        TEST(without_memory_there_is_no_sample),
        TEST(a_page_that_cannot_be_closed_is_closed_by_the_next_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
