/* Text to the firmware's console. Formats are ASCII or UTF-8; no SSE, no allocation. */
#ifndef QL_EFI_PRINT_H
#define QL_EFI_PRINT_H

#include <efi.h>
#include <stdint.h>

/* Print to ConOut (a '\n' goes out as CR LF). Knows %s (char *), %S (CHAR16 *), %d %u %x %X with
 * l/ll, %p, %c, %%, a width, '-' and '0', and a precision for %s: at most so many characters. */
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The console's width in characters (80 if it does not say). */
UINTN print_columns(void);

/* The name of a status, "EFI_OUT_OF_RESOURCES"; never NULL. A status that has none is spelled in
 * hex in a buffer that the next such call overwrites. */
const char *status_name(EFI_STATUS status);

/* Bytes for people, at most 10 characters: "0 B", "4 KiB", "127.9 MiB", "1 GiB". The one decimal is
 * cut off, not rounded: what is shown is never more than what is there. */
struct size_text {
    char text[24];
};
struct size_text size_text(uint64_t bytes);

#endif
