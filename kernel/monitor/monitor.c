/* Owns: the prompt: a line is read, completed, obeyed.
 * Relies on: input.c, lineedit.c, commands.c. Stage: the last one. */
#include "monitor/monitor.h"

#include <stdbool.h>
#include <stddef.h>

#include "console/print.h"
#include "console/style.h"
#include "cpu/cpu.h"
#include "mm/string.h"
#include "monitor/commands.h"
#include "monitor/input.h"
#include "monitor/lineedit.h"

#define PROMPT  STYLE_NAME "quicklime>" STYLE_PLAIN " "
#define COLUMNS 80 /* of the narrowest terminal */

_Static_assert(sizeof "quicklime> " - 1 <= LINEEDIT_PROMPT, "the prompt fits");

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
        command_print_unknown(name);
    else if (*rest || (*argument && !command->word))
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
    return command ? command->word : NULL;
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
            kprintf(COMMANDS_CLEAR);
            lineedit_draw(&line);
            break;
        case LINEEDIT_NONE:
            break;
        }
    }
}
