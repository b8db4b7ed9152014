/* Owns: the window through which physical memory is reached.
 * Relies on: nothing.
 * Stage: first of all mm calls ("boot context"); constant afterwards. */
#include "mm/hhdm.h"

struct hhdm hhdm;

void hhdm_init(vaddr_t base, uint64_t bytes)
{
    ASSERT(!va_eq(base, VA(0)) && va_aligned(base, PAGE_BYTES));
    hhdm = (struct hhdm){base, bytes};
}
