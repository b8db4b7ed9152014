/* Owns: the stages of the boot, in their order.
 * Relies on: everything; each stage on those before it and on nothing after. */
#include "main.h"

#include "bench/bench.h"
#include "boot/context.h"
#include "boot/memory.h"
#include "check/leaks.h"
#include "check/selfcheck.h"
#include "check/stress.h"
#include "console/console.h"
#include "console/print.h"
#include "console/serial.h"
#include "cpu/clock.h"
#include "cpu/cpu.h"
#include "cpu/cpus.h"
#include "cpu/traps.h"
#include "firmware/acpi.h"
#include "firmware/nodes.h"
#include "firmware/power.h"
#include "firmware/runtime.h"
#include "mm/string.h"
#include "monitor/monitor.h"
#include "options.h"
#include "report/report.h"
#include "tuning.h"
#include "user/thread.h"

/* Text on the screen from here on, through the loader's mapping until memory is ours. */
static void start_console(void)
{
    if (boot_context()->have_framebuffer)
        console_init(&boot_context()->framebuffer);
}

/* What is known from the firmware's own tables only. */
static void start_firmware(void)
{
    acpi_init();
    clock_init();
    nodes_init();
    runtime_init();
    cpus_start();
}

/* The option stress=N: before the report, so that this has the result. */
static void stress_if_asked(void)
{
    char text[16];
    unsigned rounds;
    if (!option_get("stress", text, sizeof text))
        return;
    if (stress_rounds(text, &rounds))
        (void)stress_run(rounds);
    else
        kprintf("option stress: \"%s\" is not a number from 1 to %u\n", text, STRESS_ROUNDS_MAX);
}

/* The option bench=NAME or bench=NAME,ROW: the same. */
static void bench_if_asked(void)
{
    char text[48], *row = text;
    if (!option_get("bench", text, sizeof text))
        return;
    while (*row && *row != ',')
        row++;
    if (*row)
        *row++ = '\0';
    if (!bench_run(text, row, NULL))
        kprintf("option bench: there is no \"%s\" with a row \"%s\"\n", text, row);
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
        power_debug_exit(
            selfcheck_last().failed + stress_total().failed + bench_failures() == 0 ? 0 : 1);
    power_off();
}

/* Behind each stage: what there is from then on. */
_Noreturn void kmain(void)
{
    (void)serial_init(); /* words */
    cpu_init();          /* the CPU's features, the stack protector */
    traps_init();        /* exceptions that end in words */
    memory_open_early(); /* a bump allocator */
    boot_context_read(); /* the loader's answers, checked and copied */

    /* While this is the only CPU, and its only frame one that never returns. */
    cpu_add_randomness(boot_context()->entropy, boot_context()->nentropy);

    start_console();    /* the screen */
    cpu_protect();      /* WP, NX, SMEP, SMAP, UMIP, PGE */
    memory_take_over(); /* frames, our page tables, the heap; nothing of the loader's is in use */
    tuning_from_options();
    user_init();      /* page faults that are resolved, ring 3 */
    start_firmware(); /* ACPI, a clock, nodes, runtime services, work for all CPUs */

    (void)selfcheck_run();
    stress_if_asked();
    bench_if_asked();
    print_reports();
    leaks_begin();
    leave_if_asked();
    monitor_run();
}
