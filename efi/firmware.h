/* The handles and tables the firmware gave us, and what everything in efi/ allocates through.
 * Valid from the first line of loader_main; BS is gone after ExitBootServices. */
#ifndef QL_EFI_FIRMWARE_H
#define QL_EFI_FIRMWARE_H

#include <efi.h>
#include <stdbool.h>
#include <stdint.h>

#include "carried.h"
#include "status.h"

extern EFI_HANDLE image_handle;
extern EFI_SYSTEM_TABLE *ST;
extern EFI_BOOT_SERVICES *BS;
extern EFI_RUNTIME_SERVICES *RT;

/* What came with us. */
extern const struct carried *carried;

/* Remember the tables. */
void firmware_init(EFI_HANDLE image, EFI_SYSTEM_TABLE *table, const struct carried *with_us);

/* Zeroed pages of EfiLoaderData, 4 KiB aligned (align: a power of two, larger is over-allocated).
 * Every allocation is remembered until firmware_free_all. errors: the firmware's status */
EFI_STATUS firmware_alloc_pages(UINTN npages, UINTN align, void **out) MUST_USE;

/* The same, contents undefined: for what is filled at once, and for stacks. */
EFI_STATUS firmware_alloc_raw(UINTN npages, UINTN align, void **out) MUST_USE;

/* The same, all of it below that address; 0: anywhere. */
EFI_STATUS firmware_alloc_below(UINTN npages, UINT64 below, void **out) MUST_USE;

/* Free everything that was allocated and not freed. For every way back to the firmware. */
void firmware_free_all(void);

/* Free what was allocated after firmware_mark gave this mark; marks nest. */
UINTN firmware_mark(void);
void firmware_free_since(UINTN mark);

/* The protocol's interface on a handle, or on any handle if handle is NULL. */
EFI_STATUS firmware_protocol(EFI_HANDLE handle, EFI_GUID *guid, void **out) MUST_USE;

/* A table of the configuration table array, NULL if absent. */
void *firmware_table(const EFI_GUID *guid);

#endif
