/* The few ways in which text looks, as ANSI sequences that console.c and every terminal know. */
#ifndef QL_KERNEL_STYLE_H
#define QL_KERNEL_STYLE_H

#define STYLE_PLAIN  "\x1b[0m"
#define STYLE_STRONG "\x1b[1m"
#define STYLE_DIM    "\x1b[90m"
#define STYLE_GOOD   "\x1b[32m"
#define STYLE_BAD    "\x1b[91m"
#define STYLE_NAME   "\x1b[96m" /* what can be typed */

#endif
