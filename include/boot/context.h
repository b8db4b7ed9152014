/* What the kernel knows from its loader, checked and copied out of bootloader-reclaimable memory.
 * Filled once by kernel/boot/context.c at stage "boot context", constant afterwards. */
#ifndef QL_BOOT_CONTEXT_H
#define QL_BOOT_CONTEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mm/addr.h"
#include "mm/region.h"

struct limine_mp_info;

struct boot_framebuffer {
    void *pixels; /* the loader's mapping, replaced by ours after the page-table switch */
    paddr_t base;
    uint64_t width, height; /* pixels */
    uint64_t pitch;         /* bytes from row to row */
    uint8_t red_size, red_shift, green_size, green_shift, blue_size, blue_shift; /* bits */
};

struct boot_efi_memmap {
    const void *descriptors; /* NULL: none */
    size_t bytes, descriptor_bytes;
    uint32_t version;
};

/* A CPU that the loader has parked. */
struct boot_cpu {
    uint32_t acpi_uid;
    uint32_t lapic_id;           /* each once */
    struct limine_mp_info *info; /* the loader's: writing its goto_address releases the CPU */
};

struct boot_context {
    char loader_name[32], loader_version[32];
    char cmdline[512];
    uint64_t base_revision; /* the one the loader really used */
    uint64_t firmware_type; /* enum limine_firmware */
    vaddr_t hhdm_base;
    struct mem_region *memory; /* as the loader gave it, sorted */
    size_t nmemory;
    bool have_framebuffer;
    struct boot_framebuffer framebuffer;
    paddr_t image_pa;
    vaddr_t image_va;
    bool have_rsdp, have_smbios_32, have_smbios_64, have_efi_system_table;
    paddr_t rsdp, smbios_32, smbios_64, efi_system_table;
    struct boot_efi_memmap efi_memmap;
    int64_t date_at_boot;                      /* UNIX seconds, 0: unknown */
    uint64_t reset_usec, init_usec, exec_usec; /* 0: unknown */
    uint64_t tsc_hz;                           /* 0: unknown */
    uint64_t entropy[8];
    size_t nentropy;
    uint32_t bsp_lapic_id; /* valid if the loader speaks of CPUs at all (have_cpus) */
    uint32_t bsp_acpi_uid;
    bool have_cpus;
    bool cpus_lost;        /* CPUs that we cannot reach may be parked in the loader's memory */
    struct boot_cpu *cpus; /* all but the one that boots, in the loader's order */
    size_t ncpus;
};

/* Read, check and copy every response. Panics only if the machine cannot boot without it (memory
 * map, HHDM, executable address); everything else that is wrong is logged with field and value and
 * left out. */
void boot_context_read(void);

/* The context; valid after boot_context_read. */
const struct boot_context *boot_context(void);

#endif
