/* Owns: the stress test of objects that one CPU makes and another frees.
 * Relies on: stress.c, crew.c. Stage: after cpus_start.
 *
 * All CPUs of the crew share a few places. Each puts a new object into one and takes out what lies
 * there, most often another CPU's, which it looks at and frees: objects of all classes, of a cache,
 * and now and then one that is a range of its own. */
#include "check/stress_parts.h"
#include "mm/object_cache.h"
#include "mm/pmm.h"
#include "mm/string.h"

#define PLACES       64
#define TURNS        500
#define LARGE_RARITY 4 /* a virtual range for so many rounds: that is slow */

struct thing {
    uint64_t bytes; /* 0: of the cache */
    uint64_t mark;
};

static struct thing *places[PLACES]; /* atomic */
static struct object_cache *cache;

static uint64_t mark_of(const struct thing *thing)
{
    return ((uintptr_t)thing + thing->bytes) * 0x9e3779b97f4a7c15ull;
}

/* The last word of an object says the same as the first. */
static uint64_t *last_word(struct thing *thing)
{
    uint64_t bytes = thing->bytes != 0 ? thing->bytes : sizeof *thing + 8;
    return (uint64_t *)((char *)thing + (bytes & ~7ull) - 8);
}

static struct thing *make(uint64_t bytes)
{
    struct thing *thing = bytes != 0 ? kmalloc(bytes) : object_cache_alloc(cache);
    if (!STRESS_CHECK(thing != NULL))
        return NULL;
    thing->bytes = bytes;
    thing->mark = mark_of(thing);
    *last_word(thing) = thing->mark;
    return thing;
}

static void destroy(struct thing *thing)
{
    if (!thing)
        return;
    STRESS_CHECK(thing->mark == mark_of(thing) && *last_word(thing) == thing->mark);
    if (thing->bytes != 0)
        kfree_sized(thing, thing->bytes);
    else
        object_cache_free(cache, thing);
}

static uint64_t some_bytes(uint64_t n)
{
    return n % 4 == 0 ? 0 : sizeof(struct thing) + 8 + n * n % (n % 16 ? 400 : 40000);
}

static void pass_on(unsigned number)
{
    for (unsigned round = 0; round < stress.rounds; round++) {
        for (uint64_t turn = 0; turn < TURNS; turn++) {
            bool large = turn == 0 && round % LARGE_RARITY == 0;
            uint64_t n = turn + round * 7 + number * 13;
            struct thing *thing = make(large ? 3 << 19 : some_bytes(n));
            destroy(__atomic_exchange_n(&places[n * 5 % PLACES], thing, __ATOMIC_ACQ_REL));
        }
        stress_count(TURNS);
    }
    crew_meet();
    for (unsigned i = number; i < PLACES; i += crew.n)
        destroy(__atomic_exchange_n(&places[i], NULL, __ATOMIC_ACQ_REL));
}

void stress_heap(void)
{
    const struct object_cache_want want = {.name = "stress", .bytes = sizeof(struct thing) + 8};
    if (!STRESS_CHECK(object_cache_create(&want, &cache) == MM_OK))
        return;
    crew_run(pass_on);
    STRESS_CHECK(object_cache_destroy(cache) == 0);
}
