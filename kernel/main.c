/* Owns: the stages of the boot, in their order. Each relies on those before it and on nothing
 * after. */
#include "main.h"

#include "acpi.h"
#include "boot/context.h"
#include "console.h"
#include "cpu.h"
#include "lapic.h"
#include "memory.h"
#include "mm/string.h"
#include "monitor.h"
#include "options.h"
#include "power.h"
#include "report.h"
#include "runtime.h"
#include "selfcheck.h"
#include "serial.h"
#include "traps.h"

extern const uint64_t entry_tsc; /* entry.S */

uint64_t main_entry_tsc(void)
{
    return entry_tsc;
}

uint64_t main_usec(void)
{
    uint64_t hz = cpu_tsc_hz();
    return hz ? (cpu_tsc() - entry_tsc) / (hz / 1000000) : 0;
}

/* Text on the screen from here on, through the loader's mapping until memory is ours. */
static void start_console(void)
{
    if (boot_context()->have_framebuffer)
        console_init(&boot_context()->framebuffer);
}

/* What can only be found out with the firmware's own tables in view. */
static void start_firmware(void)
{
    lapic_init();
    acpi_init();
    runtime_init(); /* last: its space holds the devices that are mapped by now */
}

static void print_reports(void)
{
    char form[8];
    if (option_get("report", form, sizeof form) && strcmp(form, "json") == 0)
        report_json();
    else
        report_print();
}

/* The option exit ends the boot here; exit=debug tells QEMU whether the self-check passed. */
static void leave_if_asked(void)
{
    char how[8];
    if (!option_get("exit", how, sizeof how))
        return;
    if (strcmp(how, "debug") == 0)
        power_debug_exit(selfcheck_last().failed == 0 ? 0 : 1);
    power_off();
}

_Noreturn void kmain(void)
{
    (void)serial_init(); /* words */
    cpu_init();          /* features, stack protector */
    traps_init();        /* exceptions end in words */
    memory_open_early(); /* a bump allocator */
    boot_context_read(); /* the loader's answers, checked and copied */
    start_console();     /* the screen */
    cpu_protect();       /* WP, NX, SMEP, SMAP, UMIP, PGE */
    memory_take_over();  /* frames, our page tables, heap; nothing of the loader's is in use */
    start_firmware();    /* local APIC, ACPI, runtime services */
    (void)selfcheck_run();
    print_reports();
    leave_if_asked();
    monitor_run();
}
