/* C++'s operators new and delete over the heap, in all their forms: for exactly one C++ file of a
 * program, as the standard does not let them be inline. C++17; needs neither exceptions nor a C++
 * library.
 *
 * Without exceptions there is nobody who could be told that memory is out: the plain forms panic,
 * those with std::nothrow return a null pointer. A delete that knows another size than new was asked
 * for (of a derived class, without a virtual destructor) is misuse, as mm/heap.h says.
 * source: ISO C++17 "Storage allocation and deallocation", "Replacement functions" */
#ifndef QL_COMPAT_NEW_DELETE_H
#define QL_COMPAT_NEW_DELETE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compat/new.h"

extern "C" {
#include "mm/heap.h"
}

static inline void *compat_new(size_t bytes, std::align_val_t align, unsigned flags)
{
    struct heap_want want = {};
    want.align = static_cast<size_t>(align);
    want.flags = flags;
    want.what = "operator new";
    return kmalloc_want(bytes, &want);
}

void *operator new(size_t bytes)
{
    return compat_new(bytes, std::align_val_t{}, HEAP_NOFAIL);
}
void *operator new[](size_t bytes)
{
    return compat_new(bytes, std::align_val_t{}, HEAP_NOFAIL);
}
void *operator new(size_t bytes, std::align_val_t align)
{
    return compat_new(bytes, align, HEAP_NOFAIL);
}
void *operator new[](size_t bytes, std::align_val_t align)
{
    return compat_new(bytes, align, HEAP_NOFAIL);
}
void *operator new(size_t bytes, const std::nothrow_t &) noexcept
{
    return kmalloc(bytes);
}
void *operator new[](size_t bytes, const std::nothrow_t &) noexcept
{
    return kmalloc(bytes);
}
void *operator new(size_t bytes, std::align_val_t align, const std::nothrow_t &) noexcept
{
    return compat_new(bytes, align, 0);
}
void *operator new[](size_t bytes, std::align_val_t align, const std::nothrow_t &) noexcept
{
    return compat_new(bytes, align, 0);
}

void operator delete(void *p) noexcept
{
    kfree(p);
}
void operator delete[](void *p) noexcept
{
    kfree(p);
}
void operator delete(void *p, size_t bytes) noexcept
{
    kfree_sized(p, bytes);
}
void operator delete[](void *p, size_t bytes) noexcept
{
    kfree_sized(p, bytes);
}
/* The size alone does not say which class it was taken from. */
void operator delete(void *p, std::align_val_t) noexcept
{
    kfree(p);
}
void operator delete[](void *p, std::align_val_t) noexcept
{
    kfree(p);
}
void operator delete(void *p, size_t, std::align_val_t) noexcept
{
    kfree(p);
}
void operator delete[](void *p, size_t, std::align_val_t) noexcept
{
    kfree(p);
}
void operator delete(void *p, const std::nothrow_t &) noexcept
{
    kfree(p);
}
void operator delete[](void *p, const std::nothrow_t &) noexcept
{
    kfree(p);
}
void operator delete(void *p, std::align_val_t, const std::nothrow_t &) noexcept
{
    kfree(p);
}
void operator delete[](void *p, std::align_val_t, const std::nothrow_t &) noexcept
{
    kfree(p);
}

#endif
