/* Checks of our own invariants; bad input from outside gets a message instead, never an ASSERT.
 *   ASSERT  always on, must be O(1).
 *   DCHECK  debug builds (-DQL_DEBUG), must be O(1). */
#ifndef QL_CHECK_H
#define QL_CHECK_H

#include "mm/port.h"

#define ASSERT(cond) \
    ((cond) ? (void)0 : port_panic("%s:%d: assertion failed: %s", __FILE__, __LINE__, #cond))

#ifdef QL_DEBUG
#define DCHECK(cond) ASSERT(cond)
#else
#define DCHECK(cond) ((void)sizeof(!(cond)))
#endif

#endif
