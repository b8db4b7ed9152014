/* A UEFI driver that leaves no memory below 4 GiB to whoever asks for two pages there, which is what a
 * change of the number of page table levels takes. "load nolow.efi" in the UEFI shell starts it. */
#include <efi.h>

EFI_STATUS EFIAPI efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *table);

static EFI_ALLOCATE_PAGES allocate_pages;

static EFI_STATUS EFIAPI allocate_hook(EFI_ALLOCATE_TYPE type, EFI_MEMORY_TYPE memory, UINTN pages,
                                       EFI_PHYSICAL_ADDRESS *out)
{
    if (type == AllocateMaxAddress && *out == 0xffffffff && pages == 2)
        return EFI_OUT_OF_RESOURCES;
    return allocate_pages(type, memory, pages, out);
}

EFI_STATUS EFIAPI efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *table)
{
    (void)image;
    allocate_pages = table->BootServices->AllocatePages;
    table->BootServices->AllocatePages = allocate_hook;
    return EFI_SUCCESS;
}
