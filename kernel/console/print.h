/* Formatted output of the kernel: to serial, to the framebuffer console, to a buffer.
 * Formats: %s %c %d %u %x %X %p %% with l, ll, z, a width, '-', '0' and '.' precision for %s (width
 * and precision also as '*'); %p is always 0x and 16 digits. Works from the first line of the
 * kernel; each sink joins when it is ready. */
#ifndef QL_KERNEL_PRINT_H
#define QL_KERNEL_PRINT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))

/* Print to every sink. '\n' is sent to serial as CR LF. UTF-8 passes through. */
void kprintf(const char *format, ...) PRINTF_LIKE(1, 2);

/* A line for a program at the serial line and the same for a person at the screen, both complete. */
void print_apart(const char *serial, const char *screen);

/* Between these two the serial line is the caller's alone, who writes with serial_write: what any
 * CPU prints meanwhile comes to the screen at once and to the serial line afterwards, the first 4
 * KiB of it. A panic does not wait for the end. */
void print_take_serial(void);
void print_give_serial(void);

/* From now on print without the log lock, and to the serial line whoever has taken it. Only for a
 * panic: they will not come back. */
void print_emergency(void);

/* As C's snprintf: returns the length that the full text has, always terminates. */
size_t ksnprintf(char *out, size_t bytes, const char *format, ...) PRINTF_LIKE(3, 4);
size_t kvsnprintf(char *out, size_t bytes, const char *format, va_list args);

#endif
