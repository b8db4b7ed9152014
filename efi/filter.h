/* What pack.py does to code before it is packed, undone; and its sum. Pure: builds on a host. */
#ifndef QL_EFI_FILTER_H
#define QL_EFI_FILTER_H

#include <stdint.h>

/* Make the operands again what they were before pack.py. */
void filter_undo(uint8_t *code, uint64_t bytes);

/* A sum in which no change of one word goes unnoticed: each step can be undone. Against accidents,
 * not against intent. */
uint64_t filter_sum(const uint8_t *data, uint64_t bytes);

#endif
