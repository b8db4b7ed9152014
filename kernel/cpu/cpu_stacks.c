/* Owns: the stacks of all CPUs but the first, and what lies beside them.
 * Relies on: the pmm, the vmm. Stage: after the page-table switch, before other CPUs run. */
#include "cpu/cpu_stacks.h"

#include "console/print.h"
#include "mm/hhdm.h"
#include "mm/kasan.h"
#include "mm/pmm.h"
#include "mm/string.h"
#include "mm/vmm.h"

/* What a CPU has beside its stacks: what names them to the CPU, to us and to the reader. */
struct cpu_page {
    struct segments segments;
    struct cpu_stacks stacks;
    char names[STACKS][32];
};
_Static_assert(sizeof(struct cpu_page) <= FRAME_BYTES, "one page");

static void free_stacks(struct cpu_page *page, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        vmm_free_range(page->stacks.stack[i].base);
    pmm_free_frame(virt_to_phys(page));
}

mm_status_t cpu_stacks_create(unsigned cpu, const struct cpu_stacks **stacks,
                              struct segments **segments)
{
    static const struct pmm_limits stays = {.kind = PMM_LONG};
    paddr_t frame;
    mm_status_t status = pmm_alloc_frames(1, &stays, &frame);
    if (status != MM_OK)
        return status;
    struct cpu_page *page = phys_to_virt(frame);
    memset(page, 0, sizeof *page);
    for (unsigned i = 0; i < STACKS; i++) {
        uint64_t bytes = layout_stack_bytes(i);
        ksnprintf(page->names[i], sizeof page->names[i], "CPU %u %s", cpu, layout_stack_name(i));
        status = vmm_alloc_stack(page->names[i], bytes / PAGE_BYTES, &page->stacks.stack[i].base);
        if (status != MM_OK) {
            free_stacks(page, i);
            return status;
        }
        page->stacks.stack[i].bytes = bytes;
        status = kasan_watch(page->stacks.stack[i].base, bytes / PAGE_BYTES);
        if (status != MM_OK) {
            free_stacks(page, i + 1);
            return status;
        }
    }
    *stacks = &page->stacks;
    *segments = &page->segments;
    return MM_OK;
}
