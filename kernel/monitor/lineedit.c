/* Owns: the editing of one line. Relies on: the sink. Stage: any. */
#include "monitor/lineedit.h"

#include "console/print.h"
#include "mm/string.h"
#include "monitor/keyboard.h"

/* Colours in the prompt, the prompt, the line, and a backspace for each of its characters. */
#define DRAW_BYTES (64 + 2 * LINEEDIT_MAX)

/* The whole row in one write, so that nothing flickers. */
void lineedit_draw(struct lineedit *line)
{
    char out[DRAW_BYTES];
    size_t n = ksnprintf(out, sizeof out, "\r%s%s\x1b[K", line->prompt, line->text);

    if (n >= sizeof out)
        n = sizeof out - 1;
    for (unsigned i = line->cursor; i < line->length && n < sizeof out; i++)
        out[n++] = '\b';
    line->write(out, n);
}

static void set_text(struct lineedit *line, const char *text)
{
    ksnprintf(line->text, sizeof line->text, "%s", text);
    line->length = line->cursor = (unsigned)strlen(line->text);
}

void lineedit_begin(struct lineedit *line)
{
    set_text(line, "");
    line->back = 0;
    lineedit_draw(line);
}

/* Take bytes out of the line at its cursor. */
static void remove_at_cursor(struct lineedit *line, unsigned bytes)
{
    char *at = line->text + line->cursor;

    if (bytes > line->length - line->cursor)
        bytes = line->length - line->cursor;
    memmove(at, at + bytes, line->length - line->cursor - bytes + 1);
    line->length -= bytes;
}

static bool insert(struct lineedit *line, char c)
{
    char *at = line->text + line->cursor;

    if (c < 0x20 || c > 0x7e || line->length == LINEEDIT_MAX)
        return false;
    memmove(at + 1, at, line->length - line->cursor + 1);
    *at = c;
    line->length++;
    line->cursor++;
    return true;
}

void lineedit_insert(struct lineedit *line, const char *text)
{
    while (*text)
        (void)insert(line, *text++);
    lineedit_draw(line);
}

static const char *history_line(const struct lineedit *line, unsigned back)
{
    return line->history[(line->nhistory - back) % LINEEDIT_HISTORY];
}

void lineedit_remember(struct lineedit *line)
{
    if (line->length == 0 || (line->nhistory && strcmp(history_line(line, 1), line->text) == 0))
        return;
    memcpy(line->history[line->nhistory++ % LINEEDIT_HISTORY], line->text, sizeof line->text);
}

/* One line back or forward. The new line is kept while old ones are looked at. */
static void browse(struct lineedit *line, bool older)
{
    unsigned limit = line->nhistory < LINEEDIT_HISTORY ? line->nhistory : LINEEDIT_HISTORY;

    if (older ? line->back == limit : line->back == 0)
        return;
    if (line->back == 0)
        memcpy(line->newest, line->text, sizeof line->newest);
    line->back += older ? 1 : -1u;
    set_text(line, line->back ? history_line(line, line->back) : line->newest);
}

/* Keys that change or move; false for any other. */
static bool edit(struct lineedit *line, int key)
{
    switch (key) {
    case '\b':
        if (line->cursor > 0) {
            line->cursor--;
            remove_at_cursor(line, 1);
        }
        return true;
    case KEY_DELETE:
    case KEY_CTRL('d'):
        remove_at_cursor(line, 1);
        return true;
    case KEY_LEFT:
        line->cursor -= line->cursor > 0;
        return true;
    case KEY_RIGHT:
        line->cursor += line->cursor < line->length;
        return true;
    case KEY_HOME:
    case KEY_CTRL('a'):
        line->cursor = 0;
        return true;
    case KEY_END:
    case KEY_CTRL('e'):
        line->cursor = line->length;
        return true;
    case KEY_CTRL('u'):
        set_text(line, "");
        return true;
    case KEY_CTRL('k'):
        remove_at_cursor(line, LINEEDIT_MAX);
        return true;
    case KEY_UP:
    case KEY_DOWN:
        browse(line, key == KEY_UP);
        return true;
    default:
        return false;
    }
}

enum lineedit_event lineedit_key(struct lineedit *line, int key)
{
    if (edit(line, key)) {
        lineedit_draw(line);
        return LINEEDIT_NONE;
    }
    switch (key) {
    case '\n':
        line->write("\n", 1);
        return LINEEDIT_ENTER;
    case KEY_CTRL('c'):
        line->write("^C\n", 3);
        return LINEEDIT_CANCEL;
    case KEY_CTRL('l'):
        return LINEEDIT_CLEAR;
    case '\t':
        return LINEEDIT_COMPLETE;
    default:
        break;
    }
    char c = (char)key;
    if (key < 0 || key > 0x7e || !insert(line, c))
        return LINEEDIT_NONE;
    if (line->cursor == line->length)
        line->write(&c, 1); /* typing at the end: no need to draw the row again */
    else
        lineedit_draw(line);
    return LINEEDIT_NONE;
}
