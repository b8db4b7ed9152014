/* How many levels of page tables a kernel gets. Pure, builds on a host. Modes are as the protocol
 * numbers them, and 4 less than the levels. source: Limine "Paging Mode Feature". */
#ifndef QL_EFI_PAGING_MODE_H
#define QL_EFI_PAGING_MODE_H

#include <stdbool.h>
#include <stdint.h>

#include "boot/limine.h"
#include "status.h"

struct paging_modes {
    uint64_t mode; /* that is preferred */
    uint64_t min, max;
};

/* What a kernel with this request asks for, NULL for one without. */
struct paging_modes paging_modes_of(const struct limine_paging_mode_request *request);

/* The mode nearest to the preferred one that both the kernel and a machine with the modes lowest to
 * highest can do. errors: false if there is none */
bool paging_mode_choose(const struct paging_modes *kernel, uint64_t lowest, uint64_t highest,
                        uint64_t *out) MUST_USE;

#endif
