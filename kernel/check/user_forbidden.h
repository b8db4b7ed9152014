/* What ring 3 must not do: each is tried, and must end the thread with the right exception. Each false
 * is explained in the log. */
#ifndef QL_KERNEL_USER_FORBIDDEN_H
#define QL_KERNEL_USER_FORBIDDEN_H

#include "check/user_room.h"

/* Reach addresses. window: a kernel range behind its guard page, or 0. */
bool forbidden_places(struct room *room, vaddr_t window) MUST_USE;

/* Reach its own memory against its own protection keys; true if the CPU has none. */
bool forbidden_keys(struct room *room) MUST_USE;

/* Execute instructions. */
bool forbidden_instructions(struct room *room) MUST_USE;

/* Use addresses that are in neither half. */
bool forbidden_holes(struct room *room) MUST_USE;

/* All of these, each with a line of log on how it ended: for the monitor. */
void forbidden_show(void);

#endif
