/* check: the boot without the boot. What it took must be free again afterwards, which the
 * firmware's own memory map proves. Stage: boot services alive. */
#include "boot.h"
#include "commands.h"
#include "firmware.h"
#include "memmap.h"
#include "print.h"

/* Pages of the types that applications like this one allocate; the firmware's own allocations,
 * which come and go while a file is read, are of others. */
static UINT64 pages_of_loaders(const struct efi_memmap *map)
{
    const EFI_MEMORY_DESCRIPTOR *d;
    UINT64 pages = 0;
    for (UINTN i = 0; (d = memmap_at(map, i)); i++)
        if (d->Type == EfiLoaderCode || d->Type == EfiLoaderData)
            pages += d->NumberOfPages;
    return pages;
}

/* Prepare, describe, free; returns how much looked wrong. */
static UINTN rehearse(const struct options *options)
{
    struct boot_plan *plan = NULL;
    UINTN wrong;
    EFI_STATUS status = boot_prepare(options, true, &plan);
    if (EFI_ERROR(status)) {
        print("A boot would end here: %s.\n", status_name(status));
        wrong = 1;
    } else {
        wrong = boot_describe(plan);
    }
    boot_discard(plan);
    return wrong;
}

EFI_STATUS command_check(const struct options *options)
{
    struct efi_memmap map; /* taken first: its own buffer is part of both counts */
    EFI_STATUS status = memmap_get(&map);
    if (EFI_ERROR(status)) {
        print("The firmware does not give its memory map: %s.\n", status_name(status));
        return status;
    }
    UINT64 before = pages_of_loaders(&map);
    UINTN wrong = rehearse(options);
    status = memmap_refresh(&map);
    if (EFI_ERROR(status)) {
        print("The firmware does not give its memory map again: %s.\n", status_name(status));
        return status;
    }

    UINT64 after = pages_of_loaders(&map);
    if (after == before) {
        print("Memory: all that was allocated is free again.\n");
    } else {
        print("Memory: %lu pages of loader data before, %lu after.\n", before, after);
        wrong++;
    }
    if (wrong)
        print("Check: %lu thing%s not as %s should be.\n", wrong, wrong == 1 ? " is" : "s are",
              wrong == 1 ? "it" : "they");
    else
        print("Check: all is well, this machine can be booted.\n");
    return wrong ? EXIT_FOUND : EXIT_FINE;
}
