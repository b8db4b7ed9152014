/* The commands: what a word after the program's name starts. A new one is a function and an entry
 * in the table of commands.c. Stage: boot services alive. */
#ifndef QL_EFI_COMMANDS_H
#define QL_EFI_COMMANDS_H

#include <efi.h>

#include "options.h"
#include "status.h"

/* What a command returns to the shell, which shows it as %lasterror%; errors of the firmware's go
 * through as they are. (In the specification's terms 1 and 2 are warnings, so that a boot manager
 * that started us does not see a failed boot.) */
#define EXIT_FINE  0 /* done, nothing to complain about */
#define EXIT_FOUND 1 /* done, and something is wrong with what was looked at */
#define EXIT_USAGE 2 /* the arguments are wrong; nothing was done */

struct command {
    const char *name;
    const char *arguments; /* as a usage line shows them */
    const char *summary;   /* one line of the list of commands */
    const char *help;      /* the rest of "help NAME": lines of at most 79 columns */
    unsigned options;      /* enum option_group: the options it accepts */
    EFI_STATUS (*run)(const struct options *options);
};

/* The table, in the order of the help; ends with a NULL name. */
extern const struct command commands[];

/* The command of this name, NULL if there is none. */
const struct command *command_find(const char *name);

EFI_STATUS command_boot(const struct options *options) MUST_USE;
EFI_STATUS command_check(const struct options *options) MUST_USE;
EFI_STATUS command_gop(const struct options *options) MUST_USE;
EFI_STATUS command_help(const struct options *options) MUST_USE;
EFI_STATUS command_memmap(const struct options *options) MUST_USE;
EFI_STATUS command_version(const struct options *options) MUST_USE;

#endif
