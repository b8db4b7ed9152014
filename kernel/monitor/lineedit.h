/* One line of input, edited on a terminal that knows CR, BS and ESC [ K, with a history.
 * Pure but for the sink; no stage. */
#ifndef QL_KERNEL_LINEEDIT_H
#define QL_KERNEL_LINEEDIT_H

#include <stdbool.h>
#include <stddef.h>

/* Prompt and line must stay within one row of the narrowest terminal (80 columns), because nothing
 * moves the cursor up. */
#define LINEEDIT_PROMPT  11
#define LINEEDIT_MAX     68
#define LINEEDIT_HISTORY 16

enum lineedit_event {
    LINEEDIT_NONE,
    LINEEDIT_ENTER,    /* text is the line; lineedit_begin starts the next */
    LINEEDIT_CANCEL,   /* Ctrl-C */
    LINEEDIT_COMPLETE, /* tab */
    LINEEDIT_CLEAR,    /* Ctrl-L: the caller clears, then draws the line again */
};

/* Starts as {.write = sink, .prompt = text of at most LINEEDIT_PROMPT columns}. */
struct lineedit {
    void (*write)(const char *text, size_t bytes);
    const char *prompt;          /* may contain colours */
    char text[LINEEDIT_MAX + 1]; /* always terminated, printable ASCII only */
    unsigned length, cursor;
    char history[LINEEDIT_HISTORY][LINEEDIT_MAX + 1]; /* a ring */
    unsigned nhistory;                                /* lines ever added */
    unsigned back;                 /* how many lines back is being looked at; 0: the new line */
    char newest[LINEEDIT_MAX + 1]; /* the new line, while an old one is being looked at */
};

/* Show the prompt and an empty line. */
void lineedit_begin(struct lineedit *line);

/* Show prompt and line as they stand, on a fresh row. */
void lineedit_draw(struct lineedit *line);

/* Act on a key of keyboard.h. Any number is fine. */
enum lineedit_event lineedit_key(struct lineedit *line, int key);

/* Type text at the cursor; what does not fit or is not printable is left out. */
void lineedit_insert(struct lineedit *line, const char *text);

/* Remember a line, unless it is empty or what was entered last. */
void lineedit_remember(struct lineedit *line);

#endif
