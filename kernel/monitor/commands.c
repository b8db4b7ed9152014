/* Owns: the table of commands, and help.
 * Relies on: commands_*.c for what they do. Stage: the last one. */
#include "monitor/commands.h"

#include "bench/bench.h"
#include "console/print.h"
#include "console/style.h"
#include "mm/string.h"

static bool command_help(const char *argument);
static bool command_clear(const char *argument);

static const struct command commands[] = {
    {"help", "[command]", "what there is, or more about one command", .function = command_help,
     .word = command_name},
    {"report", "[json]", "the report of the boot, with the numbers of now",
     .function = command_report, .word = command_report_word,
     .help = "With json: the same as one line of JSON, on the serial line only."},
    {"memmap", "", "every region of the memory map, and its picture", .function = command_memmap},
    {"ranges", "[name]", "what is mapped where, how protected and cached",
     .function = command_ranges, .word = command_range_name, .words = true,
     .help = "With a name, or a part of one: only the ranges that have it in theirs. Walks all\n"
             "  page tables first: it says so if anything is writable and executable."},
    {"walk", "ADDR", "the way through the page tables to an address", .function = command_walk,
     .word = command_range_name, .words = true,
     .help = "The address in hexadecimal, or a range's name for its first page. Shows each entry\n"
             "  as the CPU reads it, and what it means to us."},
    {"spaces", "", "every address space: tables, pages, faults", .function = command_spaces,
     .help = "Walks all of them, and says whether all is as it should be."},
    {"frames", "[retire ADDR]", "physical frames: used, free and in what runs",
     .function = command_frames, .word = command_frames_word, .words = true,
     .help = "With retire: the frame at that address, in hexadecimal, is bad and never given out\n"
             "  again, at once or when it is freed. With drain: the CPUs give back what they keep\n"
             "  for themselves."},
    {"heap", "[what]", "the kernel heap: used, allocations, tuning", .function = command_heap,
     .word = command_heap_word, .words = true,
     .help =
         "With classes, cpus or caches: a table of them. tune shows the settings, tune NAME\n"
         "  VALUE sets one. shrink gives empty slabs back. check looks whether all agrees. find\n"
         "  ADDR says what the heap has at an address, in hexadecimal. leaks, in a kernel made\n"
         "  with DEBUG_MEMORY=1, says what is live and who allocated it."},
    {"cpus", "", "every CPU and its state, every node and its memory", .function = command_cpus},
    {"selfcheck", "", "check each layer of the memory manager again",
     .function = command_selfcheck},
    {"stress", "[rounds]", "all CPUs at once: mappings, memory, calls", .function = command_stress,
     .word = command_stress_word,
     .help = "Without a number: 50 rounds, each of 1000 mixed operations on every CPU."},
    {"user", "", "let ring 3 try what it must not, and see what ends it", .function = command_user,
     .help = "Each attempt is a thread of its own; all are in one address space."},
    {"bench", "[name [row]]", "time the memory manager, on one CPU and on two",
     .function = command_bench, .word = bench_name, .words = true,
     .help = "Alone: what there is. With a row: only those that have this in their names. A key\n"
             "  stops it. Beside our time stands that of a simple baseline, and what part of that\n"
             "  ours is. While it runs it may use all memory; afterwards it checks that memory is\n"
             "  as it was."},
    {"panic", "[kind [cpu=N]]", "break something on purpose", .function = command_panic,
     .word = command_panic_word, .words = true, .more_help = command_panic_help,
     .help = "Ends in the panic screen, with cpu= on that CPU. The kinds:"},
#ifdef QL_KASAN
    {"bugs", "", "use the heap wrongly in many ways, and see what is told",
     .function = command_bugs, .help = "The heap is damaged afterwards."},
#endif
    {"clear", "", "an empty screen; also Ctrl-L", .function = command_clear},
    {"reboot", "", "restart the machine", .function = command_reboot},
    {"poweroff", "", "switch the machine off", .function = command_poweroff},
};
#define COMMANDS (sizeof commands / sizeof commands[0])

const struct command *command_find(const char *name)
{
    for (size_t i = 0; i < COMMANDS; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

const char *command_name(unsigned i)
{
    return i < COMMANDS ? commands[i].name : NULL;
}

/* ---- help and clear ------------------------------------------------------------------------- */

void command_print_unknown(const char *name)
{
    kprintf("There is no command \"%s\"; " STYLE_NAME "help" STYLE_PLAIN
            " lists those there are.\n",
            name);
}

static void print_command(const struct command *command)
{
    kprintf("  " STYLE_NAME "%-9s" STYLE_PLAIN " " STYLE_DIM "%-14s" STYLE_PLAIN "  %s\n",
            command->name, command->arguments, command->summary);
}

static void print_all(void)
{
    for (size_t i = 0; i < COMMANDS; i++)
        print_command(&commands[i]);
    kprintf(STYLE_DIM "  Tab completes; up and down bring back earlier lines; Ctrl-U clears the "
                      "line.\n" STYLE_PLAIN);
}

static bool command_help(const char *argument)
{
    const struct command *command = command_find(argument);
    if (*argument == '\0')
        print_all();
    else if (!command)
        command_print_unknown(argument);
    else
        print_command(command);
    if (command && command->help)
        kprintf("  %s\n", command->help);
    if (command && command->more_help)
        command->more_help();
    return true;
}

static bool command_clear(const char *argument)
{
    (void)argument;
    kprintf(COMMANDS_CLEAR);
    return true;
}

/* ---- arguments ------------------------------------------------------------------------------ */

bool command_parse_hex(const char *text, uint64_t *value)
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
