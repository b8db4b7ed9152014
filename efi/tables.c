/* Which bytes the firmware's tables occupy. See tables.h. source: Limine "Memory Map Feature";
 * SMBIOS "Structure Table Entry Point"; UEFI "EFI System Table". */
#include "tables.h"

#include "acpi.h"
#include "bytes.h"
#include "firmware.h"
#include "plan.h"

static EFI_GUID smbios_guid = SMBIOS_TABLE_GUID;
static EFI_GUID smbios3_guid = SMBIOS3_TABLE_GUID;

#define VENDOR_CHARS_MAX 256

struct smbios tables_smbios(void)
{
    struct smbios found = {firmware_table(&smbios_guid), firmware_table(&smbios3_guid)};
    if (found.entry_32 && memcmp(found.entry_32, "_SM_", 4))
        found.entry_32 = NULL;
    if (found.entry_64 && memcmp(found.entry_64, "_SM3_", 5))
        found.entry_64 = NULL;
    return found;
}

/* Before base revision 4 there is no such type, but the kernel would still give tables away that the
 * firmware has in its boot-services memory, as U-Boot has those of QEMU. */
static bool carve(void *context, uint64_t base, uint64_t bytes)
{
    const struct boot_plan *plan = context;
    return plan_carve(context, base, bytes,
                      plan->requests.base_revision >= 4 ? LIMINE_RESERVED_MAPPED : LIMINE_RESERVED);
}

static bool carve_pointer(struct boot_plan *plan, const void *pointer, uint64_t bytes)
{
    return !pointer || carve(plan, (uintptr_t)pointer, bytes);
}

/* Entry points say their own length, and where the structures are. */
static bool carve_smbios(struct boot_plan *plan)
{
    struct smbios s = tables_smbios();
    if (s.entry_32 && (!carve_pointer(plan, s.entry_32, s.entry_32[5]) ||
                       !carve(plan, load32(s.entry_32 + 0x18), load16(s.entry_32 + 0x16))))
        return false;
    return !s.entry_64 || (carve_pointer(plan, s.entry_64, s.entry_64[6]) &&
                           carve(plan, load64(s.entry_64 + 0x10), load32(s.entry_64 + 0x0c)));
}

static bool carve_system_table(struct boot_plan *plan)
{
    uint64_t vendor = 0;
    while (ST->FirmwareVendor && vendor < VENDOR_CHARS_MAX && ST->FirmwareVendor[vendor])
        vendor++;
    return carve_pointer(plan, ST, sizeof *ST) && carve_pointer(plan, RT, sizeof *RT) &&
           carve_pointer(plan, ST->ConfigurationTable,
                         ST->NumberOfTableEntries * sizeof *ST->ConfigurationTable) &&
           carve_pointer(plan, ST->FirmwareVendor, (vendor + 1) * sizeof *ST->FirmwareVendor);
}

bool tables_carve(struct boot_plan *plan)
{
    if (!acpi_each(carve, plan))
        return false;
    return plan->requests.base_revision < 5 || (carve_smbios(plan) && carve_system_table(plan));
}
