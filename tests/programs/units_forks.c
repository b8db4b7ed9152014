/* The cases of forks, beside threads that allocate. */
#include "units.h"

#include <pthread.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { BUSY = 4, OBJECTS = 300, KEPT = 64 };

static bool stop;
static void *shared[KEPT]; /* objects of the busy threads: whoever swaps one out frees it */

static void *allocate_until_told(void *seed)
{
    static _Thread_local struct object objects[OBJECTS];
    random_seed((uintptr_t)seed);
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        struct object *o = &objects[random_below(OBJECTS)];
        object_free(o);
        size_t bytes = random_below(random_below(100) == 0 ? 300000 : 2000);
        object_fill(o, malloc(bytes), bytes);
        void **place = &shared[random_below(KEPT)];
        bytes = random_below(random_below(20) == 0 ? 200000 : 500);
        free(__atomic_exchange_n(place, malloc(bytes), __ATOMIC_ACQ_REL));
    }
    for (unsigned i = 0; i < OBJECTS; i++)
        object_free(&objects[i]);
    return NULL;
}

static void start_busy(pthread_t threads[BUSY])
{
    stop = false;
    for (uintptr_t i = 0; i < BUSY; i++)
        CHECK(pthread_create(&threads[i], NULL, allocate_until_told, (void *)(i + 1)) == 0);
}

static void end_busy(pthread_t threads[BUSY])
{
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < BUSY; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
}

static void *work(void *seed)
{
    struct object objects[50] = {0};
    random_seed((uintptr_t)seed);
    for (unsigned i = 0; i < 400; i++) {
        struct object *o = &objects[random_below(50)];
        object_free(o);
        size_t bytes = random_below(i % 40 == 0 ? 200000 : 1500);
        object_fill(o, malloc(bytes), bytes);
    }
    for (unsigned i = 0; i < 50; i++)
        object_free(&objects[i]);
    return NULL;
}

/* What a child does: it frees what threads allocated that are not there any more. */
static _Noreturn void child(unsigned number)
{
    alarm(60);
    for (unsigned i = 0; i < KEPT; i++) {
        free(shared[i]);
        shared[i] = NULL;
    }
    work((void *)(uintptr_t)(number + 1)); /* a seed, no pointer */
    pthread_t thread;
    if (number % 4 == 0) {
        CHECK(pthread_create(&thread, NULL, work, NULL) == 0);
        CHECK(pthread_join(thread, NULL) == 0);
    }
    _exit(0);
}

static void wait_for(pid_t pid)
{
    int status;
    CHECK(waitpid(pid, &status, 0) == pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fprintf(stderr, "status of the child: 0x%x\n", (unsigned)status);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

void fork_storm(void)
{
    pthread_t threads[BUSY];
    start_busy(threads);
    for (unsigned i = 0; i < 200; i++) {
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0)
            child(i);
        if (i % 8 != 7)
            continue;
        for (unsigned j = 0; j < 8; j++) {
            int status;
            pid = wait(&status);
            CHECK(pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0);
        }
    }
    end_busy(threads);
}

static void *fork_some(void *seed)
{
    for (unsigned i = 0; i < 25; i++) {
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0)
            child((unsigned)(uintptr_t)seed * 100 + i);
        work(seed);
        wait_for(pid);
    }
    return NULL;
}

void forks_at_once(void)
{
    pthread_t busy[BUSY], forking[4];
    start_busy(busy);
    for (uintptr_t i = 0; i < 4; i++)
        CHECK(pthread_create(&forking[i], NULL, fork_some, (void *)(i + 1)) == 0);
    for (unsigned i = 0; i < 4; i++)
        CHECK(pthread_join(forking[i], NULL) == 0);
    end_busy(busy);
}

/* Each generation has threads of its own. */
static void generation(unsigned left)
{
    pthread_t threads[BUSY];
    start_busy(threads);
    work((void *)(uintptr_t)left);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        if (left > 0)
            generation(left - 1);
        _exit(0);
    }
    wait_for(pid);
    end_busy(threads);
}

void fork_in_a_fork(void)
{
    generation(12);
}

void spawns(void)
{
    pthread_t threads[BUSY];
    static char program[] = "/bin/true";
    char *arguments[] = {program, NULL};
    start_busy(threads);
    for (unsigned i = 0; i < 60; i++) {
        pid_t pid;
        if (i % 2 == 0) {
            CHECK(posix_spawn(&pid, program, NULL, NULL, arguments, environ) == 0);
        } else {
            pid = vfork();
            if (pid == 0) {
                execve(program, arguments, environ);
                _exit(1);
            }
        }
        CHECK(pid > 0);
        wait_for(pid);
    }
    end_busy(threads);
}
