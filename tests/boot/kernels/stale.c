/* A UEFI boot-services driver that makes the memory map stale behind a loader's back: the first two
 * times somebody calls ExitBootServices it allocates a page first, so that the key no longer fits
 * and the real firmware refuses, with all that a refusal does to it. It says so on the serial line
 * when pages are allocated after a refusal, which the specification forbids. "load stale.efi" in
 * the UEFI shell starts it; boot services end it. */
#include <efi.h>

EFI_STATUS EFIAPI efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *table);

static EFI_BOOT_SERVICES *services;
static EFI_EXIT_BOOT_SERVICES exit_boot_services;
static EFI_ALLOCATE_PAGES allocate_pages;
static unsigned refusals;

static void say(const char *text)
{
    for (; *text; text++)
        __asm__ volatile("outb %0, %1" ::"a"(*text), "Nd"((unsigned short)0x3f8));
}

static EFI_STATUS EFIAPI allocate_hook(EFI_ALLOCATE_TYPE type, EFI_MEMORY_TYPE memory, UINTN pages,
                                       EFI_PHYSICAL_ADDRESS *out)
{
    if (refusals)
        say("STALE: AllocatePages after ExitBootServices\r\n");
    return allocate_pages(type, memory, pages, out);
}

static EFI_STATUS EFIAPI exit_hook(EFI_HANDLE image, UINTN key)
{
    EFI_PHYSICAL_ADDRESS page;
    if (refusals < 2) {
        refusals++;
        allocate_pages(AllocateAnyPages, EfiBootServicesData, 1, &page);
        say("STALE: refusing\r\n");
    }
    return exit_boot_services(image, key);
}

EFI_STATUS EFIAPI efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *table)
{
    (void)image;
    services = table->BootServices;
    exit_boot_services = services->ExitBootServices;
    allocate_pages = services->AllocatePages;
    services->ExitBootServices = exit_hook;
    services->AllocatePages = allocate_hook;
    return EFI_SUCCESS;
}
