/* The choice among the modes that both sides can do. See paging_mode.h. */
#include "paging_mode.h"

struct paging_modes paging_modes_of(const struct limine_paging_mode_request *request)
{
    struct paging_modes modes = {LIMINE_PAGING_4LEVEL, LIMINE_PAGING_4LEVEL, LIMINE_PAGING_4LEVEL};
    if (request)
        modes.mode = modes.max = request->mode;
    if (request && request->head.revision >= 1) {
        modes.max = request->max_mode;
        modes.min = request->min_mode;
    }
    return modes;
}

bool paging_mode_choose(const struct paging_modes *kernel, uint64_t lowest, uint64_t highest,
                        uint64_t *out)
{
    uint64_t min = kernel->min > lowest ? kernel->min : lowest;
    uint64_t max = kernel->max < highest ? kernel->max : highest;
    if (min > max)
        return false;
    *out = kernel->mode < min ? min : kernel->mode > max ? max : kernel->mode;
    return true;
}
