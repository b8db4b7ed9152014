/* Broken on purpose: every kind of failure that the panic screen can tell apart, for the monitor
 * and for the boot tests. */
#ifndef QL_KERNEL_PROVOKE_H
#define QL_KERNEL_PROVOKE_H

#include <stddef.h>

struct provocation {
    const char *name;
    const char *help;
    void (*function)(void);
};

/* All kinds by number, the plain panic ("plain") first; NULL behind the last. */
const struct provocation *panic_provocation(unsigned i);

/* Those of a build that checks every access. */
#ifdef QL_KASAN
const struct provocation *kasan_provocation(unsigned i);
#else
static inline const struct provocation *kasan_provocation(unsigned i)
{
    (void)i;
    return NULL;
}
#endif

/* Do what "KIND" says, or "KIND cpu=N" on that CPU; NULL and "" mean the plain panic. Returns only
 * if there is no such kind or CPU. */
void panic_provoke(const char *what);

#endif
