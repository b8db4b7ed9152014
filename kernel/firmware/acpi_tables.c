/* Owns: finding ACPI's tables, and what of the FADT power management can use.
 * Relies on: the boot context for the RSDP, memory_reach to look at physical memory.
 * Stage: after the heap.
 *
 * Tables come from firmware: each is reached for its header first, then for the length that the
 * header claims (bounded), then summed. Fields may be unaligned: U-Boot's RSDP is. */
#include "firmware/acpi_tables.h"

#include <stddef.h>

#include "boot/context.h"
#include "boot/memory.h"
#include "console/print.h"
#include "firmware/aml.h"
#include "mm/string.h"

#define TABLE_BYTES_MAX  (16u << 20)
#define ROOT_ENTRIES_MAX 1024 /* looked at: each may need a mapping. Large servers have some 100 */

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

struct fadt {
    struct table header;
    uint32_t facs, dsdt;
    uint8_t reserved0[4];
    uint32_t smi_command;
    uint8_t acpi_enable, acpi_disable, s4bios, pstate;
    uint32_t pm1a_event, pm1b_event, pm1a_control, pm1b_control;
    uint8_t reserved1[40];
    uint32_t flags;
    struct acpi_register reset;
    uint8_t reset_value;
    uint8_t reserved2[3];
    uint64_t x_facs, x_dsdt;
    struct acpi_register x_pm1a_event, x_pm1b_event, x_pm1a_control, x_pm1b_control;
} __attribute__((packed));
_Static_assert(offsetof(struct fadt, flags) == 112 && offsetof(struct fadt, reset) == 116 &&
                   offsetof(struct fadt, x_dsdt) == 140 &&
                   offsetof(struct fadt, x_pm1b_control) == 184,
               "FADT");

/* --- Finding tables -------------------------------------------------------------------------- */

static bool sums_to_zero(const void *p, size_t bytes)
{
    const uint8_t *at = p;
    uint8_t sum = 0;
    for (size_t i = 0; i < bytes; i++)
        sum = (uint8_t)(sum + at[i]);
    return sum == 0;
}

/* The whole table at pa; NULL, after a sentence, if it is not what it should be. */
static const struct table *table_at(uint64_t address, const char *signature)
{
    const struct table *header =
        address < PADDR_LIMIT ? memory_reach("ACPI tables", PA(address), sizeof *header) : NULL;
    const char *why = NULL;
    uint32_t length = header ? header->length : 0;
    if (!header)
        why = "cannot be read";
    else if (memcmp(header->signature, signature, 4) != 0)
        why = "has another signature";
    else if (length < sizeof *header || length > TABLE_BYTES_MAX)
        why = "cannot have that length";
    else if (!(header = memory_reach("ACPI tables", PA(address), length)))
        why = "cannot be read to its end";
    else if (!sums_to_zero(header, length))
        why = "has a wrong checksum";
    if (!why)
        return header;
    kprintf("ACPI: %s at 0x%lx, %u bytes: %s\n", signature, address, length, why);
    return NULL;
}

/* The first whole table of that signature in a root table whose entries are entry_bytes wide. */
static const struct table *search(const struct table *root, size_t entry_bytes,
                                  const char *signature)
{
    const uint8_t *entries = (const uint8_t *)(root + 1);
    size_t count = (root->length - sizeof *root) / entry_bytes;
    if (count > ROOT_ENTRIES_MAX) {
        kprintf("ACPI: %.4s has %zu entries: only %u are looked at\n", root->signature, count,
                ROOT_ENTRIES_MAX);
        count = ROOT_ENTRIES_MAX;
    }
    for (size_t i = 0; i < count; i++) {
        uint64_t address = 0;
        memcpy(&address, entries + i * entry_bytes, entry_bytes); /* unaligned, little endian */
        if (address == 0 || address >= PADDR_LIMIT)
            continue;
        const struct table *header = memory_reach("ACPI tables", PA(address), sizeof *header);
        if (!header || memcmp(header->signature, signature, 4) != 0)
            continue;
        const struct table *table = table_at(address, signature);
        if (table)
            return table;
    }
    return NULL;
}

/* The addresses of the root tables, 0 where there is none. False: no RSDP, or a damaged one. */
static bool read_rsdp(uint64_t *rsdt, uint64_t *xsdt)
{
    const struct boot_context *boot = boot_context();
    if (!boot->have_rsdp)
        return false;
    const struct rsdp *rsdp = memory_reach("ACPI RSDP", boot->rsdp, RSDP_BYTES_REVISION_0);
    if (!rsdp)
        return false;
    if (memcmp(rsdp->signature, "RSD PTR ", 8) != 0 || !sums_to_zero(rsdp, RSDP_BYTES_REVISION_0)) {
        kprintf("ACPI: no valid RSDP at 0x%lx\n", pa_number(boot->rsdp));
        return false;
    }
    *rsdt = rsdp->rsdt;
    *xsdt = 0;
    if (rsdp->revision < 2)
        return true;
    rsdp = memory_reach("ACPI RSDP", boot->rsdp, sizeof *rsdp);
    if (rsdp && sums_to_zero(rsdp, sizeof *rsdp))
        *xsdt = rsdp->xsdt;
    else
        kprintf("ACPI: the second half of the RSDP at 0x%lx has a wrong checksum\n",
                pa_number(boot->rsdp));
    return true;
}

/* The root tables, found once: what is wrong with one is said once. */
static struct {
    uint64_t rsdt_address; /* 0: none, or looked at already */
    const struct table *xsdt, *rsdt;
} roots;

static void find_roots(void)
{
    uint64_t rsdt_address = 0, xsdt_address = 0;
    memset(&roots, 0, sizeof roots);
    if (!read_rsdp(&rsdt_address, &xsdt_address))
        return;
    roots.rsdt_address = rsdt_address;
    roots.xsdt = xsdt_address ? table_at(xsdt_address, "XSDT") : NULL;
}

/* The old root table matters only where the new one does not lead to what is wanted. */
static const struct table *old_root(void)
{
    if (roots.rsdt_address)
        roots.rsdt = table_at(roots.rsdt_address, "RSDT");
    roots.rsdt_address = 0;
    return roots.rsdt;
}

static const struct table *find(const char *signature)
{
    const struct table *table = roots.xsdt ? search(roots.xsdt, 8, signature) : NULL;
    if (table)
        return table;
    return old_root() ? search(roots.rsdt, 4, signature) : NULL;
}

const void *acpi_find_table(const char *signature, size_t *bytes)
{
    const struct table *table = find(signature);
    *bytes = table ? table->length : 0;
    return table;
}

/* --- What of it is usable -------------------------------------------------------------------- */

/* A port's number, 0 (after a sentence) if it is none. */
static uint16_t port_of(const char *field, uint64_t number)
{
    if (number <= UINT16_MAX)
        return (uint16_t)number;
    kprintf("ACPI: FADT: %s 0x%lx is no port\n", field, number);
    return 0;
}

/* The port of a PM1 control register: the extended field if it is a port, else the old one. */
static uint16_t control_port(const char *field, struct acpi_register extended, uint32_t legacy)
{
    if (extended.address != 0 && extended.space == ACPI_SPACE_IO && extended.address <= UINT16_MAX)
        return (uint16_t)extended.address;
    return port_of(field, legacy);
}

static void read_reset(const struct fadt *fadt, struct acpi_power *power)
{
    struct acpi_register reset = fadt->reset;
    if (!(fadt->flags & FADT_RESET_SUPPORTED) || reset.address == 0)
        return;
    bool usable = reset.space == ACPI_SPACE_MEMORY ? reset.address < PADDR_LIMIT
                  : reset.space == ACPI_SPACE_IO   ? reset.address <= UINT16_MAX
                                                   : reset.space == ACPI_SPACE_PCI;
    if (!usable) {
        kprintf("ACPI: FADT: reset register 0x%lx in address space %u cannot be used\n",
                reset.address, reset.space);
        return;
    }
    power->can_reset = true;
    power->reset = reset;
    power->reset_value = fadt->reset_value;
}

static void read_sleep(const struct fadt *fadt, struct acpi_power *power)
{
    if (fadt->flags & FADT_HARDWARE_REDUCED)
        return; /* no PM1 registers: the firmware's ResetSystem is the way */
    power->pm1a = control_port("PM1a control", fadt->x_pm1a_control, fadt->pm1a_control);
    power->pm1b = control_port("PM1b control", fadt->x_pm1b_control, fadt->pm1b_control);
    power->smi_command = port_of("SMI command", fadt->smi_command);
    power->acpi_enable = fadt->acpi_enable;

    const struct table *dsdt = fadt->x_dsdt ? table_at(fadt->x_dsdt, "DSDT") : NULL;
    if (!dsdt && fadt->dsdt && fadt->dsdt != fadt->x_dsdt)
        dsdt = table_at(fadt->dsdt, "DSDT");
    if (!dsdt || power->pm1a == 0)
        return;
    power->can_sleep = aml_find_s5((const uint8_t *)(dsdt + 1), dsdt->length - sizeof *dsdt,
                                   &power->type_a, &power->type_b);
}

struct acpi_power acpi_read_power(void)
{
    struct acpi_power power = {0};
    find_roots();
    const struct table *table = find("FACP");
    if (!table)
        return power;
    /* Old tables are shorter: what they do not have is 0, which means "none" throughout. */
    struct fadt fadt = {0};
    memcpy(&fadt, table, table->length < sizeof fadt ? table->length : sizeof fadt);
    read_reset(&fadt, &power);
    read_sleep(&fadt, &power);
    return power;
}
