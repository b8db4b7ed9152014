/* What the stub, the one program in the EFI file that is not packed, hands to the loader. */
#ifndef QL_EFI_CARRIED_H
#define QL_EFI_CARRIED_H

#include <efi.h>
#include <stdint.h>

struct carried {
    const void *kernel; /* as pack.py packs it */
    uint64_t kernel_bytes;
    uint64_t start_tsc; /* the time stamp counter when the firmware entered us */
};

/* The loader's entry: what it returns goes back to the firmware or shell. */
typedef EFI_STATUS loader_entry(EFI_HANDLE image, EFI_SYSTEM_TABLE *table,
                                const struct carried *carried);

#endif
