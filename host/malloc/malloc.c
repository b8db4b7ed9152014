/* Owns: the names that programs call: malloc and its family. It owns no state.
 * Relies on: the heap; threads.c for who calls.
 *
 * What has a short way finds nothing there for a thread that has no CPU, and goes the long one. */
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>

#include "parts.h"
#include "mm/addr.h"
#include "mm/heap_stats.h"
#include "../../mm/heap/core.h"

static inline void *or_enomem(void *p)
{
    if (unlikely(p == NULL))
        errno = ENOMEM;
    return p;
}

/* --- Threads without a CPU ------------------------------------------------------------------------ */

COLD static void *realloc_outside(void *p, size_t bytes)
{
    bool common = thread_enter();
    void *moved = krealloc(p, bytes);
    thread_exit(common);
    return or_enomem(moved);
}

COLD static size_t size_outside(const void *p)
{
    bool common = thread_enter();
    size_t bytes = kmalloc_size(p);
    thread_exit(common);
    return bytes;
}

/* --- malloc and free ------------------------------------------------------------------------------ */

/* malloc and free themselves are mm/heap/kmalloc.c, compiled with other names: what has no short way
 * comes here, as all that threads without a CPU do. */
void *outer_alloc(size_t bytes, const struct heap_want *want)
{
    bool common = !thread_is_cpu() && thread_enter();
    give_back_pass();
    void *p = recycle_alloc(bytes, want);
    thread_exit(common);
    return want != NULL && want->align != 0 ? p
                                            : or_enomem(p); /* posix_memalign leaves errno alone */
}

void outer_free(void *p)
{
    if (p == NULL)
        return;
    int error = errno; /* is the program's */
    bool common = !thread_is_cpu() && thread_enter();
    recycle_free(p);
    give_back_pass();
    thread_exit(common);
    errno = error;
}

/* Also for threads without a CPU, as is all that allocates in mm/heap/realloc.c but krealloc. */
EXPORT void *calloc(size_t count, size_t bytes)
{
    return kcalloc(count, bytes);
}

/* As glibc has it: a size of 0 frees. */
EXPORT void *realloc(void *p, size_t bytes)
{
    if (p != NULL && bytes == 0) {
        free(p);
        return NULL;
    }
    recycle_check("krealloc", p);
    if (recycle_stays(p, bytes))
        return p;
    if (!thread_is_cpu())
        return realloc_outside(p, bytes);
    return or_enomem(krealloc(p, bytes));
}

EXPORT void *reallocarray(void *p, size_t count, size_t bytes)
{
    size_t total;
    if (__builtin_mul_overflow(count, bytes, &total)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(p, total);
}

EXPORT size_t malloc_usable_size(void *p)
{
    recycle_check("kmalloc_size", p);
    return thread_is_cpu() ? kmalloc_size(p) : size_outside(p);
}

/* C23's: this Linux's headers need not have them. */
EXPORT void free_sized(void *p, size_t bytes);
EXPORT void free_aligned_sized(void *p, size_t align, size_t bytes);

EXPORT void free_sized(void *p, size_t bytes)
{
    (void)bytes;
    free(p);
}

EXPORT void free_aligned_sized(void *p, size_t align, size_t bytes)
{
    (void)align, (void)bytes;
    free(p);
}

/* --- Aligned -------------------------------------------------------------------------------------- */

static void *align_alloc(size_t align, size_t bytes)
{
    void *p = kaligned_alloc(align, bytes);
    if (likely(((uintptr_t)p & (align - 1)) == 0))
        return p;
    free(p); /* a machine with so few addresses has no such ones */
    return NULL;
}

static bool is_power(size_t n)
{
    return n != 0 && (n & (n - 1)) == 0;
}

EXPORT int posix_memalign(void **out, size_t align, size_t bytes)
{
    if (!is_power(align) || align % sizeof(void *) != 0)
        return EINVAL;
    void *p = align_alloc(align, bytes);
    if (p == NULL)
        return ENOMEM;
    *out = p;
    return 0;
}

/* An alignment that is none is rounded up, as glibc does. */
EXPORT void *memalign(size_t align, size_t bytes)
{
    if (align > HEAP_ALIGN_MAX) {
        errno = align > SIZE_MAX / 2 + 1 ? EINVAL : ENOMEM;
        return NULL;
    }
    if (!is_power(align))
        align = align == 0 ? 1 : (size_t)1 << (64 - __builtin_clzll(align));
    return or_enomem(align_alloc(align, bytes));
}

EXPORT void *aligned_alloc(size_t align, size_t bytes)
{
    if (!is_power(align)) {
        errno = EINVAL;
        return NULL;
    }
    return memalign(align, bytes);
}

EXPORT void *valloc(size_t bytes)
{
    return memalign(FRAME_BYTES, bytes);
}

EXPORT void *pvalloc(size_t bytes)
{
    if (bytes > SIZE_MAX - FRAME_BYTES) {
        errno = ENOMEM;
        return NULL;
    }
    return memalign(FRAME_BYTES, (bytes + FRAME_BYTES - 1) & ~(FRAME_BYTES - 1));
}

/* --- Giving back ----------------------------------------------------------------------------------- */

/* How much is to be kept is not looked at: what is free goes. */
EXPORT int malloc_trim(size_t keep)
{
    (void)keep;
    bool common = thread_enter();
    recycle_end();
    uint64_t frames = heap_shrink();
    thread_exit(common);
    if (common)
        return frames != 0;
    threads_lock();
    frames = give_back_all();
    threads_unlock();
    return frames != 0;
}

/* --- Figures ---------------------------------------------------------------------------------------- */

/* What is in objects, what is free beside them, and how much of that is whole slabs. */
EXPORT struct mallinfo2 mallinfo2(void)
{
    struct heap_totals t;
    bool common = thread_enter();
    heap_get_totals(&t);
    thread_exit(common);
    uint64_t all = t.all.slab_bytes + t.reserve_bytes, live = t.all.live_bytes - recycle_bytes();
    return (struct mallinfo2){
        .arena = all,
        .uordblks = live,
        .fordblks = all - live,
        .keepcost = t.reserve_bytes,
    };
}

/* The same in ints, as it was before. */
EXPORT struct mallinfo mallinfo(void)
{
    struct mallinfo2 m = mallinfo2();
    return (struct mallinfo){.arena = (int)m.arena,
                             .uordblks = (int)m.uordblks,
                             .fordblks = (int)m.fordblks,
                             .keepcost = (int)m.keepcost};
}
