/* Owns: the command heap: what the heap has done, and what can be done to it.
 * Relies on: the report, tuning.c. Stage: the last one. */
#include "check/leaks.h"
#include "console/print.h"
#include "console/style.h"
#include "mm/heap_stats.h"
#include "mm/string.h"
#include "monitor/commands.h"
#include "ranges.h"
#include "report/report.h"
#include "tuning.h"

static bool show_tuning(void)
{
    for (unsigned i = 0; tuning_name(i); i++)
        kprintf("  " STYLE_NAME "%-8s" STYLE_PLAIN " %8u  %s\n", tuning_name(i), tuning_value(i),
                tuning_unit(i));
    return true;
}

#define WORD_MAX 16
#define LEAKS    20 /* stacks */

/* The first word of a text, as far as there is room; returns what follows it. */
static const char *cut(const char *text, char word[WORD_MAX])
{
    size_t n = 0;

    for (; *text && *text != ' '; text++)
        if (n < WORD_MAX - 1)
            word[n++] = *text;
    word[n] = '\0';
    while (*text == ' ')
        text++;
    return text;
}

static bool tune(const char *text)
{
    char name[WORD_MAX];
    const char *value = cut(text, name);

    return *text ? tuning_set("", name, value) : show_tuning();
}

static void shrink(void)
{
    kprintf("%lu frames given back.\n", (unsigned long)heap_shrink());
}

static void check(void)
{
    kprintf("The heap is %s" STYLE_PLAIN ".\n",
            heap_validate() ? STYLE_GOOD "consistent" : STYLE_BAD "NOT consistent");
}

static bool find(const char *text)
{
    uint64_t address;
    char words[RANGES_WORDS];

    if (!command_parse_hex(text, &address))
        return false;
    if (!ranges_heap(VA(address), words, sizeof words))
        ksnprintf(words, sizeof words, "not the heap's");
    kprintf("0x%lx: %s\n", (unsigned long)address, words);
    return true;
}

#ifdef QL_DEBUG_MEMORY
static void leaks(void)
{
    leaks_report(LEAKS);
}

/* So that there is something to see. */
static void forget(void)
{
    kprintf("The object at 0x%lx is forgotten.\n", (unsigned long)va_number(va_of(kmalloc(100))));
}
#endif

static const struct {
    const char *name;
    void (*show)(void); /* takes nothing */
    bool (*act)(const char *text);
} parts[] = {
    {"classes", .show = report_heap_classes},
    {"cpus", .show = report_heap_cpus},
    {"caches", .show = report_heap_caches},
    {"tune", .act = tune},
    {"shrink", .show = shrink},
    {"check", .show = check},
    {"find", .act = find},
#ifdef QL_DEBUG_MEMORY
    {"leaks", .show = leaks},
    {"forget", .show = forget},
#endif
};
#define PARTS (sizeof parts / sizeof parts[0])

bool command_heap(const char *argument)
{
    char name[WORD_MAX];
    const char *rest = cut(argument, name);

    if (*argument == '\0')
        report_heap_whole();
    for (size_t i = 0; i < PARTS; i++) {
        if (strcmp(parts[i].name, name) != 0)
            continue;
        if (parts[i].act)
            return parts[i].act(rest);
        if (*rest == '\0')
            parts[i].show();
        return *rest == '\0';
    }
    return *argument == '\0';
}

const char *command_heap_word(unsigned i)
{
    static const char *const settings[] = {"tune reserve", "tune depth", "tune debug",
                                           "tune sample"};

    if (i < PARTS)
        return parts[i].name;
    return i - PARTS < sizeof settings / sizeof settings[0] ? settings[i - PARTS] : NULL;
}
