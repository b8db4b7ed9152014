/* The checking kernel (make KASAN=1): its start, and how it ends. docs/kasan.md */
#ifndef QL_KERNEL_KASAN_H
#define QL_KERNEL_KASAN_H

#include "mm/kasan.h"

#ifdef QL_KASAN

/* Make a shadow for the image and for what it can of RAM, in the kernel's tables, which are not in
 * use yet. Stage: "frames" */
void kasan_map(void);

/* From now on every access is looked at. Stage: our tables are in use, other CPUs are not there. */
void kasan_start(void);

/* From now on none is: for a panic. */
void kasan_stop(void);

/* The first byte of a range that must not be touched; false if there is none. */
bool kasan_find(const void *p, size_t bytes, vaddr_t *bad);

/* Call function(argument), which may go wrong. What was seen of that, in a word: "access" that must
 * not be, or "fault", where it was ended; "misuse" of an allocator; NULL for nothing. Other CPUs do
 * nothing meanwhile. */
const char *kasan_try(void (*function)(void *), void *argument);

/* For port_misuse: true if it happens in kasan_try, and is to be survived. */
bool kasan_survive_misuse(void);

/* Do all that bugs.c has. Returns how many there are, and of how many nothing was seen. */
unsigned kasan_try_bugs(unsigned *missed);

/* True if all of RAM is watched. */
bool kasan_has_all(void);

/* RAM that is watched, in KiB. */
uint64_t kasan_ram_kib(void);

#else

static inline void kasan_map(void) {}
static inline void kasan_start(void) {}
static inline void kasan_stop(void) {}
static inline bool kasan_survive_misuse(void)
{
    return false;
}

#endif

#endif
