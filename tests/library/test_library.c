/* build/host/libquicklime.so as a program outside of the tree sees it: <quicklime/host.h> and nothing
 * else. */
#include <quicklime/host.h>
#include <quicklime/mm/cpu.h>

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define MIB (1ull << 20)
#define GIB (1ull << 30)
#define TIB (1ull << 40)

static int stop(void **state)
{
    (void)state;
    ql_host_stop();
    return 0;
}

static uint64_t free_kib(void)
{
    struct pmm_stats stats;
    pmm_get_stats(&stats);
    return stats.free_kib;
}

static void a_machine_starts_and_stops_again_and_again(void **state)
{
    (void)state;
    for (size_t ram = 10 * MIB; ram <= 16 * GIB; ram = ram * 3 / 2 & ~(MIB - 1)) {
        assert_int_equal(0, ql_host_start(ram, 2, 1));
        assert_int_equal(-EBUSY, ql_host_start(ram, 2, 1));
        assert_in_range(free_kib(), (ram - 5 * MIB) / 1024, ram / 1024);
        assert_true(pmm_validate() && heap_validate());
        ql_host_stop();
        ql_host_stop();
    }
}

static void bad_wishes_are_refused(void **state)
{
    (void)state;
    assert_int_equal(-EINVAL, ql_host_start(10 * MIB - 4096, 1, 1));
    assert_int_equal(-EINVAL, ql_host_start(10 * MIB + 1, 1, 1));
    assert_int_equal(-EINVAL, ql_host_start(10 * MIB, 0, 1));
    assert_int_equal(-EINVAL, ql_host_start(10 * MIB, CONFIG_CPUS_MAX + 1, 1));
    assert_int_equal(-EINVAL, ql_host_start(10 * MIB, 1, 0));
    assert_int_equal(-EINVAL, ql_host_start(10 * MIB, 1, NUMA_NODES_MAX + 1));
    assert_int_equal(-ENOMEM, ql_host_start(1024 * TIB, 1, 1));
    assert_int_equal(0, ql_host_start(10 * MIB, 1, 1));
}

static void ram_is_where_a_pc_has_it(void **state)
{
    (void)state;
    assert_int_equal(0, ql_host_start(6 * GIB, 1, 2));
    const struct pmm_limits isa = {.max_addr = PA(16 * MIB)};
    const struct pmm_limits high = {.min_addr = PA(4 * GIB)};
    paddr_t low_frame, high_frame;
    assert_int_equal(MM_OK, pmm_alloc_frames(1, &isa, &low_frame));
    assert_int_equal(MM_OK, pmm_alloc_frames(1, &high, &high_frame));
    assert_true(pa_lt(high_frame, PA(7 * GIB)));
    assert_int_equal(0, pmm_node_of(low_frame));
    assert_int_equal(1, pmm_node_of(high_frame));
    memset(phys_to_virt(high_frame), 0x5a, FRAME_BYTES);
    assert_true((uintptr_t)phys_to_virt(high_frame) != pa_number(high_frame));
    assert_false(pmm_is_used(PA(3 * GIB)));
}

static void the_nodes_share_evenly(void **state)
{
    (void)state;
    assert_int_equal(0, ql_host_start(64 * GIB, 1, 8));
    for (uint32_t node = 0; node < 8; node++) {
        struct pmm_node_stats stats;
        pmm_get_node_stats(node, &stats);
        assert_in_range(stats.total_kib, (8 * GIB - 2 * MIB) / 1024, 8 * GIB / 1024);
    }
}

static void four_tebibytes_cost_nothing_until_touched(void **state)
{
    (void)state;
    assert_int_equal(0, ql_host_start(4 * TIB, 2, 2));
    assert_in_range(free_kib(), (4 * TIB - 4 * GIB) / 1024, 4 * TIB / 1024);
    assert_true(ql_host_init_ns() > 0);
    assert_true(ql_host_init_again_ns() > 0);
}

static void misuse_is_told_and_survived(void **state)
{
    (void)state;
    paddr_t frame;
    assert_int_equal(0, ql_host_start(10 * MIB, 1, 1));
    assert_null(ql_host_last_misuse());
    assert_int_equal(MM_OK, pmm_alloc_frame(&frame));
    assert_int_equal(MM_OK, pmm_free_frame(frame));
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(MM_INVAL, pmm_free_frame(frame));
    assert_int_equal(3, ql_host_misuses());
    assert_non_null(strstr(ql_host_last_misuse(), "free"));
    assert_true(pmm_validate());
}

static void *allocate_as_cpu_1(void *argument)
{
    ql_host_bind_cpu(1);
    void *block = kmalloc(100);
    assert_non_null(block);
    memset(block, 1, 100);
    assert_int_equal(MM_OK, pmm_alloc_frame(argument));
    return block;
}

static void a_second_thread_is_a_second_cpu(void **state)
{
    (void)state;
    pthread_t thread;
    paddr_t frame;
    void *block;
    assert_int_equal(0, ql_host_start(64 * MIB, 2, 1));
    assert_int_equal(0, pthread_create(&thread, NULL, allocate_as_cpu_1, &frame));
    assert_int_equal(0, pthread_join(thread, &block));
    kfree(block);
    assert_int_equal(MM_OK, pmm_free_frame(frame));
    assert_true(pmm_validate() && heap_validate());
}

static void *allocate_as_nobody(void *argument)
{
    paddr_t frame;
    (void)argument;
    return pmm_alloc_frame(&frame) == MM_OK ? phys_to_virt(frame) : NULL;
}

static void *bind_to_what_is_not_there(void *argument)
{
    (void)argument;
    ql_host_bind_cpu(1);
    return NULL;
}

/* The body in a thread of a child: what it said before it was aborted. */
static void run_and_die(void *(*body)(void *), char *said, size_t bytes)
{
    int ends[2], status;
    assert_int_equal(0, pipe(ends));
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        pthread_t thread;
        dup2(ends[1], STDERR_FILENO);
        signal(SIGABRT, SIG_DFL); /* cmocka has put a handler there */
        if (ql_host_start(10 * MIB, 1, 1) == 0 && pthread_create(&thread, NULL, body, NULL) == 0)
            pthread_join(thread, NULL);
        _exit(0);
    }
    close(ends[1]);
    ssize_t got = read(ends[0], said, bytes - 1);
    said[got > 0 ? got : 0] = '\0';
    close(ends[0]);
    assert_int_equal(child, waitpid(child, &status, 0));
    assert_true(WIFSIGNALED(status));
    assert_int_equal(SIGABRT, WTERMSIG(status));
}

static void a_thread_that_is_no_cpu_is_told_so(void **state)
{
    (void)state;
    char said[256];
    run_and_die(allocate_as_nobody, said, sizeof said);
    assert_non_null(strstr(said, "call ql_host_bind_cpu"));
    run_and_die(bind_to_what_is_not_there, said, sizeof said);
    assert_non_null(strstr(said, "there is no CPU 1"));
}

#define TEST(name) cmocka_unit_test_teardown(name, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_machine_starts_and_stops_again_and_again),
        TEST(bad_wishes_are_refused),
        TEST(ram_is_where_a_pc_has_it),
        TEST(the_nodes_share_evenly),
        TEST(four_tebibytes_cost_nothing_until_touched),
        TEST(misuse_is_told_and_survived),
        TEST(a_second_thread_is_a_second_cpu),
        TEST(a_thread_that_is_no_cpu_is_told_so),
    };
    return cmocka_run_group_tests_name("library", tests, NULL, NULL);
}
