/* Where the firmware enters. The loader is carried packed, which makes the file an eighth smaller: this
 * unpacks it to pages of its own, has them protected as the sections of a PE are, and runs it. When it
 * comes back, nothing of it is left.
 *
 * Relies on nothing but the firmware. Stage: boot services alive. */
#include "bytes.h"
#include "carried.h"
#include "cpu.h"
#include "packed_loader.h"
#include "protect.h"

/* carried.S */
extern const struct packed_loader loader_blob;
extern const uint8_t loader_blob_end[], kernel_blob[], kernel_blob_end[];

EFI_STATUS EFIAPI efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *table);

static uint64_t loader_bytes(void)
{
    return (uint64_t)(loader_blob_end - (const uint8_t *)&loader_blob);
}

static EFI_STATUS fail(EFI_SYSTEM_TABLE *table, EFI_STATUS status, const CHAR16 *sentence)
{
    if (table->ConOut)
        table->ConOut->OutputString(table->ConOut, (CHAR16 *)sentence); /* which it only reads */
    return status;
}

static EFI_STATUS fail_damaged(EFI_SYSTEM_TABLE *table)
{
    return fail(table, EFI_VOLUME_CORRUPTED, L"Quicklime: its file is damaged.\r\n");
}

/* Unpack the loader, and run it. */
static EFI_STATUS run(EFI_HANDLE image, EFI_SYSTEM_TABLE *table, uint8_t *base,
                      const struct carried *carried)
{
    const struct packed_loader *loader = &loader_blob;
    struct protection protection;
    if (!packed_loader_unpack(loader, loader_bytes(), base))
        return fail_damaged(table);
    protect(&protection, table->BootServices, (uintptr_t)base, loader->constants, loader->data,
            loader->npages * PAGE_BYTES);
    loader_entry *enter = (loader_entry *)(base + loader->entry); /* it is code now */
    EFI_STATUS status = enter(image, table, carried);
    unprotect(&protection);
    return status;
}

/* Code is what the pages are said to hold: firmware that forbids execution elsewhere allows it there. */
EFI_STATUS EFIAPI efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *table)
{
    const struct carried carried = {.start_tsc = cpu_rdtsc(),
                                    .kernel = kernel_blob,
                                    .kernel_bytes = (uint64_t)(kernel_blob_end - kernel_blob)};
    const struct packed_loader *loader = &loader_blob;
    EFI_PHYSICAL_ADDRESS base;
    if (!packed_loader_is_sound(loader, loader_bytes()))
        return fail_damaged(table);
    EFI_STATUS status =
        table->BootServices->AllocatePages(AllocateAnyPages, EfiLoaderCode, loader->npages, &base);
    if (EFI_ERROR(status))
        return fail(table, status, L"Quicklime: not enough memory.\r\n");
    status = run(image, table, (uint8_t *)base, &carried); /* identity-mapped */
    (void)table->BootServices->FreePages(base, loader->npages);
    return status;
}
