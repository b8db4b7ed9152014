/* GetMemoryMap into a buffer that stays. Stage: boot services alive, also after a failed
 * ExitBootServices, when nothing but memmap_refresh may be called. */
#include "memmap.h"

#include "bytes.h"
#include "firmware.h"

/* Allocating the buffer itself splits entries, and so may events that run before ExitBootServices;
 * real firmware has been seen to add a handful. */
#define HEADROOM_DESCRIPTORS 64
#define ATTEMPTS             4

EFI_STATUS memmap_refresh(struct efi_memmap *map)
{
    UINTN bytes = map->capacity;
    EFI_STATUS status = BS->GetMemoryMap(&bytes, map->descriptors, &map->key,
                                         &map->descriptor_bytes, &map->version);
    if (EFI_ERROR(status))
        return status;
    if (map->descriptor_bytes < sizeof(EFI_MEMORY_DESCRIPTOR) || bytes == 0)
        return EFI_INCOMPATIBLE_VERSION; /* the stride would not hold a descriptor */
    map->bytes = bytes;
    return EFI_SUCCESS;
}

EFI_STATUS memmap_get(struct efi_memmap *map)
{
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        *map = (struct efi_memmap){0};
        UINTN bytes = 0, mark = firmware_mark();
        EFI_STATUS status =
            BS->GetMemoryMap(&bytes, NULL, &map->key, &map->descriptor_bytes, &map->version);
        if (status != EFI_BUFFER_TOO_SMALL)
            return EFI_ERROR(status) ? status : EFI_DEVICE_ERROR;

        UINTN stride =
            map->descriptor_bytes ? map->descriptor_bytes : sizeof(EFI_MEMORY_DESCRIPTOR);
        UINTN npages = (bytes + HEADROOM_DESCRIPTORS * stride + PAGE_BYTES - 1) / PAGE_BYTES;
        status = firmware_alloc_raw(npages, PAGE_BYTES, (void **)&map->descriptors);
        if (EFI_ERROR(status))
            return status;
        map->capacity = npages * PAGE_BYTES;
        status = memmap_refresh(map);
        if (status != EFI_BUFFER_TOO_SMALL)
            return status;
        firmware_free_since(mark);
    }
    return EFI_BUFFER_TOO_SMALL;
}

const EFI_MEMORY_DESCRIPTOR *memmap_at(const struct efi_memmap *map, UINTN i)
{
    if (i >= map->bytes / map->descriptor_bytes)
        return NULL;
    /* The firmware's stride keeps descriptors 8-byte aligned. */
    return (const EFI_MEMORY_DESCRIPTOR *)((const char *)map->descriptors +
                                           i * map->descriptor_bytes);
}

const char *memmap_type_name(UINT32 type)
{
    /* source: UEFI "AllocatePages", memory types; two of them are newer than gnu-efi's header */
    static const char *const names[] = {
        "Reserved",
        "LoaderCode",
        "LoaderData",
        "BootServicesCode",
        "BootServicesData",
        "RuntimeServicesCode",
        "RuntimeServicesData",
        "Conventional",
        "Unusable",
        "ACPIReclaim",
        "ACPINVS",
        "MMIO",
        "MMIOPortSpace",
        "PalCode",
        "Persistent",
        "Unaccepted",
    };
    return type < sizeof names / sizeof names[0] ? names[type] : NULL;
}
