/* What <new> declares, where there is no C++ library: placement new, and the words that choose a form
 * of new. Where there is one, it is <new>. */
#ifndef QL_COMPAT_NEW_H
#define QL_COMPAT_NEW_H

#include <stddef.h>

#if defined(__has_include) && __has_include(<new>)
#include <new>
#else

namespace std
{
using size_t = decltype(sizeof 0);
enum class align_val_t : size_t {};
struct nothrow_t {
    explicit nothrow_t() = default;
};
inline constexpr nothrow_t nothrow{};
} // namespace std

inline void *operator new(size_t, void *place) noexcept
{
    return place;
}
inline void *operator new[](size_t, void *place) noexcept
{
    return place;
}
inline void operator delete(void *, void *) noexcept {}
inline void operator delete[](void *, void *) noexcept {}

#endif
#endif
