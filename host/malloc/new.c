/* Owns: operator new and delete of C++, in all their forms, without the C++ library. No state.
 * Relies on: malloc; when memory is out, on the C++ library that the program has with it. This file
 * has unwind tables: an exception passes through it.
 *
 * The names are those of the Itanium C++ ABI: nw and na are new and new[], dl and da delete and
 * delete[]; m is a size, St11align_val_t an alignment, RKSt9nothrow_t "without exceptions". */
#include <dlfcn.h>
#include <malloc.h>
#include <stdlib.h>

#include "parts.h"

typedef void (*function_t)(void);

/* In the C++ library that is there, by whatever name. It may be known only to its user. */
static function_t find(const char *name)
{
    static const char *const libraries[] = {"libstdc++.so.6", "libc++.so.1"};
    function_t f = (function_t)dlsym(RTLD_DEFAULT, name);
    for (unsigned i = 0; f == NULL && i < sizeof libraries / sizeof *libraries; i++) {
        void *library = dlopen(libraries[i], RTLD_LAZY | RTLD_NOLOAD);
        if (library != NULL)
            f = (function_t)dlsym(library, name);
    }
    return f;
}

/* What the program wants done when memory is out: std::get_new_handler. */
static function_t new_handler(void)
{
    function_t (*get)(void) = (function_t(*)(void))find("_ZSt15get_new_handlerv");
    return get != NULL ? get() : NULL;
}

static void *try(size_t bytes, size_t align)
{
    return align != 0 ? memalign(align, bytes) : malloc(bytes);
}

/* Again after each call of the handler, which throws if it can do nothing; without one throw
 * std::bad_alloc, or return NULL. */
COLD static void *try_again(size_t bytes, size_t align, bool throws)
{
    for (;;) {
        function_t handler = new_handler();
        if (handler == NULL)
            break;
        handler();
        void *p = try(bytes, align);
        if (p != NULL)
            return p;
    }
    if (!throws)
        return NULL;
    function_t throw_bad_alloc = find("_ZSt17__throw_bad_allocv");
    if (throw_bad_alloc != NULL)
        throw_bad_alloc();
    say("operator new: no %zu bytes, and no C++ library to throw std::bad_alloc", bytes);
    abort();
}

static inline void *new_bytes(size_t bytes, bool throws)
{
    void *p = malloc(bytes);
    return likely(p != NULL) ? p : try_again(bytes, 0, throws);
}

static inline void *new_aligned(size_t bytes, size_t align, bool throws)
{
    void *p = memalign(align, bytes);
    return likely(p != NULL) ? p : try_again(bytes, align, throws);
}

/* --- The operators -------------------------------------------------------------------------------- */

#define DEFINE_NEW(op, kind, parameters, call) \
    EXPORT void *_Z##op##m##kind parameters;   \
    EXPORT void *_Z##op##m##kind parameters    \
    {                                          \
        return call;                           \
    }
#define DEFINE_DELETE(op, kind, ...)                      \
    EXPORT void _Z##op##Pv##kind(void *p, ##__VA_ARGS__); \
    EXPORT void _Z##op##Pv##kind(void *p, ##__VA_ARGS__)  \
    {                                                     \
        free(p);                                          \
    }

#define DEFINE_ALL_NEW(op)                                                                         \
    DEFINE_NEW(op, , (size_t bytes), new_bytes(bytes, true))                                       \
    DEFINE_NEW(op, RKSt9nothrow_t, (size_t bytes, __attribute__((unused)) const void *tag),        \
               new_bytes(bytes, false))                                                            \
    DEFINE_NEW(op, St11align_val_t, (size_t bytes, size_t align), new_aligned(bytes, align, true)) \
    DEFINE_NEW(op, St11align_val_tRKSt9nothrow_t,                                                  \
               (size_t bytes, size_t align, __attribute__((unused)) const void *tag),              \
               new_aligned(bytes, align, false))

#define UNUSED_SIZE  __attribute__((unused)) size_t bytes
#define UNUSED_ALIGN __attribute__((unused)) size_t align
#define UNUSED_TAG   __attribute__((unused)) const void *tag
#define DEFINE_ALL_DELETE(op)                                      \
    DEFINE_DELETE(op, )                                            \
    DEFINE_DELETE(op, m, UNUSED_SIZE)                              \
    DEFINE_DELETE(op, RKSt9nothrow_t, UNUSED_TAG)                  \
    DEFINE_DELETE(op, St11align_val_t, UNUSED_ALIGN)               \
    DEFINE_DELETE(op, mSt11align_val_t, UNUSED_SIZE, UNUSED_ALIGN) \
    DEFINE_DELETE(op, St11align_val_tRKSt9nothrow_t, UNUSED_ALIGN, UNUSED_TAG)

DEFINE_ALL_NEW(nw)
DEFINE_ALL_NEW(na)
DEFINE_ALL_DELETE(dl)
DEFINE_ALL_DELETE(da)
