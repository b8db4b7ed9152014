/* What words are compared and read with; strlen and the like are in bytes.h. */
#ifndef QL_EFI_TEXT_H
#define QL_EFI_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What follows prefix in s, NULL if s does not begin so. */
static inline const char *text_after(const char *s, const char *prefix)
{
    while (*prefix)
        if (*s++ != *prefix++)
            return NULL;
    return s;
}

static inline bool text_equal(const char *a, const char *b)
{
    const char *rest = text_after(a, b);
    return rest && !*rest;
}

/* The decimal number at *s, which moves behind it; false if there is none or it is above max. */
static inline bool text_number(const char **s, uint32_t max, uint32_t *out)
{
    uint64_t n = 0;
    const char *at = *s;
    for (; *at >= '0' && *at <= '9' && n <= max; at++)
        n = n * 10 + (uint64_t)(*at - '0');
    if (at == *s || n > max)
        return false;
    *s = at;
    *out = (uint32_t)n;
    return true;
}

#endif
