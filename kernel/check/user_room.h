/* An address space of ring 3 with the payload in it, and threads there: for the checks of ring 3. All
 * rooms look alike. */
#ifndef QL_KERNEL_USER_ROOM_H
#define QL_KERNEL_USER_ROOM_H

#include <stdbool.h>

#include "user/payload.h"
#include "user/thread.h"

#define ROOM_TEXT_AT     0x400000ull
#define ROOM_TEXT        VA(ROOM_TEXT_AT) /* one page, the payload */
#define ROOM_DATA_AT     0x500000ull
#define ROOM_DATA        VA(ROOM_DATA_AT) /* lazy */
#define ROOM_DATA_PAGES  8
#define ROOM_CONSTANT_AT 0x600000ull
#define ROOM_CONSTANT    VA(ROOM_CONSTANT_AT) /* one page, to be read only */
#define ROOM_ASIDE       VA(0x700000)         /* one page, reserved */
#define ROOM_STACK       VA(0x800000)
#define ROOM_STACK_PAGES 64
#define ROOM_NOTHING     VA(0xa00000) /* no range */

struct room {
    struct vm vm;
    struct user_thread thread;
};

/* Make a room. False: a step failed, there is none. */
bool room_open(struct room *room, const char *name) MUST_USE;
void room_close(struct room *room);

/* Let its thread begin a program anew, with the stack empty. Set registers for more than one argument. */
void room_start(struct room *room, const uint8_t *program, uint64_t argument);

/* Run a program from its beginning to its end. True if it exits; room->thread.code is with what. False is
 * explained in the log. */
bool room_runs(struct room *room, const uint8_t *program, const uint64_t arguments[4]);

/* The same, and the code is the expected one. */
bool room_exits(struct room *room, const uint8_t *program, const uint64_t arguments[4],
                uint64_t code);

#endif
