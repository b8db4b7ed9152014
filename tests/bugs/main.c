/* Runs one planted bug in a Linux process on libquicklime.so, whichever build of it is loaded:
 *   main list                the names
 *   main NAME [RATE]         do it; with RATE, sample one in so many objects, and do it many times
 *   main none [RATE]         nothing wrong, for comparison
 * Exit status: 0 nobody noticed, 42 it was caught, anything else is an error. What caught it is
 * printed. */
#include <quicklime/host.h>
#include <quicklime/mm/heap_debug.h>
#include <quicklime/mm/heap_stats.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bugs.h"

#define CAUGHT      42
#define RAM         (64ull << 20)
#define REPETITIONS 2000 /* with sampling: each has some tens of allocations */

static _Noreturn void caught(const char *how)
{
    printf("%s\n", how);
    fflush(stdout);
    _exit(CAUGHT);
}

/* The access itself; the machine's memory is not used any more, only looked at. */
static void on_fault(int number, siginfo_t *info, void *context)
{
    char words[256];
    (void)context;
    if (heap_explain(info->si_addr, words, sizeof words))
        caught(words);
    caught(number == SIGSEGV ? "fault" : "bus error");
}

/* A panic. */
static void on_abort(int number)
{
    (void)number;
    caught("panic");
}

static void catch_all(void)
{
    struct sigaction fault = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &fault, NULL);
    sigaction(SIGBUS, &fault, NULL);
    signal(SIGABRT, on_abort);
}

static const struct bug *find(const char *name)
{
    size_t n;
    const struct bug *all = bugs(&n);
    for (size_t i = 0; i < n; i++)
        if (strcmp(all[i].name, name) == 0)
            return &all[i];
    return strcmp(name, bug_none.name) == 0 ? &bug_none : NULL;
}

static void look_at_misuse(void)
{
    if (ql_host_misuses() > 0)
        caught(ql_host_last_misuse());
}

static void set_rate(const char *text)
{
    struct heap_tuning tuning;
    heap_get_tuning(&tuning);
    tuning.sample_rate = (uint32_t)strtoul(text, NULL, 0);
    if (heap_tune(&tuning) != MM_OK) {
        fprintf(stderr, "no such rate: %s\n", text);
        exit(2);
    }
}

static void list(void)
{
    size_t n;
    const struct bug *all = bugs(&n);
    for (size_t i = 0; i < n; i++)
        printf("%s\t%s\n", all[i].name, all[i].what);
}

/* What a kernel does when it is switched off. */
static void look_at_the_end(uint64_t mark)
{
    if (!heap_validate())
        caught("heap_validate");
    look_at_misuse();
    if (heap_check_zones() > 0)
        caught("heap_check_zones");
    (void)heap_drain_delayed();
    look_at_misuse();
    if (heap_log_leaks(mark, 10) > 0)
        caught("leak report");
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "list") == 0) {
        list();
        return 0;
    }
    const struct bug *bug = argc == 2 || argc == 3 ? find(argv[1]) : NULL;
    if (bug == NULL) {
        fprintf(stderr, "usage: %s list | NAME [RATE]\n", argv[0]);
        return 2;
    }
    if (ql_host_start(RAM, 1, 1) != 0)
        return 3;
    unsigned times = 1;
    if (argc == 3) {
        set_rate(argv[2]);
        times = REPETITIONS;
    }
    catch_all();
    uint64_t mark = heap_mark();
    while (times-- > 0) {
        if (bug->run())
            caught("what a call returned");
        look_at_misuse();
    }
    look_at_the_end(mark);
    return 0;
}
