/* The grammar of the command line. Every option is an entry of one table: its name, what may
 * follow, what it is for and who keeps its value. Who is wrong is told so: a person at a shell with
 * a sentence and no boot; anybody else on one line and with a boot, because load options often hold
 * what was never meant for us. Stage: boot services alive. */
#include "options.h"

#include "arguments.h"
#include "bytes.h"
#include "commands.h"
#include "print.h"
#include "text.h"

#define COUNTDOWN_MAX  3600
#define RESOLUTION_MAX 65535
#define LIST_COLUMNS   76 /* of a list of names, with room for the last comma */
#define IGNORED_CHARS  48 /* of what we do not understand: with the words around it, one line */

struct rule {
    const char *name;
    const char *syntax;  /* as the help shows it */
    const char *choices; /* all values there are, "a|b"; NULL: take knows */
    bool bare;           /* the name alone will do; without choices nothing else will */
    enum option_group group;
    const char *help; /* at most 56 columns */
    /* Keep the value, which is "" for the name alone. False: it is malformed. NULL: that is the
     * kernel's business. */
    bool (*take)(struct options *o, char *value);
};

struct parser {
    struct options *o;
    const struct command *command;
    char *word; /* the next one; an empty word ends the list */
    UINTN cmdline_end;
    char ignored[IGNORED_CHARS + sizeof "..."];
    UINTN ignored_end;
};

static bool take_resolution(struct options *o, char *value)
{
    const char *at = value;
    uint32_t width, height;
    if (!text_number(&at, RESOLUTION_MAX, &width) || *at++ != 'x' ||
        !text_number(&at, RESOLUTION_MAX, &height) || *at || !width || !height)
        return false;
    o->width = width;
    o->height = height;
    return true;
}

static bool take_kaslr(struct options *o, char *value)
{
    o->kaslr = text_equal(value, "on");
    return true;
}

static bool take_paging(struct options *o, char *value)
{
    o->paging = value[0] == '4' ? 4 : 5; /* it is one of the choices */
    return true;
}

/* The firmware's file names know '\' only; people who come from elsewhere type '/'. */
static bool take_kernel(struct options *o, char *value)
{
    if ((value[0] != '\\' && value[0] != '/') || !value[1])
        return false;
    for (char *c = value; *c; c++)
        if (*c == '/')
            *c = '\\';
    o->kernel = value;
    return true;
}

static bool take_countdown(struct options *o, char *value)
{
    const char *at = value;
    return text_number(&at, COUNTDOWN_MAX, &o->countdown) && !*at;
}

static bool take_verbose(struct options *o, char *value)
{
    (void)value;
    o->verbose = true;
    return true;
}

static const struct rule rules[] = {
    {"resolution", "resolution=WxH", NULL, false, OPTION_SCREEN,
     "size of the screen in pixels, such as 1280x800", take_resolution},
    {"kaslr", "kaslr=on|off", "on|off", false, OPTION_BOOT,
     "slide the kernel to a random address, or not; on", take_kaslr},
    {"paging", "paging=4level|5level", "4level|5level", false, OPTION_BOOT,
     "levels of page tables, if possible; the kernel's choice", take_paging},
    {"kernel", "kernel=\\PATH", NULL, false, OPTION_BOOT,
     "boot this Limine-protocol ELF of our own disk instead", take_kernel},
    {"countdown", "countdown=SECONDS", NULL, false, OPTION_BOOT,
     "wait before the boot, a key stops it; 0 to 3600", take_countdown},
    {"verbose", "verbose", NULL, true, OPTION_BOOT, "say what is being done, step by step",
     take_verbose},
    {"report", "report=text|json", "text|json", false, OPTION_KERNEL,
     "the form of the kernel's report; text", NULL},
    {"exit", "exit[=debug]", "debug", true, OPTION_KERNEL,
     "power off after the report; debug: by QEMU's debug exit", NULL},
    {"stress", "stress=ROUNDS", NULL, false, OPTION_KERNEL,
     "stress all CPUs before the report; 1 to 100000", NULL},
    {"bench", "bench=NAME[,ROW]", NULL, false, OPTION_KERNEL,
     "run a benchmark before the report: frames", NULL},
    {"heap_reserve", "heap_reserve=PAGES", NULL, false, OPTION_KERNEL,
     "of empty slabs that a CPU keeps; 0 to 1048576", NULL},
    {"heap_depth", "heap_depth=SLABS", NULL, false, OPTION_KERNEL,
     "of a class that a CPU keeps to itself; 1 to 1048576", NULL},
    {"heap_debug", "heap_debug=LEVEL", NULL, false, OPTION_KERNEL,
     "what a debug build of the heap checks; 0 to 3", NULL},
    {"heap_sample", "heap_sample=N", NULL, false, OPTION_KERNEL,
     "one object in N between guard pages; 0: none", NULL},
    {"panic", "panic=halt|reboot", "halt|reboot", false, OPTION_KERNEL,
     "what a panic ends in; halt", NULL},
};

#define NRULES (sizeof rules / sizeof rules[0])

/* ---- what can be said ----------------------------------------------------------------------- */

static void print_rule(const struct rule *rule)
{
    print("  %-20s %s\n", rule->syntax, rule->help);
}

void options_help(unsigned groups)
{
    for (UINTN i = 0; i < NRULES; i++)
        if (rules[i].group & groups)
            print_rule(&rules[i]);
}

/* Print one name of a list, on a new line where it would not fit; column 0 starts the list. */
static void print_listed(UINTN *column, const char *name, const char *suffix)
{
    UINTN length = strlen(name) + strlen(suffix);
    if (*column == 0) {
        print("  ");
    } else if (*column + 2 + length > LIST_COLUMNS) {
        print(",\n  ");
        *column = 0;
    } else {
        print(", ");
    }
    print("%s%s", name, suffix);
    *column += 2 + length;
}

static void print_commands(void)
{
    UINTN column = 0;
    print("Commands:\n");
    for (const struct command *c = commands; c->name; c++)
        print_listed(&column, c->name, "");
    print("\n");
}

static void print_options(void)
{
    UINTN column = 0;
    print("Options:\n");
    for (UINTN i = 0; i < NRULES; i++)
        print_listed(&column, rules[i].name, rules[i].bare ? "" : "=");
    print("\n");
}

/* ---- what is wrong -------------------------------------------------------------------------- */

static void ignore(struct parser *p, const char *word)
{
    if (p->ignored_end > IGNORED_CHARS)
        return;
    if (p->ignored_end && p->ignored_end < IGNORED_CHARS)
        p->ignored[p->ignored_end++] = ' ';
    while (*word && p->ignored_end < IGNORED_CHARS)
        p->ignored[p->ignored_end++] = *word++;
    for (const char *dots = *word ? "..." : ""; *dots; dots++)
        p->ignored[p->ignored_end++] = *dots;
    p->ignored[p->ignored_end] = 0;
}

/* A word is not understood. True: somebody at a shell must be told, in printable characters. False:
 * it was in load options, and is ignored. */
static bool must_tell(struct parser *p, char *word)
{
    for (char *c = word; *c; c++)
        if (*c == ARGUMENTS_UNPRINTABLE)
            *c = '?';
    if (!p->o->from_shell)
        ignore(p, word);
    return p->o->from_shell;
}

/* These return true if the parser can go on without the word. */
static bool unknown_word(struct parser *p, char *word, bool first)
{
    if (!must_tell(p, word))
        return true;
    if (first) {
        print("\"%s\" is neither a command nor an option.\n", word);
        print_commands();
        print_options();
        print("\"help\" and \"help COMMAND\" say more.\n");
    } else if (p->command->options) {
        print("\"%s\" is not an option of %s. Possible:\n", word, p->command->name);
        options_help(p->command->options);
    } else {
        print("\"%s\" has no place here: %s takes no options.\n", word, p->command->name);
    }
    return false;
}

static bool unknown_topic(struct parser *p, char *word)
{
    if (!must_tell(p, word))
        return true;
    print("\"%s\" is not a command.\n", word);
    print_commands();
    return false;
}

static bool malformed_word(struct parser *p, char *word, const struct rule *rule)
{
    if (!must_tell(p, word))
        return true;
    print("\"%s\" is not a form that this option has. Possible:\n", word);
    print_rule(rule);
    return false;
}

static bool unprintable_word(struct parser *p, char *word)
{
    if (!must_tell(p, word))
        return true;
    print("\"%s\" holds a character that is not printable ASCII, as all must be.\n", word);
    return false;
}

/* ---- the grammar ---------------------------------------------------------------------------- */

static char *next_word(struct parser *p)
{
    char *word = p->word;
    if (!*word)
        return NULL;
    p->word += strlen(word) + 1;
    return word;
}

static bool is_unprintable(const char *word)
{
    for (; *word; word++)
        if (*word == ARGUMENTS_UNPRINTABLE)
            return true;
    return false;
}

static bool asks_for_help(const char *word)
{
    return text_equal(word, "-h") || text_equal(word, "--help") || text_equal(word, "-?");
}

/* Append a word to the kernel's command line, which has the size of the text they are all from. */
static void pass_on(struct parser *p, const char *word)
{
    char *cmdline = p->o->cmdline;
    if (p->cmdline_end)
        cmdline[p->cmdline_end++] = ' ';
    while (*word)
        cmdline[p->cmdline_end++] = *word++;
    cmdline[p->cmdline_end] = 0;
}

/* True if value is one of "a|b|c". */
static bool is_choice(const char *choices, const char *value)
{
    UINTN length = strlen(value);
    for (const char *choice = choices; choice;) {
        const char *end = choice;
        while (*end && *end != '|')
            end++;
        if ((UINTN)(end - choice) == length && !memcmp(choice, value, length))
            return true;
        choice = *end ? end + 1 : NULL;
    }
    return false;
}

static bool take_value(struct options *o, const struct rule *rule, char *value)
{
    static char none[] = "";
    bool fits = !value ? rule->bare : rule->choices ? is_choice(rule->choices, value) : !rule->bare;
    if (!fits)
        return false;
    return !rule->take || rule->take(o, value ? value : none);
}

static bool parse_option(struct parser *p, char *word, bool first)
{
    const struct rule *rule = NULL;
    char *value = NULL;
    for (UINTN i = 0; i < NRULES && !rule; i++) {
        const char *rest = text_after(word, rules[i].name);
        if (!rest || (*rest && *rest != '='))
            continue;
        rule = &rules[i];
        value = *rest ? word + strlen(rule->name) + 1 : NULL;
    }
    if (!rule || !(rule->group & p->command->options))
        return unknown_word(p, word, first);
    if (!take_value(p->o, rule, value))
        return malformed_word(p, word, rule);
    pass_on(p, word);
    return true;
}

static bool parse_word(struct parser *p, char *word, bool first)
{
    if (is_unprintable(word))
        return unprintable_word(p, word);
    if (p->command->run != command_help || p->o->topic)
        return parse_option(p, word, first);
    const struct command *topic = command_find(word);
    if (!topic)
        return unknown_topic(p, word);
    p->o->topic = topic->name;
    return true;
}

static bool parse_words(struct parser *p)
{
    char *word = next_word(p);
    p->command = word ? command_find(word) : NULL;
    bool first = !p->command;
    if (p->command)
        word = next_word(p);
    else
        p->command = command_find("boot");
    p->o->command = p->command->name;

    bool separator = p->command->options & OPTION_KERNEL;
    for (; word && !(separator && text_equal(word, "--")); word = next_word(p), first = false) {
        if (asks_for_help(word)) {
            p->o->topic = first ? NULL : p->o->command;
            p->o->command = "help";
            return true;
        }
        if (text_equal(word, "-b"))
            p->o->page_break = true;
        else if (!parse_word(p, word, first))
            return false;
    }

    /* What follows "--" goes to the kernel unchecked; a kernel that is
     * not ours gets nothing else. */
    if (p->o->kernel)
        p->o->cmdline[p->cmdline_end = 0] = 0;
    while (word && (word = next_word(p))) {
        if (!is_unprintable(word))
            pass_on(p, word);
        else if (!unprintable_word(p, word))
            return false;
    }
    return true;
}

bool options_parse(struct options *o, bool whole)
{
    struct parser p = {.o = o, .word = o->text};
    o->topic = o->kernel = NULL;
    o->width = o->height = o->countdown = o->paging = 0;
    o->kaslr = true;
    o->verbose = o->page_break = false;
    o->cmdline[0] = 0;
    if (!whole) {
        print(o->from_shell ? "The command line is too long: at most %u characters are possible.\n"
                            : "Load options ignored beyond %u characters.\n",
              OPTIONS_CMDLINE_MAX - 2);
        if (o->from_shell)
            return false;
    }
    bool good = parse_words(&p);
    if (p.ignored_end)
        print("Load options ignored: \"%s\"\n", p.ignored);
    return good;
}

bool options_read(struct options *out)
{
    bool whole = arguments_read(out->text, sizeof out->text, &out->from_shell);
    return options_parse(out, whole);
}
