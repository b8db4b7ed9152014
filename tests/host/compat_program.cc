/* A C++ program as somebody would port it: no C++ library, no exceptions. test_compat.c runs it; each
 * function returns 0, or the line that was wrong. */
#include "compat/malloc.h"
#include "compat/new_delete.h"

#define EXPECT(condition)    \
    do {                     \
        if (!(condition))    \
            return __LINE__; \
    } while (0)

namespace
{
int alive; /* objects that are constructed */

struct animal {
    animal() { alive++; }
    virtual ~animal() { alive--; }
    virtual int legs() const = 0;
};

struct bird : animal {
    int legs() const override { return 2; }
    char feathers[100] = {1};
};

struct centipede : animal {
    explicit centipede(int n) : n(n) {}
    int legs() const override { return n; }
    int n;
};

struct alignas(256) wide {
    wide() { alive++; }
    ~wide() { alive--; }
    char bytes[300];
};

template <class T> bool aligned(const T *p, size_t align)
{
    return reinterpret_cast<uintptr_t>(p) % align == 0;
}

/* The compiler may leave out a new whose result it sees the end of. */
template <class T> T *seen(T *p)
{
    __asm__ volatile("" : "+r"(p));
    return p;
}
} // namespace

extern "C" int objects_come_and_go()
{
    animal *zoo[] = {seen(new bird), seen(new centipede(100)), seen(new bird)};
    int legs = 0;
    for (animal *each : zoo)
        legs += each->legs();
    EXPECT(alive == 3 && legs == 104);
    for (animal *each : zoo)
        delete each;
    EXPECT(alive == 0);
    delete static_cast<animal *>(nullptr);
    return 0;
}

extern "C" int arrays_come_and_go()
{
    for (size_t n = 0; n < 50; n++) {
        auto *some = seen(new bird[n]);
        EXPECT(alive == static_cast<int>(n));
        delete[] some;
        EXPECT(alive == 0);
        auto *numbers = seen(new int[n]());
        for (size_t i = 0; i < n; i++)
            EXPECT(numbers[i] == 0);
        delete[] numbers;
    }
    return 0;
}

extern "C" int alignment_is_honoured()
{
    for (int round = 0; round < 10; round++) {
        wide *one = seen(new wide), *several = seen(new wide[3]);
        wide *maybe = seen(new (std::nothrow) wide);
        EXPECT(alive == 5);
        EXPECT(aligned(one, 256) && aligned(several, 256) && aligned(several + 1, 256));
        EXPECT(maybe != nullptr && aligned(maybe, 256));
        delete one;
        delete[] several;
        delete maybe;
        EXPECT(alive == 0);
        void *raw = operator new[](100, std::align_val_t{4096}, std::nothrow);
        EXPECT(raw != nullptr && aligned(static_cast<char *>(raw), 4096));
        operator delete[](raw, std::align_val_t{4096});
    }
    return 0;
}

extern "C" int placement_makes_no_memory()
{
    alignas(bird) char place[sizeof(bird)];
    bird *it = new (place) bird;
    EXPECT(static_cast<void *>(it) == place && alive == 1);
    it->~bird();
    EXPECT(alive == 0);
    return 0;
}

/* The test has seen to it that there is no memory. */
extern "C" int nothrow_new_returns_null()
{
    EXPECT(seen(new (std::nothrow) bird) == nullptr);
    EXPECT(seen(new (std::nothrow) bird[10]) == nullptr);
    EXPECT(seen(new (std::nothrow) wide) == nullptr);
    EXPECT(seen(new (std::nothrow) wide[10]) == nullptr);
    EXPECT(alive == 0);
    return 0;
}

extern "C" void *new_as_it_panics(size_t bytes)
{
    return new char[bytes];
}

/* A base class without a virtual destructor. */
struct base {
    int n;
};
struct derived : base {
    char more[500];
};

extern "C" void delete_as_another(bool again)
{
    base *it = seen<base>(new derived);
    delete it; /* misuse */
    if (again)
        delete seen(static_cast<derived *>(it));
}

extern "C" int c_functions_do_what_they_promise()
{
    char *p = static_cast<char *>(malloc(10));
    EXPECT(p != nullptr && malloc_usable_size(p) >= 10);
    p[9] = 7;
    p = static_cast<char *>(realloc(p, 5000));
    EXPECT(p != nullptr && p[9] == 7);
    free_sized(p, 5000);
    p = static_cast<char *>(calloc(10, 10));
    for (int i = 0; i < 100; i++)
        EXPECT(p[i] == 0);
    EXPECT(reallocarray(p, SIZE_MAX / 2, 3) == nullptr);
    p = static_cast<char *>(reallocarray(p, 20, 20));
    EXPECT(p != nullptr);
    free(p);
    p = static_cast<char *>(aligned_alloc(512, 100));
    EXPECT(p != nullptr && aligned(p, 512));
    free_aligned_sized(p, 512, 100);
    p = static_cast<char *>(memalign(64, 1));
    EXPECT(p != nullptr && aligned(p, 64));
    free(p);
    void *out = &alive;
    EXPECT(posix_memalign(&out, 4, 100) == COMPAT_EINVAL && out == &alive);
    EXPECT(posix_memalign(&out, 24, 100) == COMPAT_EINVAL && out == &alive);
    EXPECT(posix_memalign(&out, 64, SIZE_MAX / 2) == COMPAT_ENOMEM && out == &alive);
    EXPECT(posix_memalign(&out, 64, 100) == 0 && aligned(static_cast<char *>(out), 64));
    free(out);
    free(nullptr);
    EXPECT(calloc(SIZE_MAX, 2) == nullptr && malloc(SIZE_MAX) == nullptr);
    return 0;
}
