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

/* From now on print without the log lock. Only for a panic: its holder will not come back. */
void print_emergency(void);

/* As C's snprintf: returns the length that the full text has, always terminates. */
size_t ksnprintf(char *out, size_t bytes, const char *format, ...) PRINTF_LIKE(3, 4);
size_t kvsnprintf(char *out, size_t bytes, const char *format, va_list args);

#endif
