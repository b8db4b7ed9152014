/* Owns: the commands and the prompt.
 * Relies on: input.c, lineedit.c, report.c. Stage: the last one. */
#include "monitor/monitor.h"

#include <stdbool.h>
#include <stddef.h>

#include "bench/bench.h"
#include "check/provoke.h"
#include "check/selfcheck.h"
#include "check/stress.h"
#include "console/print.h"
#include "console/serial.h"
#include "console/style.h"
#include "cpu/cpu.h"
#include "firmware/power.h"
#include "mm/string.h"
#include "monitor/commands.h"
#include "monitor/input.h"
#include "monitor/lineedit.h"
#include "report/report.h"

#define PROMPT  STYLE_NAME "quicklime>" STYLE_PLAIN " "
#define COLUMNS 80 /* of the narrowest terminal */

_Static_assert(sizeof "quicklime> " - 1 <= LINEEDIT_PROMPT, "the prompt fits");

struct command {
    const char *name;
    const char *arguments; /* "" if it takes none */
    const char *summary;
    const char *help;                    /* sentences; "" if the summary says it all */
    const char *(*argument)(unsigned i); /* the i-th possible one, NULL behind the last; or NULL */
    bool (*function)(const char *argument); /* false: that is no argument for it */
    bool words;                             /* the argument may be several */
};

static const char *command_name(unsigned i);
static const char *panic_kind(unsigned i);
static const char *report_form(unsigned i);
static const char *stress_argument(unsigned i);

/* ---- commands ------------------------------------------------------------------------------- */

static bool command_help(const char *argument);

static bool command_report(const char *argument)
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

static bool command_memmap(const char *argument)
{
    (void)argument;
    report_memory_map();
    return true;
}

static bool command_ranges(const char *argument)
{
    (void)argument;
    report_ranges();
    return true;
}

static bool command_heap(const char *argument)
{
    (void)argument;
    report_heap();
    return true;
}

static bool command_cpus(const char *argument)
{
    (void)argument;
    report_cpus();
    return true;
}

static bool command_stress(const char *argument)
{
    unsigned rounds = 50;

    if (*argument && !stress_rounds(argument, &rounds))
        return false;
    (void)stress_run(rounds);
    return true;
}

static bool command_selfcheck(const char *argument)
{
    (void)argument;
    (void)selfcheck_run();
    report_selfcheck();
    return true;
}

static bool command_panic(const char *argument)
{
    panic_provoke(argument);
    return false; /* it came back: there is no such kind */
}

static bool command_clear(const char *argument)
{
    (void)argument;
    kprintf("\x1b[2J\x1b[H");
    return true;
}

static bool command_reboot(const char *argument)
{
    (void)argument;
    kprintf("Rebooting.\n");
    power_reboot();
}

static bool command_poweroff(const char *argument)
{
    (void)argument;
    kprintf("Powering off.\n");
    power_off();
}

static const struct command commands[] = {
    {"help", "[command]", "what there is, or more about one command", "", command_name,
     command_help, false},
    {"report", "[json]", "the report of the boot, with the numbers of now",
     "With json: the same as one line of JSON, on the serial line only.", report_form,
     command_report, false},
    {"memmap", "", "every region of the memory map, and its picture", "", NULL, command_memmap,
     false},
    {"ranges", "", "what is mapped where, how protected and cached",
     "Walks all page tables first: it says so if anything is writable and executable.", NULL,
     command_ranges, false},
    {"frames", "[retire ADDR]", "physical frames: used, free and in what runs",
     "With retire: the frame at that address, in hexadecimal, is bad and never given out again, "
     "at\n"
     "  once or when it is freed. With drain: the CPUs give back what they keep for themselves.",
     command_frames_word, command_frames, true},
    {"heap", "", "the kernel heap: used, free, allocations", "", NULL, command_heap, false},
    {"cpus", "", "every CPU and its state, every node and its memory", "", NULL, command_cpus,
     false},
    {"selfcheck", "", "check each layer of the memory manager again", "", NULL, command_selfcheck,
     false},
    {"stress", "[rounds]", "all CPUs at once: mappings, memory, calls",
     "Without a number: 50 rounds, each of 1000 mixed operations on every CPU.", stress_argument,
     command_stress, false},
    {"bench", "[name [row]]", "time the memory manager, on one CPU and on two",
     "Alone: what there is. With a row: only those that have this in their names. A key stops it.\n"
     "  Beside our time stands that of a simple baseline, and what part of that ours is. While it\n"
     "  runs it may use all memory; afterwards it checks that memory is as it was.",
     bench_name, command_bench, true},
    {"panic", "[kind [cpu=N]]", "break something on purpose",
     "Ends in the panic screen, with cpu= on that CPU. The kinds:", panic_kind, command_panic,
     true},
    {"clear", "", "an empty screen; also Ctrl-L", "", NULL, command_clear, false},
    {"reboot", "", "restart the machine", "", NULL, command_reboot, false},
    {"poweroff", "", "switch the machine off", "", NULL, command_poweroff, false},
};
#define COMMANDS (sizeof commands / sizeof commands[0])

static const char *command_name(unsigned i)
{
    return i < COMMANDS ? commands[i].name : NULL;
}

static const char *panic_kind(unsigned i)
{
    size_t n;
    const struct provocation *kinds = panic_provocations(&n);
    return i < n ? kinds[i].name : NULL;
}

static const char *report_form(unsigned i)
{
    return i == 0 ? "json" : NULL;
}

static const char *stress_argument(unsigned i)
{
    return i == 0 ? "50" : i == 1 ? "1000" : NULL;
}

static void print_unknown(const char *name)
{
    kprintf("There is no command \"%s\"; " STYLE_NAME "help" STYLE_PLAIN
            " lists those there are.\n",
            name);
}

static const struct command *command_find(const char *name)
{
    for (size_t i = 0; i < COMMANDS; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static void print_command(const struct command *command)
{
    kprintf("  " STYLE_NAME "%-9s" STYLE_PLAIN " " STYLE_DIM "%-14s" STYLE_PLAIN "  %s\n",
            command->name, command->arguments, command->summary);
}

static bool command_help(const char *argument)
{
    if (*argument == '\0') {
        for (size_t i = 0; i < COMMANDS; i++)
            print_command(&commands[i]);
        kprintf(STYLE_DIM
                "  Tab completes; up and down bring back earlier lines; Ctrl-U clears the "
                "line.\n" STYLE_PLAIN);
        return true;
    }
    const struct command *command = command_find(argument);
    if (!command) {
        print_unknown(argument);
        return true;
    }
    print_command(command);
    if (*command->help)
        kprintf("  %s\n", command->help);
    if (command->function == command_panic) {
        size_t n;
        const struct provocation *kinds = panic_provocations(&n);
        for (size_t i = 0; i < n; i++)
            kprintf("    " STYLE_NAME "%-17s" STYLE_PLAIN "  %s\n", kinds[i].name, kinds[i].help);
    }
    return true;
}

/* ---- the line ------------------------------------------------------------------------------- */

static char *skip_blanks(char *text)
{
    while (*text == ' ')
        text++;
    return text;
}

/* Cut the first word off; returns what follows it. */
static char *split(char *text)
{
    while (*text && *text != ' ')
        text++;
    if (*text)
        *text++ = '\0';
    return skip_blanks(text);
}

/* Obey a line; it is cut into words in place. */
static void execute(char *text)
{
    char *name = skip_blanks(text);
    char *argument = split(name);
    const struct command *command = command_find(name);
    const char *rest = command && command->words ? "" : split(argument);

    if (*name == '\0')
        return;
    if (!command)
        print_unknown(name);
    else if (*rest || (*argument && !command->argument))
        kprintf("That is more than \"%s\" takes: %s%s%s\n", name, name,
                *command->arguments ? " " : "", command->arguments);
    else if (!command->function(argument))
        kprintf("\"%s\" means nothing to \"%s\"; " STYLE_NAME "help %s" STYLE_PLAIN
                " says what does.\n",
                argument, name, name);
}

/* ---- completion ----------------------------------------------------------------------------- */

static bool has_prefix(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* What may stand where the last word of text is: commands first, then what the command takes. */
static const char *(*candidates(char *text, char **word))(unsigned i)
{
    char copy[LINEEDIT_MAX + 1];
    char *name = skip_blanks(text);
    size_t length = 0;

    while (name[length] && name[length] != ' ')
        length++;
    *word = name;
    if (name[length] == '\0')
        return command_name;
    memcpy(copy, name, length);
    copy[length] = '\0';
    *word = skip_blanks(name + length);
    const struct command *command = command_find(copy);
    return command ? command->argument : NULL;
}

static void list_matches(const char *(*candidate)(unsigned i), const char *word)
{
    size_t column = 0;

    for (unsigned i = 0; candidate(i); i++) {
        if (!has_prefix(candidate(i), word))
            continue;
        size_t bytes = 2 + strlen(candidate(i));
        bool fits = column > 0 && column + bytes < COLUMNS;
        kprintf("%s  %s", fits ? "" : "\n", candidate(i));
        column = fits ? column + bytes : bytes;
    }
    kprintf("\n");
}

/* Tab: add what all matches have in common; if that is nothing, show them. */
static void complete(struct lineedit *line)
{
    char *word;
    const char *(*candidate)(unsigned i) = candidates(line->text, &word);
    const char *match = NULL;
    char added[LINEEDIT_MAX + 2];
    size_t common = 0, length = strlen(word);
    unsigned matches = 0;

    for (unsigned i = 0; candidate && candidate(i); i++) {
        if (!has_prefix(candidate(i), word))
            continue;
        if (matches++ == 0) {
            match = candidate(i);
            common = strlen(match);
        }
        size_t same = 0;
        while (same < common && match[same] == candidate(i)[same])
            same++;
        common = same;
    }
    if (matches == 0 || line->cursor != line->length)
        return;
    if (common > length || matches == 1) {
        ksnprintf(added, sizeof added, "%.*s%s", (int)(common - length), match + length,
                  matches == 1 ? " " : "");
        lineedit_insert(line, added);
    } else {
        list_matches(candidate, word);
        lineedit_draw(line);
    }
}

/* ---- the loop ------------------------------------------------------------------------------- */

static void write_both(const char *text, size_t bytes)
{
    kprintf("%.*s", (int)bytes, text);
}

_Noreturn void monitor_run(void)
{
    static struct lineedit line = {.write = write_both, .prompt = PROMPT};

    if (!input_init()) {
        kprintf("There is neither a serial line nor a keyboard to type on. The CPU is halted.\n");
        cpu_halt();
    }
    lineedit_begin(&line);
    for (;;) {
        switch (lineedit_key(&line, input_wait())) {
        case LINEEDIT_ENTER:
            lineedit_remember(&line);
            execute(line.text);
            lineedit_begin(&line);
            break;
        case LINEEDIT_CANCEL:
            lineedit_begin(&line);
            break;
        case LINEEDIT_COMPLETE:
            complete(&line);
            break;
        case LINEEDIT_CLEAR:
            command_clear("");
            lineedit_draw(&line);
            break;
        case LINEEDIT_NONE:
            break;
        }
    }
}
