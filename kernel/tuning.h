/* What of the heap can be tuned while it runs, by name: "reserve", "depth", "debug", "sample". */
#ifndef QL_KERNEL_TUNING_H
#define QL_KERNEL_TUNING_H

#include <stdbool.h>
#include <stdint.h>

/* The i-th setting's name, NULL behind the last; what it counts, and its value now. */
const char *tuning_name(unsigned i);
const char *tuning_unit(unsigned i);
uint32_t tuning_value(unsigned i);

/* Set one from a text. False: there is no such setting. A value that is none for it is said in
 * words, which begin with prefix and the name, and changes nothing. */
bool tuning_set(const char *prefix, const char *name, const char *value);

/* Sample one object in so many from now on; returns what it was. 0, while frames are to be counted:
 * those of sampled objects come and go when they like. */
uint32_t tuning_sample(uint32_t rate);

/* Do what the options heap_reserve=, heap_depth=, heap_debug=, heap_sample= say. After heap_init. */
void tuning_from_options(void);

#endif
