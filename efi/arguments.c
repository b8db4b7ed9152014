/* Where the command line comes from. A UEFI shell hands over an argv, older EFI shells another one;
 * everybody else (boot manager, QEMU's -append, U-Boot's bootargs) leaves UTF-16 in LoadOptions, or
 * junk: some boot managers store a GUID of theirs there. So nothing in it is believed.
 *
 * Stage: boot services alive; allocates nothing.
 * source: UEFI Shell "EFI_SHELL_PARAMETERS_PROTOCOL"; UEFI "EFI_LOADED_IMAGE_PROTOCOL" */
#include "arguments.h"

#include <efishell.h>
#include <efishellintf.h>
#include <stdint.h>

#include "firmware.h"

/* More load options than this are not read: no command line is that long. */
#define LOAD_OPTIONS_MAX 16384

struct word_list {
    char *text;
    UINTN bytes;
    UINTN begin; /* of the word that is being written */
    UINTN end;
    bool overflow;
};

/* One byte stays free behind every word for the empty word that ends the list. */
static void list_add(struct word_list *list, CHAR16 c)
{
    if (list->end + 2 >= list->bytes)
        list->overflow = true;
    else
        list->text[list->end++] = c >= ' ' && c < 0x7f ? (char)c : ARGUMENTS_UNPRINTABLE;
}

/* Close the current word; an empty one vanishes, and so does one that was cut off. */
static void list_next(struct word_list *list)
{
    if (list->overflow)
        list->end = list->begin;
    if (list->end > list->begin)
        list->text[list->end++] = 0;
    list->begin = list->end;
    list->text[list->end] = 0;
}

/* True for "FS0:\BOOTX64.EFI", not for "kernel=\linux.efi". */
static bool is_program_name(const char *word)
{
    static const char suffix[] = ".efi";
    UINTN length = 0;
    for (; word[length]; length++)
        if (word[length] == '=')
            return false;
    if (length < sizeof suffix - 1)
        return false;
    word += length - (sizeof suffix - 1);
    for (UINTN i = 0; suffix[i]; i++) {
        char c = word[i];
        if (c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        if (c != suffix[i])
            return false;
    }
    return true;
}

static void drop_program_name(struct word_list *list)
{
    if (!is_program_name(list->text))
        return;
    UINTN skip = 0;
    while (list->text[skip++])
        ;
    for (UINTN i = skip; i <= list->end; i++)
        list->text[i - skip] = list->text[i];
}

bool arguments_split(const void *load_options, UINTN load_bytes, char *text, UINTN bytes)
{
    struct word_list list = {.text = text, .bytes = bytes};
    const uint8_t *at = load_options; /* bytes, because the buffer may be at an odd address */
    UINTN limit = load_bytes > LOAD_OPTIONS_MAX ? LOAD_OPTIONS_MAX : load_bytes;
    for (UINTN i = 0; i + 1 < limit && !list.overflow; i += 2) {
        CHAR16 c = (CHAR16)(at[i] | at[i + 1] << 8);
        if (!c)
            break;
        if (c == ' ' || (c >= '\t' && c <= '\r'))
            list_next(&list);
        else
            list_add(&list, c);
    }
    list_next(&list);
    drop_program_name(&list);
    return !list.overflow;
}

/* A shell's argv without argv[0]. A word may hold spaces if it was quoted; they are kept. */
static bool copy_argv(CHAR16 *const *argv, UINTN argc, char *text, UINTN bytes)
{
    struct word_list list = {.text = text, .bytes = bytes};
    for (UINTN i = 1; i < argc && !list.overflow; i++) {
        for (const CHAR16 *c = argv[i]; c && *c && !list.overflow; c++)
            list_add(&list, *c);
        list_next(&list);
    }
    list_next(&list); /* also of no words at all */
    return !list.overflow;
}

bool arguments_read(char *text, UINTN bytes, bool *from_shell)
{
    static EFI_GUID parameters_guid = EFI_SHELL_PARAMETERS_PROTOCOL_GUID;
    static EFI_GUID interface_guid = SHELL_INTERFACE_PROTOCOL_GUID;
    static EFI_GUID image_guid = EFI_LOADED_IMAGE_PROTOCOL_GUID;
    void *found;

    *from_shell = true;
    if (!EFI_ERROR(firmware_protocol(image_handle, &parameters_guid, &found))) {
        EFI_SHELL_PARAMETERS_PROTOCOL *shell = found;
        return copy_argv(shell->Argv, shell->Argc, text, bytes);
    }
    if (!EFI_ERROR(firmware_protocol(image_handle, &interface_guid, &found))) {
        EFI_SHELL_INTERFACE *shell = found;
        return copy_argv(shell->Argv, shell->Argc, text, bytes);
    }
    *from_shell = false;
    text[0] = 0;
    if (EFI_ERROR(firmware_protocol(image_handle, &image_guid, &found)))
        return true;
    EFI_LOADED_IMAGE *image = found;
    if (!image->LoadOptions)
        return true;
    return arguments_split(image->LoadOptions, image->LoadOptionsSize, text, bytes);
}
