/* What the unit programs under libquicklime-malloc.so share. Each case is a function; the program is
 * called with its name, and says "ok" and how many checks it made. */
#ifndef UNITS_H
#define UNITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

extern unsigned long units_checks;

#define CHECK(cond)                                                                  \
    do {                                                                             \
        __atomic_fetch_add(&units_checks, 1, __ATOMIC_RELAXED);                      \
        if (!(cond)) {                                                               \
            fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #cond); \
            _Exit(1);                                                                \
        }                                                                            \
    } while (0)

/* An object and what is written in it: bytes that follow from its seed. */
struct object {
    unsigned char *p;
    size_t bytes;
    unsigned char seed;
};

void object_fill(struct object *o, void *p, size_t bytes);
bool object_is_whole(
    const struct object *o);        /* its first 64 bytes, its last 64, and some between */
void object_free(struct object *o); /* checks it */

/* A number below n, by a generator of each thread's own. */
uint64_t random_below(uint64_t n);
void random_seed(uint64_t seed);

/* Kilobytes that the process has in memory. */
long resident_kib(void);

/* The cases. */
void sizes(void), alignments(void), errors(void), reallocs(void), zeros(void), mixed(void);
void threads_one_after_another(void), threads_at_once(void), more_threads_than_cpus(void);
void destructors_that_allocate(void), first_call_in_a_destructor(void), exit_of_a_newcomer(void);
void frees_by_others(void);
void fork_storm(void), forks_at_once(void), fork_in_a_fork(void), spawns(void);
void many_gigabytes(void);
void double_free(void), foreign_free(void), interior_free(void), freed_realloc(void),
    freed_size(void), kept_ranges(void), grown_again(void), sent_fault(void), use_after_free(void),
    memory_goes_back(void), memory_goes_back_by_and_by(void), large_objects_go_back(void),
    memory_goes_back_with_threads(void), growing_objects(void);
void handlers_of_forks(void), all_keys_are_taken(void), closed_library(void),
    library_without_a_key(void);

#endif
