/* Owns: the memory and string functions, which the compiler calls on its own as well.
 * Relies on: nothing. The direction flag is clear, as the ABI says.
 * Stage: from the first C instruction.
 *
 * No SSE: the kernel does not save its registers. Short operations run over eight general registers
 * at a time, long ones are left to the microcode, whose start-up costs more than a short loop.
 * Nothing here may be compiled into a call to itself, so the recognition of builtins is off.
 * A build that checks every access checks these as a whole, before they begin. */
#include "mm/string.h"

#include "mm/kasan.h"

#define NO_BUILTIN __attribute__((no_builtin))

/* From these sizes on the string instructions win. */
#define REP_COPY_BYTES 512
#define REP_FILL_BYTES 768

/* Eight bytes anywhere in memory, of whatever type they are. */
struct __attribute__((packed, may_alias)) word {
    uint64_t v;
};

static inline uint64_t load(const unsigned char *p)
{
    return ((const struct word *)(const void *)p)->v; /* packed: no alignment is assumed */
}

static inline void store(unsigned char *p, uint64_t v)
{
    ((struct word *)(void *)p)->v = v; /* likewise */
}

/* All of the source is read before any of the destination is written: the two may overlap. */
static inline void move_64(unsigned char *dst, const unsigned char *src)
{
    uint64_t a = load(src), b = load(src + 8), c = load(src + 16), d = load(src + 24);
    uint64_t e = load(src + 32), f = load(src + 40), g = load(src + 48), h = load(src + 56);
    store(dst, a), store(dst + 8, b), store(dst + 16, c), store(dst + 24, d);
    store(dst + 32, e), store(dst + 40, f), store(dst + 48, g), store(dst + 56, h);
}

/* Upwards: right for dst below src, and where the two do not overlap. */
NO_BUILTIN static inline void move_up(unsigned char *dst, const unsigned char *src, size_t bytes)
{
    for (; bytes >= 64; dst += 64, src += 64, bytes -= 64)
        move_64(dst, src);
    for (; bytes >= 8; dst += 8, src += 8, bytes -= 8)
        store(dst, load(src));
    for (; bytes > 0; bytes--)
        *dst++ = *src++;
}

/* Downwards: right for dst above src. */
NO_BUILTIN static inline void move_down(unsigned char *dst, const unsigned char *src, size_t bytes)
{
    for (; bytes >= 64; bytes -= 64)
        move_64(dst + bytes - 64, src + bytes - 64);
    for (; bytes >= 8; bytes -= 8)
        store(dst + bytes - 8, load(src + bytes - 8));
    for (; bytes > 0; bytes--)
        dst[bytes - 1] = src[bytes - 1];
}

static inline void rep_movsb(void *dst, const void *src, size_t bytes)
{
    __asm__ volatile("rep movsb" : "+D"(dst), "+S"(src), "+c"(bytes)::"memory");
}

static inline void rep_stosq(void *dst, uint64_t value, size_t count)
{
    __asm__ volatile("rep stosq" : "+D"(dst), "+c"(count) : "a"(value) : "memory");
}

NO_BUILTIN void *STRING_FUNCTION(memcpy)(void *restrict dst, const void *restrict src, size_t bytes)
{
    kasan_check(src, bytes, false);
    kasan_check(dst, bytes, true);
    if (bytes >= REP_COPY_BYTES)
        rep_movsb(dst, src, bytes);
    else
        move_up(dst, src, bytes);
    return dst;
}

NO_BUILTIN void *STRING_FUNCTION(memmove)(void *dst, const void *src, size_t bytes)
{
    kasan_check(src, bytes, false);
    kasan_check(dst, bytes, true);
    /* Modulo 2^64 this is a distance of at least `bytes` also where dst is below src. */
    uintptr_t ahead = (uintptr_t)dst - (uintptr_t)src;
    if (ahead < bytes)
        move_down(dst, src, bytes);
    else if (bytes >= REP_COPY_BYTES)
        rep_movsb(dst, src, bytes);
    else
        move_up(dst, src, bytes);
    return dst;
}

NO_BUILTIN void *STRING_FUNCTION(memset)(void *dst, int value, size_t bytes)
{
    kasan_check(dst, bytes, true);
    unsigned char *p = dst;
    uint64_t word = (unsigned char)value * 0x0101010101010101ull;

    if (bytes >= REP_FILL_BYTES) {
        /* The last word may overlap the one before: whole words reach every byte. */
        store(p + bytes - 8, word);
        rep_stosq(p, word, bytes / 8);
        return dst;
    }
    for (; bytes >= 64; p += 64, bytes -= 64)
        for (int i = 0; i < 64; i += 8)
            store(p + i, word);
    for (; bytes >= 8; p += 8, bytes -= 8)
        store(p, word);
    for (; bytes > 0; bytes--)
        *p++ = (unsigned char)value;
    return dst;
}

NO_BUILTIN void memset64(void *dst, uint64_t value, size_t count)
{
    kasan_check(dst, count * 8, true);
    if (count >= REP_FILL_BYTES / 8) {
        rep_stosq(dst, value, count);
        return;
    }
    for (uint64_t *p = dst; count > 0; count--)
        *p++ = value;
}

NO_BUILTIN int STRING_FUNCTION(memcmp)(const void *a, const void *b, size_t bytes)
{
    kasan_check(a, bytes, false);
    kasan_check(b, bytes, false);
    const unsigned char *p = a, *q = b;
    for (; bytes >= 8 && load(p) == load(q); p += 8, q += 8)
        bytes -= 8;
    for (; bytes > 0; p++, q++, bytes--)
        if (*p != *q)
            return *p < *q ? -1 : 1;
    return 0;
}

NO_BUILTIN size_t STRING_FUNCTION(strlen)(const char *s)
{
    size_t bytes = 0;
    while (s[bytes] != '\0')
        bytes++;
    kasan_check(s, bytes + 1, false);
    return bytes;
}

NO_BUILTIN int STRING_FUNCTION(strcmp)(const char *a, const char *b)
{
    return STRING_FUNCTION(strncmp)(a, b, SIZE_MAX);
}

/* Bytes compare as unsigned, whatever char is: the C standard says so. */
NO_BUILTIN int STRING_FUNCTION(strncmp)(const char *a, const char *b, size_t n)
{
    for (; n > 0; a++, b++, n--) {
        unsigned char p = (unsigned char)*a, q = (unsigned char)*b;
        if (p != q)
            return p < q ? -1 : 1;
        if (p == '\0')
            break;
    }
    return 0;
}
