/* The firmware's memory map, as it is. Stage: boot services alive. */
#ifndef QL_EFI_MEMMAP_H
#define QL_EFI_MEMMAP_H

#include <efi.h>

#include "status.h"

struct efi_memmap {
    EFI_MEMORY_DESCRIPTOR *descriptors; /* stride is descriptor_bytes, not sizeof */
    UINTN bytes;                        /* in use */
    UINTN capacity; /* of the buffer, with headroom for what fetching itself adds */
    UINTN key;
    UINTN descriptor_bytes;
    UINT32 version;
};

/* Allocate the buffer (with headroom) and fill it. */
EFI_STATUS memmap_get(struct efi_memmap *map) MUST_USE;

/* Fill the same buffer again; allocates nothing, so it is safe after a failed ExitBootServices. */
EFI_STATUS memmap_refresh(struct efi_memmap *map) MUST_USE;

/* The i-th descriptor, NULL behind the last. */
const EFI_MEMORY_DESCRIPTOR *memmap_at(const struct efi_memmap *map, UINTN i);

/* "BootServicesData", "Conventional", ... ; "type 2147483649" style is the caller's for NULL. */
const char *memmap_type_name(UINT32 type);

#endif
