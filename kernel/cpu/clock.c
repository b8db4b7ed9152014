/* Owns: the frequencies of the TSC and of the local APICs' timers, and the tick of a CPU that
 * polls.
 * Relies on: cpu for CPUID and the TSC, clock_references.c, lapic. Stage: after acpi_init.
 *
 * No source is always there and always right, so they are asked in an order, from the exact ones
 * to the old ones, and each answer must be plausible: within what CPUs can do; and for what is
 * measured, twice the same. The local APIC's timer is then measured by the TSC: CPUID does not
 * tell its frequency everywhere, and what it tells is not always what runs the timer. */
#include "cpu/clock.h"

#include <stddef.h>

#include "boot/context.h"
#include "console/print.h"
#include "cpu/clock_references.h"
#include "cpu/cpu.h"
#include "cpu/cpus.h"
#include "cpu/lapic.h"
#include "cpu/traps.h"
#include "lock.h"

#define TSC_HZ_MIN     50000000ull
#define TSC_HZ_MAX     20000000000ull
#define TIMER_HZ_MIN   1000000ull
#define TIMER_HZ_MAX   20000000000ull
#define MEASURE_USEC   8000 /* short of the 55 ms in which the PIT comes round */
#define ATTEMPTS       6
#define AGREE          200 /* two measurements: to one part in so many */
#define READS          5 /* of which the quickest counts: interrupts that we do not see take time */
#define POLLS_MAX      10000000u
#define TICKS_A_SECOND 1000
#define PAUSES         200 /* where there is no timer */

extern const uint64_t entry_tsc; /* entry.S */

static const char *source_name = "none";
static uint64_t timer_hz;
static bool ticking;

/* --- Measuring ------------------------------------------------------------------------------- */

/* Both counters at one moment. */
struct moment {
    uint64_t tsc;
    uint32_t reference;
};

static struct moment look(const struct clock_reference *reference)
{
    struct moment best = {0, 0};
    uint64_t least = UINT64_MAX;
    for (unsigned i = 0; i < READS; i++) {
        uint64_t before = cpu_tsc();
        uint32_t value = reference->read();
        uint64_t took = cpu_tsc() - before;
        if (took >= least)
            continue;
        least = took;
        best = (struct moment){before + took / 2, value};
    }
    return best;
}

/* TSC ticks a second while the reference ran for MEASURE_USEC; 0: it does not run. */
static uint64_t measure_once(const struct clock_reference *reference)
{
    uint64_t wanted = reference->hz * MEASURE_USEC / 1000000;
    uint64_t limit = TSC_HZ_MAX / 1000000 * (2 * MEASURE_USEC); /* however fast: no more comes */
    struct moment start = look(reference);
    for (unsigned i = 0; i < POLLS_MAX && cpu_tsc() - start.tsc < limit; i++)
        if (((reference->read() - start.reference) & reference->mask) >= wanted)
            break;
    struct moment end = look(reference);
    uint64_t ticks = (end.reference - start.reference) & reference->mask;
    return ticks >= wanted ? (end.tsc - start.tsc) * reference->hz / ticks : 0;
}

static bool agree(uint64_t a, uint64_t b)
{
    uint64_t difference = a < b ? b - a : a - b;
    return difference <= a / AGREE;
}

/* Until two measurements in a row agree. Interrupts are off, but firmware's (SMM) cannot be. */
static uint64_t measure(uint64_t (*once)(const struct clock_reference *),
                        const struct clock_reference *reference)
{
    irq_state_t irq = irq_save();
    uint64_t last = once(reference), hz = 0;
    for (unsigned i = 1; i < ATTEMPTS && last != 0 && hz == 0; i++) {
        uint64_t now = once(reference);
        if (now != 0 && agree(last, now))
            hz = last / 2 + now / 2;
        last = now;
    }
    irq_restore(irq);
    return hz;
}

/* --- The TSC --------------------------------------------------------------------------------- */

static bool accept(const char *name, uint64_t hz)
{
    if (hz < TSC_HZ_MIN || hz > TSC_HZ_MAX) {
        if (hz != 0)
            kprintf("clock: %s: a TSC of %lu Hz cannot be\n", name, hz);
        return false;
    }
    source_name = name;
    cpu_set_tsc_hz(hz);
    return true;
}

static bool accept_reference(bool (*open)(struct clock_reference *))
{
    struct clock_reference reference;
    if (!open(&reference))
        return false;
    uint64_t hz = measure(measure_once, &reference);
    if (reference.close)
        reference.close();
    if (hz == 0)
        kprintf("clock: %s: does not count evenly\n", reference.name);
    return accept(reference.name, hz);
}

static void find_tsc_hz(void)
{
    (void)(accept("CPUID", cpu_tsc_hz_of_cpuid()) || accept_reference(clock_open_hpet) ||
           accept_reference(clock_open_pm_timer) || accept_reference(clock_open_pit) ||
           accept("loader", boot_context()->tsc_hz));
}

/* --- The local APIC's timer ------------------------------------------------------------------ */

/* The reference is the TSC. */
static uint64_t measure_timer(const struct clock_reference *unused)
{
    (void)unused;
    uint64_t ticks = cpu_tsc_ticks(MEASURE_USEC);
    lapic_timer_count(UINT32_MAX);
    uint64_t start = cpu_tsc();
    uint32_t from = lapic_timer_left();
    while (cpu_tsc() - start < ticks)
        __builtin_ia32_pause();
    uint32_t counted = from - lapic_timer_left();
    uint64_t took = cpu_tsc() - start;
    lapic_timer_count(0);
    return counted * (cpu_tsc_hz() / 1000) / (took / 1000);
}

static void on_tick(struct trap_frame *frame)
{
    (void)frame;
    lapic_end(); /* to be woken was all */
}

static void find_timer_hz(void)
{
    if (!lapic_present() || cpu_tsc_hz() == 0)
        return;
    uint64_t hz = measure(measure_timer, NULL);
    if (hz >= TIMER_HZ_MIN && hz <= TIMER_HZ_MAX)
        timer_hz = hz;
    else
        kprintf("clock: the local APIC's timer does not count evenly (%lu Hz)\n", hz);
}

/* --- The interface --------------------------------------------------------------------------- */

void clock_init(void)
{
    find_tsc_hz();
    find_timer_hz();
    traps_set(VECTOR_TICK, on_tick);
}

uint64_t clock_boot_usec(void)
{
    uint64_t hz = cpu_tsc_hz();
    return hz ? (cpu_tsc() - entry_tsc) / (hz / 1000000) : 0;
}

const char *clock_source_name(void)
{
    return source_name;
}

uint64_t clock_timer_hz(void)
{
    return timer_hz;
}

bool clock_slice_start(unsigned usec)
{
    if (timer_hz == 0)
        return false;
    lapic_timer_repeat(VECTOR_SLICE, (uint32_t)(timer_hz * usec / 1000000));
    return true;
}

static void tick(void)
{
    lapic_timer_repeat(VECTOR_TICK, (uint32_t)(timer_hz / TICKS_A_SECOND));
}

/* CPU 0 is the one that polls. */
void clock_slice_stop(void)
{
    if (ticking && cpu_current()->id == 0)
        tick();
    else
        lapic_timer_repeat(VECTOR_SLICE, 0);
}

/* The tick goes on while there are keys to be waited for; nobody else has interrupts to lose. */
void clock_rest(void)
{
    if (timer_hz == 0) {
        for (unsigned i = 0; i < PAUSES; i++)
            __builtin_ia32_pause();
        return;
    }
    if (!ticking)
        tick();
    ticking = true;
    __asm__ volatile("sti\n\thlt" ::: "memory");
}
