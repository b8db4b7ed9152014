/* Access rights to the unpacked loader's pages, as the firmware grants them to the sections of a PE: from
 * protect() to unprotect() no page is writable and executable, where the firmware can tell the difference. Before,
 * while the loader is unpacked into them, and afterwards they are what the firmware gives as pages for code: often
 * both; nothing in them runs then. */
#ifndef QL_EFI_PROTECT_H
#define QL_EFI_PROTECT_H

#include <efi.h>
#include <stdint.h>

#define EFI_MEMORY_RO 0x20000ull

/* source: UEFI "EFI_MEMORY_ATTRIBUTE_PROTOCOL"; gnu-efi 3.0.15 has neither */
struct memory_attributes {
    EFI_STATUS(EFIAPI *get)
    (struct memory_attributes *this, EFI_PHYSICAL_ADDRESS base, UINT64 bytes, UINT64 *attributes);
    EFI_STATUS(EFIAPI *set)
    (struct memory_attributes *this, EFI_PHYSICAL_ADDRESS base, UINT64 bytes, UINT64 attributes);
    EFI_STATUS(EFIAPI *clear)
    (struct memory_attributes *this, EFI_PHYSICAL_ADDRESS base, UINT64 bytes, UINT64 attributes);
};

struct protection {
    struct memory_attributes *protocol; /* NULL: the firmware has none */
    EFI_PHYSICAL_ADDRESS base;
    uint64_t bytes;
    uint64_t before; /* the attributes that the pages came with */
};

/* Make code executable and read-only, what is between it and data read-only, data writable. Offsets from
 * base in whole pages; code begins at 0, data ends at bytes. What the firmware refuses stays as it is. */
void protect(struct protection *out, EFI_BOOT_SERVICES *services, EFI_PHYSICAL_ADDRESS base,
             uint64_t constants, uint64_t data, uint64_t bytes);

/* Make the pages what they were: who is given them next expects that. */
void unprotect(const struct protection *protection);

#endif
