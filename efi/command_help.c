/* help and version: made from the tables of commands and options. Stage: boot services alive. */
#include "commands.h"
#include "firmware.h"
#include "print.h"
#include "version.h"

static void help_overview(void)
{
    print(QL_NAME " " QL_VERSION ": boots this machine, or looks at it before.\n"
                  "\n"
                  "Usage: BOOTX64.EFI [COMMAND] [OPTION...] [-- WORD...]\n"
                  "\n"
                  "Commands:\n");
    for (const struct command *c = commands; c->name; c++)
        print("  %-20s %s\n", c->name, c->summary);
    print("\nOptions:\n");
    options_help(OPTION_SCREEN | OPTION_BOOT);
    print("\nOptions of the kernel inside, passed on to it:\n");
    options_help(OPTION_KERNEL);
    print("\nExit status: 0 all is well, 1 something wrong was found, 2 wrong arguments.\n"
          "With -b the shell pauses after each page, as in its own commands.\n");
}

static void help_topic(const struct command *command)
{
    print("Usage: BOOTX64.EFI %s%s%s\n", command->name, *command->arguments ? " " : "",
          command->arguments);
    print("\n%s: %s.\n%s", command->name, command->summary, command->help);
    if (command->options) {
        print("\nOptions:\n");
        options_help(command->options);
    }
}

EFI_STATUS command_help(const struct options *options)
{
    if (options->topic)
        help_topic(command_find(options->topic));
    else
        help_overview();
    return EXIT_FINE;
}

EFI_STATUS command_version(const struct options *options)
{
    (void)options;
    /* UEFI 2.70 has revision 2 << 16 | 70, and 2.3.1 has 2 << 16 | 31: the last digit is the third
     * part */
    unsigned major = ST->Hdr.Revision >> 16, minor = (ST->Hdr.Revision & 0xffff) / 10;
    unsigned patch = (ST->Hdr.Revision & 0xffff) % 10;
    print(QL_NAME " " QL_VERSION "\n");
    print("on UEFI %u.%u", major, minor);
    if (patch)
        print(".%u", patch);
    print(" by %S, revision 0x%x\n", ST->FirmwareVendor, ST->FirmwareRevision);
    return EXIT_FINE;
}
