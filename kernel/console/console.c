/* Owns: what the text console shows. Bytes become cells, and the cells that changed become pixels
 * at the end of each write, so that text which scrolls by within one write is never drawn.
 * Relies on: screen.c only, takes no lock: it works in a panic, whatever state it was caught in.
 * Stage: any; before console_init text is kept in the backlog. All memory is static. */
#include "console/console.h"

#include "config.h"
#include "console/screen.h"
#include "console/utf8.h"

#define BACKLOG_BYTES 16384
#define TAB_COLUMNS   8
#define PARAMETERS    8   /* of an escape sequence; further ones are ignored */
#define PARAMETER_MAX 999 /* larger values are cut to this */

#define ROWS_PER_JUMP 16 /* a screen scrolls by one row for each so many, and one more */

#define DEFAULT_FG 7
#define DEFAULT_BG 0
#define BRIGHT     8

#define DIRTY_WORDS ((CONFIG_CONSOLE_COLUMNS + 63) / 64)

enum state {
    STATE_TEXT,
    STATE_ESCAPE, /* after ESC */
    STATE_CSI,    /* after ESC [ */
    STATE_STRING, /* after ESC ] and its like: to BEL or to the next ESC */
};

static struct {
    bool present;
    bool hidden;    /* there are no pixels at the moment: nothing is drawn */
    unsigned depth; /* writes under way: more than one means that drawing faulted */
    struct screen_size size;
    unsigned row, column; /* column == size.columns: the next character starts a new line */
    unsigned cursor_row, cursor_column; /* where the cursor was drawn */
    uint8_t fg, bg;
    bool bold;
    enum state state;
    unsigned parameters[PARAMETERS];
    unsigned nparameters;
    struct utf8 utf8;
    uint16_t blank; /* the glyph of a space */
} console;

static struct cell cells[CONFIG_CONSOLE_ROWS][CONFIG_CONSOLE_COLUMNS];
static uint64_t dirty[CONFIG_CONSOLE_ROWS][DIRTY_WORDS]; /* a bit for each cell not yet drawn */

static struct {
    char text[BACKLOG_BYTES];
    uint64_t written; /* since the start; the last BACKLOG_BYTES of it are kept */
} backlog;

/* ---- cells ---------------------------------------------------------------------------------- */

static void mark_dirty(unsigned row, unsigned column)
{
    dirty[row][column / 64] |= 1ull << column % 64;
}

static bool is_dirty(unsigned row, unsigned column)
{
    return dirty[row][column / 64] >> column % 64 & 1;
}

static void cell_set(unsigned row, unsigned column, struct cell cell)
{
    struct cell *old = &cells[row][column];

    if (old->glyph == cell.glyph && old->fg == cell.fg && old->bg == cell.bg)
        return;
    *old = cell;
    mark_dirty(row, column);
}

static void clear_cells(unsigned row, unsigned from, unsigned to)
{
    struct cell cell = {console.blank, DEFAULT_FG, console.bg};

    for (unsigned column = from; column < to; column++)
        cell_set(row, column, cell);
}

/* Make room below the last row. Only cells that look different afterwards are drawn again, and
 * several rows go at once: in a long text each line is then drawn every few lines, not at every
 * one. */
static void scroll(void)
{
    unsigned jump = console.size.rows / ROWS_PER_JUMP + 1;
    unsigned kept = console.size.rows - jump;

    for (unsigned row = 0; row < kept; row++)
        for (unsigned column = 0; column < console.size.columns; column++)
            cell_set(row, column, cells[row + jump][column]);
    for (unsigned row = kept; row < console.size.rows; row++)
        clear_cells(row, 0, console.size.columns);
    console.row = kept;
}

static void next_line(void)
{
    if (console.row + 1 < console.size.rows)
        console.row++;
    else
        scroll();
}

static void put(uint32_t code)
{
    uint8_t fg = console.bold ? console.fg | BRIGHT : console.fg;

    if (console.column >= console.size.columns) {
        console.column = 0;
        next_line();
    }
    cell_set(console.row, console.column++, (struct cell){screen_glyph(code), fg, console.bg});
}

static void draw_cursor(void)
{
    unsigned last = console.size.columns - 1;

    console.cursor_row = console.row;
    console.cursor_column = console.column < last ? console.column : last;
    struct cell cell = cells[console.cursor_row][console.cursor_column];
    screen_draw(console.cursor_row, console.cursor_column,
                &(struct cell){cell.glyph, cell.bg, cell.fg}, 1);
}

/* Draw what changed, in runs of neighbours. A bit is cleared before its cell is drawn, so that a
 * fault while drawing cannot come back for ever. */
static void flush(void)
{
    if (console.hidden)
        return;
    mark_dirty(console.cursor_row, console.cursor_column);
    for (unsigned row = 0; row < console.size.rows; row++) {
        unsigned column = 0;
        while (column < console.size.columns) {
            if (column % 64 == 0 && dirty[row][column / 64] == 0) {
                column += 64;
                continue;
            }
            unsigned first = column;
            for (; column < console.size.columns && is_dirty(row, column); column++)
                dirty[row][column / 64] &= ~(1ull << column % 64);
            if (column > first)
                screen_draw(row, first, &cells[row][first], column - first);
            else
                column++;
        }
    }
    draw_cursor();
}

/* ---- escape sequences ----------------------------------------------------------------------- */

static void reset_colours(void)
{
    console.fg = DEFAULT_FG;
    console.bg = DEFAULT_BG;
    console.bold = false;
}

/* ESC [ ... m */
static void select_graphics(void)
{
    for (unsigned i = 0; i < console.nparameters; i++) {
        unsigned p = console.parameters[i];
        if (p == 0)
            reset_colours();
        else if (p == 1 || p == 22)
            console.bold = p == 1;
        else if (p >= 30 && p <= 37)
            console.fg = (uint8_t)(p - 30);
        else if (p == 39)
            console.fg = DEFAULT_FG;
        else if (p >= 40 && p <= 47)
            console.bg = (uint8_t)(p - 40);
        else if (p == 49)
            console.bg = DEFAULT_BG;
        else if (p >= 90 && p <= 97)
            console.fg = (uint8_t)(p - 90 + BRIGHT);
        else if (p == 38 || p == 48)
            return; /* 256 colours: the numbers that follow are not ours to read */
    }
}

/* ESC [ K: 0 to the end of the line, 1 up to the cursor, 2 all of it. */
static void erase_line(unsigned how)
{
    unsigned here = console.column < console.size.columns ? console.column : console.size.columns;
    unsigned behind = here < console.size.columns ? here + 1 : here;

    clear_cells(console.row, how == 0 ? here : 0, how == 1 ? behind : console.size.columns);
}

/* ESC [ row ; column H, counted from 1 */
static void move_cursor(void)
{
    unsigned row = console.parameters[0] ? console.parameters[0] - 1 : 0;
    unsigned column =
        console.nparameters > 1 && console.parameters[1] ? console.parameters[1] - 1 : 0;

    console.row = row < console.size.rows ? row : console.size.rows - 1;
    console.column = column < console.size.columns ? column : console.size.columns - 1;
}

static void csi_end(uint8_t final)
{
    console.state = STATE_TEXT;
    if (final == 'm') {
        select_graphics();
    } else if (final == 'K') {
        erase_line(console.parameters[0]);
    } else if (final == 'H') {
        move_cursor();
    } else if (final == 'J' && console.parameters[0] == 2) {
        for (unsigned row = 0; row < console.size.rows; row++)
            clear_cells(row, 0, console.size.columns);
    }
}

static void csi_byte(uint8_t byte)
{
    unsigned *p = &console.parameters[console.nparameters - 1];

    if (byte >= '0' && byte <= '9') {
        *p = *p * 10 + (byte - '0');
        if (*p > PARAMETER_MAX)
            *p = PARAMETER_MAX;
    } else if (byte == ';') {
        if (console.nparameters < PARAMETERS)
            console.parameters[console.nparameters++] = 0;
    } else if (byte >= 0x40 && byte <= 0x7e) {
        csi_end(byte);
    } /* anything else is a private mark or an intermediate: part of what is swallowed */
}

static void escape_byte(uint8_t byte)
{
    if (byte == '[') {
        console.state = STATE_CSI;
        console.nparameters = 1;
        console.parameters[0] = 0;
    } else if (byte == ']' || byte == 'P' || byte == '_' || byte == '^' || byte == 'X') {
        console.state = STATE_STRING;
    } else if (byte < 0x20 || byte > 0x2f) { /* 20..2f: one more byte belongs to it */
        console.state = STATE_TEXT;
    }
}

/* ---- bytes ---------------------------------------------------------------------------------- */

/* Control characters act in every state; a line end or a new ESC also ends a sequence that was cut
 * short, so that nothing can swallow more than a line. */
static void control_byte(uint8_t byte)
{
    if (byte == 0x1b) {
        console.state = STATE_ESCAPE;
    } else if (byte == '\n') {
        console.state = STATE_TEXT;
        console.column = 0;
        next_line();
    } else if (byte == '\r') {
        console.column = 0;
    } else if (byte == '\b' && console.column > 0) {
        console.column--;
    } else if (byte == '\t') {
        unsigned stop = (console.column / TAB_COLUMNS + 1) * TAB_COLUMNS;
        console.column = stop < console.size.columns ? stop : console.size.columns - 1;
    } else if (byte == '\a' && console.state == STATE_STRING) {
        console.state = STATE_TEXT;
    }
}

static void text_byte(uint8_t byte)
{
    uint32_t codes[UTF8_PUSH_MAX];
    unsigned n = utf8_push(&console.utf8, byte, codes);

    for (unsigned i = 0; i < n; i++) {
        if (codes[i] < 0x20)
            control_byte((uint8_t)codes[i]);
        else if (codes[i] < 0x7f || codes[i] >= 0xa0)
            put(codes[i]);
    }
}

static void console_byte(uint8_t byte)
{
    if (console.state == STATE_TEXT)
        text_byte(byte);
    else if (byte < 0x20)
        control_byte(byte);
    else if (console.state == STATE_ESCAPE)
        escape_byte(byte);
    else if (console.state == STATE_CSI)
        csi_byte(byte);
}

/* A fault while drawing ends in a panic that writes here again: that is tried once, with a fresh
 * parser. If that faults too, the screen is given up and serial has the rest. */
void console_write(const char *text, size_t bytes)
{
    if (!console.present) {
        for (size_t i = 0; i < bytes; i++)
            backlog.text[backlog.written++ % BACKLOG_BYTES] = text[i];
        return;
    }
    if (console.depth > 1)
        return;
    if (console.depth++ == 1) {
        console.state = STATE_TEXT;
        console.utf8 = (struct utf8){0};
    }
    for (size_t i = 0; i < bytes; i++)
        console_byte((uint8_t)text[i]);
    flush();
    console.depth--;
}

/* ---- life ----------------------------------------------------------------------------------- */

/* Show what was written before there was a screen. If some of it is lost, it starts with a whole
 * line. */
static void replay_backlog(void)
{
    uint64_t at = 0;

    if (backlog.written > BACKLOG_BYTES) {
        at = backlog.written - BACKLOG_BYTES;
        while (at < backlog.written && backlog.text[at++ % BACKLOG_BYTES] != '\n')
            ;
    }
    size_t start = at % BACKLOG_BYTES;
    size_t bytes = backlog.written - at;
    size_t first = bytes < BACKLOG_BYTES - start ? bytes : BACKLOG_BYTES - start;

    console_write(backlog.text + start, first);
    console_write(backlog.text, bytes - first);
}

void console_init(const struct boot_framebuffer *framebuffer)
{
    if (console.present || !screen_init(framebuffer, &console.size))
        return;
    console.blank = screen_glyph(' ');
    reset_colours();
    for (unsigned row = 0; row < console.size.rows; row++)
        for (unsigned column = 0; column < console.size.columns; column++)
            cells[row][column] = (struct cell){console.blank, DEFAULT_FG, DEFAULT_BG};
    console.present = true;
    replay_backlog();
}

void console_move(void *pixels)
{
    console.hidden = pixels == NULL;
    screen_move(pixels);
}

bool console_present(void)
{
    return console.present;
}

void console_size(unsigned *columns, unsigned *rows)
{
    *columns = console.size.columns;
    *rows = console.size.rows;
}
