/* Which bytes of the kernel's memory may be touched, in a build whose compiler asks before each
 * access (make KASAN=1, which defines QL_KASAN): who gives memory out and takes it back says so
 * here. In other builds all of this is nothing.
 *
 * A shadow byte says of 8 bytes how many of them, from the first on, are valid: 0 all, 1 .. 7 so
 * many, negative none, and why. What has no shadow is not watched (docs/kasan.md).
 * locking: none; any context. The caller owns the memory of which he speaks.
 * Stage: any; before kasan_start nothing is noted.
 * source: Serebryany et al., "AddressSanitizer: A Fast Address Sanity Checker" (USENIX ATC 2012) */
#ifndef QL_MM_KASAN_H
#define QL_MM_KASAN_H

#include <stdbool.h>
#include <stddef.h>

#include "mm/addr.h"
#include "status.h"

/* Why bytes are not valid. The numbers from 0xf1 to 0xf9 are the compiler's. */
enum kasan_why {
    KASAN_STACK_LEFT = 0xf1,
    KASAN_STACK_MIDDLE = 0xf2,
    KASAN_STACK_RIGHT = 0xf3,
    KASAN_SCOPE = 0xf8,       /* a variable whose block has ended */
    KASAN_GLOBAL = 0xf9,      /* beside a global variable */
    KASAN_HEAP_ZONE = 0xfa,   /* beside an object of the heap */
    KASAN_HEAP_FREE = 0xfb,   /* an object that was freed */
    KASAN_HEAP_UNUSED = 0xfc, /* no object yet */
    KASAN_FRAME_FREE = 0xff,  /* a free frame */
};

#ifdef QL_KASAN
#define KASAN          1
#define KASAN_NOT_HERE __attribute__((no_sanitize("kernel-address"))) /* of a function */

/* From the first byte on, which is 8-byte aligned, so many are valid, or none are. What is behind
 * them in the last 8 bytes is not, in either case. */
void kasan_allow(const void *p, size_t bytes);
void kasan_forbid(const void *p, size_t bytes, enum kasan_why why);

/* An object of the heap: bytes were asked for, the rest of usable is slack. */
static inline void kasan_alloc(const void *p, size_t bytes, size_t usable)
{
    kasan_forbid(p, usable, KASAN_HEAP_ZONE);
    kasan_allow(p, bytes);
}
static inline void kasan_free(const void *p, size_t usable)
{
    kasan_forbid(p, usable, KASAN_HEAP_FREE);
}

/* How many of bytes are valid, from the first on. */
size_t kasan_valid(const void *p, size_t bytes);

/* Frames of RAM, in the direct map. */
void kasan_allow_frames(paddr_t base, uint64_t nframes);
void kasan_forbid_frames(paddr_t base, uint64_t nframes);

/* What an access by way of the memory functions would do: a report, if not all of it is valid. */
void kasan_check(const void *p, size_t bytes, bool write);

/* See to it that a kernel range, about to be used, is watched: all of it is valid now. That it is
 * watched outlasts it. errors: MM_NOMEM
 * locking: takes LOCK_SPACE */
mm_status_t kasan_watch(vaddr_t va, uint64_t npages) MUST_USE;

/* True if the address is in the shadow itself. */
bool kasan_owns(vaddr_t va);

/* This CPU has left the functions that were called below its caller by another way than returning
 * from them: what they have forbidden of the stack is allowed again. */
void kasan_stack_left(void);

#else
#define KASAN 0
#define KASAN_NOT_HERE

static inline void kasan_allow(const void *p, size_t bytes)
{
    (void)p, (void)bytes;
}
static inline void kasan_forbid(const void *p, size_t bytes, enum kasan_why why)
{
    (void)p, (void)bytes, (void)why;
}
static inline void kasan_alloc(const void *p, size_t bytes, size_t usable)
{
    (void)p, (void)bytes, (void)usable;
}
static inline void kasan_free(const void *p, size_t usable)
{
    (void)p, (void)usable;
}
static inline size_t kasan_valid(const void *p, size_t bytes)
{
    (void)p;
    return bytes;
}
static inline void kasan_allow_frames(paddr_t base, uint64_t nframes)
{
    (void)base, (void)nframes;
}
static inline void kasan_forbid_frames(paddr_t base, uint64_t nframes)
{
    (void)base, (void)nframes;
}
static inline void kasan_check(const void *p, size_t bytes, bool write)
{
    (void)p, (void)bytes, (void)write;
}
static inline mm_status_t kasan_watch(vaddr_t va, uint64_t npages)
{
    (void)va, (void)npages;
    return MM_OK;
}
static inline bool kasan_owns(vaddr_t va)
{
    (void)va;
    return false;
}
static inline void kasan_stack_left(void) {}

#endif

#endif
