/* Owns: the commands frames and bench.
 * Relies on: the pmm, the report, the benchmarks. Stage: the last one. */
#include "monitor/commands.h"

#include "bench/bench.h"
#include "console/print.h"
#include "console/style.h"
#include "mm/pmm.h"
#include "mm/string.h"
#include "monitor/input.h"
#include "report/report.h"

/* ---- frames --------------------------------------------------------------------------------- */

/* A number in hexadecimal, with 0x or without; nothing behind it. */
static bool parse_hex(const char *text, uint64_t *value)
{
    unsigned digits = 0;

    if (strncmp(text, "0x", 2) == 0)
        text += 2;
    for (*value = 0; *text && digits <= 16; text++, digits++) {
        char c = (char)(*text | 0x20); /* small letters; digits are the same */
        bool digit = c >= '0' && c <= '9';
        if (!digit && (c < 'a' || c > 'f'))
            return false;
        *value = *value << 4 | (unsigned)(digit ? c - '0' : c - 'a' + 10);
    }
    return digits >= 1 && digits <= 16;
}

static bool retire(const char *text)
{
    uint64_t address;

    if (!parse_hex(text, &address) || address >= PADDR_LIMIT)
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

/* ---- bench ---------------------------------------------------------------------------------- */

static bool key_was_pressed(void)
{
    return input_poll() != KEY_NONE;
}

bool command_bench(const char *argument)
{
    char name[16];
    size_t n = 0;

    if (*argument == '\0') {
        for (unsigned i = 0; bench_name(i); i++)
            kprintf("  bench " STYLE_NAME "%-8s" STYLE_PLAIN " %s\n", bench_name(i),
                    bench_summary(i));
        return true;
    }
    while (argument[n] && argument[n] != ' ' && n < sizeof name - 1) {
        name[n] = argument[n];
        n++;
    }
    name[n] = '\0';
    return bench_run(name, argument[n] == ' ' ? argument + n + 1 : argument + n, key_was_pressed);
}
