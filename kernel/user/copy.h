/* The kernel's access to memory of ring 3: in the address space that is in use, with ring 3's rights, and
 * nowhere but here. Pages that are not there yet are filled.
 * What is read may change at any moment: copy once, then look.
 * Any range may be asked for; what is not all in the lower half is not touched. Interrupts are on, and
 * no lock is held. */
#ifndef QL_KERNEL_USER_COPY_H
#define QL_KERNEL_USER_COPY_H

#include <stddef.h>
#include <stdint.h>

#include "mm/addr.h"
#include "status.h"

/* Copy, or clear. Returns the bytes that are left to be done because the page there cannot be read or
 * written: 0 if all was well. The bytes before them are done. */
size_t user_copy_in(void *to, vaddr_t from, size_t bytes) MUST_USE;
size_t user_copy_out(vaddr_t to, const void *from, size_t bytes) MUST_USE;
size_t user_clear(vaddr_t to, size_t bytes) MUST_USE;

/* Copy a string with its zero, of at most bytes.
 * errors: MM_RANGE (no zero in so many), MM_NOTFOUND (a page cannot be read); to may be changed then */
mm_status_t user_string_in(char *to, vaddr_t from, size_t bytes) MUST_USE;

/* Where a fault of a copy at rip in ring 3's memory is to go on; 0 if that is not in a copy. */
uint64_t copy_resume(uint64_t rip);

#endif
