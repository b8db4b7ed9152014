/* The table of commands. Their help says what a person at the UEFI shell needs: what is shown, what
 * the exit status means. Stage: boot services alive. */
#include "commands.h"

#include <stddef.h>

#include "text.h"

const struct command commands[] = {
    {
        .name = "boot",
        .arguments = "[OPTION...] [-- WORD...]",
        .summary = "start the kernel; also what happens without a command",
        .help = "Takes the machine over and starts the kernel inside this file, or with kernel=\n"
                "another one that speaks the Limine protocol. The kernel inside is given all\n"
                "options and what follows \"--\"; another one only what follows \"--\".\n"
                "Whatever goes wrong before the hand-over returns here with the firmware's\n"
                "status, and with everything freed.\n",
        .options = OPTION_ALL,
        .run = command_boot,
    },
    {
        .name = "check",
        .arguments = "[OPTION...] [-- WORD...]",
        .summary = "do all that boot does but leave the firmware, and tell",
        .help = "Takes the options of boot, prepares everything, shows what the kernel would be\n"
                "given, and frees it. The screen's mode stays as it is.\n"
                "Exit status 1: something does not look right, or not everything was freed.\n",
        .options = OPTION_ALL,
        .run = command_check,
    },
    {
        .name = "gop",
        .arguments = "[resolution=WxH]",
        .summary = "list the screen's modes and the one a boot would choose",
        .help = "Each mode with its size in pixels, pixel format, bytes from row to row, and\n"
                "whether there is a framebuffer in memory (linear) or only block transfers\n"
                "(BltOnly). \"*\" is the current mode, \">\" the one that boot would choose.\n"
                "Exit status 1: there is no screen, no usable mode, or not the size asked for.\n",
        .options = OPTION_SCREEN,
        .run = command_gop,
    },
    {
        .name = "help",
        .arguments = "[COMMAND]",
        .summary = "say what there is, or more about one command",
        .help = "",
        .run = command_help,
    },
    {
        .name = "memmap",
        .arguments = "",
        .summary = "show the firmware's memory map, by address and by type",
        .help = "One line for each descriptor. What its memory is capable of:\n"
                "  UC WC WT WB UCE  uncached, write-combining, -through, -back, exported\n"
                "  WP RP XP RO      protection from writing, reading, execution; read-only\n"
                "  NV MR SP CC      persistent, more reliable, special purpose, encryptable\n"
                "  RT               mapped for the runtime services\n"
                "Exit status 1: descriptors overlap, wrap around, are empty or not aligned.\n",
        .run = command_memmap,
    },
    {
        .name = "version",
        .arguments = "",
        .summary = "print the version of this program and of the firmware",
        .help = "",
        .run = command_version,
    },
    {.name = NULL},
};

const struct command *command_find(const char *name)
{
    for (const struct command *c = commands; c->name; c++)
        if (text_equal(name, c->name))
            return c;
    return NULL;
}
