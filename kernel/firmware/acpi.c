/* Owns: the registers that ACPI's tables describe.
 * Relies on: acpi_tables.c for where they are, the vmm if one is in memory.
 * Stage: acpi_init after the heap; acpi_reset and acpi_power_off any
 * time later, also in a panic. */
#include "firmware/acpi.h"

#include <stdint.h>

#include "console/print.h"
#include "cpu/cpu.h"
#include "firmware/acpi_tables.h"
#include "io.h"
#include "mm/vmm.h"

#define PM1_SCI_ENABLE 1u
#define PM1_SLEEP_TYPE 10 /* shift */
#define PM1_SLEEP_MASK 0x1c00u
#define PM1_SLEEP      0x2000u

static struct acpi_power power;
static volatile uint8_t *reset_memory; /* if the reset register is in memory */

void acpi_init(void)
{
    power = acpi_read_power();
    if (!power.can_reset || power.reset.space != ACPI_SPACE_MEMORY)
        return;
    vaddr_t va;
    mm_status_t status =
        vmm_map_device("ACPI reset register", PA(power.reset.address), 1, CACHE_UC, &va);
    power.can_reset = status == MM_OK;
    if (status == MM_OK)
        reset_memory = (volatile uint8_t *)va_number(va); /* just mapped */
    else
        kprintf("ACPI: reset register 0x%lx: %s\n", power.reset.address, mm_status_name(status));
}

void acpi_reset(void)
{
    if (!power.can_reset)
        return;
    uint64_t address = power.reset.address;
    switch (power.reset.space) {
    case ACPI_SPACE_MEMORY:
        *reset_memory = power.reset_value;
        break;
    case ACPI_SPACE_IO:
        io_out8((uint16_t)address, power.reset_value);
        break;
    default: /* bus 0: device in bits 32-47, function in 16-31, offset in 0-15 */
        io_out32(0xcf8, 1u << 31 | (uint32_t)(address >> 32 & 31) << 11 |
                            (uint32_t)(address >> 16 & 7) << 8 | (uint32_t)(address & 0xfc));
        io_out8((uint16_t)(0xcfc + (address & 3)), power.reset_value);
    }
    cpu_wait_usec(100000);
}

/* Firmware that was never in ACPI mode ignores the sleep registers. */
static void enable_acpi_mode(void)
{
    if ((io_in16(power.pm1a) & PM1_SCI_ENABLE) || !power.smi_command || !power.acpi_enable)
        return;
    io_out8(power.smi_command, power.acpi_enable);
    for (unsigned i = 0; i < 300 && !(io_in16(power.pm1a) & PM1_SCI_ENABLE); i++)
        cpu_wait_usec(10000);
}

static void sleep_write(uint16_t port, uint8_t type)
{
    if (port == 0)
        return;
    uint16_t control =
        (uint16_t)((io_in16(port) & ~PM1_SLEEP_MASK) | (unsigned)type << PM1_SLEEP_TYPE);
    io_out16(port, control);
    io_out16(port, (uint16_t)(control | PM1_SLEEP));
}

void acpi_power_off(void)
{
    if (!power.can_sleep)
        return;
    enable_acpi_mode();
    sleep_write(power.pm1a, power.type_a);
    sleep_write(power.pm1b, power.type_b);
    cpu_wait_usec(500000);
}
