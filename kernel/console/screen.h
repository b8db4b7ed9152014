/* Text cells as pixels: geometry, colours and glyphs of a linear 32 bpp framebuffer, which is only
 * ever written. What stands where is the console's business. Stage: as soon as a framebuffer is
 * known. */
#ifndef QL_KERNEL_SCREEN_H
#define QL_KERNEL_SCREEN_H

#include <stdbool.h>
#include <stdint.h>

#include "boot/context.h"

#define SCREEN_COLOURS \
    16 /* ANSI: black red green yellow blue magenta cyan white, then the bright ones */

struct cell {
    uint16_t glyph;
    uint8_t fg, bg; /* < SCREEN_COLOURS */
};
_Static_assert(sizeof(struct cell) == 4, "what config.h promises");

struct screen_size {
    unsigned columns, rows; /* at most CONFIG_CONSOLE_COLUMNS and _ROWS */
};

/* Choose the size of the characters for the resolution, prepare the colours in the framebuffer's
 * own format, clear it. False, with nothing touched: the framebuffer cannot be used (masks outside
 * 32 bits, pitch shorter than a row, too small for a few cells). */
bool screen_init(const struct boot_framebuffer *framebuffer, struct screen_size *out);

/* The same pixels at another address. */
void screen_move(void *pixels);

/* The glyph for a code point, or the one for "cannot be shown". */
uint16_t screen_glyph(uint32_t code);

/* Draw n cells of a row from a column on; the caller keeps within the size. */
void screen_draw(unsigned row, unsigned column, const struct cell *cells, unsigned n);

#endif
