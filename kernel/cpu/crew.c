/* Owns: the crew of CPUs that work on one thing together.
 * Relies on: cpus.h to give them work. Stage: after cpus_start. */
#include "cpu/crew.h"

#include "check.h"
#include "cpu/cpus.h"
#include "mm/port.h"

struct crew crew;
static void (*crew_body)(unsigned number);
static uint32_t arrived, generation; /* of crew_meet; atomic */

void crew_choose(unsigned limit)
{
    unsigned self = cpu_current()->id;

    crew.n = 0;
    crew.cpus[crew.n++] = self;
    for_each_cpu(cpu, cpus_online()) if (cpu != self && crew.n < limit) crew.cpus[crew.n++] = cpu;
}

static void enter(void *number)
{
    unsigned *mine = number; /* of crew.cpus: its place is the number */
    crew_meet();
    crew_body((unsigned)(mine - crew.cpus));
}

void crew_run(void (*body)(unsigned number))
{
    crew_body = body;
    for (unsigned i = 1; i < crew.n; i++) {
        cpus_wait(crew.cpus[i]); /* what it was given before may have its last instructions to go */
        ASSERT(cpus_run(crew.cpus[i], enter, &crew.cpus[i]));
    }
    enter(&crew.cpus[0]);
    for (unsigned i = 1; i < crew.n; i++)
        cpus_wait(crew.cpus[i]);
}

void crew_meet(void)
{
    uint32_t now = __atomic_load_n(&generation, __ATOMIC_ACQUIRE);

    if (__atomic_add_fetch(&arrived, 1, __ATOMIC_ACQ_REL) == crew.n) {
        __atomic_store_n(&arrived, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&generation, now + 1, __ATOMIC_RELEASE);
    }
    while (__atomic_load_n(&generation, __ATOMIC_ACQUIRE) == now)
        port_relax();
}

void crew_await(const uint32_t *flag, uint32_t value)
{
    while (__atomic_load_n(flag, __ATOMIC_ACQUIRE) < value)
        port_relax();
}
