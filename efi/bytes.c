/* memcpy and relatives for the EFI file. Eight bytes per step of the string instructions: fast on
 * real CPUs, and an eighth of the work where an emulator counts the steps. No SSE. */
#include "bytes.h"

void *memcpy(void *restrict to, const void *restrict from, size_t bytes)
{
    void *d = to;
    const void *s = from;
    size_t words = bytes / 8, rest = bytes % 8;
    __asm__ volatile("rep movsq" : "+D"(d), "+S"(s), "+c"(words)::"memory");
    __asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(rest)::"memory");
    return to;
}

void *memmove(void *to, const void *from, size_t bytes)
{
    /* Forward is right unless the target begins inside the source. */
    if ((uintptr_t)to - (uintptr_t)from >= bytes)
        return memcpy(to, from, bytes);
    char *d = to;
    const char *s = from;
    while (bytes--)
        ((volatile char *)d)[bytes] =
            s[bytes]; /* volatile: the compiler must not find memmove here */
    return to;
}

void *memset(void *to, int value, size_t bytes)
{
    void *d = to;
    size_t words = bytes / 8, rest = bytes % 8;
    uint64_t pattern = (uint8_t)value * 0x0101010101010101ull;
    __asm__ volatile("rep stosq" : "+D"(d), "+c"(words) : "a"(pattern) : "memory");
    __asm__ volatile("rep stosb" : "+D"(d), "+c"(rest) : "a"(pattern) : "memory");
    return to;
}

int memcmp(const void *a, const void *b, size_t bytes)
{
    const volatile uint8_t *x = a, *y = b; /* volatile: the compiler must not find memcmp here */
    for (size_t i = 0; i < bytes; i++) {
        uint8_t l = x[i], r = y[i];
        if (l != r)
            return l < r ? -1 : 1;
    }
    return 0;
}

size_t strlen(const char *text)
{
    const volatile char *end = text; /* volatile: the compiler must not find strlen here */
    while (*end)
        end++;
    return (size_t)(end - text);
}
