/* Owns: the stacks of all CPUs but the first, and what lies beside them.
 * Relies on: the pmm, the mapper. Stage: after the page-table switch, before other CPUs run. */
#include "cpu/cpu_stacks.h"

#include "console/print.h"
#include "mm/hhdm.h"
#include "mm/mapper.h"
#include "mm/pmm.h"
#include "mm/string.h"

#define PIECES     (1 + IST_STACKS)
#define NAME_BYTES 40

/* What lies behind the stacks: the segments, because they must be mapped wherever this CPU can
 * take an interrupt, also in the firmware's address space; and what the ranges are called. */
union cpu_page {
    struct {
        struct segments segments;
        struct {
            char guard[NAME_BYTES], stack[NAME_BYTES];
        } names[PIECES];
    };
    uint8_t bytes[LAYOUT_PAGE];
};
struct cpu_memory {
    struct cpu_stacks stacks;
    union cpu_page page;
};
_Static_assert(sizeof(struct cpu_memory) == sizeof(struct cpu_stacks) + LAYOUT_PAGE,
               "one page more");

#define GUARD_PAGES PIECES
#define FRAMES      (sizeof(struct cpu_memory) / PAGE_BYTES - GUARD_PAGES) /* that are mapped */

static const char *const piece_names[PIECES] = {"stack", "double fault stack", "NMI stack",
                                                "machine check stack"};

/* The page belongs to the last piece. */
static uint64_t piece_frames(unsigned piece)
{
    uint64_t bytes = piece == 0 ? CONFIG_BOOT_STACK_BYTES : CONFIG_IST_STACK_BYTES;
    return (bytes + (piece == PIECES - 1 ? LAYOUT_PAGE : 0)) / PAGE_BYTES;
}

/* Map the pieces so that they make a struct cpu_memory. */
static mm_status_t map_pieces(unsigned cpu, paddr_t frames, union cpu_page *page, vaddr_t *out)
{
    vaddr_t next = VA(0);
    for (unsigned i = 0; i < PIECES; i++) {
        char *name = page->names[i].stack, *guard_name = page->names[i].guard;
        vaddr_t guard;
        ksnprintf(name, NAME_BYTES, "CPU %u %s", cpu, piece_names[i]);
        ksnprintf(guard_name, NAME_BYTES, "CPU %u %s guard", cpu, piece_names[i]);
        mm_status_t status = mapper_map_stack(guard_name, name, frames, piece_frames(i), &guard);
        if (status != MM_OK)
            return status;
        if (i == 0)
            *out = guard;
        else
            ASSERT(va_eq(guard, next)); /* only this CPU runs */
        frames = pa_add(frames, piece_frames(i) * FRAME_BYTES);
        next = va_add(guard, (1 + piece_frames(i)) * PAGE_BYTES);
    }
    return MM_OK;
}

mm_status_t cpu_stacks_create(unsigned cpu, struct cpu_stacks **stacks, struct segments **segments)
{
    static const struct pmm_limits stays = {.kind = PMM_LONG};
    paddr_t frames;
    mm_status_t status = pmm_alloc_frames(FRAMES, &stays, &frames);
    if (status != MM_OK)
        return status;
    union cpu_page *page = phys_to_virt(pa_add(frames, (FRAMES - 1) * FRAME_BYTES));
    memset(page, 0, sizeof *page);
    vaddr_t va;
    status = map_pieces(cpu, frames, page, &va);
    if (status != MM_OK)
        return status;
    struct cpu_memory *memory =
        (struct cpu_memory *)va_number(va); /* just mapped, but the guards */
    *stacks = &memory->stacks;
    *segments = &memory->page.segments;
    return MM_OK;
}
