/* The kernel's ELF file: the one inside our own, or one read from the volume we were loaded from,
 * and what the protocol tells the kernel about that volume. Stage: boot services alive. */
#ifndef QL_EFI_KERNEL_FILE_H
#define QL_EFI_KERNEL_FILE_H

#include <efi.h>
#include <stdbool.h>
#include <stdint.h>

#include "boot/limine.h"
#include "options.h"
#include "status.h"

#define KERNEL_PATH_MAX OPTIONS_CMDLINE_MAX

struct kernel_file {
    const void *data; /* page aligned, its pages its own */
    uint64_t bytes;
    bool inside;                /* the kernel carried in our own file */
    char path[KERNEL_PATH_MAX]; /* with slashes and a leading one, as the protocol writes it */
};

/* Find or read the file that the options ask for.
 * errors: any status, after a sentence was printed */
EFI_STATUS kernel_file_open(const struct options *options, struct kernel_file *out) MUST_USE;

/* Fill partition index, disk and partition ids and media type, as far as the device path of the
 * volume we came from tells; zeros where it does not. */
void kernel_file_volume(struct limine_file *out);

#endif
