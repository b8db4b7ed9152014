/* Owns: the CPUs of the library's machine: which thread is which, and how one that is none is caught.
 * Relies on: mm_cpu_create.
 *
 * A thread that is no CPU has mm_cpu_none for its share: the manager asks for the CPU's number then,
 * which is where we say what is missing. */
#include "mm/cpu.h"

#include <sched.h>
#include <stdlib.h>

#include "host.h"
#include "machine.h"
#include "mm/port.h"

#define NO_CPU      UINT32_MAX
#define YIELD_TURNS 128 /* of waiting: there may be more CPUs than the host has */

_Thread_local struct mm_cpu *host_mm_cpu = &mm_cpu_none;
static _Thread_local uint32_t self = NO_CPU;
static _Thread_local unsigned turns;

static struct {
    unsigned count;
    struct mm_cpu *shares[CONFIG_CPUS_MAX];
    paddr_t roots[CONFIG_CPUS_MAX];
} cpus;

/* --- Threads that are no CPU -------------------------------------------------------------------- */

static _Noreturn void refuse(void)
{
    say("this thread is no CPU of the machine: call ql_host_bind_cpu in each thread, after "
        "ql_host_start");
    abort();
}

/* --- Which thread is which ---------------------------------------------------------------------- */

void cpus_begin(void)
{
    cpus.count = 1;
    self = 0;
}

mm_status_t cpus_start(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        mm_status_t status = mm_cpu_create(i, &cpus.shares[i]);
        if (status != MM_OK)
            return status;
    }
    cpus.count = n;
    ql_host_bind_cpu(0);
    return MM_OK;
}

void cpus_stop(void)
{
    cpus.count = 0;
    self = NO_CPU;
    port_set_mm_cpu(&mm_cpu_none);
}

void ql_host_bind_cpu(unsigned cpu)
{
    if (cpu >= cpus.count) {
        say("there is no CPU %u: the machine has %u", cpu, cpus.count);
        abort();
    }
    self = cpu;
    port_set_mm_cpu(cpus.shares[cpu]);
}

/* --- The port ----------------------------------------------------------------------------------- */

unsigned port_cpu_id(void)
{
    if (self == NO_CPU)
        refuse();
    return self;
}

void port_set_mm_cpu(struct mm_cpu *cpu)
{
    host_mm_cpu = cpu;
}

void port_relax(void)
{
    __builtin_ia32_pause();
    if (++turns % YIELD_TURNS == 0)
        sched_yield();
}

/* Nobody reads memory through the page tables of this machine, so no translation is ever cached. */
void port_tlb_shootdown(const struct cpu_set *set, const struct tlb_batch *batch)
{
    (void)set, (void)batch;
}

void port_tlb_flush_all(void) {}

paddr_t port_get_root(void)
{
    return cpus.roots[port_cpu_id()];
}

void port_set_root(paddr_t root)
{
    cpus.roots[port_cpu_id()] = root;
}
