/* Owns: the CPUs' shares of the memory manager, of which each knows its number only.
 * Relies on: nothing. Stage: any. */
#include "mm/cpu.h"

#include "config.h"

struct mm_cpu {
    unsigned cpu;
};

static struct mm_cpu shares[CONFIG_CPUS_MAX];

#ifdef QL_HOST
struct mm_cpu mm_cpu_none;
#endif

mm_status_t mm_cpu_create(unsigned cpu, struct mm_cpu **out)
{
    if (cpu >= CONFIG_CPUS_MAX)
        return MM_RANGE;
    shares[cpu].cpu = cpu;
    *out = &shares[cpu];
    return MM_OK;
}
