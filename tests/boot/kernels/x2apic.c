/* A UEFI driver that puts every CPU's local APIC into x2APIC mode, as firmware may have done.
 * "load x2apic.efi" in the UEFI shell starts it. source: PI "EFI MP Services Protocol". */
#include <efi.h>

EFI_STATUS EFIAPI efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *table);

static EFI_GUID mp_services_guid = {
    0x3fdda605, 0xa76e, 0x4f46, {0xad, 0x29, 0x12, 0xf4, 0x53, 0x1b, 0x3d, 0x08}};

struct mp_services {
    void *number_of_processors, *processor_info;
    EFI_STATUS(EFIAPI *startup_all)
    (struct mp_services *self, void(EFIAPI *procedure)(void *), BOOLEAN single, EFI_EVENT event,
     UINTN usec, void *argument, UINTN **failed);
};

static void EFIAPI switch_on(void *unused)
{
    (void)unused;
    UINT32 low, high;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(0x1b));
    __asm__ volatile("wrmsr" ::"a"(low | 0xc00), "d"(high), "c"(0x1b));
}

EFI_STATUS EFIAPI efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *table)
{
    (void)image;
    struct mp_services *mp;
    EFI_STATUS status = table->BootServices->LocateProtocol(&mp_services_guid, NULL, (void **)&mp);
    if (!EFI_ERROR(status))
        status = mp->startup_all(mp, switch_on, TRUE, NULL, 0, NULL, NULL);
    switch_on(NULL);
    return status;
}
