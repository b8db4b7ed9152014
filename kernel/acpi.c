/* Owns: the few ACPI tables that power management needs, and the registers they describe.
 * Relies on: the boot context for the RSDP, memory_reach to look at physical memory.
 * Stage: acpi_init after the heap; acpi_reset and acpi_power_off any time later, also in a panic.
 *
 * Tables come from firmware: each is reached for its header first, then for the length that the
 * header claims (bounded), then summed. Fields may be unaligned: U-Boot's RSDP is. */
#include "acpi.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "aml.h"
#include "boot/context.h"
#include "cpu.h"
#include "io.h"
#include "memory.h"
#include "mm/mapper.h"
#include "mm/string.h"
#include "print.h"

#define TABLE_BYTES_MAX (16u << 20)
#define PM1_SCI_ENABLE  1u
#define PM1_SLEEP_TYPE  10 /* shift */
#define PM1_SLEEP_MASK  0x1c00u
#define PM1_SLEEP       0x2000u

#define FADT_RESET_SUPPORTED  (1u << 10)
#define FADT_HARDWARE_REDUCED (1u << 20)

struct rsdp {
    char signature[8];
    uint8_t checksum;
    char oem[6];
    uint8_t revision;
    uint32_t rsdt;
    /* from revision 2 on */
    uint32_t length;
    uint64_t xsdt;
    uint8_t extended_checksum;
    uint8_t reserved[3];
} __attribute__((packed));
#define RSDP_BYTES_REVISION_0 20

struct table {
    char signature[4];
    uint32_t length;
    uint8_t revision;
    uint8_t checksum;
    char oem[22];
    uint32_t creator_revision;
} __attribute__((packed));
_Static_assert(sizeof(struct table) == 36 && sizeof(struct rsdp) == 36, "ACPI layouts");

/* Generic Address Structure. */
struct gas {
    uint8_t space; /* enum address_space */
    uint8_t bits, offset, access;
    uint64_t address;
} __attribute__((packed));

enum address_space { SPACE_MEMORY = 0, SPACE_IO = 1, SPACE_PCI = 2 };

struct fadt {
    struct table header;
    uint32_t facs, dsdt;
    uint8_t reserved0[4];
    uint32_t smi_command;
    uint8_t acpi_enable, acpi_disable, s4bios, pstate;
    uint32_t pm1a_event, pm1b_event, pm1a_control, pm1b_control;
    uint8_t reserved1[40];
    uint32_t flags;
    struct gas reset;
    uint8_t reset_value;
    uint8_t reserved2[3];
    uint64_t x_facs, x_dsdt;
    struct gas x_pm1a_event, x_pm1b_event, x_pm1a_control, x_pm1b_control;
} __attribute__((packed));
_Static_assert(offsetof(struct fadt, flags) == 112 && offsetof(struct fadt, reset) == 116 &&
                   offsetof(struct fadt, x_dsdt) == 140 &&
                   offsetof(struct fadt, x_pm1b_control) == 184,
               "FADT");

static struct {
    bool can_reset;
    struct gas reset;
    uint8_t reset_value;
    volatile uint8_t *reset_memory; /* if the register is in memory */

    bool can_sleep;
    uint16_t pm1a, pm1b; /* control registers' ports; 0: none */
    uint8_t type_a, type_b;
    uint16_t smi_command;
    uint8_t acpi_enable;
} power;

/* --- Finding tables -------------------------------------------------------------------------- */

static bool sums_to_zero(const void *p, size_t bytes)
{
    const uint8_t *at = p;
    uint8_t sum = 0;
    for (size_t i = 0; i < bytes; i++)
        sum = (uint8_t)(sum + at[i]);
    return sum == 0;
}

/* The whole table at pa if its signature is the wanted one (NULL: any) and its checksum right. */
static const struct table *table_at(paddr_t pa, const char *signature)
{
    const struct table *header = memory_reach("ACPI tables", pa, sizeof *header);
    if (!header || (signature && memcmp(header->signature, signature, 4) != 0))
        return NULL;
    uint32_t length = header->length;
    if (length < sizeof *header || length > TABLE_BYTES_MAX) {
        kprintf("ACPI: %.4s at 0x%lx: length %u cannot be\n", header->signature, pa_number(pa),
                length);
        return NULL;
    }
    const struct table *whole = memory_reach("ACPI tables", pa, length);
    if (whole && !sums_to_zero(whole, length)) {
        kprintf("ACPI: %.4s at 0x%lx: wrong checksum\n", whole->signature, pa_number(pa));
        return NULL;
    }
    return whole;
}

/* The table of that signature among the root table's entries, which are entry_bytes wide. */
static const struct table *search(const struct table *root, size_t entry_bytes,
                                  const char *signature)
{
    const uint8_t *entries = (const uint8_t *)(root + 1);
    size_t count = (root->length - sizeof *root) / entry_bytes;
    for (size_t i = 0; i < count; i++) {
        uint64_t address = 0;
        memcpy(&address, entries + i * entry_bytes, entry_bytes); /* unaligned, little endian */
        const struct table *table =
            address && address < PADDR_LIMIT ? table_at(PA(address), signature) : NULL;
        if (table)
            return table;
    }
    return NULL;
}

static const struct table *find_fadt(void)
{
    const struct boot_context *boot = boot_context();
    if (!boot->have_rsdp)
        return NULL;
    const struct rsdp *rsdp = memory_reach("ACPI RSDP", boot->rsdp, RSDP_BYTES_REVISION_0);
    if (!rsdp)
        return NULL;
    if (memcmp(rsdp->signature, "RSD PTR ", 8) != 0 || !sums_to_zero(rsdp, RSDP_BYTES_REVISION_0)) {
        kprintf("ACPI: no valid RSDP at 0x%lx\n", pa_number(boot->rsdp));
        return NULL;
    }
    uint32_t rsdt_address = rsdp->rsdt;
    uint64_t xsdt_address = 0;
    if (rsdp->revision >= 2) {
        rsdp = memory_reach("ACPI RSDP", boot->rsdp, sizeof *rsdp);
        if (rsdp && sums_to_zero(rsdp, sizeof *rsdp))
            xsdt_address = rsdp->xsdt;
        else
            kprintf("ACPI: the RSDP's second half has a wrong checksum\n");
    }
    const struct table *xsdt =
        xsdt_address && xsdt_address < PADDR_LIMIT ? table_at(PA(xsdt_address), "XSDT") : NULL;
    const struct table *fadt = xsdt ? search(xsdt, 8, "FACP") : NULL;
    if (fadt)
        return fadt;
    const struct table *rsdt = rsdt_address ? table_at(PA(rsdt_address), "RSDT") : NULL;
    return rsdt ? search(rsdt, 4, "FACP") : NULL;
}

/* --- What of it is usable
 * -------------------------------------------------------------------------- */

/* The port of a PM1 control register: the extended field if it is set, else the old one. */
static uint16_t control_port(struct gas extended, uint32_t legacy)
{
    if (extended.address != 0 && extended.space == SPACE_IO && extended.address <= UINT16_MAX)
        return (uint16_t)extended.address;
    return legacy <= UINT16_MAX ? (uint16_t)legacy : 0;
}

static void read_reset(const struct fadt *fadt)
{
    struct gas reset = fadt->reset;
    if (!(fadt->flags & FADT_RESET_SUPPORTED) || reset.address == 0)
        return;
    if (reset.space == SPACE_MEMORY && reset.address < PADDR_LIMIT) {
        vaddr_t va;
        if (mapper_map_device("ACPI reset register", PA(reset.address), 1, CACHE_UC, &va) != MM_OK)
            return;
        power.reset_memory = (volatile uint8_t *)va_number(va); /* just mapped */
    } else if (reset.space == SPACE_IO ? reset.address > UINT16_MAX : reset.space != SPACE_PCI) {
        kprintf("ACPI: reset register 0x%lx in address space %u cannot be used\n", reset.address,
                reset.space);
        return;
    }
    power.reset = reset;
    power.reset_value = fadt->reset_value;
    power.can_reset = true;
}

static void read_sleep(const struct fadt *fadt)
{
    if (fadt->flags & FADT_HARDWARE_REDUCED)
        return; /* no PM1 registers: the firmware's ResetSystem is the way */
    power.pm1a = control_port(fadt->x_pm1a_control, fadt->pm1a_control);
    power.pm1b = control_port(fadt->x_pm1b_control, fadt->pm1b_control);
    power.smi_command = fadt->smi_command <= UINT16_MAX ? (uint16_t)fadt->smi_command : 0;
    power.acpi_enable = fadt->acpi_enable;

    uint64_t address = fadt->x_dsdt && fadt->x_dsdt < PADDR_LIMIT ? fadt->x_dsdt : fadt->dsdt;
    const struct table *dsdt = address ? table_at(PA(address), "DSDT") : NULL;
    if (!dsdt)
        return;
    power.can_sleep =
        power.pm1a != 0 && aml_find_s5((const uint8_t *)(dsdt + 1), dsdt->length - sizeof *dsdt,
                                       &power.type_a, &power.type_b);
}

void acpi_init(void)
{
    const struct table *table = find_fadt();
    if (!table)
        return;
    /* Old tables are shorter: what they do not have is 0, which means "none" throughout. */
    struct fadt fadt = {0};
    memcpy(&fadt, table, table->length < sizeof fadt ? table->length : sizeof fadt);
    read_reset(&fadt);
    read_sleep(&fadt);
}

/* --- Doing it
 * -------------------------------------------------------------------------------------- */

void acpi_reset(void)
{
    if (!power.can_reset)
        return;
    uint64_t address = power.reset.address;
    switch (power.reset.space) {
    case SPACE_MEMORY:
        *power.reset_memory = power.reset_value;
        break;
    case SPACE_IO:
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
