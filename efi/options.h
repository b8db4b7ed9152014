/* What the command line asks for: [COMMAND] [OPTION...] [-- WORD...]; an option is a word, "name"
 * or "name=value". Stage: boot services alive. */
#ifndef QL_EFI_OPTIONS_H
#define QL_EFI_OPTIONS_H

#include <efi.h>
#include <stdbool.h>
#include <stdint.h>

#include "status.h"

#define OPTIONS_CMDLINE_MAX 512

struct options {
    const char *command;    /* "boot", "memmap", ...; the name in the table of commands */
    const char *topic;      /* help COMMAND: the command that is asked about; NULL: none */
    bool page_break;        /* -b: the shell pauses after each page */
    bool from_shell;        /* the shell gave us an argv: errors in it end with exit status 2 */
    uint32_t width, height; /* resolution=WxH; 0: no wish */
    bool kaslr;             /* kaslr=on|off, default on */
    uint32_t paging;        /* paging=4level|5level: the number; 0: no wish */
    bool verbose;           /* say what is being done, step by step */
    uint32_t countdown;     /* countdown=SECONDS before boot that a key stops; 0: none */
    const char *kernel; /* kernel=\PATH: an ELF on the volume we came from; NULL: the one inside */
    char cmdline[OPTIONS_CMDLINE_MAX]; /* for the kernel: all options as given and what follows
                                          "--"; for another kernel only what follows "--" */
    char text[OPTIONS_CMDLINE_MAX];    /* storage that the pointers above lead into */
};

/* What an option is about; a command says which it accepts. */
enum option_group {
    OPTION_SCREEN = 1 << 0,
    OPTION_BOOT = 1 << 1,
    OPTION_KERNEL = 1 << 2, /* checked here, done by the kernel inside */
    OPTION_ALL = OPTION_SCREEN | OPTION_BOOT | OPTION_KERNEL,
};

/* Read the words we were started with and check them; what is not said gets its default.
 * errors: false, after a sentence that names the word and says what is possible; only if a shell
 * gave us the words. In load options what we do not understand is
 * quoted on one line and left out. */
bool options_read(struct options *out) MUST_USE;

/* The same for words that lie in out->text (see arguments_read); whole: nothing was cut off. */
bool options_parse(struct options *out, bool whole) MUST_USE;

/* Print a line of help for each option of these groups. */
void options_help(unsigned groups);

#endif
