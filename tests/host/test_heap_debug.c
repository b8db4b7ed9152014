/* The heap of a debug build: what it sees, what it says, and that all of it can be had at each level. Built
 * with QL_DEBUG_MEMORY whatever the rest is. */
#include "config.h"
#include "machine.h"
#include "mm/heap.h"
#include "mm/heap_debug.h"
#include "mm/heap_stats.h"
#include "mm/pmm.h"
#include "test.h"

static int start(void **state)
{
    (void)state;
    machine_start_simple(32 * MIB);
    assert_int_equal(MM_OK, heap_init());
    struct heap_tuning tuning;
    heap_get_tuning(&tuning);
    tuning.debug_level = CONFIG_HEAP_DEBUG_LEVEL; /* what the test before has changed */
    tuning.sample_rate = 0;
    assert_int_equal(MM_OK, heap_tune(&tuning));
    return 0;
}

static bool forget(const struct heap_leak *leak, void *argument)
{
    (void)leak;
    *(uint64_t *)argument += leak->objects;
    return true;
}

static uint64_t live_since(uint64_t mark)
{
    uint64_t objects = 0;
    assert_int_equal(MM_OK, heap_visit_leaks(mark, forget, &objects));
    return objects;
}

static void set_level(unsigned level)
{
    struct heap_tuning tuning;
    heap_get_tuning(&tuning);
    tuning.debug_level = level;
    assert_int_equal(MM_OK, heap_tune(&tuning));
}

static int stop(void **state)
{
    (void)state;
    assert_int_equal(0, live_since(0));
    (void)heap_drain_delayed();
    assert_int_equal(0, heap_check_zones());
    assert_true(heap_validate());
    struct heap_totals totals;
    heap_get_totals(&totals);
    assert_int_equal(0, totals.all.live);
    machine_stop();
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

/* --- Damage --------------------------------------------------------------------------------- */

static void every_byte_beside_an_object_is_watched(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 15, 16, 61, 64, 100, 1000, 4096, 5000, 40000, 100000};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        for (ptrdiff_t offset = -32; offset < 32; offset++) {
            uint8_t *p = kmalloc(sizes[i]);
            assert_non_null(p);
            memset(p, 1, sizes[i]);
            uint8_t *victim = p + offset + (offset >= 0 ? (ptrdiff_t)sizes[i] : 0);
            assert_int_equal(0, heap_check_zones());
            *victim ^= 1;
            assert_int_equal(1, heap_check_zones());
            kfree(p);
            assert_misuse("write out of bounds");
            char words[64];
            snprintf(words, sizeof words, "%ld bytes %s an object of %zu bytes",
                     offset < 0 ? -offset : offset + 1,
                     offset < 0 ? "in front of" : "behind the end of", sizes[i]);
            assert_message(words);
            *victim ^= 1; /* or it is found again when it is used again */
        }
        (void)heap_drain_delayed();
    }
}

static void a_write_after_free_is_found_before_the_memory_is_used_again(void **state)
{
    (void)state;
    for (size_t bytes = 1; bytes < 100000; bytes = bytes * 3 + 1) {
        uint8_t *p = kmalloc(bytes);
        kfree(p);
        p[bytes / 2] ^= 0x10;
        assert_int_equal(1, heap_check_zones());
        assert_int_equal(1, heap_drain_delayed());
        assert_misuse("write after free");
        assert_message("a freed object of");
        assert_message("freed by");
    }
}

static void new_memory_is_poisoned_and_freed_memory_too(void **state)
{
    (void)state;
    uint8_t *p = kmalloc(300), old[300];
    for (size_t i = 0; i < 300; i++)
        assert_int_equal(p[0], p[i]);
    assert_int_not_equal(0, p[0]);
    memcpy(old, p, sizeof old);
    kfree(p);
    for (size_t i = 0; i < 300; i++) {
        assert_int_equal(p[0], p[i]);
        assert_int_not_equal(old[i], p[i]);
    }
    p = kcalloc(3, 100);
    for (size_t i = 0; i < 300; i++)
        assert_int_equal(0, p[i]);
    kfree(p);
    const struct heap_want want = {.flags = HEAP_ZERO, .align = 256};
    p = kmalloc_want(300, &want);
    assert_int_equal(0, (uintptr_t)p % 256);
    for (size_t i = 0; i < 300; i++)
        assert_int_equal(0, p[i]);
    kfree(p);
}

static void at_level_3_damage_is_found_while_others_allocate(void **state)
{
    (void)state;
    set_level(3);
    uint8_t *p = kmalloc(64);
    p[64] ^= 1;
    for (unsigned i = 0; i < 1024; i++)
        kfree(kmalloc(16));
    assert_misuse("damaged");
    p[64] ^= 1;
    kfree(p);
}

/* --- Misuse ----------------------------------------------------------------------------------- */

static void misuse_names_object_and_callers_and_changes_nothing(void **state)
{
    (void)state;
    uint8_t *p = kmalloc(64), *run = kmalloc(100000), *aligned = kaligned_alloc(4096, 8192);
    memset(p, 7, 64);
    for (ptrdiff_t offset = -64; offset < 80; offset++)
        if (offset != 0) {
            kfree(p + offset);
            assert_misuse("an object of 64 bytes, allocated by ");
            assert_message("is not the start of");
            assert_null(krealloc(p + offset, 10));
            assert_misuse("krealloc");
            assert_int_equal(0, kmalloc_size(p + offset));
            assert_misuse("kmalloc_size");
        }
    kfree(run + 4096);
    assert_misuse("an object of 100000 bytes");
    kfree(aligned - 4096);
    assert_misuse("an object of 8192 bytes");
    kfree_sized(p, 63);
    assert_misuse("is freed with a wrong size: an object of 64 bytes");
    kfree(&state);
    assert_misuse("not from this heap");
    for (unsigned i = 0; i < 64; i++)
        assert_int_equal(7, p[i]);
    kfree_sized(p, 64);
    kfree(run);
    kfree(aligned);
    kfree(p);
    assert_misuse("is freed already (a double free): a freed object of 64 bytes, allocated by ");
    assert_message("freed by ");
    assert_message("class 192"); /* with its zones */
}

static void it_is_known_what_an_address_is(void **state)
{
    (void)state;
    struct heap_origin origin;
    char words[256];
    uint8_t *p = kmalloc(64);
    assert_int_equal(MM_OK, heap_get_origin(p + 63, &origin));
    assert_ptr_equal(p, origin.object);
    assert_int_equal(64, origin.bytes);
    assert_true(origin.live && !origin.sampled);
    assert_true(origin.allocated.count > 0);
    uint64_t here = (uint64_t)(uintptr_t)it_is_known_what_an_address_is;
    assert_in_range(origin.allocated.callers[0], here, here + 4096);
    kfree(p);
    assert_true(heap_explain(p + 1, words, sizeof words));
    assert_non_null(strstr(words, "use after free, 1 bytes behind its start"));
    assert_int_equal(MM_NOTFOUND, heap_get_origin(&origin, &origin));
}

/* --- Delay ------------------------------------------------------------------------------------- */

static void freed_memory_is_not_used_again_for_a_while(void **state)
{
    (void)state;
    void *p = kmalloc(64);
    kfree(p);
    for (unsigned i = 0; i < 1000; i++) {
        void *q = kmalloc(64);
        assert_ptr_not_equal(p, q);
        kfree(q);
    }
    assert_int_equal(1001, heap_drain_delayed());
    assert_int_equal(0, heap_drain_delayed());
}

static void what_is_delayed_has_a_limit(void **state)
{
    (void)state;
    uint64_t before = machine_free_frames();
    for (unsigned i = 0; i < 20000; i++)
        kfree(kmalloc(1000));
    assert_in_range((before - machine_free_frames()) * FRAME_BYTES, CONFIG_HEAP_DELAY_BYTES / 2,
                    CONFIG_HEAP_DELAY_BYTES * 2);
    kfree(kmalloc(CONFIG_HEAP_DELAY_BYTES)); /* too large for it */
    assert_in_range((before - machine_free_frames()) * FRAME_BYTES, CONFIG_HEAP_DELAY_BYTES / 2,
                    CONFIG_HEAP_DELAY_BYTES * 2);
}

static void when_memory_is_short_nothing_is_delayed(void **state)
{
    (void)state;
    static void *all[40];
    unsigned n = 0;
    while (n < COUNT(all) && (all[n] = kmalloc(MIB - 8192)) != NULL)
        n++;
    assert_in_range(n, 20, 31);
    void *small[64];
    for (unsigned i = 0; i < COUNT(small); i++)
        small[i] = kmalloc(10000);
    for (unsigned i = 0; i < COUNT(small); i++)
        kfree(small[i]);
    kfree(all[--n]);
    void *again = kmalloc(MIB - 8192);
    assert_non_null(again);
    kfree(again);
    while (n > 0)
        kfree(all[--n]);
}

/* Without a frame for another record what is delayed has some, and what the heap keeps is frames. */
static void when_there_is_no_record_nothing_is_delayed(void **state)
{
    (void)state;
    static paddr_t frames[32 * MIB / FRAME_BYTES];
    static void *objects[3000];
    void **last = NULL, **p;
    uint64_t nframes = 0, n = 0;
    set_level(0); /* the core gets slabs for the small ones, which it keeps */
    for (unsigned i = 0; i < COUNT(objects); i++)
        objects[i] = kmalloc(80);
    for (unsigned i = 0; i < COUNT(objects); i++)
        kfree(objects[i]);
    set_level(CONFIG_HEAP_DEBUG_LEVEL);
    for (unsigned i = 0; i < COUNT(objects); i++)
        objects[i] = kmalloc(900);
    for (unsigned i = 0; i < COUNT(objects); i++)
        kfree(objects[i]);
    while (pmm_alloc_frame(&frames[nframes]) == MM_OK)
        nframes++;
    for (; (p = kmalloc(16)) != NULL; n++, last = p)
        *p = last;
    assert_true(n > 3000); /* what was delayed was more than so many of them take */
    assert_int_equal(0, heap_drain_delayed());
    while (nframes > 0)
        pmm_free_frame(frames[--nframes]);
    for (; last != NULL; last = p) {
        p = *last;
        kfree(last);
    }
}

/* --- Leaks --------------------------------------------------------------------------------------- */

__attribute__((noinline)) static void *alloc_here(size_t bytes)
{
    void *p = kmalloc(bytes);
    __asm__ volatile("" ::: "memory");
    return p;
}

struct seen {
    struct heap_leak leaks[8];
    unsigned n;
};

static bool note(const struct heap_leak *leak, void *argument)
{
    struct seen *seen = argument;
    seen->leaks[seen->n++] = *leak;
    kfree(kmalloc(10)); /* it may */
    return seen->n < COUNT(seen->leaks);
}

static void leaks_are_counted_by_stack_since_a_mark(void **state)
{
    (void)state;
    void *first = kmalloc(5000), *many[10];
    uint64_t mark = heap_mark();
    for (unsigned i = 0; i < COUNT(many); i++)
        many[i] = alloc_here(100);
    void *one = kcalloc(2, 300);
    struct seen seen = {.n = 0};
    assert_int_equal(MM_OK, heap_visit_leaks(mark, note, &seen));
    assert_int_equal(2, seen.n);
    assert_int_equal(10, seen.leaks[0].objects);
    assert_int_equal(1000, seen.leaks[0].bytes);
    assert_int_equal(1, seen.leaks[1].objects);
    assert_int_equal(600, seen.leaks[1].bytes);
    assert_ptr_equal(one, seen.leaks[1].example);
    uint64_t here = (uint64_t)(uintptr_t)alloc_here;
    assert_in_range(seen.leaks[0].allocated.callers[0], here, here + 256);
    assert_int_equal(12, live_since(0));
    assert_int_equal(11, heap_log_leaks(mark, 1));
    assert_message("11 objects of 1600 bytes are live");
    for (unsigned i = 0; i < COUNT(many); i++)
        kfree(many[i]);
    kfree(one);
    assert_int_equal(0, live_since(mark));
    assert_int_equal(1, live_since(0));
    kfree(first);
}

/* --- The same promises as ever ---------------------------------------------------------------------- */

static void sizes_and_alignments_are_as_ever(void **state)
{
    (void)state;
    for (size_t bytes = 0; bytes < 3 * MIB; bytes += 1 + bytes / 5) {
        uint8_t *p = kmalloc(bytes);
        assert_non_null(p);
        assert_int_equal(0, (uintptr_t)p % HEAP_ALIGN);
        assert_int_equal(bytes, kmalloc_size(p));
        memset(p, 1, bytes);
        kfree_sized(p, bytes);
    }
    for (size_t bytes = 16; bytes <= 2 * MIB; bytes *= 2) {
        void *p = kmalloc(bytes);
        assert_int_equal(0, (uintptr_t)p % (bytes < 4096 ? bytes : 4096));
        kfree(p);
    }
    for (size_t align = 1; align <= MIB; align *= 2)
        for (size_t bytes = 10; bytes < 200000; bytes *= 7) {
            uint8_t *p = kaligned_alloc(align, bytes);
            assert_non_null(p);
            assert_int_equal(0, (uintptr_t)p % align);
            memset(p, 2, bytes);
            kfree(p);
        }
    assert_null(kaligned_alloc(24, 10));
    assert_null(kaligned_alloc(0, 10));
    assert_null(kmalloc(SIZE_MAX));
    assert_null(kmalloc(SIZE_MAX - 100));
    assert_null(kcalloc(SIZE_MAX / 2, 3));
    assert_null(kmalloc_array(SIZE_MAX / 2, 3));
}

static void resizing_moves_and_keeps_the_contents(void **state)
{
    (void)state;
    uint8_t *p = krealloc(NULL, 10);
    size_t bytes = 10;
    memset(p, 3, bytes);
    for (size_t next = 11; next < 300000; next = next * 3 / 2) {
        uint8_t *q = krealloc(p, next);
        assert_non_null(q);
        assert_ptr_not_equal(p, q);
        for (size_t i = 0; i < bytes; i++)
            assert_int_equal(3, q[i]);
        memset(q, 3, next);
        kfree(p);
        assert_misuse("double free");
        p = q;
        bytes = next;
    }
    p = krealloc(p, 0);
    assert_non_null(p);
    assert_null(krealloc(p, SIZE_MAX));
    assert_null(krealloc_array(p, SIZE_MAX, 2));
    kfree(p);
}

static void objects_of_one_level_are_freed_at_another(void **state)
{
    (void)state;
    void *objects[4][64];
    for (unsigned level = 0; level <= 3; level++) {
        set_level(level);
        for (unsigned i = 0; i < 64; i++) {
            objects[level][i] = kmalloc(i * i);
            memset(objects[level][i], 1, i * i);
            if (i % 3 == 0)
                objects[level][i] = krealloc(objects[level][i], 2 * i);
        }
    }
    for (unsigned i = 0; i < 4 * 64; i++) {
        set_level((i + i / 64) % 4);
        unsigned level = i % 4;
        kfree(objects[level][i / 4]);
    }
    void *p = kmalloc(100);
    set_level(0);
    kfree(p);
    kfree(p);
    machine.misuses = 0; /* whichever part of the heap has said so */
    void *plain = kmalloc(100);
    set_level(2);
    kfree((char *)plain + 16);
    assert_misuse("not at its start");
    assert_int_equal(112, kmalloc_size(plain));
    kfree(plain);
    kfree(plain);
    assert_misuse("double free");
    struct heap_tuning tuning;
    heap_get_tuning(&tuning);
    tuning.debug_level = 4;
    assert_int_equal(MM_RANGE, heap_tune(&tuning));
}

static void failing_allocations_leave_nothing_behind(void **state)
{
    (void)state;
    unsigned failures = 0;
    for (unsigned k = 1; k < 40; k++) {
        machine_stop();
        (void)start(state);
        machine_fail_allocation(k);
        void *objects[400];
        unsigned n = 0;
        while (n < COUNT(objects) && (objects[n] = kmalloc(n * 10)) != NULL)
            memset(objects[n], 1, n * 10), n++;
        failures += machine_failed();
        void *p = krealloc(n > 0 ? objects[n - 1] : NULL, 50000);
        assert_non_null(p);
        kfree(p);
        for (unsigned i = 0; i + 1 < n; i++)
            kfree(objects[i]);
        assert_int_equal(0, live_since(0));
        assert_true(heap_validate());
    }
    assert_true(failures > 10);
}

static void samples_are_taken_in_a_debug_build_too(void **state)
{
    (void)state;
    struct heap_tuning tuning;
    heap_get_tuning(&tuning);
    tuning.sample_rate = 16;
    assert_int_equal(MM_OK, heap_tune(&tuning));
    unsigned sampled = 0;
    for (unsigned i = 0; i < 320; i++) {
        struct heap_origin origin;
        uint8_t *p = kcalloc(1, 50);
        assert_int_equal(0, p[0] | p[49]);
        assert_int_equal(50, kmalloc_size(p));
        p = krealloc(p, 60);
        memset(p, 1, 60);
        assert_int_equal(MM_OK, heap_get_origin(p, &origin));
        sampled += origin.sampled;
        kfree_sized(p, 60);
    }
    assert_in_range(sampled, 10, 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_byte_beside_an_object_is_watched),
        TEST(a_write_after_free_is_found_before_the_memory_is_used_again),
        TEST(new_memory_is_poisoned_and_freed_memory_too),
        TEST(at_level_3_damage_is_found_while_others_allocate),
        TEST(misuse_names_object_and_callers_and_changes_nothing),
        TEST(it_is_known_what_an_address_is),
        TEST(freed_memory_is_not_used_again_for_a_while),
        TEST(what_is_delayed_has_a_limit),
        TEST(when_memory_is_short_nothing_is_delayed),
        TEST(when_there_is_no_record_nothing_is_delayed),
        TEST(leaks_are_counted_by_stack_since_a_mark),
        TEST(sizes_and_alignments_are_as_ever),
        TEST(resizing_moves_and_keeps_the_contents),
        TEST(objects_of_one_level_are_freed_at_another),
        TEST(failing_allocations_leave_nothing_behind),
        TEST(samples_are_taken_in_a_debug_build_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
