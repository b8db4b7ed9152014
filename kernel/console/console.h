/* The text console on a linear 32 bpp framebuffer. Stage: as soon as a framebuffer is known. */
#ifndef QL_KERNEL_CONSOLE_H
#define QL_KERNEL_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>

#include "boot/context.h"

/* Draw on this framebuffer from now on, with the font size that fits its resolution, and show the
 * text that was written before (a small backlog is kept). Allocates nothing. */
void console_init(const struct boot_framebuffer *framebuffer);

/* The same pixels at another address from now on (after the page-table switch). NULL: there are none
 * for now; what is written meanwhile is drawn by the first write after that. */
void console_move(void *pixels);

bool console_present(void);

/* Cells across and down; 0 without a console. */
void console_size(unsigned *columns, unsigned *rows);

/* UTF-8 text with '\n', '\r', '\b', '\t' and the ANSI sequences ESC [ n m (0, 1, 22, 30-37, 39,
 * 40-47, 49, 90-97), ESC [ K, ESC [ 2 J and ESC [ H; anything else of ESC is swallowed. What
 * changed is drawn once, at the end of the write: give it whole lines or more. Works in a panic. */
void console_write(const char *text, size_t bytes);

#endif
