/* Owns: each CPU's local APIC, its timer; the interrupt flag while a time limit runs.
 * Relies on: traps, the vmm for the registers, cpu for the clock (the time limit's interrupts
 * only look at the time-stamp counter, so the timer's own frequency need not be known). Stage:
 * lapic_init when our tables are in use. The loader has masked the PICs and the I/O APIC.
 *
 * Registers are memory, the same addresses for every CPU's own, or MSRs in x2APIC mode, which
 * QEMU's emulation does not have: that half has never run. */
#include "cpu/lapic.h"

#include <stddef.h>

#include "check.h"
#include "console/print.h"
#include "cpu/cpu.h"
#include "cpu/traps.h"
#include "io.h"
#include "lock.h"
#include "mm/vmm.h"

enum {
    LAPIC_ID = 0x020,
    LAPIC_TASK_PRIORITY = 0x080,
    LAPIC_EOI = 0x0b0,
    LAPIC_SPURIOUS = 0x0f0,
    LAPIC_COMMAND = 0x300,
    LAPIC_COMMAND_TO = 0x310,
    LAPIC_LVT_TIMER = 0x320,
    LAPIC_LVT_LINT0 = 0x350,
    LAPIC_TIMER_INITIAL = 0x380,
    LAPIC_TIMER_CURRENT = 0x390,
    LAPIC_TIMER_DIVIDE = 0x3e0,

    SPURIOUS_ENABLE = 0x100,
    PRIORITY_ONLY_OURS = 0xe0,

    COMMAND_NMI = 0x400,
    COMMAND_INIT = 0x500,
    COMMAND_PENDING = 0x1000,
    COMMAND_ASSERT = 0x4000,

    LVT_DELIVERY = 0x700,
    LVT_EXTINT = 0x700,
    LVT_MASKED = 0x10000,
    LVT_PERIODIC = 0x20000,
    DIVIDE_BY_1 = 11,
    DIVIDE_BY_16 = 3,

    /* 2 ms at the 1 GHz of a virtual bus, 90 ms at the 24 MHz of a crystal. */
    DEADLINE_COUNT = 0x20000,

    /* A command has left in far less, unless the machine is broken. */
    SEND_POLLS = 1000000,
    XAPIC_ID_MAX = 254,
};

#define APIC_BASE_ENABLE  (1ull << 11)
#define APIC_BASE_X2APIC  (1ull << 10)
#define APIC_BASE_ADDRESS (PADDR_LIMIT - FRAME_BYTES)
#define MSR_X2APIC        0x800u

static struct {
    bool present, x2apic;
    volatile uint8_t *registers;
    uint64_t base;         /* the boot CPU's MSR_APIC_BASE but for the flag that says so */
    uint64_t start, ticks; /* of the time limit, which one CPU at a time has */
    bool expired;
} lapic;

static uint32_t read_register(uint32_t offset)
{
    if (lapic.x2apic)
        return (uint32_t)cpu_read_msr(MSR_X2APIC + (offset >> 4));
    return *(volatile uint32_t *)(lapic.registers + offset);
}

static void write_register(uint32_t offset, uint32_t value)
{
    if (lapic.x2apic)
        cpu_write_msr(MSR_X2APIC + (offset >> 4), value);
    else
        *(volatile uint32_t *)(lapic.registers + offset) = value;
}

static void on_deadline_timer(struct trap_frame *frame)
{
    lapic_end();
    if (cpu_tsc() - lapic.start < lapic.ticks)
        return;
    lapic.expired = true;
    (void)traps_abandon(frame); /* none yet: the next interrupt comes soon */
}

static void on_spurious(struct trap_frame *frame)
{
    (void)frame; /* gets no end of interrupt */
}

static bool map_registers(paddr_t pa)
{
    vaddr_t va;
    mm_status_t status = vmm_map_device("local APIC", pa, PAGE_BYTES, CACHE_UC, &va);
    if (status == MM_OK)
        lapic.registers = (volatile uint8_t *)va_number(va); /* just mapped */
    else
        kprintf("local APIC at 0x%lx: %s\n", pa_number(pa), mm_status_name(status));
    return status == MM_OK;
}

void lapic_init(void)
{
    if (!cpu_info()->apic)
        return;
    uint64_t base = cpu_read_msr(MSR_APIC_BASE);
    lapic.x2apic = base & APIC_BASE_X2APIC;
    lapic.base = (base & (APIC_BASE_ADDRESS | APIC_BASE_X2APIC)) | APIC_BASE_ENABLE;
    if (!lapic.x2apic && !map_registers(PA(base & APIC_BASE_ADDRESS)))
        return;
    traps_set(VECTOR_DEADLINE, on_deadline_timer);
    traps_set(VECTOR_SPURIOUS, on_spurious);
    lapic.present = true;
    lapic_enable();
}

bool lapic_present(void)
{
    return lapic.present;
}

bool lapic_is_x2apic(void)
{
    return lapic.x2apic;
}

/* From disabled to x2APIC mode leads only the way through xAPIC mode; there is none back, which the
 * loader has seen to. source: Intel SDM Vol. 3A "x2APIC State Transitions" */
static void set_mode(void)
{
    const uint64_t ours = APIC_BASE_ADDRESS | APIC_BASE_ENABLE | APIC_BASE_X2APIC;
    uint64_t base = cpu_read_msr(MSR_APIC_BASE);
    if ((base & ours) == lapic.base)
        return;
    base = (base & ~(APIC_BASE_ADDRESS | APIC_BASE_X2APIC)) | lapic.base;
    cpu_write_msr(MSR_APIC_BASE, base & ~APIC_BASE_X2APIC);
    if (lapic.x2apic)
        cpu_write_msr(MSR_APIC_BASE, base);
}

void lapic_enable(void)
{
    set_mode();
    write_register(LAPIC_SPURIOUS, SPURIOUS_ENABLE | VECTOR_SPURIOUS); /* first: it unlocks */
    write_register(LAPIC_TASK_PRIORITY, PRIORITY_ONLY_OURS);
    write_register(LAPIC_LVT_TIMER, LVT_MASKED | VECTOR_DEADLINE);
    uint32_t lint0 = read_register(LAPIC_LVT_LINT0);
    if ((lint0 & LVT_DELIVERY) == LVT_EXTINT) /* the PIC, which no task priority holds back */
        write_register(LAPIC_LVT_LINT0, lint0 | LVT_MASKED);
}

uint32_t lapic_id(void)
{
    if (!lapic.present)
        return 0;
    return lapic.x2apic ? read_register(LAPIC_ID) : read_register(LAPIC_ID) >> 24;
}

void lapic_end(void)
{
    write_register(LAPIC_EOI, 0);
}

/* --- Commands to other CPUs ------------------------------------------------------------------ */

/* The register must not be written before the last command has left. Bounded: a panic sends,
 * too. */
static void wait_until_sent(void)
{
    for (unsigned i = 0; i < SEND_POLLS && (read_register(LAPIC_COMMAND) & COMMAND_PENDING); i++)
        __builtin_ia32_pause();
}

/* x2APIC writes are not ordered with those to memory, which the other CPU is about to read; a
 * store to the uncached registers of xAPIC mode is. source: Intel SDM Vol. 3A "MSR Access in
 * x2APIC Mode" */
static void send(uint32_t id, uint32_t command)
{
    if (lapic.x2apic) {
        __asm__ volatile("mfence\n\tlfence" ::: "memory");
        cpu_write_msr(MSR_X2APIC + (LAPIC_COMMAND >> 4), (uint64_t)id << 32 | command);
        return;
    }
    ASSERT(id <= XAPIC_ID_MAX); /* 255 would mean all */
    irq_state_t irq = irq_save();
    wait_until_sent();
    write_register(LAPIC_COMMAND_TO, id << 24);
    write_register(LAPIC_COMMAND, command);
    irq_restore(irq);
}

void lapic_send(uint32_t id, enum lapic_vector vector)
{
    send(id, COMMAND_ASSERT | vector);
}

void lapic_send_nmi(uint32_t id)
{
    send(id, COMMAND_ASSERT | COMMAND_NMI);
}

void lapic_send_init(uint32_t id)
{
    send(id, COMMAND_ASSERT | COMMAND_INIT);
}

/* --- The timer ------------------------------------------------------------------------------- */

void lapic_timer_count(uint32_t from)
{
    write_register(LAPIC_TIMER_DIVIDE, DIVIDE_BY_1);
    write_register(LAPIC_LVT_TIMER, LVT_MASKED | VECTOR_DEADLINE);
    write_register(LAPIC_TIMER_INITIAL, from);
}

uint32_t lapic_timer_left(void)
{
    return read_register(LAPIC_TIMER_CURRENT);
}

void lapic_timer_repeat(enum lapic_vector vector, uint32_t count)
{
    write_register(LAPIC_TIMER_DIVIDE, DIVIDE_BY_1);
    write_register(LAPIC_LVT_TIMER, (count ? LVT_PERIODIC : LVT_MASKED) | vector);
    write_register(LAPIC_TIMER_INITIAL, count);
}

bool lapic_deadline_start(uint64_t usec)
{
    if (!lapic.present)
        return false;
    io_out8(0x21, 0xff); /* the protocol has masked both PICs; firmware may not know */
    io_out8(0xa1, 0xff);
    lapic.start = cpu_tsc();
    lapic.ticks = cpu_tsc_ticks(usec);
    lapic.expired = false;
    write_register(LAPIC_TIMER_DIVIDE, DIVIDE_BY_16);
    write_register(LAPIC_LVT_TIMER, LVT_PERIODIC | VECTOR_DEADLINE);
    write_register(LAPIC_TIMER_INITIAL, DEADLINE_COUNT);
    __asm__ volatile("sti" ::: "memory");
    return true;
}

bool lapic_deadline_stop(void)
{
    __asm__ volatile("cli" ::: "memory");
    if (lapic.present)
        lapic_timer_repeat(VECTOR_DEADLINE, 0);
    return lapic.expired;
}
