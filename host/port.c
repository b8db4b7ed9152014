/* Owns: what the memory manager of the library's machine says: log, misuse, panic.
 * Relies on: write(2); not on stdio, which may allocate. */
#include "mm/port.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host.h"
#include "machine.h"

#define LINE_BYTES 256
#define KINDS_MAX  64 /* of misuse; further ones are only counted */

static struct {
    pthread_mutex_t mutex;
    uint64_t count;
    char last[LINE_BYTES];
    const char *kinds[KINDS_MAX]; /* the format strings that were printed */
    unsigned nkinds;
} misuse = {.mutex = PTHREAD_MUTEX_INITIALIZER};

/* In one write, so that the lines of two threads do not mix. */
static void write_line(const char *start, const char *text)
{
    char line[LINE_BYTES + 32];
    int length = snprintf(line, sizeof line, "quicklime: %s%s\n", start, text);
    if (length > 0 && write(STDERR_FILENO, line, (size_t)length) < 0)
        return; /* whoever has closed stderr does not want to know */
}

static void say_list(const char *start, const char *fmt, va_list args)
{
    char text[LINE_BYTES];
    vsnprintf(text, sizeof text, fmt, args);
    write_line(start, text);
}

void say(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    say_list("", fmt, args);
    va_end(args);
}

/* True for the first of its kind. The caller holds the mutex. */
static bool is_new_kind(const char *fmt)
{
    for (unsigned i = 0; i < misuse.nkinds; i++)
        if (misuse.kinds[i] == fmt)
            return false;
    if (misuse.nkinds == KINDS_MAX)
        return false;
    misuse.kinds[misuse.nkinds++] = fmt;
    return true;
}

void misuse_forget(void)
{
    pthread_mutex_lock(&misuse.mutex);
    misuse.count = misuse.nkinds = 0;
    misuse.last[0] = '\0';
    pthread_mutex_unlock(&misuse.mutex);
}

const char *ql_host_last_misuse(void)
{
    static _Thread_local char copy[LINE_BYTES];
    pthread_mutex_lock(&misuse.mutex);
    memcpy(copy, misuse.last, sizeof copy);
    pthread_mutex_unlock(&misuse.mutex);
    return copy[0] != '\0' ? copy : NULL;
}

uint64_t ql_host_misuses(void)
{
    pthread_mutex_lock(&misuse.mutex);
    uint64_t count = misuse.count;
    pthread_mutex_unlock(&misuse.mutex);
    return count;
}

/* --- The port ----------------------------------------------------------------------------------- */

const struct port_cpu *port_cpu(void)
{
    static const struct port_cpu cpu = {
        .nx = true, .page_1g = true, .global = true, .phys_bits = 48, .levels = 4};
    return &cpu;
}

void port_log(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    say_list("", fmt, args);
    va_end(args);
}

void port_misuse(const char *fmt, ...)
{
    char text[LINE_BYTES];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    pthread_mutex_lock(&misuse.mutex);
    misuse.count++;
    memcpy(misuse.last, text, sizeof text);
    if (is_new_kind(fmt))
        write_line("misuse: ", text);
    pthread_mutex_unlock(&misuse.mutex);
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
