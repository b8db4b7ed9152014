/* The kernel's options, from its command line: words separated by spaces, name or name=value. */
#ifndef QL_KERNEL_OPTIONS_H
#define QL_KERNEL_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

/* True if the word is there; value (may be NULL) receives what follows '=', "" without one. */
bool option_get(const char *name, char *value, size_t bytes);

#endif
