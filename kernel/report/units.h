/* Numbers for people. Pure; no stage. */
#ifndef QL_KERNEL_UNITS_H
#define QL_KERNEL_UNITS_H

#include <stdint.h>

#define UNITS_MAX 16 /* bytes that any of the texts below needs, its end included */

/* Bytes with the largest fitting binary unit: "0", "512 B", "4 KiB", "1.5 MiB", "256 MiB". Exact
 * where it has no decimal; else one decimal, rounded down, so that free memory is never overstated.
 * Returns out. */
const char *units_size(char out[UNITS_MAX], uint64_t bytes);

/* Microseconds as "850 us", "12.3 ms", "4.56 s". Returns out. */
const char *units_time(char out[UNITS_MAX], uint64_t usec);

#endif
