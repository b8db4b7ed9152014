/* What every test file needs: cmocka, and random numbers that can be repeated. */
#ifndef TEST_H
#define TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* A test twice: set up by start, and by start_5_levels, which makes a machine with that many. */
#define TEST_ON_4_AND_5_LEVELS(name, start, stop)                  \
    cmocka_unit_test_setup_teardown(name, start, stop),            \
    {                                                              \
#name "_with_5_levels", name, start##_5_levels, stop, NULL \
    }

struct rng {
    uint64_t state;
};

/* Begin a sequence: seeded from QL_SEED or the clock, and always printed. */
static inline struct rng rng_start(void)
{
    static uint64_t sequences;
    const char *given = getenv("QL_SEED");
    uint64_t seed = (uint64_t)time(NULL) * 1000003 + (uint64_t)getpid() * 101 + sequences++;
    if (given != NULL)
        seed = strtoull(given, NULL, 0);
    print_message("             QL_SEED=%lu\n", seed);
    return (struct rng){seed};
}

/* splitmix64: any state is a good one. source: Steele, Lea, Flood, OOPSLA 2014 */
static inline uint64_t rng_next(struct rng *rng)
{
    uint64_t z = rng->state += 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

static inline uint64_t rng_below(struct rng *rng, uint64_t limit)
{
    return rng_next(rng) % limit;
}

/* In [low, high]. */
static inline uint64_t rng_between(struct rng *rng, uint64_t low, uint64_t high)
{
    return low + rng_below(rng, high - low + 1);
}

/* In [1, limit], each order of magnitude as likely as the next. */
static inline uint64_t rng_size(struct rng *rng, uint64_t limit)
{
    unsigned bits = 64 - (unsigned)__builtin_clzll(limit);
    uint64_t size = 1 + (rng_next(rng) >> (63 - rng_below(rng, bits)));
    return size < limit ? size : limit;
}

#endif
