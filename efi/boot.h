/* Booting a kernel: everything that can fail happens in boot_prepare, while the firmware can still
 * be returned to; boot_enter only crosses over. */
#ifndef QL_EFI_BOOT_H
#define QL_EFI_BOOT_H

#include "gop.h"
#include "memmap.h"
#include "options.h"

struct boot_plan; /* efi/plan.h: image, requests, responses, tables, memory map */

/* Load the kernel image, answer its requests, build the entry tables. With dry set, nothing outside
 * our own memory changes (no SetMode).
 * errors: any status, after a sentence about what was being done was printed; free with
 * boot_discard */
EFI_STATUS boot_prepare(const struct options *options, bool dry, struct boot_plan **out) MUST_USE;

/* Print what would be handed over; returns the number of things that
 * look wrong (0: all is well). */
UINTN boot_describe(const struct boot_plan *plan);

/* Free all that boot_prepare took. NULL is fine. */
void boot_discard(struct boot_plan *plan);

/* ExitBootServices and enter the kernel. Returns only if boot services could not be left, with the
 * firmware still usable as far as the specification allows. */
EFI_STATUS boot_enter(struct boot_plan *plan) MUST_USE;

#endif
