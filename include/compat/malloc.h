/* The heap under the names that portable code knows: include it where such code has <stdlib.h> or
 * <malloc.h>, or have it found under those names. Everything is as in mm/heap.h, and what the
 * standards say beside. For C and C++; not together with the real <stdlib.h>.
 * source: ISO C23 "Memory management functions", POSIX posix_memalign */
#ifndef QL_COMPAT_MALLOC_H
#define QL_COMPAT_MALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#include "mm/heap.h"
#ifdef __cplusplus
}
#endif

/* The numbers that errno.h gives them. */
#define COMPAT_ENOMEM 12
#define COMPAT_EINVAL 22

static inline void *malloc(size_t bytes)
{
    return kmalloc(bytes);
}

static inline void *calloc(size_t count, size_t bytes)
{
    return kcalloc(count, bytes);
}

static inline void *realloc(void *p, size_t bytes)
{
    return krealloc(p, bytes);
}

static inline void *reallocarray(void *p, size_t count, size_t bytes)
{
    return krealloc_array(p, count, bytes);
}

static inline void *aligned_alloc(size_t align, size_t bytes)
{
    return kaligned_alloc(align, bytes);
}

static inline void *memalign(size_t align, size_t bytes)
{
    return kaligned_alloc(align, bytes);
}

/* *out is untouched on failure. */
static inline int posix_memalign(void **out, size_t align, size_t bytes)
{
    if (align < sizeof(void *) || (align & (align - 1)) != 0)
        return COMPAT_EINVAL;
    void *p = kaligned_alloc(align, bytes);
    if (p == NULL)
        return COMPAT_ENOMEM;
    *out = p;
    return 0;
}

static inline void free(void *p)
{
    kfree(p);
}

static inline void free_sized(void *p, size_t bytes)
{
    kfree_sized(p, bytes);
}

/* The size alone does not say which class it was taken from. */
static inline void free_aligned_sized(void *p, size_t align, size_t bytes)
{
    (void)align, (void)bytes;
    kfree(p);
}

static inline size_t malloc_usable_size(const void *p)
{
    return kmalloc_size(p);
}

#endif
