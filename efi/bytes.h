/* Blocks of bytes, for firmware and host builds alike; and numbers at any alignment. */
#ifndef QL_EFI_BYTES_H
#define QL_EFI_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_BYTES UINT64_C(4096)

/* The C library's; bytes.c has them for the EFI file, where the compiler calls them too. */
void *memcpy(void *restrict to, const void *restrict from, size_t bytes);
void *memmove(void *to, const void *from, size_t bytes);
void *memset(void *to, int value, size_t bytes);
int memcmp(const void *a, const void *b, size_t bytes);
size_t strlen(const char *text);

/* Little-endian numbers wherever they lie: firmware tables keep no alignment. */
static inline uint16_t load16(const void *from)
{
    uint16_t value;
    __builtin_memcpy(&value, from, sizeof value);
    return value;
}

static inline uint32_t load32(const void *from)
{
    uint32_t value;
    __builtin_memcpy(&value, from, sizeof value);
    return value;
}

static inline uint64_t load64(const void *from)
{
    uint64_t value;
    __builtin_memcpy(&value, from, sizeof value);
    return value;
}

static inline void store32(void *to, uint32_t value)
{
    __builtin_memcpy(to, &value, sizeof value);
}

static inline void store64(void *to, uint64_t value)
{
    __builtin_memcpy(to, &value, sizeof value);
}

/* Rounding to a power of two; the caller knows that it does not wrap. */
static inline uint64_t round_down(uint64_t value, uint64_t unit)
{
    return value & ~(unit - 1);
}
static inline uint64_t round_up(uint64_t value, uint64_t unit)
{
    return round_down(value + unit - 1, unit);
}

static inline bool is_power_of_two(uint64_t value)
{
    return value && !(value & (value - 1));
}

/* a + b, false if that wraps. */
static inline bool add_ok(uint64_t a, uint64_t b, uint64_t *sum)
{
    return !__builtin_add_overflow(a, b, sum);
}

#endif
