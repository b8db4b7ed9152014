/* Owns: what is checked before the kernel touches memory of ring 3.
 * Relies on: copy_bytes.S for the touch, fault.c for what comes of it. Stage: after user_init. */
#include "user/copy.h"

#include "cpu/ring3.h"
#include "mm/string.h"

#define ACCESS_BYTES 2 /* of the instruction: a prefix and MOVSB or STOSB */

/* copy_bytes.S */
extern const uint8_t copy_bytes_access[], clear_bytes_access[];
size_t copy_bytes(void *to, const void *from, size_t bytes);
size_t clear_bytes(void *to, size_t bytes);

static bool in_lower_half(vaddr_t va, size_t bytes)
{
    return range_fits(va_number(va), bytes, ring3_end());
}

static void *pointer(vaddr_t va)
{
    return (void *)(uintptr_t)va_number(va); /* of ring 3, for copy_bytes.S */
}

uint64_t copy_resume(uint64_t rip)
{
    bool access = rip == va_of(copy_bytes_access).v || rip == va_of(clear_bytes_access).v;
    return access ? rip + ACCESS_BYTES : 0;
}

size_t user_copy_in(void *to, vaddr_t from, size_t bytes)
{
    return in_lower_half(from, bytes) ? copy_bytes(to, pointer(from), bytes) : bytes;
}

size_t user_copy_out(vaddr_t to, const void *from, size_t bytes)
{
    return in_lower_half(to, bytes) ? copy_bytes(pointer(to), from, bytes) : bytes;
}

size_t user_clear(vaddr_t to, size_t bytes)
{
    return in_lower_half(to, bytes) ? clear_bytes(pointer(to), bytes) : bytes;
}

/* A piece at a time that does not cross a page: what lies behind the zero need not be readable. */
mm_status_t user_string_in(char *to, vaddr_t from, size_t bytes)
{
    while (bytes > 0) {
        size_t piece = PAGE_BYTES - va_number(from) % PAGE_BYTES;
        if (piece > bytes)
            piece = bytes;
        if (user_copy_in(to, from, piece) != 0)
            return MM_NOTFOUND;
        for (size_t i = 0; i < piece; i++)
            if (to[i] == '\0')
                return MM_OK;
        to += piece;
        from = va_add(from, piece);
        bytes -= piece;
    }
    return MM_RANGE;
}
