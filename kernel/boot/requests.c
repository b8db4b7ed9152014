/* Owns: the requests, in the part of .data that kernel.ld puts between the protocol's markers.
 * Relies on: the loader, which wrote into them before our first instruction: hence volatile, or the
 * compiler would take the initial values for the only ones. Stage: any. */
#include "boot/requests.h"

#include <stddef.h>

#include "boot/limine.h"

/* Revision 3 is the oldest with today's memory map rules: the most loaders know it. */
#define BASE_REVISION 3

#define IN_SECTION(name) __attribute__((used, section(name), aligned(8)))
#define REQUEST(feature, number)                  \
    {                                             \
        {LIMINE_COMMON_MAGIC, feature}, number, 0 \
    }

IN_SECTION(".limine.start") static volatile uint64_t start_marker[] = {LIMINE_START_MARKER};
IN_SECTION(".limine.end") static volatile uint64_t end_marker[] = {LIMINE_END_MARKER};

IN_SECTION(".limine.requests")
static volatile uint64_t base_revision[] = {LIMINE_BASE_REVISION, BASE_REVISION};

/* Those without members of their own. */
IN_SECTION(".limine.requests")
static volatile struct limine_request plain[REQUEST_PAGING_MODE] = {
    [REQUEST_BOOTLOADER_INFO] = REQUEST(LIMINE_BOOTLOADER_INFO, 0),
    [REQUEST_CMDLINE] = REQUEST(LIMINE_EXECUTABLE_CMDLINE, 0),
    [REQUEST_EXECUTABLE_FILE] = REQUEST(LIMINE_EXECUTABLE_FILE, 0),
    [REQUEST_FIRMWARE_TYPE] = REQUEST(LIMINE_FIRMWARE_TYPE, 0),
    [REQUEST_HHDM] = REQUEST(LIMINE_HHDM, 0),
    [REQUEST_FRAMEBUFFER] = REQUEST(LIMINE_FRAMEBUFFER, 0),
    [REQUEST_MEMMAP] = REQUEST(LIMINE_MEMMAP, 0),
    [REQUEST_RSDP] = REQUEST(LIMINE_RSDP, 0),
    [REQUEST_SMBIOS] = REQUEST(LIMINE_SMBIOS, 0),
    [REQUEST_EFI_SYSTEM_TABLE] = REQUEST(LIMINE_EFI_SYSTEM_TABLE, 0),
    [REQUEST_EFI_MEMMAP] = REQUEST(LIMINE_EFI_MEMMAP, 0),
    [REQUEST_DATE_AT_BOOT] = REQUEST(LIMINE_DATE_AT_BOOT, 0),
    [REQUEST_EXECUTABLE_ADDRESS] = REQUEST(LIMINE_EXECUTABLE_ADDRESS, 0),
    [REQUEST_PERFORMANCE] = REQUEST(LIMINE_BOOTLOADER_PERFORMANCE, 0),
    [REQUEST_TSC_FREQUENCY] = REQUEST(LIMINE_TSC_FREQUENCY, 0),
};

/* Either will do; the fewer are preferred: a walk has a step less, and they have room for 64 TiB in
 * the direct map, more than machines have. */
IN_SECTION(".limine.requests")
static volatile struct limine_paging_mode_request paging_mode = {
    .head = REQUEST(LIMINE_PAGING_MODE, 1),
    .mode = LIMINE_PAGING_4LEVEL,
    .max_mode = LIMINE_PAGING_5LEVEL,
    .min_mode = LIMINE_PAGING_4LEVEL,
};

IN_SECTION(".limine.requests")
static volatile struct limine_entropy_request entropy = {
    .head = REQUEST(LIMINE_ENTROPY, 0),
    .value_count = REQUEST_ENTROPY_VALUES,
};

/* All CPUs, in either mode of the local APICs. */
IN_SECTION(".limine.requests")
static volatile struct limine_mp_request mp = {
    .head = REQUEST(LIMINE_MP, 0),
    .flags = LIMINE_MP_X2APIC,
};

uint64_t request_response(enum request request)
{
    switch (request) {
    case REQUEST_PAGING_MODE:
        return paging_mode.head.response;
    case REQUEST_ENTROPY:
        return entropy.head.response;
    case REQUEST_MP:
        return mp.head.response;
    default:
        return plain[request].response;
    }
}

const char *request_name(enum request request)
{
    static const char *const names[REQUESTS] = {
        [REQUEST_BOOTLOADER_INFO] = "bootloader info",
        [REQUEST_CMDLINE] = "command line",
        [REQUEST_EXECUTABLE_FILE] = "executable file",
        [REQUEST_FIRMWARE_TYPE] = "firmware type",
        [REQUEST_HHDM] = "HHDM",
        [REQUEST_FRAMEBUFFER] = "framebuffer",
        [REQUEST_MEMMAP] = "memory map",
        [REQUEST_RSDP] = "RSDP",
        [REQUEST_SMBIOS] = "SMBIOS",
        [REQUEST_EFI_SYSTEM_TABLE] = "EFI system table",
        [REQUEST_EFI_MEMMAP] = "EFI memory map",
        [REQUEST_DATE_AT_BOOT] = "date at boot",
        [REQUEST_EXECUTABLE_ADDRESS] = "executable address",
        [REQUEST_PERFORMANCE] = "bootloader performance",
        [REQUEST_TSC_FREQUENCY] = "TSC frequency",
        [REQUEST_PAGING_MODE] = "paging mode",
        [REQUEST_ENTROPY] = "entropy",
        [REQUEST_MP] = "MP",
    };
    return names[request];
}

uint64_t request_base_revision(void)
{
    static const uint64_t tag[] = {LIMINE_BASE_REVISION};
    if (base_revision[1] != tag[1])
        return base_revision[1];
    /* Older loaders acknowledge, but do not tell. */
    return base_revision[2] == 0 ? BASE_REVISION : 0;
}

bool request_base_revision_supported(void)
{
    return base_revision[2] == 0;
}
