/* Owns: what it knows of the calling thread's stack: which bytes of it are there.
 * Relies on: frame pointers in the program; where it has none, what is found is cut short or wrong,
 * but nothing is read that is not there. Neither function allocates.
 *
 * The top of a stack: of the first thread ld.so says it, of another one its own record lies there.
 * Signal handlers and coroutines may run on other memory, so each page on the way is asked for once. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/mman.h>

#include "mm/addr.h"
#include "mm/port.h"

extern void *__libc_stack_end;
/* [low, high): pages of this thread's stack that are there. */
static _Thread_local uintptr_t low, high;

static uintptr_t stack_top(uintptr_t sp)
{
    uintptr_t self = (uintptr_t)pthread_self(), first = (uintptr_t)__libc_stack_end;
    return self > sp ? self : first > sp ? first : sp;
}

static bool is_mapped(uintptr_t page)
{
    unsigned char there;
    return mincore((void *)page, PAGE_BYTES, &there) == 0;
}

/* True if the two words of a frame can be read, which is where the last one was or above. */
static bool can_read(uintptr_t frame)
{
    uintptr_t page = frame & ~(PAGE_BYTES - 1), end = frame + 2 * sizeof(uint64_t);
    if (page < low || page > high) { /* another stack, or far away: begin anew */
        if (!is_mapped(page))
            return false;
        low = page;
        high = page + PAGE_BYTES;
    }
    for (; high < end; high += PAGE_BYTES)
        if (!is_mapped(high))
            return false;
    return true;
}

/* In the library itself: who called it is what is of interest. Linked into a program, it has no text of its
 * own. */
static bool is_ours(uint64_t address)
{
#if defined(__PIC__) && !defined(__PIE__)
    extern const char __ehdr_start[] __attribute__((visibility("hidden")));
    extern const char etext[] __attribute__((visibility("hidden")));
    return address >= (uintptr_t)__ehdr_start && address < (uintptr_t)etext;
#else
    (void)address;
    return false;
#endif
}

unsigned port_callers(const void *frame, uint64_t *out, unsigned max)
{
    uintptr_t fp = (uintptr_t)frame, top = stack_top(fp);
    unsigned n = 0;
    while (n < max && fp % sizeof(uint64_t) == 0 && top - fp > 2 * sizeof(uint64_t) &&
           can_read(fp)) {
        const uint64_t *words = (const uint64_t *)fp;
        if (words[1] < PAGE_BYTES)
            break;
        if (n > 0 || !is_ours(words[1]))
            out[n++] = words[1];
        if (words[0] <= fp || words[0] >= top)
            break;
        fp = words[0];
    }
    return n;
}

const char *port_symbol(uint64_t address, uint64_t *offset)
{
    Dl_info info;
    if (dladdr((const void *)address, &info) == 0 || info.dli_sname == NULL)
        return NULL;
    *offset = address - (uintptr_t)info.dli_saddr;
    return info.dli_sname;
}
