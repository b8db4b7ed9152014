/* Owns: reading the kernel's command line.
 * Relies on: the boot context (an empty command line before it is read). Stage: any. */
#include "options.h"

#include "boot/context.h"
#include "mm/string.h"

static bool ends_word(char c)
{
    return c == ' ' || c == '\0';
}

static void copy_value(const char *from, char *value, size_t bytes)
{
    size_t n = 0;
    for (; n + 1 < bytes && !ends_word(from[n]); n++)
        value[n] = from[n];
    if (bytes > 0)
        value[n] = '\0';
}

bool option_get(const char *name, char *value, size_t bytes)
{
    size_t length = strlen(name);
    const char *word = boot_context()->cmdline;
    while (*word) {
        bool matches = strncmp(word, name, length) == 0;
        if (matches && (word[length] == '=' || ends_word(word[length]))) {
            if (value)
                copy_value(word + length + (word[length] == '='), value, bytes);
            return true;
        }
        while (!ends_word(*word))
            word++;
        while (*word == ' ')
            word++;
    }
    return false;
}
