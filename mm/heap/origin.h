/* Words about objects: who allocated and who freed them. Internal to mm/heap/. */
#ifndef QL_MM_HEAP_ORIGIN_H
#define QL_MM_HEAP_ORIGIN_H

#include "mm/heap_debug.h"
#include "mm/port.h"

#define ORIGIN_WORDS 192 /* bytes for the words of origin_words */

/* Who has called, from the function with that frame on (__builtin_frame_address). */
static inline void stack_take(struct heap_stack *out, const void *frame)
{
    out->count = port_callers(frame, out->callers, HEAP_CALLERS);
}

/* "main+0x40 < start+0x12": the innermost callers, so many at most. "?" if none is known. */
void stack_words(const struct heap_stack *stack, char *out, size_t bytes, uint32_t most);

/* "a freed object of 64 bytes, allocated by .., freed by ..". */
void origin_words(const struct heap_origin *origin, char *out, size_t bytes);

#endif
