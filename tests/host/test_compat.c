/* include/compat/: a C++ program on the heap. What is checked inside of it: compat_program.cc. */
#include "machine.h"
#include "mm/heap_stats.h"
#include "mm/pmm.h"
#include "test.h"

int objects_come_and_go(void);
int arrays_come_and_go(void);
int alignment_is_honoured(void);
int placement_makes_no_memory(void);
int nothrow_new_returns_null(void);
int c_functions_do_what_they_promise(void);
void *new_as_it_panics(size_t bytes);
void delete_as_another(bool again);

/* What a C++ program without a library has to have. */
_Noreturn void __cxa_pure_virtual(void);
void __cxa_pure_virtual(void)
{
    abort();
}

static uint64_t live_objects(void)
{
    struct heap_totals totals;
    heap_get_totals(&totals);
    return totals.all.live;
}

static int start(void **state)
{
    (void)state;
    machine_start_simple(16 * MIB);
    assert_int_equal(MM_OK, heap_init());
    return 0;
}

static int stop(void **state)
{
    (void)state;
    assert_int_equal(0, live_objects());
    assert_true(heap_validate());
    machine_stop();
    return 0;
}

#define PASSES(function)                            \
    static void function##_(void **state)           \
    {                                               \
        (void)state;                                \
        int line = function();                      \
        if (line != 0)                              \
            fail_msg("compat_program.cc:%d", line); \
    }
PASSES(objects_come_and_go)
PASSES(arrays_come_and_go)
PASSES(alignment_is_honoured)
PASSES(placement_makes_no_memory)
PASSES(c_functions_do_what_they_promise)

static void without_memory_new_panics_and_nothrow_new_returns_null(void **state)
{
    (void)state;
    void **list = NULL;
    for (size_t bytes = MIB / 2; bytes >= 16; bytes /= 2)
        for (void **p; (p = kmalloc(bytes)) != NULL; list = p)
            *p = list;
    int line = nothrow_new_returns_null();
    if (line != 0)
        fail_msg("compat_program.cc:%d", line);
    assert_panics((void)new_as_it_panics(100), "operator new");
    while (list != NULL) {
        void **next = *list;
        kfree(list);
        list = next;
    }
    kfree(new_as_it_panics(100));
}

static void a_delete_of_another_size_is_misuse(void **state)
{
    (void)state;
    delete_as_another(true);
    assert_int_equal(1, machine.misuses);
    machine.misuses = 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
#define TEST_IN(name)                     \
    {                                     \
#name, name##_, start, stop, NULL \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_IN(objects_come_and_go),
        TEST_IN(arrays_come_and_go),
        TEST_IN(alignment_is_honoured),
        TEST_IN(placement_makes_no_memory),
        TEST_IN(c_functions_do_what_they_promise),
        TEST(without_memory_new_panics_and_nothrow_new_returns_null),
        TEST(a_delete_of_another_size_is_misuse),
    };
    return cmocka_run_group_tests_name("compat", tests, NULL, NULL);
}
