/* Owns: the commands that are about the machine as a whole.
 * Relies on: the report, power.c. Stage: the last one. */
#include "console/print.h"
#include "console/serial.h"
#include "firmware/power.h"
#include "mm/string.h"
#include "monitor/commands.h"
#include "report/report.h"

bool command_report(const char *argument)
{
    if (strcmp(argument, "json") == 0 && !serial_present())
        kprintf("There is no serial line to write it to.\n");
    else if (strcmp(argument, "json") == 0)
        report_json();
    else if (*argument == '\0')
        report_print();
    else
        return false;
    return true;
}

const char *command_report_word(unsigned i)
{
    return i == 0 ? "json" : NULL;
}

bool command_cpus(const char *argument)
{
    (void)argument;
    report_cpus();
    return true;
}

bool command_reboot(const char *argument)
{
    (void)argument;
    kprintf("Rebooting.\n");
    power_reboot();
}

bool command_poweroff(const char *argument)
{
    (void)argument;
    kprintf("Powering off.\n");
    power_off();
}
