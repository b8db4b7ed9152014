/* Owns: functions that one CPU runs on another, in interrupt context, and waits for.
 * Relies on: lapic for the interrupt, cpus for who is online. Stage: calls_init before other CPUs
 * run.
 *
 * Every CPU has a queue: a list that others push to and that it takes as a whole. Who pushes to an
 * empty queue sends the interrupt; whoever comes later finds that one is under way. A call lives
 * on the stack of the CPU that waits for it, and must not be touched by the others once they have
 * counted it down.
 *
 * Orders: the push releases the call, taking the queue acquires it. The count-down releases what
 * the function did, and the caller's last look at the count acquires it. */
#include "cpu/calls.h"

#include "check.h"
#include "cpu/cpus.h"
#include "cpu/lapic.h"
#include "cpu/traps.h"
#include "lock.h"

struct call {
    cpu_function_t function;
    void *argument;
    uint32_t pending; /* CPUs that have not run it */
};

/* A call on all at a time: two whose CPUs wait for each other in the functions would never meet. No
 * spinlock, whose waiting serves no calls. */
static uint32_t all_busy;

static void run(struct call *call)
{
    traps_aside(call->function, call->argument);
    __atomic_fetch_sub(&call->pending, 1, __ATOMIC_RELEASE); /* and now it is the caller's again */
}

/* First come, first served: the list is newest first. */
static struct call_node *take_queue(struct cpu *cpu)
{
    struct call_node *in_order = NULL;
    struct call_node *node = __atomic_exchange_n(&cpu->call_queue, NULL, __ATOMIC_ACQUIRE);
    while (node) {
        struct call_node *next = node->next;
        node->next = in_order;
        in_order = node;
        node = next;
    }
    return in_order;
}

void calls_serve(void)
{
    irq_state_t irq = irq_save();
    for (struct call_node *node = take_queue(cpu_current()), *next; node; node = next) {
        next = node->next; /* the node goes with its call */
        run(node->call);
    }
    irq_restore(irq);
}

static void on_call(struct trap_frame *frame)
{
    (void)frame;
    lapic_end(); /* first: the next one is queued behind this handler, not lost */
    calls_serve();
}

void calls_init(void)
{
    traps_set(VECTOR_CALL, on_call);
}

/* Interrupts are off: another CPU that finds the queue filled relies on our interrupt to be
 * sent. */
static void push(struct cpu *cpu, struct call_node *node, struct call *call)
{
    node->call = call;
    node->next = __atomic_load_n(&cpu->call_queue, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&cpu->call_queue, &node->next, node, true, __ATOMIC_RELEASE,
                                        __ATOMIC_RELAXED))
        ;
    if (node->next == NULL)
        lapic_send(cpu->lapic_id, VECTOR_CALL);
}

void calls_wait_turn(void)
{
    calls_serve();
    port_relax();
}

static void wait(const struct call *call)
{
    while (__atomic_load_n(&call->pending, __ATOMIC_ACQUIRE) != 0)
        calls_wait_turn();
}

bool cpus_call(unsigned cpu, cpu_function_t function, void *argument)
{
    struct call call = {function, argument, 1};
    struct call_node node;
    if (cpu >= CONFIG_CPUS_MAX || !cpu_set_has(cpus_online(), cpu))
        return false;
    irq_state_t irq = irq_save();
    if (cpu == cpu_current()->id)
        run(&call);
    else
        push(cpus_get(cpu), &node, &call);
    irq_restore(irq);
    wait(&call);
    return true;
}

void cpus_call_all(cpu_function_t function, void *argument)
{
    while (__atomic_exchange_n(&all_busy, 1, __ATOMIC_ACQUIRE))
        calls_wait_turn();

    struct cpu_set online = cpu_set_copy(cpus_online());
    struct call call = {function, argument, cpu_set_count(&online)};
    irq_state_t irq = irq_save();
    for_each_cpu(i, &online) if (i != cpu_current()->id)
        push(cpus_get(i), &cpus_get(i)->call_all_node, &call);
    run(&call);
    irq_restore(irq);
    wait(&call);
    __atomic_store_n(&all_busy, 0, __ATOMIC_RELEASE);
}
