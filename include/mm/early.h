/* The bump allocator for what comes before frames exist. Nothing is
 * ever freed; closed afterwards. */
#ifndef QL_MM_EARLY_H
#define QL_MM_EARLY_H

#include <stddef.h>
#include <stdint.h>

/* Hand over the arena: [base, base + bytes), mapped and zeroed. Not while another is open. */
void early_init(void *base, size_t bytes);

/* Zeroed memory that is never freed.
 * units:   bytes > 0; align a power of two, at most 4096
 * errors:  none: panics when the arena is full (names CONFIG_EARLY_BYTES) or already closed */
void *early_alloc(size_t bytes, size_t align);

/* No allocation after this. Returns the bytes that were used. */
size_t early_close(void);

#endif
