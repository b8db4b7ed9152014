/* The unit programs' frame, and the cases of one thread. */
#include "units.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define MIB (1ull << 20)

unsigned long units_checks;
static _Thread_local uint64_t state = 1;

void random_seed(uint64_t seed)
{
    state = seed * 0x9e3779b97f4a7c15 | 1;
}

uint64_t random_below(uint64_t n)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % n;
}

long resident_kib(void)
{
    long all, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    CHECK(f != NULL && fscanf(f, "%ld %ld", &all, &resident) == 2);
    fclose(f);
    return resident * 4;
}

/* --- Objects ------------------------------------------------------------------------------------- */

static size_t next_checked(const struct object *o, size_t i)
{
    return i < 64 || i + 64 >= o->bytes ? i + 1 : i + 509 < o->bytes - 64 ? i + 509 : o->bytes - 64;
}

static unsigned char byte_at(const struct object *o, size_t i)
{
    return (unsigned char)(o->seed + i * 7);
}

void object_fill(struct object *o, void *p, size_t bytes)
{
    *o = (struct object){p, bytes, (unsigned char)random_below(256)};
    for (size_t i = 0; i < bytes; i = next_checked(o, i))
        o->p[i] = byte_at(o, i);
}

bool object_is_whole(const struct object *o)
{
    for (size_t i = 0; i < o->bytes; i = next_checked(o, i))
        if (o->p[i] != byte_at(o, i))
            return false;
    return true;
}

void object_free(struct object *o)
{
    if (o->p != NULL)
        CHECK(object_is_whole(o));
    free(o->p);
    *o = (struct object){0};
}

/* --- Sizes ---------------------------------------------------------------------------------------- */

#define LIVE 64

void sizes(void)
{
    struct object live[LIVE] = {0};
    unsigned turn = 0;
    for (size_t bytes = 0; bytes <= 4 * MIB; bytes += bytes < 40000 ? 1 : 4093, turn++) {
        struct object *o = &live[turn % LIVE];
        object_free(o);
        unsigned char *p = malloc(bytes);
        CHECK(p != NULL && (uintptr_t)p % 16 == 0);
        CHECK(malloc_usable_size(p) >= bytes);
        object_fill(o, p, malloc_usable_size(p)); /* all of it may be used */
    }
    for (unsigned i = 0; i < LIVE; i++)
        object_free(&live[i]);
    CHECK(malloc_usable_size(NULL) == 0);
}

void alignments(void)
{
    struct object live[LIVE] = {0};
    unsigned turn = 0;
    for (size_t align = 8; align <= 4 * MIB; align *= 2)
        for (size_t bytes = 1; bytes <= MIB; bytes = bytes * 3 / 2 + 1, turn++) {
            void *p;
            struct object *o = &live[turn % LIVE];
            object_free(o);
            if (turn % 3 == 0)
                CHECK(posix_memalign(&p, align, bytes) == 0);
            else
                p = turn % 3 == 1 ? memalign(align, bytes) : aligned_alloc(align, bytes);
            CHECK(p != NULL && (uintptr_t)p % align == 0 && malloc_usable_size(p) >= bytes);
            object_fill(o, p, bytes);
        }
    for (unsigned i = 0; i < LIVE; i++)
        object_free(&live[i]);
    void *page = valloc(100), *pages = pvalloc(5000);
    CHECK(page != NULL && (uintptr_t)page % 4096 == 0);
    CHECK(pages != NULL && (uintptr_t)pages % 4096 == 0 && malloc_usable_size(pages) >= 8192);
    free(page);
    free(pages);
}

/* The compiler shall not know what it would warn about. */
static size_t hidden(size_t n)
{
    __asm__("" : "+r"(n));
    return n;
}

#define FAILS(call) (errno = 0, (call) == NULL && errno == ENOMEM)

void errors(void)
{
    void *p = &p;
    CHECK(posix_memalign(&p, 24, 8) == EINVAL && posix_memalign(&p, 4, 8) == EINVAL);
    CHECK(posix_memalign(&p, 0, 8) == EINVAL && p == &p);
    CHECK(posix_memalign(&p, 64, hidden(SIZE_MAX - 100)) == ENOMEM && p == &p);
    for (size_t bytes = SIZE_MAX; bytes > SIZE_MAX / 2; bytes -= SIZE_MAX / 8) {
        CHECK(FAILS(malloc(hidden(bytes))) && FAILS(memalign(4096, hidden(bytes))));
        CHECK(FAILS(calloc(1, hidden(bytes))) && FAILS(valloc(hidden(bytes))));
        CHECK(FAILS(realloc(NULL, hidden(bytes))));
    }
    CHECK(FAILS(pvalloc(hidden(SIZE_MAX))));
    CHECK(FAILS(calloc(hidden(SIZE_MAX / 2), 3)) && FAILS(calloc(hidden(1ull << 33), 1ull << 33)));
    CHECK(FAILS(reallocarray(NULL, hidden(SIZE_MAX / 4), 5)));
    struct object o;
    object_fill(&o, malloc(1000), 1000);
    CHECK(FAILS(realloc(o.p, hidden(SIZE_MAX - 4096))));
    CHECK(FAILS(reallocarray(o.p, hidden(SIZE_MAX / 4), 8)));
    object_free(&o); /* still there */
    errno = 77;
    free(malloc(100));
    free(malloc(3 * MIB));
    free(NULL);
    CHECK(errno == 77);
    CHECK(realloc(malloc(10), hidden(0)) == NULL);
    void *zero = malloc(hidden(0)), *another = malloc(hidden(0));
    CHECK(zero != NULL && another != NULL && zero != another);
    free(zero);
    free(another);
}

/* --- Changing sizes --------------------------------------------------------------------------------- */

static void resize(struct object *o, size_t bytes)
{
    size_t kept = bytes < o->bytes ? bytes : o->bytes;
    unsigned char *p = o->bytes % 2 != 0 ? realloc(o->p, bytes) : reallocarray(o->p, bytes, 1);
    CHECK(p != NULL && malloc_usable_size(p) >= bytes);
    for (size_t i = 0; i < kept; i++)
        if (p[i] != (unsigned char)(o->seed + i * 7))
            CHECK(!"contents kept");
    for (size_t i = kept; i < bytes; i++)
        p[i] = (unsigned char)(o->seed + i * 7);
    o->p = p;
    o->bytes = bytes;
}

void reallocs(void)
{
    struct object objects[8] = {0};
    for (unsigned i = 0; i < 8; i++)
        objects[i].seed = (unsigned char)(i * 31);
    for (unsigned round = 0; round < 3; round++) {
        for (size_t bytes = 1; bytes < 6 * MIB; bytes = bytes * 5 / 4 + 3)
            for (unsigned i = 0; i < 8; i++)
                resize(&objects[i], bytes + i);
        for (size_t bytes = 6 * MIB; bytes > 1; bytes = bytes * 2 / 3)
            for (unsigned i = 0; i < 8; i++)
                resize(&objects[i], bytes + i);
    }
    for (unsigned i = 0; i < 3000; i++)
        resize(&objects[i % 8], 1 + random_below(1ull << (4 + random_below(18))));
    for (unsigned i = 0; i < 8; i++)
        free(objects[i].p);
    struct object odd;
    object_fill(&odd, memalign(512, 700), 700);
    odd.p = realloc(odd.p, 90000);
    CHECK(odd.p != NULL && object_is_whole(&odd));
    free(odd.p);
}

static bool is_zero(const unsigned char *p, size_t bytes)
{
    return bytes == 0 || (p[0] == 0 && memcmp(p, p + 1, bytes - 1) == 0);
}

void zeros(void)
{
    for (size_t bytes = 1; bytes < 8 * MIB; bytes = bytes * 4 / 3 + 1) {
        for (unsigned i = 0; i < 3; i++) {
            unsigned char *p = calloc(1, bytes);
            CHECK(p != NULL && is_zero(p, bytes));
            memset(p, 0xa5, malloc_usable_size(p));
            free(p);
        }
    }
    unsigned char *p = calloc(1000, 333);
    CHECK(p != NULL && is_zero(p, 333000));
    free(p);
}

void mixed(void)
{
    enum { OBJECTS = 5000, STEPS = 400000 };
    static struct object objects[OBJECTS];
    for (unsigned step = 0; step < STEPS; step++) {
        struct object *o = &objects[random_below(OBJECTS)];
        object_free(o);
        size_t bytes = random_below(1ull << (1 + random_below(step % 100 == 0 ? 22 : 14)));
        void *p = malloc(bytes);
        CHECK(p != NULL);
        object_fill(o, p, bytes);
    }
    for (unsigned i = 0; i < OBJECTS; i++)
        object_free(&objects[i]);
}

/* What is free goes back to Linux when the program goes on. */
/* Returns how many kilobytes the process had meanwhile. */
static long use_much(void)
{
    enum { OBJECTS = 100000, BYTES = 2000 };
    static void *objects[OBJECTS];
    long before = resident_kib();
    for (unsigned i = 0; i < OBJECTS; i++) {
        objects[i] = malloc(BYTES);
        CHECK(objects[i] != NULL);
        memset(objects[i], 1, BYTES);
    }
    long full = resident_kib();
    CHECK(full - before > OBJECTS / 1024 * BYTES);
    for (unsigned i = 0; i < OBJECTS; i++)
        free(objects[i]);
    return full;
}

void memory_goes_back(void)
{
    long before = resident_kib(), full = use_much();
    malloc_trim(0);
    CHECK(resident_kib() - before < (full - before) / 4);
}

/* Without being told to, in a program that goes on with little. */
void memory_goes_back_by_and_by(void)
{
    static void *objects[1000];
    long before = resident_kib(), full = use_much();
    time_t end = time(NULL) + 30;
    while (resident_kib() - before >= (full - before) / 4) {
        CHECK(time(NULL) < end);
        for (unsigned i = 0; i < 10000; i++) {
            void **object = &objects[random_below(1000)];
            free(*object);
            *object = malloc(random_below(8000));
            CHECK(*object != NULL);
        }
        usleep(1000);
    }
    for (unsigned i = 0; i < 1000; i++)
        free(objects[i]);
}

/* At once, as those that are mapped by themselves do. */
void large_objects_go_back(void)
{
    free(malloc(100));
    long before = resident_kib();
    for (size_t bytes = 33 * MIB; bytes < 400 * MIB; bytes *= 2) {
        char *p = malloc(bytes);
        CHECK(p != NULL);
        memset(p, 1, bytes);
        CHECK(resident_kib() - before > (long)(bytes >> 10));
        free(p);
        CHECK(resident_kib() - before < 4096);
        p = malloc(bytes);
        CHECK(p != NULL && p[0] == 0 && p[bytes - 1] == 0); /* Linux gives it anew */
        free(p);
    }
}

/* What grows may have what larger ones have left, but not many may at a time. */
void growing_objects(void)
{
    enum { OBJECTS = 64 };
    static void *objects[OBJECTS];
    size_t spare = 0;
    for (unsigned i = 0; i < OBJECTS; i++) {
        void *large = realloc(malloc(600000), 16 * MIB);
        CHECK(large != NULL);
        free(large);
        objects[i] = realloc(malloc(600000), 4 * MIB + MIB / 8);
        CHECK(objects[i] != NULL);
        spare += malloc_usable_size(objects[i]) - (4 * MIB + MIB / 8);
    }
    CHECK(spare < 40 * MIB);
    for (unsigned i = 0; i < OBJECTS; i++)
        free(objects[i]);
}

/* The heap grows beyond what it knows of at the start, by objects of which little is touched. */
void many_gigabytes(void)
{
    enum { OBJECTS = 16000, BYTES = 400000 };
    static unsigned char *objects[OBJECTS];
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < OBJECTS; i++) {
            objects[i] = malloc(BYTES);
            CHECK(objects[i] != NULL);
            objects[i][0] = (unsigned char)i;
            objects[i][BYTES - 1] = (unsigned char)(i >> 8);
        }
        for (unsigned i = 0; i < OBJECTS; i++) {
            CHECK(objects[i][0] == (unsigned char)i &&
                  objects[i][BYTES - 1] == (unsigned char)(i >> 8));
            free(objects[i]);
        }
        mixed();
    }
    malloc_trim(0);
    CHECK(resident_kib() < 60000);
}

/* --- Misuse: each ends the program ------------------------------------------------------------------- */

static void *volatile victim; /* nor shall it see that this is wrong */

void double_free(void)
{
    victim = malloc(100);
    free(victim);
    free(victim);
}

void foreign_free(void)
{
    static char text[64];
    victim = text + 16;
    free(victim);
}

void interior_free(void)
{
    victim = malloc(1000);
    victim = (char *)victim + 32;
    free(victim);
}

/* Of a range that is kept for the next who wants one. */
void freed_realloc(void)
{
    victim = malloc(3 * MIB);
    free(victim);
    CHECK(realloc(victim, 3 * MIB + 100) == NULL);
}

void freed_size(void)
{
    victim = malloc(3 * MIB);
    free(victim);
    CHECK(malloc_usable_size(victim) == 0);
}

/* As many as are kept at most, all too old at once; and what is kept is there for who needs it. */
void kept_ranges(void)
{
    static void *p[16], *all[1000];
    for (unsigned i = 0; i < 16; i++)
        CHECK((p[i] = malloc(MIB + i)) != NULL);
    for (unsigned i = 0; i < 16; i++)
        free(p[i]);
    sleep(2);
    free(malloc(7 * MIB));
    unsigned n = 0;
    while (n < 1000 && (all[n] = malloc(3 * MIB)) != NULL)
        n++;
    CHECK(n > 20 && n < 1000);
    for (unsigned i = 0; i < 10; i++)
        free(all[i]);
    CHECK((victim = malloc(20 * MIB)) != NULL);
    free(victim);
    for (unsigned i = 10; i < n; i++)
        free(all[i]);
}

static long faults(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_minflt;
}

/* What grows over a MiB gets the memory of what grew before: Linux need not give it again. */
void grown_again(void)
{
    struct object o = {.seed = 7};
    for (unsigned round = 0; round < 5; round++) {
        long before = faults();
        for (size_t bytes = MIB / 2; bytes < 4 * MIB; bytes += bytes / 8)
            resize(&o, bytes);
        CHECK(object_is_whole(&o));
        CHECK(round == 0 || faults() - before < 100);
        if (round % 2 == 0) { /* it need not grow on */
            resize(&o, 3 * MIB);
            CHECK(object_is_whole(&o));
            resize(&o, MIB / 4);
            CHECK(object_is_whole(&o) && malloc_usable_size(o.p) < MIB);
        }
        free(o.p);
        o = (struct object){.seed = 7};
        struct object other = {
            .seed = 9}; /* of what was freed: as large as it is now, and still whole */
        resize(&other, 4 * MIB);
        resize(&other, 5 * MIB);
        CHECK(object_is_whole(&other));
        free(other.p);
    }
}

/* No instruction would fault again. */
void sent_fault(void)
{
    kill(getpid(), SIGSEGV);
}

/* Only samples are noticed. */
void use_after_free(void)
{
    for (unsigned i = 0; i < 10000; i++) {
        char *p = victim = malloc(100);
        p[0] = 1;
        free(victim);
        CHECK(*(volatile char *)victim == 1 || true);
    }
}

/* --- The frame ---------------------------------------------------------------------------------------- */

#define CASE(name)  \
    {               \
#name, name \
    }
static const struct {
    const char *name;
    void (*run)(void);
} cases[] = {
    CASE(sizes),
    CASE(alignments),
    CASE(errors),
    CASE(reallocs),
    CASE(zeros),
    CASE(mixed),
    CASE(memory_goes_back),
    CASE(memory_goes_back_by_and_by),
    CASE(memory_goes_back_with_threads),
    CASE(large_objects_go_back),
    CASE(growing_objects),
    CASE(handlers_of_forks),
    CASE(all_keys_are_taken),
    CASE(closed_library),
    CASE(library_without_a_key),
    CASE(many_gigabytes),
    CASE(threads_one_after_another),
    CASE(threads_at_once),
    CASE(more_threads_than_cpus),
    CASE(destructors_that_allocate),
    CASE(first_call_in_a_destructor),
    CASE(exit_of_a_newcomer),
    CASE(frees_by_others),
    CASE(fork_storm),
    CASE(forks_at_once),
    CASE(fork_in_a_fork),
    CASE(spawns),
    CASE(double_free),
    CASE(foreign_free),
    CASE(interior_free),
    CASE(freed_realloc),
    CASE(freed_size),
    CASE(kept_ranges),
    CASE(grown_again),
    CASE(sent_fault),
    CASE(use_after_free),
};

int main(int argc, char **argv)
{
    alarm(120); /* whoever hangs is killed, and the test fails */
    random_seed(20201120);
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (argc < 2 || strcmp(cases[i].name, argv[1]) != 0)
            continue;
        cases[i].run();
        printf("ok %s: %lu checks\n", argv[1], units_checks);
        return units_checks == 0;
    }
    fprintf(stderr, "no such case\n");
    return 2;
}
