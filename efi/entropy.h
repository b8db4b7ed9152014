/* Random numbers for the KASLR slide and the kernel's entropy
 * request. Stage: boot services alive. */
#ifndef QL_EFI_ENTROPY_H
#define QL_EFI_ENTROPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Collect from all there is: the firmware's RNG protocol, RDSEED or RDRAND, the TSC's jitter. */
void entropy_init(void);

/* 64 random bits; after entropy_init. */
uint64_t entropy_next(void);

/* True if more than the jitter went in. */
bool entropy_is_strong(void);

#endif
