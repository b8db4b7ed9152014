/* Owns: what the memory manager needs of the machine that a Linux process is, and what it says.
 * Relies on: write(2), not on stdio, which may allocate; membarrier(2), which interrupts the host's
 * CPUs that run a thread of this process: one that runs none has passed a barrier when it switched.
 *
 * errno is the program's: nothing here changes it. */
#include "mm/port.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "parts.h"
#include "mm/cpu.h"

#define LINE_BYTES  512
#define YIELD_TURNS 128 /* of waiting: there are more threads than the host has CPUs */

_Thread_local struct mm_cpu *host_mm_cpu = &mm_cpu_none;
_Thread_local uint32_t port_self = NO_CPU;

/* --- Words ------------------------------------------------------------------------------------------ */

/* In one write, so that the lines of two threads do not mix. */
static void say_list(const char *start, const char *fmt, va_list args)
{
    char text[LINE_BYTES], line[LINE_BYTES + 32];
    vsnprintf(text, sizeof text, fmt, args);
    int length = snprintf(line, sizeof line, "quicklime: %s%s\n", start, text);
    if (length > 0 && write(STDERR_FILENO, line, (size_t)length) < 0)
        return; /* whoever has closed stderr does not want to know */
}

void say(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    say_list("", fmt, args);
    va_end(args);
}

/* Running out of memory is for the program to tell. */
void port_log(const char *fmt, ...)
{
    (void)fmt;
}

void port_misuse(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    say_list("misuse: ", fmt, args);
    va_end(args);
    abort();
}

void port_format(char *out, size_t bytes, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(out, bytes, fmt, args);
    va_end(args);
}

_Noreturn void port_panic(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    say_list("panic: ", fmt, args);
    va_end(args);
    abort();
}

/* --- CPUs ------------------------------------------------------------------------------------------- */

unsigned port_cpu_id(void)
{
    return port_self;
}

void port_set_mm_cpu(struct mm_cpu *cpu)
{
    host_mm_cpu = cpu;
}

void port_relax(void)
{
    static _Thread_local unsigned turns;
    __builtin_ia32_pause();
    if (++turns % YIELD_TURNS == 0)
        sched_yield();
}

/* --- The barrier -------------------------------------------------------------------------------------- */

static bool membarrier(int command)
{
    return syscall(SYS_membarrier, command, 0, 0) == 0;
}

void port_init(void)
{
    if (membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED))
        return;
    say("this Linux has no membarrier with private expedited commands (it came with 4.14)");
    abort();
}

/* As long as there is one thread it needs none, and a thread that comes brings its own. */
void port_barrier_all(void)
{
    int error = errno;
    if (threads_most() > 1 && !membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED))
        port_panic("the host has lost membarrier");
    errno = error;
}
