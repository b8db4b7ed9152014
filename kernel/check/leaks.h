/* In a debug build of the heap (DEBUG_MEMORY=1): what was allocated since the boot was over, and is
 * live, is said when the machine is switched off or started again. */
#ifndef QL_KERNEL_LEAKS_H
#define QL_KERNEL_LEAKS_H

#include "mm/heap_debug.h"

#ifdef QL_DEBUG_MEMORY
/* The boot is over: what it has allocated stays. */
void leaks_begin(void);

/* Say what is live since then, so many stacks at most. Not in a panic. */
void leaks_report(unsigned most);
#else
static inline void leaks_begin(void) {}
static inline void leaks_report(unsigned most)
{
    (void)most;
}
#endif

#endif
