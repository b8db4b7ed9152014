/* The cases of what a program does before its first allocation: the heap must not mind. */
#include "units.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void in_thread(void *(*run)(void *), void *what)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, run, what) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
}

/* --- Forks ------------------------------------------------------------------------------------------- */

static struct object held;
static unsigned prepared, released;

static void prepare(void)
{
    object_fill(&held, malloc(777), 777);
    prepared++;
}

static void release(void)
{
    object_free(&held);
    object_fill(&held, malloc(60000), 60000);
    object_free(&held);
    released++;
}

static void fork_once(void)
{
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        alarm(10);
        _exit(released == prepared ? 0 : 1);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* The handlers allocate, and the program has asked for them before the heap was there. */
void handlers_of_forks(void)
{
    CHECK(pthread_atfork(prepare, release, release) == 0);
    fork_once();
    free(malloc(10));
    fork_once();
    CHECK(prepared == 2 && released == 2);
}

/* --- Keys -------------------------------------------------------------------------------------------- */

enum { KEYS = 2048 };
static pthread_key_t keys[KEYS];
static unsigned nkeys;
static void *(*allocate)(size_t);
static void (*release_object)(void *);

static void take_keys(void)
{
    while (nkeys < KEYS && pthread_key_create(&keys[nkeys], NULL) == 0)
        nkeys++;
    CHECK(nkeys > 100 && nkeys < KEYS);
}

/* Nothing is in them but what the program has set. */
static void *allocate_beside_keys(void *unused)
{
    struct object o = {.seed = 5};
    CHECK(pthread_setspecific(keys[1], keys) == 0);
    object_fill(&o, allocate(1000), 1000);
    CHECK(object_is_whole(&o));
    release_object(o.p);
    for (unsigned i = 0; i < nkeys; i++)
        CHECK(pthread_getspecific(keys[i]) == (i == 1 ? keys : NULL));
    return unused;
}

void all_keys_are_taken(void)
{
    allocate = malloc;
    release_object = free;
    take_keys();
    (void)allocate_beside_keys(NULL);
    for (unsigned i = 0; i < 50; i++)
        in_thread(allocate_beside_keys, NULL);
}

/* --- Loaded late ------------------------------------------------------------------------------------- */

static void *library;

static void load(void)
{
    library = dlopen(getenv("LIBRARY"), RTLD_NOW | RTLD_LOCAL);
    CHECK(library != NULL);
    allocate = (void *(*)(size_t))dlsym(library, "malloc");
    release_object = (void (*)(void *))dlsym(library, "free");
    CHECK(allocate != NULL && allocate != malloc && release_object != NULL);
}

static void *load_and_close(void *unused)
{
    load();
    release_object(allocate(100));
    CHECK(dlclose(library) == 0);
    return unused;
}

/* The thread ends, and forks come, when the program has closed the library. */
void closed_library(void)
{
    in_thread(load_and_close, NULL);
    fork_once();
}

/* Threads whose end it is not told of have no CPU of their own. */
void library_without_a_key(void)
{
    take_keys();
    load();
    for (unsigned i = 0; i < 2000; i++)
        in_thread(allocate_beside_keys, NULL);
}
