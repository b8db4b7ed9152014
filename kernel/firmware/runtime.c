/* Owns: the address space in which the firmware's runtime services run, and every call into them.
 * Relies on: the boot context's copy of the EFI memory map, paging, traps_try, lapic for the time
 * limit. Stage: runtime_init after the heap; runtime_reset any time later, also in a panic.
 *
 * SetVirtualAddressMap is not called: firmware stays in the physical mode that it is tested in. Its
 * image is writable and executable at once: it is never mapped in the kernel's space. */
#include "firmware/runtime.h"

#include <stddef.h>

#include "boot/context.h"
#include "console/print.h"
#include "cpu/cpu.h"
#include "cpu/lapic.h"
#include "cpu/traps.h"
#include "firmware/efi.h"
#include "mm/mapper.h"
#include "mm/port.h"
#include "mm/string.h"

#define RESET_TIME_LIMIT_USEC 2000000

struct efi_table_header {
    uint64_t signature;
    uint32_t revision;
    uint32_t header_size;
    uint32_t crc32;
    uint32_t reserved;
};

#define SYSTEM_TABLE_SIGNATURE  0x5453595320494249ull /* "IBI SYST" */
#define RUNTIME_TABLE_SIGNATURE 0x56524553544e5552ull /* "RUNTSERV" */

struct efi_system_table {
    struct efi_table_header header;
    uint64_t firmware_vendor; /* CHAR16 * */
    uint32_t firmware_revision;
    uint32_t padding;
    uint64_t consoles[6];
    uint64_t runtime_services;
};
_Static_assert(offsetof(struct efi_system_table, runtime_services) == 88, "EFI_SYSTEM_TABLE");

typedef __attribute__((ms_abi)) void (*efi_reset_system)(uint32_t type, uint64_t status,
                                                         size_t bytes, const void *data);

struct efi_runtime_table {
    struct efi_table_header header;
    uint64_t services[10];
    uint64_t reset_system;
};
_Static_assert(offsetof(struct efi_runtime_table, reset_system) == 104, "EFI_RUNTIME_SERVICES");

static struct {
    struct space space;
    paddr_t before;        /* the root of the space that was in use */
    bool inside;           /* the firmware's space may be in use */
    uint64_t reset_system; /* 0: cannot be called */
    const char *wrong;     /* what read_tables did not like */
    struct runtime_firmware firmware;
} runtime;

/* --- The address space ----------------------------------------------------------------------- */

static void map_firmware_region(const struct efi_descriptor *d)
{
    bool device = d->type == EFI_MAPPED_IO || d->type == EFI_MAPPED_IO_PORTS;
    cache_t cache = !device && (d->attribute & EFI_MEMORY_WB) ? CACHE_WB : CACHE_UC;
    prot_t prot = PROT_READ | PROT_WRITE | (device ? 0 : PROT_EXEC);
    mm_status_t status = paging_map(&runtime.space, VA(d->physical_start), PA(d->physical_start),
                                    d->number_of_pages, prot, cache);
    if (status != MM_OK)
        kprintf("runtime services: region 0x%lx, %lu pages: %s: left out\n", d->physical_start,
                d->number_of_pages, mm_status_name(status));
}

static void map_firmware(void)
{
    const struct efi_descriptor *d;
    for (size_t i = 0; (d = efi_descriptor(i)) != NULL; i++)
        if (d->attribute & EFI_MEMORY_RUNTIME)
            map_firmware_region(d);
}

/* Run function in the firmware's space; false if an exception or lapic's deadline ended it. */
static bool in_firmware(void (*function)(void *), void *argument, struct trap_frame *caught)
{
    runtime.before = port_get_root();
    runtime.inside = true;
    port_set_root(runtime.space.root);
    bool returned = traps_try(function, argument, caught);
    runtime_leave();
    return returned;
}

void runtime_leave(void)
{
    if (runtime.inside)
        port_set_root(runtime.before);
    runtime.inside = false;
}

/* --- The firmware's tables ------------------------------------------------------------------- */

static const void *identity(uint64_t address)
{
    return (const void *)(uintptr_t)address; /* only in the firmware's space; faults are caught */
}

static void read_tables(void *unused)
{
    (void)unused;
    const struct efi_system_table *system = identity(boot_context()->efi_system_table.v);
    if (system->header.signature != SYSTEM_TABLE_SIGNATURE) {
        runtime.wrong = "the system table has a wrong signature";
        return;
    }
    runtime.firmware.revision = system->firmware_revision;
    runtime.firmware.uefi_major = system->header.revision >> 16;
    runtime.firmware.uefi_minor = system->header.revision & 0xffff;
    const struct efi_runtime_table *services = identity(system->runtime_services);
    if (services->header.signature == RUNTIME_TABLE_SIGNATURE)
        runtime.reset_system = services->reset_system;
    else
        runtime.wrong = "the runtime services table has a wrong signature";
}

/* Apart from read_tables: on some firmware the string lies in memory that is gone. */
static void read_vendor(void *unused)
{
    (void)unused;
    const struct efi_system_table *system = identity(boot_context()->efi_system_table.v);
    const volatile uint16_t *text = identity(system->firmware_vendor);
    for (size_t i = 0; text && i < sizeof runtime.firmware.vendor - 1 && text[i] != 0; i++)
        runtime.firmware.vendor[i] = text[i] >= ' ' && text[i] < 0x7f ? (char)text[i] : '?';
}

/* In the firmware's half: ours has text, too. */
static bool is_executable(uint64_t address)
{
    struct mapping mapping;
    return va_lt(VA(address), VA(1ull << 63)) &&
           paging_query(&runtime.space, VA(address), &mapping) == MM_OK &&
           (mapping.prot & PROT_EXEC);
}

void runtime_init(void)
{
    const struct boot_context *boot = boot_context();
    if (!boot->have_efi_system_table || !boot->efi_memmap.descriptors)
        return;
    mm_status_t status = paging_create_user(&runtime.space, mapper_kernel_space());
    if (status != MM_OK) {
        kprintf("runtime services: %s\n", mm_status_name(status));
        return;
    }
    runtime.space.allow_wx = true;
    map_firmware();

    struct trap_frame caught;
    if (!in_firmware(read_tables, NULL, &caught))
        runtime.wrong = "the tables cannot be read";
    else if (runtime.firmware.uefi_major != 0)
        (void)!in_firmware(read_vendor, NULL, NULL);
    if (runtime.reset_system && !is_executable(runtime.reset_system)) {
        runtime.reset_system = 0;
        runtime.wrong = "ResetSystem is not in memory of the firmware";
    }
    if (runtime.wrong)
        kprintf("runtime services: %s\n", runtime.wrong);
}

const struct runtime_firmware *runtime_firmware(void)
{
    return &runtime.firmware;
}

/* --- ResetSystem ----------------------------------------------------------------------------- */

/* Firmware may use SSE, and expects it in the state of the calling convention. We never use it. */
static void prepare_fpu(void)
{
    struct cpu_control c = cpu_control();
    uint32_t mxcsr = 0x1f80;
    __asm__ volatile("movq %0, %%cr0" ::"r"((c.cr0 & ~(CR0_EM | CR0_TS)) | CR0_MP));
    __asm__ volatile("movq %0, %%cr4" ::"r"(c.cr4 | CR4_OSFXSR | CR4_OSXMMEXCPT));
    __asm__ volatile("fninit\n\tldmxcsr %0" ::"m"(mxcsr));
}

bool runtime_can_shut_down(void)
{
    /* U-Boot on x86 (seen: 2023.01) knows one way of resetting and does it for every kind. */
    return runtime.reset_system && strcmp(runtime.firmware.vendor, "Das U-Boot") != 0;
}

static void call_reset(void *argument)
{
    const enum runtime_reset *kind = argument;
    efi_reset_system reset_system = (efi_reset_system)(uintptr_t)runtime.reset_system;
    reset_system(*kind, 0, 0, NULL);
}

const char *runtime_reset(enum runtime_reset kind)
{
    if (!runtime.reset_system)
        return "no runtime services";
    prepare_fpu();
    (void)lapic_deadline_start(RESET_TIME_LIMIT_USEC); /* without it: only faults are survived */
    bool returned = in_firmware(call_reset, &kind, NULL);
    bool expired = lapic_deadline_stop();
    return returned ? "returned" : expired ? "timed out" : "faulted";
}
