/* Where the loader begins: find out what is wanted, do it, and leave nothing behind on the way back.
 *
 * Relies on stub.c, which has unpacked and relocated us.
 * Stage: boot services alive. */
#include "commands.h"
#include "firmware.h"
#include "options.h"

#include <efishell.h>

loader_entry loader_main;

/* U-Boot starts applications with SSE off, and the x86-64 calling convention takes it for granted:
 * our own code is compiled without, but a library or the firmware's next driver need not be.
 * source: UEFI "x64 Platforms"; Intel SDM Vol. 3A "Initialization of the SSE Extensions" */
static void enable_sse(void)
{
    const uint64_t cr0_mp = 1 << 1, cr0_em = 1 << 2, cr0_ts = 1 << 3;
    const uint64_t cr4_osfxsr = 1 << 9, cr4_osxmmexcpt = 1 << 10;
    uint64_t cr0, cr4;
    __asm__ volatile("mov %%cr0, %0" : "=r"(cr0));
    __asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
    cr4 |= cr4_osfxsr | cr4_osxmmexcpt;
    cr0 = (cr0 & ~(cr0_em | cr0_ts)) | cr0_mp;
    __asm__ volatile("mov %0, %%cr4" : : "r"(cr4) : "memory");
    __asm__ volatile("mov %0, %%cr0" : : "r"(cr0) : "memory");
}

/* Only if asked for: in a script a pause would wait for a key for ever. */
static void set_page_break(bool on)
{
    static EFI_GUID guid = EFI_SHELL_PROTOCOL_GUID;
    EFI_SHELL_PROTOCOL *shell;
    if (EFI_ERROR(firmware_protocol(NULL, &guid, (void **)&shell)))
        return;
    if (on)
        shell->EnablePageBreak();
    else
        shell->DisablePageBreak();
}

EFI_STATUS loader_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *table, const struct carried *with_us)
{
    enable_sse();
    firmware_init(image, table, with_us);

    static struct options options;
    EFI_STATUS status = EXIT_USAGE;
    if (options_read(&options)) {
        if (options.page_break)
            set_page_break(true);
        status = command_find(options.command)->run(&options);
        if (options.page_break)
            set_page_break(false);
    }
    firmware_free_all();
    return status;
}
