/* The UEFI memory map, as the boot context has copied it. Stage: after boot_context_read.
 * source: UEFI "GetMemoryMap". */
#ifndef QL_KERNEL_EFI_H
#define QL_KERNEL_EFI_H

#include <stddef.h>
#include <stdint.h>

#include "boot/context.h"

enum efi_memory_type {
    EFI_LOADER_CODE = 1, /* from here to EFI_CONVENTIONAL all is RAM */
    EFI_CONVENTIONAL = 7,
    EFI_ACPI_RECLAIM = 9,
    EFI_ACPI_NVS = 10,
    EFI_MAPPED_IO = 11,
    EFI_MAPPED_IO_PORTS = 12,
};

#define EFI_MEMORY_WB      (1ull << 3)
#define EFI_MEMORY_RUNTIME (1ull << 63)

struct efi_descriptor {
    uint32_t type; /* enum efi_memory_type */
    uint32_t padding;
    uint64_t physical_start;
    uint64_t virtual_start;
    uint64_t number_of_pages;
    uint64_t attribute;
};
_Static_assert(sizeof(struct efi_descriptor) == 40, "the smallest descriptor");

/* The i-th descriptor; NULL behind the last. */
static inline const struct efi_descriptor *efi_descriptor(size_t i)
{
    const struct boot_efi_memmap *map = &boot_context()->efi_memmap;
    size_t at = i * map->descriptor_bytes;
    return at < map->bytes ? (const void *)((const uint8_t *)map->descriptors + at) : NULL;
}

#endif
