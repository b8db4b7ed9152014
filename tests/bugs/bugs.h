/* Planted bugs in the use of the heap, to see which build tells which of them: plain C over the public
 * headers of mm/, for a Linux process (main.c) and for the kernel alike. */
#ifndef BUGS_H
#define BUGS_H

#include <stdbool.h>
#include <stddef.h>

struct bug {
    const char *name;
    const char *what;
    /* Do it once. True: a call said so by what it returned. Misuse is counted by who calls this,
     * and a fault ends it; some are seen only when everything is looked at afterwards. */
    bool (*run)(void);
};

const struct bug *bugs(size_t *n);

/* Nothing wrong, for comparison. */
extern const struct bug bug_none;

#endif
