/* What the kernel asks its loader for: Limine requests, and the raw answers. source: Limine boot
 * protocol, "Requests", "Base Protocol Revisions". */
#ifndef QL_KERNEL_REQUESTS_H
#define QL_KERNEL_REQUESTS_H

#include <stdbool.h>
#include <stdint.h>

enum request {
    REQUEST_BOOTLOADER_INFO,
    REQUEST_CMDLINE,
    REQUEST_EXECUTABLE_FILE,
    REQUEST_FIRMWARE_TYPE,
    REQUEST_HHDM,
    REQUEST_FRAMEBUFFER,
    REQUEST_MEMMAP,
    REQUEST_RSDP,
    REQUEST_SMBIOS,
    REQUEST_EFI_SYSTEM_TABLE,
    REQUEST_EFI_MEMMAP,
    REQUEST_DATE_AT_BOOT,
    REQUEST_EXECUTABLE_ADDRESS,
    REQUEST_PERFORMANCE,
    REQUEST_TSC_FREQUENCY,
    REQUEST_PAGING_MODE,
    REQUEST_ENTROPY,
    REQUEST_MP,
    REQUESTS
};

#define REQUEST_ENTROPY_VALUES 8

/* The address of the response as the loader wrote it, 0 if it did not answer. */
uint64_t request_response(enum request request);

/* "memory map", ... for messages. */
const char *request_name(enum request request);

/* The base revision that the loader used; 0 if it does not know ours and does not say. */
uint64_t request_base_revision(void);

/* False if the loader did not acknowledge the base revision that we ask for. */
bool request_base_revision_supported(void);

#endif
