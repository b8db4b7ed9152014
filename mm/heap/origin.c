/* Owns: the words about objects, and about accesses that went wrong.
 * Relies on: the sampler, and in a debug build on the records. Stage: any; takes no lock. */
#include "origin.h"

#include "check.h"
#include "debug/debug.h"
#include "sample.h"

#define CALLERS_SAID 3

static size_t length_of(const char *text)
{
    size_t n = 0;
    while (text[n] != '\0')
        n++;
    return n;
}

void stack_words(const struct heap_stack *stack, char *out, size_t bytes, uint32_t most)
{
    size_t used = 0;
    port_format(out, bytes, "%s", stack->count == 0 ? "?" : "");
    for (uint32_t i = 0; i < stack->count && i < most; i++) {
        uint64_t offset = 0;
        /* The call may be the last instruction of its function: look up the byte before. */
        const char *name = port_symbol(stack->callers[i] - 1, &offset);
        const char *separator = i > 0 ? " < " : "";
        if (name != NULL)
            port_format(out + used, bytes - used, "%s%s+0x%lx", separator, name, offset + 1);
        else
            port_format(out + used, bytes - used, "%s0x%lx", separator, stack->callers[i]);
        used += length_of(out + used);
    }
}

void origin_words(const struct heap_origin *origin, char *out, size_t bytes)
{
    char allocated[ORIGIN_WORDS / 3], freed[ORIGIN_WORDS / 3];
    stack_words(&origin->allocated, allocated, sizeof allocated, CALLERS_SAID);
    stack_words(&origin->freed, freed, sizeof freed, CALLERS_SAID);
    port_format(out, bytes, "%s object of %lu bytes, allocated by %s%s%s",
                origin->live ? "an" : "a freed", origin->bytes, allocated,
                origin->live ? "" : ", freed by ", origin->live ? "" : freed);
}

mm_status_t heap_get_origin(const void *p, struct heap_origin *out)
{
    mm_status_t status = sample_find(p, out);
#ifdef QL_DEBUG_MEMORY
    if (status != MM_OK)
        status = debug_get_origin(p, out);
#endif
    return status;
}

bool heap_explain(const void *p, char *out, size_t bytes)
{
    struct heap_origin origin;
    char words[ORIGIN_WORDS];
    if (heap_get_origin(p, &origin) != MM_OK)
        return false;
    origin_words(&origin, words, sizeof words);
    uintptr_t at = (uintptr_t)p, start = (uintptr_t)origin.object, end = start + origin.bytes;
    const char *where = at < start ? "in front of its start" : "behind its start";
    unsigned long distance = at < start ? start - at : at - start;
    if (at >= end) {
        distance = at - end + 1;
        where = "behind its end";
    }
    const char *what = !origin.live              ? "use after free"
                       : at < start || at >= end ? "out of bounds"
                                                 : "access";
    port_format(out, bytes, "%s, %lu bytes %s: %s", what, distance, where, words);
    return true;
}
