/* What the kernel does with ring 3's memory, and with what ring 3 tells it. Each false is explained in the
 * log. */
#ifndef QL_KERNEL_USER_KERNEL_H
#define QL_KERNEL_USER_KERNEL_H

#include "check/user_room.h"

/* System calls with addresses and numbers that are not the thread's business. */
bool kernel_believes_nothing(struct room *room) MUST_USE;

/* It touches the memory of a room, whose space is in use, to copy, exactly as far as asked and
 * allowed, and not else. */
bool kernel_copies(void) MUST_USE;

#endif
