/* Owns: what the compiler calls before each access.
 * Relies on: the shadow. Is not checked itself. Stage: any; until kasan_start all is well.
 * source: LLVM, AddressSanitizer.cpp: the names, and what they are passed. */
#include "shadow.h"

/* What is not seen to be valid at once; apart, so that most calls need no room on the stack. */
static __attribute__((noinline)) void kasan_look(uint64_t address, uint64_t bytes, bool write)
{
    uint64_t bad;
    if (shadow_find_bad(address, bytes, &bad))
        kasan_report(bad, bytes, write);
}

/* All of [address, address + bytes), at most 16, lies in two grains or three. */
static inline __attribute__((always_inline)) void check(uint64_t address, uint64_t bytes,
                                                        bool write)
{
    if (!__atomic_load_n(&kasan.on, __ATOMIC_RELAXED))
        return;
    const int8_t *s = shadow_of(address);
    if (!s)
        return;
    uint64_t last = address % GRAIN_BYTES + bytes - 1;
    if (last >= GRAIN_BYTES || (*s != 0 && (int)last >= *s))
        kasan_look(address, bytes, write);
}

static inline void check_range(uint64_t address, uint64_t bytes, bool write)
{
    if (__atomic_load_n(&kasan.on, __ATOMIC_RELAXED))
        kasan_look(address, bytes, write);
}

void kasan_check(const void *p, size_t bytes, bool write)
{
    check_range(va_number(va_of(p)), bytes, write);
}

#define ACCESS(bytes)                                     \
    void __asan_load##bytes##_noabort(uint64_t address);  \
    void __asan_load##bytes##_noabort(uint64_t address)   \
    {                                                     \
        check(address, bytes, false);                     \
    }                                                     \
    void __asan_store##bytes##_noabort(uint64_t address); \
    void __asan_store##bytes##_noabort(uint64_t address)  \
    {                                                     \
        check(address, bytes, true);                      \
    }
ACCESS(1)
ACCESS(2)
ACCESS(4)
ACCESS(8)
ACCESS(16)

void __asan_loadN_noabort(uint64_t address, uint64_t bytes);
void __asan_loadN_noabort(uint64_t address, uint64_t bytes)
{
    check_range(address, bytes, false);
}

void __asan_storeN_noabort(uint64_t address, uint64_t bytes);
void __asan_storeN_noabort(uint64_t address, uint64_t bytes)
{
    check_range(address, bytes, true);
}

/* --- Stacks: the compiler passes addresses in the shadow ------------------------------- */

static inline void set_shadow(uint64_t shadow, uint64_t bytes, uint8_t value)
{
    for (uint8_t *p = (uint8_t *)(uintptr_t)shadow; bytes > 0; bytes--) /* as it was passed */
        *p++ = value;
}

#define SET_SHADOW(value)                                            \
    void __asan_set_shadow_##value(uint64_t shadow, uint64_t bytes); \
    void __asan_set_shadow_##value(uint64_t shadow, uint64_t bytes)  \
    {                                                                \
        set_shadow(shadow, bytes, 0x##value);                        \
    }
SET_SHADOW(00)
SET_SHADOW(f1)
SET_SHADOW(f2)
SET_SHADOW(f3)
SET_SHADOW(f5)
SET_SHADOW(f8)

/* Who does not return has either stopped for good or says kasan_stack_left. */
void __asan_handle_no_return(void);
void __asan_handle_no_return(void) {}
