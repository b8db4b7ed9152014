/* The cases of threads that come and go. */
#include "units.h"

#include <limits.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

static pthread_t start(void *(*run)(void *), void *argument)
{
    pthread_attr_t small;
    pthread_t thread;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 65536);
    CHECK(pthread_create(&thread, &small, run, argument) == 0);
    pthread_attr_destroy(&small);
    return thread;
}

static void *join(pthread_t thread)
{
    void *result;
    CHECK(pthread_join(thread, &result) == 0);
    return result;
}

static struct object *make(unsigned n, size_t most)
{
    struct object *objects = calloc(n, sizeof *objects);
    CHECK(objects != NULL);
    for (unsigned i = 0; i < n; i++) {
        size_t bytes = 1 + random_below(most);
        void *p = malloc(bytes);
        CHECK(p != NULL);
        object_fill(&objects[i], p, bytes);
    }
    return objects;
}

static void drop(struct object *objects, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        object_free(&objects[i]);
    free(objects);
}

/* --- One after another ------------------------------------------------------------------------------ */

enum { EACH = 200 };

/* Frees what the one before left, and leaves as much. Its first call is of any size. */
static void *replace(void *before)
{
    static unsigned turn;
    size_t bytes = 16ul << turn++ % 18;
    struct object first;
    object_fill(&first, malloc(bytes), bytes);
    object_free(&first);
    random_seed((uintptr_t)before);
    if (before != NULL)
        drop(before, EACH);
    return make(EACH, 3000);
}

void threads_one_after_another(void)
{
    void *left = NULL;
    long early = 0;
    for (unsigned i = 0; i < 2000; i++) {
        left = join(start(replace, left));
        if (i == 100)
            early = resident_kib();
    }
    CHECK(resident_kib() < early + 4096); /* what the dead had is used by the living */
    drop(left, EACH);
}

/* --- At once ----------------------------------------------------------------------------------------- */

static pthread_barrier_t all_here;

static void *churn(void *seed)
{
    struct object *objects = make(20, 2000);
    random_seed((uintptr_t)seed);
    pthread_barrier_wait(&all_here);
    for (unsigned i = 0; i < 500; i++) {
        struct object *o = &objects[random_below(20)];
        object_free(o);
        size_t bytes = random_below(i % 50 == 0 ? 100000 : 1000);
        object_fill(o, malloc(bytes), bytes);
    }
    pthread_barrier_wait(&all_here);
    return objects;
}

static void at_once(unsigned n)
{
    static pthread_t threads[1200];
    pthread_barrier_init(&all_here, NULL, n);
    for (unsigned i = 0; i < n; i++)
        threads[i] = start(churn, (void *)(uintptr_t)(i + 1)); /* a seed, no pointer */
    for (unsigned i = 0; i < n; i++)
        drop(join(threads[i]), 20);
    pthread_barrier_destroy(&all_here);
}

void threads_at_once(void)
{
    for (unsigned round = 0; round < 3; round++)
        at_once(300);
}

void more_threads_than_cpus(void)
{
    at_once(1200);
    at_once(300);
}

/* --- Ends -------------------------------------------------------------------------------------------- */

static pthread_key_t keys[3];
static unsigned ended;

/* In every round, some of them after the library's own. */
static void allocate_at_the_end(void *p)
{
    static _Thread_local unsigned rounds;
    free(p);
    __atomic_fetch_add(&ended, 1, __ATOMIC_RELAXED);
    drop(make(5, 1000), 5);
    if (++rounds < 3 * PTHREAD_DESTRUCTOR_ITERATIONS)
        for (unsigned i = 0; i < 3; i++)
            if (pthread_getspecific(keys[i]) == NULL)
                pthread_setspecific(keys[i], malloc(50));
}

static void *set_keys(void *unused)
{
    (void)unused;
    for (unsigned i = 0; i < 3; i++)
        CHECK(pthread_setspecific(keys[i], malloc(100)) == 0);
    return NULL;
}

void destructors_that_allocate(void)
{
    for (unsigned i = 0; i < 3; i++)
        CHECK(pthread_key_create(&keys[i], allocate_at_the_end) == 0);
    for (unsigned i = 0; i < 300; i++)
        join(start(set_keys, NULL));
    CHECK(ended >= 300 * 3 * 3);
}

static void *set_a_key(void *p)
{
    CHECK(pthread_setspecific(keys[0], p) == 0);
    return NULL;
}

/* The test looks how many threads the heap has seen at once. */
void first_call_in_a_destructor(void)
{
    CHECK(pthread_key_create(&keys[0], free) == 0);
    for (unsigned i = 0; i < 200; i++)
        join(start(set_a_key, malloc(200000))); /* no short way frees it */
}

static void *leave(void *unused)
{
    printf("ok exit_of_a_newcomer\n");
    exit(unused != NULL);
}

void exit_of_a_newcomer(void)
{
    setvbuf(stdout, NULL, _IONBF, 0);
    free(malloc(3000000)); /* is kept */
    join(start(leave, NULL));
}

/* --- Memory ----------------------------------------------------------------------------------------- */

static void *use_much(void *unused)
{
    enum { OBJECTS = 30000, BYTES = 2000 };
    void **objects = malloc(OBJECTS * sizeof *objects);
    CHECK(objects != NULL);
    for (unsigned i = 0; i < OBJECTS; i++) {
        objects[i] = malloc(BYTES);
        CHECK(objects[i] != NULL);
        memset(objects[i], 1, BYTES);
    }
    usleep(1500000);
    for (unsigned i = 0; i < OBJECTS; i++)
        free(objects[i]);
    free(objects);
    return unused;
}

/* Nobody allocates any more when they have left. */
void memory_goes_back_with_threads(void)
{
    enum { THREADS = 3 };
    pthread_t threads[THREADS];
    free(malloc(100));
    long before = resident_kib();
    for (unsigned i = 0; i < THREADS; i++)
        threads[i] = start(use_much, NULL);
    for (unsigned i = 0; i < THREADS; i++)
        join(threads[i]);
    CHECK(resident_kib() - before < THREADS * 60000 / 4);
}

/* --- Frees by others ----------------------------------------------------------------------------------- */

enum { RING = 1024, PASSED = 200000 };

static struct ring {
    void *places[RING];
} rings[2];

static void *pass(void *which)
{
    struct ring *out = &rings[(uintptr_t)which], *in = &rings[1 - (uintptr_t)which];
    random_seed((uintptr_t)which + 5);
    for (unsigned i = 0; i < PASSED; i++) {
        size_t *p = malloc(sizeof *p + random_below(600));
        CHECK(p != NULL);
        *p = (size_t)p ^ 0x5a5a;
        size_t *old = __atomic_exchange_n(&out->places[i % RING], p, __ATOMIC_ACQ_REL);
        free(old);
        old = __atomic_exchange_n(&in->places[random_below(RING)], NULL, __ATOMIC_ACQ_REL);
        if (old != NULL)
            CHECK(*old == ((size_t)old ^ 0x5a5a));
        free(old);
    }
    return NULL;
}

void frees_by_others(void)
{
    pthread_t threads[2];
    for (unsigned i = 0; i < 2; i++)
        threads[i] = start(pass, (void *)(uintptr_t)i); /* a number, no pointer */
    for (unsigned i = 0; i < 2; i++)
        join(threads[i]);
    for (unsigned i = 0; i < 2 * RING; i++)
        free(rings[i / RING].places[i % RING]);
}
