/* Owns: port_tlb_shootdown, port_relax, port_barrier_all: what all CPUs have to forget or to notice.
 * Relies on: lapic for the interrupt, cpus for who is online. Stage: from the first line of the
 * kernel; shootdown_init before other CPUs run.
 *
 * A CPU that asks has one batch at a time, as it waits with interrupts off until all have done it.
 * It puts its number into the inbox of each CPU it asks. Who puts the first number of a word in
 * sends the interrupt; who comes later finds that one is under way. The CPU that is asked takes
 * its inbox where the interrupt finds it, or in port_relax: one that waits for us with interrupts
 * off answers there, so two that ask each other do not wait for ever. Nothing here is locked.
 *
 * Orders: whoever asks has written the page tables before, and adds itself to the inbox
 * (sequentially consistent); taking the inbox acquires that, so no walk behind the flush finds an
 * old entry. The count-down is a locked instruction behind the flush: all accesses through old
 * translations are done by then, stores too, and whoever asked acquires that before it frees the
 * frames. */
#include "cpu/shootdown.h"

#include "cpu/cpus.h"
#include "cpu/lapic.h"
#include "cpu/traps.h"
#include "lock.h"

static void flush_ranges(const struct tlb_batch *batch)
{
    for (unsigned i = 0; i < batch->count; i++) {
        const struct tlb_range *r = &batch->ranges[i];
        for (uint64_t page = 0; page < r->count; page++)
            __asm__ volatile("invlpg (%0)" ::"r"(va_add(r->va, page * r->page_bytes).v) : "memory");
    }
}

static void flush(const struct tlb_batch *batch)
{
    if (batch->whole)
        port_tlb_flush_all();
    else
        flush_ranges(batch);
}

static void answer(struct cpu *asking)
{
    flush(asking->tlb_batch);
    __atomic_fetch_sub(&asking->tlb_pending, 1,
                       __ATOMIC_RELEASE); /* its batch is gone behind this */
}

static void serve(struct cpu *self)
{
    for (unsigned i = 0; i < CPU_SET_WORDS; i++) {
        uint64_t *word = &self->tlb_inbox.words[i];
        if (__atomic_load_n(word, __ATOMIC_RELAXED) == 0)
            continue;
        uint64_t asking = __atomic_exchange_n(word, 0, __ATOMIC_ACQUIRE);
        for (; asking != 0; asking &= asking - 1)
            answer(cpus_get(i * 64 + (unsigned)__builtin_ctzll(asking)));
    }
}

static void on_shootdown(struct trap_frame *frame)
{
    (void)frame;
    lapic_end();
    serve(cpu_current());
}

void shootdown_init(void)
{
    traps_set(VECTOR_SHOOTDOWN, on_shootdown);
}

void port_relax(void)
{
    __builtin_ia32_pause();
    serve(cpu_current());
}

static void ask(struct cpu *cpu, unsigned self)
{
    uint64_t before =
        __atomic_fetch_or(&cpu->tlb_inbox.words[self / 64], cpu_set_bit(self), __ATOMIC_SEQ_CST);
    if (before == 0)
        lapic_send(cpu->lapic_id, VECTOR_SHOOTDOWN);
}

/* Those of the set that are online, but this one. A CPU is online before it loads a space. */
static struct cpu_set others_of(const struct cpu_set *cpus, unsigned self)
{
    struct cpu_set others = cpu_set_copy(cpus), online = cpu_set_copy(cpus_online());
    for (unsigned i = 0; i < CPU_SET_WORDS; i++)
        others.words[i] &= online.words[i];
    cpu_set_remove(&others, self);
    return others;
}

void port_tlb_shootdown(const struct cpu_set *cpus, const struct tlb_batch *batch)
{
    irq_state_t irq = irq_save();
    struct cpu *self = cpu_current();
    struct cpu_set others = others_of(cpus, self->id);
    self->tlb_batch = batch;
    __atomic_store_n(&self->tlb_pending, cpu_set_count(&others), __ATOMIC_RELAXED);
    for_each_cpu(cpu, &others) ask(cpus_get(cpu), self->id);
    if (cpu_set_has(cpus, self->id))
        flush(batch); /* while they do the same */
    while (__atomic_load_n(&self->tlb_pending, __ATOMIC_ACQUIRE) != 0)
        port_relax();
    irq_restore(irq);
}

/* A shootdown with nothing to forget: who answers acquires what was written here, releases what it
 * wrote itself, and has its interrupts on or waits. The fence is for a CPU that is not online yet:
 * it will read what was written before. */
void port_barrier_all(void)
{
    static const struct tlb_batch nothing;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    port_tlb_shootdown(cpus_online(), &nothing);
}
