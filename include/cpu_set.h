/* A set of CPUs, by the number that port_cpu_id gives them: 0 .. CONFIG_CPUS_MAX - 1.
 * locking: none needed. Adding and removing are atomic and full barriers: who adds itself and then
 * reads memory, and who writes that memory and then copies the set after a full barrier, cannot
 * both miss what the other did. */
#ifndef QL_CPU_SET_H
#define QL_CPU_SET_H

#include <stdbool.h>
#include <stdint.h>

#include "config.h"

#define CPU_SET_WORDS (CONFIG_CPUS_MAX / 64)
_Static_assert(CONFIG_CPUS_MAX % 64 == 0 && CONFIG_CPUS_MAX > 0, "whole words");

struct cpu_set {
    uint64_t words[CPU_SET_WORDS];
};

static inline uint64_t cpu_set_bit(unsigned cpu)
{
    return 1ull << cpu % 64;
}

static inline void cpu_set_add(struct cpu_set *set, unsigned cpu)
{
    __atomic_fetch_or(&set->words[cpu / 64], cpu_set_bit(cpu), __ATOMIC_SEQ_CST);
}

static inline void cpu_set_remove(struct cpu_set *set, unsigned cpu)
{
    __atomic_fetch_and(&set->words[cpu / 64], ~cpu_set_bit(cpu), __ATOMIC_SEQ_CST);
}

static inline bool cpu_set_has(const struct cpu_set *set, unsigned cpu)
{
    return (__atomic_load_n(&set->words[cpu / 64], __ATOMIC_ACQUIRE) & cpu_set_bit(cpu)) != 0;
}

/* The set as it is at the moment; each word on its own. */
static inline struct cpu_set cpu_set_copy(const struct cpu_set *set)
{
    struct cpu_set copy;
    for (unsigned i = 0; i < CPU_SET_WORDS; i++)
        copy.words[i] = __atomic_load_n(&set->words[i], __ATOMIC_SEQ_CST);
    return copy;
}

static inline unsigned cpu_set_count(const struct cpu_set *set)
{
    unsigned count = 0;
    for (unsigned i = 0; i < CPU_SET_WORDS; i++)
        count += (unsigned)__builtin_popcountll(__atomic_load_n(&set->words[i], __ATOMIC_ACQUIRE));
    return count;
}

static inline bool cpu_set_is_empty(const struct cpu_set *set)
{
    return cpu_set_count(set) == 0;
}

/* The first CPU of the set from cpu on; CONFIG_CPUS_MAX if there is none. */
static inline unsigned cpu_set_next(const struct cpu_set *set, unsigned cpu)
{
    while (cpu < CONFIG_CPUS_MAX) {
        uint64_t word = __atomic_load_n(&set->words[cpu / 64], __ATOMIC_ACQUIRE) >> cpu % 64;
        if (word != 0)
            return cpu + (unsigned)__builtin_ctzll(word);
        cpu = (cpu / 64 + 1) * 64;
    }
    return CONFIG_CPUS_MAX;
}

/* Each CPU of the set, ascending; one that comes or goes meanwhile may be seen or not. */
#define for_each_cpu(cpu, set)                                         \
    for (unsigned cpu = cpu_set_next((set), 0); cpu < CONFIG_CPUS_MAX; \
         cpu = cpu_set_next((set), cpu + 1))

#endif
