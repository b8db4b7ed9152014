/* Owns: the non-maskable interrupt: it either stops a CPU on behalf of another, or is a real one.
 * Relies on: lapic to send it, cpus for who is online. Stage: any; before other CPUs run there is
 * nothing to stop.
 *
 * The first CPU that wants all others stopped is the only one from then on: the choice is one
 * compare and exchange, and there is no way back. */
#include "cpu/stop.h"

#include "cpu/cpu.h"
#include "cpu/cpus.h"
#include "cpu/lapic.h"
#include "cpu/traps.h"
#include "panic/panic.h"

#define PATIENCE_USEC 1000000 /* since the last one stopped; emulated CPUs share their host */
#define NOBODY        0u      /* else the CPU's number + 1 */

static uint32_t stopper;
static struct cpu_set victims;

static void note(bool panicking, uint64_t rip, uint64_t rbp)
{
    struct cpu_stopped *at = &cpu_current()->at_panic;
    at->rip = rip;
    at->rbp = rbp;
    __atomic_store_n(&at->panicked, panicking, __ATOMIC_RELAXED);
}

/* Release: who sees us stopped sees where. */
static _Noreturn void stop_here(void)
{
    __atomic_store_n(&cpu_current()->at_panic.stopped, true, __ATOMIC_RELEASE);
    cpu_halt();
}

/* It may come to a CPU that was about to panic, and has noted that itself. */
static void on_nmi(struct trap_frame *frame)
{
    struct cpu *self = cpu_current();
    uint32_t who = __atomic_load_n(&stopper, __ATOMIC_ACQUIRE);
    if (who == NOBODY || who == self->id + 1)
        panic_trap(frame);
    if (!__atomic_load_n(&self->at_panic.panicked, __ATOMIC_RELAXED))
        note(false, frame->rip, frame->rbp);
    stop_here();
}

void stop_init(void)
{
    traps_set(TRAP_NMI, on_nmi);
}

static unsigned count_running(void)
{
    unsigned count = 0;
    for_each_cpu(i, &victims) count +=
        !__atomic_load_n(&cpus_get(i)->at_panic.stopped, __ATOMIC_ACQUIRE);
    return count;
}

static void wait_for_all(void)
{
    uint64_t start = cpu_tsc(), patience = cpu_tsc_ticks(PATIENCE_USEC);
    for (unsigned last = 0, running; (running = count_running()) != 0; last = running) {
        if (running != last)
            start = cpu_tsc();
        else if (cpu_tsc() - start > patience)
            return;
        __builtin_ia32_pause();
    }
}

void stop_others(bool panicking, uint64_t rip, uint64_t rbp)
{
    uint32_t self = cpu_current()->id, nobody = NOBODY;
    __asm__ volatile("cli" ::: "memory");
    note(panicking, rip, rbp); /* first: the NMI of another one may come at any moment */
    if (!__atomic_compare_exchange_n(&stopper, &nobody, self + 1, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE)) {
        if (nobody != self + 1)
            stop_here();
        return;
    }
    victims = cpu_set_copy(cpus_online());
    cpu_set_remove(&victims, self);
    for_each_cpu(i, &victims) lapic_send_nmi(cpus_get(i)->lapic_id);
    wait_for_all();
    for_each_cpu(i, &victims) cpus_leave(i); /* nobody waits for an answer of theirs any more */
}

const struct cpu_set *stop_victims(void)
{
    return &victims;
}
