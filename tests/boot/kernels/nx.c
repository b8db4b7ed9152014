/* A UEFI driver that enforces memory protection as strict firmware does: pages of EfiLoaderCode come not
 * executable, and EFI_MEMORY_ATTRIBUTE_PROTOCOL changes what the page tables say. It tells when something is made
 * writable and executable, and how such pages come back. "load nx.efi" in the UEFI shell starts it.
 * source: UEFI "EFI_MEMORY_ATTRIBUTE_PROTOCOL"; Intel SDM Vol. 3A "4-Level Paging". */
#include <efi.h>
#include <stdint.h>

#include "cpu.h"
#include "protect.h"

#define PAGE     4096ull
#define PRESENT  1ull
#define WRITABLE 2ull
#define LARGE    0x80ull
#define NX       (1ull << 63)
#define ADDRESS  0xffffffffff000ull
#define ACCESS   (EFI_MEMORY_XP | EFI_MEMORY_RO)

EFI_STATUS EFIAPI efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *table);

static EFI_ALLOCATE_PAGES allocate_pages;
static EFI_FREE_PAGES free_pages;
static SIMPLE_TEXT_OUTPUT_INTERFACE *console;
static EFI_PHYSICAL_ADDRESS code; /* the loader's, 0: none */

static void say(CHAR16 *text)
{
    console->OutputString(console, text);
}

/* Replace an entry of a large page by a table of entries for its parts. */
static BOOLEAN split(uint64_t *entry, unsigned shift)
{
    EFI_PHYSICAL_ADDRESS page;
    if (EFI_ERROR(allocate_pages(AllocateAnyPages, EfiBootServicesData, 1, &page)))
        return FALSE;
    uint64_t base = *entry & ADDRESS & ~((1ull << shift) - 1), part = 1ull << (shift - 9);
    uint64_t flags = *entry & (NX | 0xfff);
    if (part == PAGE)
        flags &= ~LARGE;
    for (unsigned i = 0; i < 512; i++)
        ((uint64_t *)page)[i] = (base + i * part) | flags;
    *entry = page | WRITABLE | PRESENT;
    return TRUE;
}

/* The entry of a page of 4 KiB; NULL if there is none. */
static uint64_t *entry_of(uint64_t address)
{
    uint64_t cr3;
    __asm__ volatile("mov %%cr3, %0" : "=r"(cr3));
    uint64_t *table = (uint64_t *)(cr3 & ADDRESS);
    for (unsigned shift = 39; shift > 12; shift -= 9) {
        uint64_t *entry = &table[address >> shift & 511];
        if (!(*entry & PRESENT) || (*entry & LARGE && !split(entry, shift)))
            return NULL;
        table = (uint64_t *)(*entry & ADDRESS);
    }
    return &table[address >> 12 & 511];
}

static EFI_STATUS change(EFI_PHYSICAL_ADDRESS base, UINT64 bytes, UINT64 set, UINT64 clear)
{
    uint64_t cr0 = cpu_read_cr0();
    EFI_STATUS status = EFI_SUCCESS;
    if ((base | bytes) % PAGE || !bytes || !(set | clear) || (set | clear) & ~ACCESS)
        return EFI_INVALID_PARAMETER;
    cpu_write_cr0(cr0 & ~CR0_WP); /* the tables may be protected themselves */
    for (; bytes && !EFI_ERROR(status); base += PAGE, bytes -= PAGE) {
        uint64_t *entry = entry_of(base);
        if (!entry) {
            status = EFI_NO_MAPPING;
            break;
        }
        *entry |= (set & EFI_MEMORY_XP ? NX : 0) | (clear & EFI_MEMORY_RO ? WRITABLE : 0);
        *entry &= ~((clear & EFI_MEMORY_XP ? NX : 0) | (set & EFI_MEMORY_RO ? WRITABLE : 0));
        __asm__ volatile("invlpg (%0)" : : "r"(base) : "memory");
        if (!(*entry & NX) && *entry & WRITABLE)
            say(L"nx: writable and executable\r\n");
    }
    cpu_write_cr0(cr0 | CR0_WP);
    return status;
}

static EFI_STATUS EFIAPI get(struct memory_attributes *this, EFI_PHYSICAL_ADDRESS base,
                             UINT64 bytes, UINT64 *attributes)
{
    (void)this;
    for (UINT64 at = 0; at < bytes; at += PAGE) {
        uint64_t *entry = entry_of(base + at);
        UINT64 now =
            entry ? (*entry & NX ? EFI_MEMORY_XP : 0) | (*entry & WRITABLE ? 0 : EFI_MEMORY_RO) : 0;
        if (!entry || (at && now != *attributes))
            return EFI_NO_MAPPING;
        *attributes = now;
    }
    return EFI_SUCCESS;
}

static EFI_STATUS EFIAPI set(struct memory_attributes *this, EFI_PHYSICAL_ADDRESS base,
                             UINT64 bytes, UINT64 attributes)
{
    (void)this;
    return change(base, bytes, attributes, 0);
}

static EFI_STATUS EFIAPI clear(struct memory_attributes *this, EFI_PHYSICAL_ADDRESS base,
                               UINT64 bytes, UINT64 attributes)
{
    (void)this;
    return change(base, bytes, 0, attributes);
}

static struct memory_attributes protocol = {get, set, clear};

static EFI_STATUS EFIAPI allocate_hook(EFI_ALLOCATE_TYPE type, EFI_MEMORY_TYPE memory, UINTN pages,
                                       EFI_PHYSICAL_ADDRESS *out)
{
    EFI_STATUS status = allocate_pages(type, memory, pages, out);
    if (EFI_ERROR(status) || memory != EfiLoaderCode)
        return status;
    code = *out;
    return change(*out, pages * PAGE, EFI_MEMORY_XP, 0);
}

static EFI_STATUS EFIAPI free_hook(EFI_PHYSICAL_ADDRESS base, UINTN pages)
{
    UINT64 attributes = 0;
    if (base == code) {
        if (EFI_ERROR(get(&protocol, base, pages * PAGE, &attributes)) ||
            attributes != EFI_MEMORY_XP)
            say(L"nx: freed changed\r\n");
        else
            say(L"nx: freed as it was\r\n");
        code = 0;
    }
    return free_pages(base, pages);
}

EFI_STATUS EFIAPI efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *table)
{
    EFI_GUID guid = {0xf4560cf6, 0x40ec, 0x4b4a, {0xa1, 0x92, 0xbf, 0x1d, 0x57, 0xd0, 0xb1, 0x89}};
    EFI_BOOT_SERVICES *services = table->BootServices;
    EFI_HANDLE handle = NULL;
    (void)image;
    console = table->ConOut;
    cpu_wrmsr(MSR_EFER, cpu_rdmsr(MSR_EFER) | EFER_NXE);
    cpu_write_cr0(cpu_read_cr0() | CR0_WP);
    allocate_pages = services->AllocatePages;
    free_pages = services->FreePages;
    services->AllocatePages = allocate_hook;
    services->FreePages = free_hook;
    return services->InstallProtocolInterface(&handle, &guid, EFI_NATIVE_INTERFACE, &protocol);
}
