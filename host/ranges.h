/* The heap's ranges in a Linux process: what the machine that they belong to needs beside mm/heap/ranges.h. */
#ifndef QL_HOST_RANGES_H
#define QL_HOST_RANGES_H

#pragma GCC visibility push(hidden)
#include "../mm/heap/ranges.h"

/* Free all of them: the machine goes. */
void ranges_forget(void);
#pragma GCC visibility pop

#endif
