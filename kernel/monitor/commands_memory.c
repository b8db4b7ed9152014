/* Owns: the commands that show memory and address spaces.
 * Relies on: the report, the pmm, the kernel's ranges. Stage: the last one. */
#include "console/print.h"
#include "mm/pmm.h"
#include "mm/string.h"
#include "monitor/commands.h"
#include "ranges.h"
#include "report/report.h"

bool command_memmap(const char *argument)
{
    (void)argument;
    report_memory_map();
    return true;
}

bool command_ranges(const char *argument)
{
    report_ranges(argument);
    return true;
}

/* Each name once, where it comes first. */
const char *command_range_name(unsigned i)
{
    for (struct range range = {0}; ranges_next(&range);) {
        bool said = false;
        for (struct range other = {0}; !said && ranges_next(&other) && va_lt(other.va, range.va);)
            said = strcmp(other.name, range.name) == 0;
        if (!said && i-- == 0)
            return range.name;
    }
    return NULL;
}

bool command_spaces(const char *argument)
{
    (void)argument;
    report_spaces();
    return true;
}

/* ---- frames --------------------------------------------------------------------------------- */

static bool retire(const char *text)
{
    uint64_t address;

    if (!command_parse_hex(text, &address) || address >= PADDR_LIMIT)
        return false;
    bool used = pmm_is_used(PA(address));
    mm_status_t status = pmm_retire_frame(PA(address));
    if (status == MM_OK)
        kprintf("The frame at 0x%lx %s.\n", (unsigned long)address,
                used ? "is in use: it is retired when it is freed" : "is retired");
    else
        kprintf("The frame at 0x%lx cannot be retired: %s.\n", (unsigned long)address,
                status == MM_EXISTS     ? "it is already"
                : status == MM_NOTFOUND ? "it is no RAM of ours"
                                        : mm_status_name(status));
    return true;
}

static void drain(void)
{
    struct pmm_stats before, after;

    pmm_get_stats(&before);
    pmm_drain();
    pmm_get_stats(&after);
    kprintf("The CPUs kept %lu KiB for themselves; now %lu KiB.\n",
            (unsigned long)before.cached_kib, (unsigned long)after.cached_kib);
}

bool command_frames(const char *argument)
{
    static const char retires[] = "retire ";

    if (*argument == '\0')
        report_frames_whole();
    else if (strcmp(argument, "drain") == 0)
        drain();
    else if (strncmp(argument, retires, sizeof retires - 1) == 0)
        return retire(argument + sizeof retires - 1);
    else
        return false;
    return true;
}

const char *command_frames_word(unsigned i)
{
    return i == 0 ? "drain" : i == 1 ? "retire" : NULL;
}
