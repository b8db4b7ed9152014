/* The words this program was started with, whoever started it. Stage: boot services alive. */
#ifndef QL_EFI_ARGUMENTS_H
#define QL_EFI_ARGUMENTS_H

#include <efi.h>
#include <stdbool.h>

/* Stands in a word for every character that is not printable ASCII; it never comes out on a
 * console. */
#define ARGUMENTS_UNPRINTABLE 0x7f

/* Fill list with the words after the program's name, each ended by a NUL and the whole by an empty
 * word: from the shell's argv, else from the load options (split at white space).
 * units:   bytes is the size of list, at least 2
 * out:     *from_shell: a shell split the words and shows our exit status to somebody
 * errors:  false if there was more than fits; the words that are there are whole */
bool arguments_read(char *list, UINTN bytes, bool *from_shell);

/* The splitting of load options on its own: UTF-16 that need not be aligned, terminated, of even
 * size or text at all. A first word that ends in ".efi" is the program's name and left out. */
bool arguments_split(const void *load_options, UINTN load_bytes, char *list, UINTN bytes);

#endif
