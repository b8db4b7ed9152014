/* Owns: the local APIC of the boot CPU, its timer, the interrupt flag while a time limit runs.
 * Relies on: traps, the mapper for the registers, cpu for the clock (periodic interrupts only look
 * at the time-stamp counter, so the timer's own frequency need not be known). Stage: lapic_init
 * after the heap. The loader has masked the PICs and the I/O APIC. */
#include "lapic.h"

#include <stddef.h>

#include "cpu.h"
#include "io.h"
#include "mm/mapper.h"
#include "print.h"
#include "traps.h"

enum {
    LAPIC_TASK_PRIORITY = 0x080,
    LAPIC_EOI = 0x0b0,
    LAPIC_SPURIOUS = 0x0f0,
    LAPIC_LVT_TIMER = 0x320,
    LAPIC_TIMER_INITIAL = 0x380,
    LAPIC_TIMER_DIVIDE = 0x3e0,

    SPURIOUS_ENABLE = 0x100,
    LVT_MASKED = 0x10000,
    LVT_PERIODIC = 0x20000,
    DIVIDE_BY_16 = 3,

    /* 2 ms at the 1 GHz of a virtual bus, 90 ms at the 24 MHz of a crystal. */
    TIMER_COUNT = 0x20000,

    VECTOR_DEADLINE = 0xfe,
    VECTOR_SPURIOUS = 0xff,
    /* Holds back every vector below 0xf0: whatever else is pending is not ours. */
    PRIORITY_ONLY_OURS = 0xe0,
};

#define APIC_BASE_ENABLE (1ull << 11)
#define APIC_BASE_X2APIC (1ull << 10)
#define MSR_X2APIC       0x800u

static struct {
    bool present, x2apic;
    volatile uint8_t *registers;
    uint64_t start, ticks;
    bool expired;
} lapic;

static void write_register(uint32_t offset, uint32_t value)
{
    if (lapic.x2apic)
        cpu_write_msr(MSR_X2APIC + (offset >> 4), value);
    else
        *(volatile uint32_t *)(lapic.registers + offset) = value;
}

static void on_deadline_timer(struct trap_frame *frame)
{
    write_register(LAPIC_EOI, 0);
    if (cpu_tsc() - lapic.start < lapic.ticks)
        return;
    lapic.expired = true;
    (void)traps_abandon(frame); /* none yet: the next interrupt comes soon */
}

static void on_spurious(struct trap_frame *frame)
{
    (void)frame; /* gets no EOI */
}

void lapic_init(void)
{
    if (!cpu_info()->apic)
        return;
    uint64_t base = cpu_read_msr(MSR_APIC_BASE);
    if (!(base & APIC_BASE_ENABLE)) {
        base |= APIC_BASE_ENABLE;
        cpu_write_msr(MSR_APIC_BASE, base);
    }
    lapic.x2apic = base & APIC_BASE_X2APIC;
    if (!lapic.x2apic) {
        vaddr_t va;
        paddr_t pa = PA(base & (PADDR_LIMIT - FRAME_BYTES));
        mm_status_t status = mapper_map_device("local APIC", pa, PAGE_BYTES, CACHE_UC, &va);
        if (status != MM_OK) {
            kprintf("local APIC at 0x%lx: %s\n", pa_number(pa), mm_status_name(status));
            return;
        }
        lapic.registers = (volatile uint8_t *)va_number(va); /* just mapped */
    }
    traps_set(VECTOR_DEADLINE, on_deadline_timer);
    traps_set(VECTOR_SPURIOUS, on_spurious);
    lapic.present = true;
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
    write_register(LAPIC_SPURIOUS, SPURIOUS_ENABLE | VECTOR_SPURIOUS);
    write_register(LAPIC_TASK_PRIORITY, PRIORITY_ONLY_OURS);
    write_register(LAPIC_TIMER_DIVIDE, DIVIDE_BY_16);
    write_register(LAPIC_LVT_TIMER, LVT_PERIODIC | VECTOR_DEADLINE);
    write_register(LAPIC_TIMER_INITIAL, TIMER_COUNT);
    __asm__ volatile("sti" ::: "memory");
    return true;
}

bool lapic_deadline_stop(void)
{
    __asm__ volatile("cli" ::: "memory");
    if (lapic.present) {
        write_register(LAPIC_LVT_TIMER, LVT_MASKED | VECTOR_DEADLINE);
        write_register(LAPIC_TIMER_INITIAL, 0);
        write_register(LAPIC_TASK_PRIORITY, 0);
    }
    return lapic.expired;
}
