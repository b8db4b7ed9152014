/* The kernel's own functions by address: a table that symbols.awk makes from the first link and the
 * second link carries in read-only data (text lies before it and does not move). */
#ifndef QL_KERNEL_SYMBOLS_H
#define QL_KERNEL_SYMBOLS_H

#include <stdint.h>

/* The function that covers address, and how far into it address is; NULL if it is not kernel text
 * or the table is empty. */
const char *symbols_find(uint64_t address, uint64_t *offset);

#endif
