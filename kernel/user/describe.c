/* Owns: the words for what ends threads.
 * Relies on: nothing but what the thread has noted. Stage: any. */
#include "console/print.h"
#include "cpu/ring3.h"
#include "user/thread.h"

static const char *state_of(const struct user_thread *thread)
{
    static const char *const words[] = {
        [VMM_NOT_MAPPED] = "where nothing is",
        [VMM_IS_RESERVED] = "in a range that is only set aside",
        [VMM_GUARD_HIT] = "in a guard page",
        [VMM_STACK_SKIPPED] = "too far below the stack",
        [VMM_FORBIDDEN] = "that its range forbids",
        [VMM_NO_MEMORY] = "for which there is no memory",
    };
    if (thread->address >= ring3_end())
        return "in the kernel's half";
    return words[thread->why];
}

void user_describe(const struct user_thread *thread, char *out, size_t bytes)
{
    const struct trap_frame *frame = &thread->registers;
    if (frame->vector == TRAP_PAGE_FAULT)
        ksnprintf(out, bytes, "page fault: %s 0x%lx, %s, at 0x%lx",
                  frame->error & FAULT_FETCH   ? "jump to"
                  : frame->error & FAULT_WRITE ? "write to"
                                               : "read of",
                  thread->address,
                  frame->error & FAULT_KEY ? "whose key forbids it" : state_of(thread), frame->rip);
    else
        ksnprintf(out, bytes, "%s at 0x%lx", trap_name(frame->vector), frame->rip);
}
