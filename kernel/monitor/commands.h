/* The commands of the monitor, by subject in commands*.c. Private to kernel/monitor/. */
#ifndef QL_KERNEL_COMMANDS_H
#define QL_KERNEL_COMMANDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct command {
    const char *name;
    const char *arguments; /* "" if it takes none */
    const char *summary;
    bool (*function)(const char *argument); /* false: that is no argument for it */
    const char *help;                       /* sentences; NULL if the summary says it all */
    void (*more_help)(void);                /* or NULL */
    const char *(*word)(unsigned i); /* the i-th argument, NULL behind the last; NULL: takes none */
    bool words;                      /* the argument may be several */
};

/* NULL if there is none of that name. */
const struct command *command_find(const char *name);

/* The i-th command, NULL behind the last. */
const char *command_name(unsigned i);

void command_print_unknown(const char *name);

#define COMMANDS_CLEAR "\x1b[2J\x1b[H" /* what clear prints */

/* A number in hexadecimal, with 0x or without; nothing behind it. */
bool command_parse_hex(const char *text, uint64_t *value);

/* What makes up the table in commands.c. Each gets what stands behind its name, returns false if that
 * is no argument for it; and beside it the words that it knows. */
bool command_report(const char *argument);
const char *command_report_word(unsigned i);
bool command_cpus(const char *argument);
bool command_reboot(const char *argument);
bool command_poweroff(const char *argument);

bool command_memmap(const char *argument);
bool command_ranges(const char *argument);
bool command_spaces(const char *argument);
bool command_walk(const char *argument);
const char *command_range_name(unsigned i);
bool command_frames(const char *argument);
const char *command_frames_word(unsigned i);
bool command_heap(const char *argument);
const char *command_heap_word(unsigned i);

bool command_selfcheck(const char *argument);
bool command_stress(const char *argument);
const char *command_stress_word(unsigned i);
bool command_user(const char *argument);
bool command_bench(const char *argument);
bool command_panic(const char *argument);
const char *command_panic_word(unsigned i);
void command_panic_help(void);
bool command_bugs(const char *argument); /* in a build with KASAN=1 */

#endif
