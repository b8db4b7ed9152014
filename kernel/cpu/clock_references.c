/* Owns: HPET, ACPI power management timer and PIT, for as long as the boot measures with them.
 * Relies on: ACPI's tables for the first two, the vmm. Stage: after acpi_init. */
#include "cpu/clock_references.h"

#include <stddef.h>

#include "console/print.h"
#include "firmware/acpi_tables.h"
#include "io.h"
#include "mm/string.h"
#include "mm/vmm.h"

/* A field of a table; 0 where the table is too short to have it. */
static uint64_t field(const void *table, size_t table_bytes, size_t offset, size_t bytes)
{
    uint64_t value = 0;
    if (table && offset + bytes <= table_bytes)
        memcpy(&value, (const uint8_t *)table + offset, bytes); /* unaligned, little endian */
    return value;
}

/* --- HPET ------------------------------------------------------------------------------------ */

enum {
    HPET_TABLE_SPACE = 40, /* in the ACPI table */
    HPET_TABLE_ADDRESS = 44,

    HPET_PERIOD = 0x004, /* upper half of the capabilities: femtoseconds a tick */
    HPET_CONFIGURATION = 0x010,
    HPET_COUNTER = 0x0f0, /* lower half; the upper one need not exist */
    HPET_BYTES = 0x400,
    HPET_ENABLE = 1,
};
#define HPET_PERIOD_MAX 100000000u /* 100 ns: the specification's limit */
#define HPET_PERIOD_MIN 100000u    /* 10 GHz: no device counts so fast */
#define FEMTOSECONDS    1000000000000000ull

static struct {
    volatile uint8_t *registers;
    uint32_t configuration; /* as it was */
} hpet;

static volatile uint32_t *hpet_register(size_t offset)
{
    return (volatile uint32_t *)(hpet.registers + offset);
}

static uint32_t hpet_read(void)
{
    return *hpet_register(HPET_COUNTER);
}

static void hpet_close(void)
{
    *hpet_register(HPET_CONFIGURATION) = hpet.configuration;
}

bool clock_open_hpet(struct clock_reference *out)
{
    size_t bytes;
    const void *table = acpi_find_table("HPET", &bytes);
    uint64_t address = field(table, bytes, HPET_TABLE_ADDRESS, 8);
    vaddr_t va;
    if (address == 0 || field(table, bytes, HPET_TABLE_SPACE, 1) != ACPI_SPACE_MEMORY)
        return false;
    mm_status_t status = vmm_map_device("HPET", PA(address), HPET_BYTES, CACHE_UC, &va);
    if (status != MM_OK) {
        kprintf("HPET at 0x%lx: %s\n", address, mm_status_name(status));
        return false;
    }
    hpet.registers = (volatile uint8_t *)va_number(va); /* just mapped */
    uint32_t period = *hpet_register(HPET_PERIOD);
    if (period < HPET_PERIOD_MIN || period > HPET_PERIOD_MAX) {
        kprintf("HPET at 0x%lx: a tick of %u fs cannot be\n", address, period);
        return false;
    }
    hpet.configuration = *hpet_register(HPET_CONFIGURATION);
    *hpet_register(HPET_CONFIGURATION) = hpet.configuration | HPET_ENABLE;
    *out =
        (struct clock_reference){"HPET", FEMTOSECONDS / period, UINT32_MAX, hpet_read, hpet_close};
    return true;
}

/* --- The ACPI power management timer --------------------------------------------------------- */

enum { FADT_PM_TIMER = 76, FADT_X_PM_TIMER = 208, PM_TIMER_HZ = 3579545 };

static uint16_t pm_timer_port;

static uint32_t pm_timer_read(void)
{
    return io_in32(pm_timer_port);
}

bool clock_open_pm_timer(struct clock_reference *out)
{
    size_t bytes;
    const void *fadt = acpi_find_table("FACP", &bytes);
    uint64_t port = field(fadt, bytes, FADT_PM_TIMER, 4);
    struct acpi_register extended = {0};
    if (fadt && bytes >= FADT_X_PM_TIMER + sizeof extended)
        memcpy(&extended, (const uint8_t *)fadt + FADT_X_PM_TIMER, sizeof extended);
    if (extended.address != 0 && extended.space == ACPI_SPACE_IO)
        port = extended.address;
    if (port == 0 || port > UINT16_MAX - 3)
        return false;
    pm_timer_port = (uint16_t)port;
    /* 24 bits are sure; whether there are 32 does not matter for some milliseconds. */
    *out = (struct clock_reference){"ACPI PM timer", PM_TIMER_HZ, 0xffffff, pm_timer_read, NULL};
    return true;
}

/* --- PIT ------------------------------------------------------------------------------------- */

enum {
    PIT_CHANNEL_2 = 0x42,
    PIT_COMMAND = 0x43,
    PIT_CONTROL = 0x61, /* of the speaker, which hangs on channel 2 */
    PIT_GATE = 1,
    PIT_SPEAKER = 2,
    PIT_RATE_2 = 0xb4, /* channel 2, two bytes, counts down and starts again */
    PIT_LATCH_2 = 0x80,
    PIT_HZ = 1193182,
};

static uint8_t pit_control; /* as it was */

/* It counts down from 65536. */
static uint32_t pit_read(void)
{
    io_out8(PIT_COMMAND, PIT_LATCH_2);
    uint32_t low = io_in8(PIT_CHANNEL_2);
    return 0u - (low | (uint32_t)io_in8(PIT_CHANNEL_2) << 8);
}

static void pit_close(void)
{
    io_out8(PIT_CONTROL, pit_control);
}

bool clock_open_pit(struct clock_reference *out)
{
    pit_control = io_in8(PIT_CONTROL);
    io_out8(PIT_CONTROL, (uint8_t)((pit_control & ~PIT_SPEAKER) | PIT_GATE));
    io_out8(PIT_COMMAND, PIT_RATE_2);
    io_out8(PIT_CHANNEL_2, 0);
    io_out8(PIT_CHANNEL_2, 0);
    *out = (struct clock_reference){"PIT", PIT_HZ, 0xffff, pit_read, pit_close};
    return true; /* whether it counts is seen when it is used */
}
