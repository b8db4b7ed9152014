/* Owns: the commands that put the kernel to the test.
 * Relies on: the self-check, the stress tests, the benchmarks. Stage: the last one. */
#include "bench/bench.h"
#include "check/provoke.h"
#include "check/selfcheck.h"
#include "check/stress.h"
#include "check/user_forbidden.h"
#include "console/print.h"
#include "console/style.h"
#include "monitor/commands.h"
#include "monitor/input.h"
#include "report/report.h"

bool command_selfcheck(const char *argument)
{
    (void)argument;
    (void)selfcheck_run();
    report_selfcheck();
    return true;
}

bool command_stress(const char *argument)
{
    unsigned rounds = 50;

    if (*argument && !stress_rounds(argument, &rounds))
        return false;
    (void)stress_run(rounds);
    return true;
}

const char *command_stress_word(unsigned i)
{
    return i == 0 ? "50" : i == 1 ? "1000" : NULL;
}

bool command_user(const char *argument)
{
    (void)argument;
    forbidden_show();
    return true;
}

bool command_panic(const char *argument)
{
    panic_provoke(argument);
    return false; /* it came back: there is no such kind */
}

const char *command_panic_word(unsigned i)
{
    const struct provocation *kind = panic_provocation(i);
    return kind ? kind->name : NULL;
}

void command_panic_help(void)
{
    const struct provocation *kind;
    for (unsigned i = 0; (kind = panic_provocation(i)) != NULL; i++)
        kprintf("    " STYLE_NAME "%-17s" STYLE_PLAIN "  %s\n", kind->name, kind->help);
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
