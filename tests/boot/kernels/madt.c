/* A UEFI driver that spoils the ACPI MADT behind a loader's back, as bad firmware might have
 * written it. It needs CPUs that the machine describes but does not have (QEMU: -smp
 * 2,maxcpus=6), whose entries it enables: one absent, one with the id of a CPU that is there,
 * one with the id of all. Further ones stay disabled, and if there is a fifth, it loses its
 * length. "load madt.efi" in the UEFI shell starts it. */
#include <efi.h>

EFI_STATUS EFIAPI efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *table);

static EFI_GUID acpi_guid = ACPI_20_TABLE_GUID;

static UINT32 load32(const UINT8 *from)
{
    return from[0] | (UINT32)from[1] << 8 | (UINT32)from[2] << 16 | (UINT32)from[3] << 24;
}

static UINT8 *find_madt(EFI_SYSTEM_TABLE *table)
{
    UINT8 *rsdp = NULL;
    for (UINTN i = 0; i < table->NumberOfTableEntries; i++) {
        const EFI_GUID *guid = &table->ConfigurationTable[i].VendorGuid;
        if (guid->Data1 == acpi_guid.Data1 && guid->Data2 == acpi_guid.Data2)
            rsdp = table->ConfigurationTable[i].VendorTable;
    }
    if (!rsdp)
        return NULL;
    const UINT8 *xsdt = *(UINT8 **)(rsdp + 24);
    for (UINT32 at = 36; at < load32(xsdt + 4); at += 8) {
        UINT8 *found = *(UINT8 **)(xsdt + at);
        if (load32(found) == 0x43495041) /* APIC */
            return found;
    }
    return NULL;
}

EFI_STATUS EFIAPI efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *table)
{
    (void)image;
    UINT8 *madt = find_madt(table);
    UINTN disabled = 0;
    if (!madt)
        return EFI_NOT_FOUND;
    for (UINT32 at = 44, bytes; at < load32(madt + 4); at += bytes) {
        UINT8 *e = madt + at;
        bytes = e[1];
        if (e[0] != 0 || e[4] & 1)
            continue;
        switch (++disabled) {
        case 2:
            e[3] = 1;
            break;
        case 3:
            e[3] = 0xff;
            break;
        case 5:
            e[1] = 0;
            break;
        }
        if (disabled <= 3)
            e[4] |= 1;
    }
    UINT8 sum = 0;
    for (UINT32 i = 0; i < load32(madt + 4); i++)
        sum += madt[i];
    madt[9] -= sum;
    return disabled >= 3 ? EFI_SUCCESS : EFI_NOT_FOUND;
}
