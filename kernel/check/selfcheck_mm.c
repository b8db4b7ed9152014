/* Owns: the checks of frames and page tables on the real machine.
 * Relies on: all of mm/. Stage: after the take-over. */
#include "boot/context.h"
#include "boot/memory.h"
#include "check/selfcheck_parts.h"
#include "layout.h"
#include "mm/hhdm.h"
#include "mm/mapper.h"
#include "mm/pmm.h"
#include "mm/string.h"

#define PART(checks)                             \
    {                                            \
        checks, sizeof checks / sizeof checks[0] \
    }
#define PATTERN 0x5ca1ab1e0ddba11ull

static uint64_t free_kib(void)
{
    struct pmm_stats stats;
    pmm_get_stats(&stats);
    return stats.free_kib;
}

/* --- Frames ---------------------------------------------------------------------------------- */

static bool frame_holds_data(void)
{
    paddr_t a, b;
    EXPECT(pmm_alloc_frame(&a) == MM_OK);
    EXPECT(pmm_alloc_frame(&b) == MM_OK);
    EXPECT(!pa_eq(a, b) && pa_aligned(a, FRAME_BYTES) && pmm_is_used(a));
    uint64_t *p = phys_to_virt(a), *q = phys_to_virt(b);
    memset64(p, PATTERN, FRAME_BYTES / 8);
    memset64(q, ~PATTERN, FRAME_BYTES / 8);
    EXPECT(p[0] == PATTERN && p[FRAME_BYTES / 8 - 1] == PATTERN && q[0] == ~PATTERN);
    EXPECT(pmm_free_frame(a) == MM_OK && pmm_free_frame(b) == MM_OK);
    EXPECT(!pmm_is_used(a));
    return true;
}

static bool run_is_contiguous(void)
{
    const struct pmm_limits limits = {.align_frames = 16};
    paddr_t base;
    EXPECT(pmm_alloc_frames(37, &limits, &base) == MM_OK);
    EXPECT(pa_aligned(base, 16 * FRAME_BYTES));
    for (uint64_t i = 0; i < 37; i++)
        EXPECT(pmm_is_used(pa_add(base, i * FRAME_BYTES)));
    /* In two parts: what was allocated together need not be freed together. */
    EXPECT(pmm_free_frames(base, 20) == MM_OK);
    EXPECT(pmm_free_frames(pa_add(base, 20 * FRAME_BYTES), 17) == MM_OK);
    return true;
}

static bool limit_is_kept(void)
{
    const struct pmm_limits isa = {.max_addr = PA(16 << 20)};
    const struct pmm_limits nowhere = {.max_addr = PA(FRAME_BYTES)};
    paddr_t base;
    mm_status_t status = pmm_alloc_frames(2, &isa, &base);
    EXPECT(status == MM_OK || status == MM_NOMEM); /* a small machine may have nothing there */
    if (status == MM_OK) {
        EXPECT(!pa_lt(PA(16 << 20), pa_add(base, 2 * FRAME_BYTES)) && !pa_eq(base, PA(0)));
        EXPECT(pmm_free_frames(base, 2) == MM_OK);
    }
    EXPECT(pmm_alloc_frames(1, &nowhere, &base) == MM_NOMEM); /* frame 0 is never handed out */
    return true;
}

static bool marking_takes_a_frame(void)
{
    paddr_t frame;
    EXPECT(pmm_alloc_frame(&frame) == MM_OK && pmm_free_frame(frame) == MM_OK);
    EXPECT(pmm_mark_used(frame, 1) == MM_OK);
    EXPECT(pmm_mark_used(frame, 1) == MM_EXISTS);
    EXPECT(pmm_mark_free(frame, 1) == MM_OK);
    EXPECT(!pmm_is_used(frame));
    return true;
}

static bool statistics_return(void)
{
    struct pmm_stats before, during, after;
    paddr_t base;
    pmm_get_stats(&before);
    EXPECT(pmm_alloc_frames(10, NULL, &base) == MM_OK);
    pmm_get_stats(&during);
    EXPECT(during.free_kib == before.free_kib - 40 && during.used_kib == before.used_kib + 40);
    EXPECT(pmm_free_frames(base, 10) == MM_OK);
    pmm_get_stats(&after);
    EXPECT(after.free_kib == before.free_kib && after.used_kib == before.used_kib);
    EXPECT(after.total_kib == after.used_kib + after.free_kib);
    return true;
}

/* Nothing that the map does not call RAM can be allocated, our own image least of all. */
static bool only_ram_is_managed(void)
{
    size_t n;
    const struct mem_region *map = memory_map(&n);
    for (size_t i = 0; i < n; i++) {
        bool ram = map[i].type == MEM_USABLE || map[i].type == MEM_BOOTLOADER_RECLAIMABLE;
        paddr_t frame = pa_align_down(map[i].base, FRAME_BYTES);
        EXPECT(ram || pmm_mark_used(frame, 1) != MM_OK);
    }
    EXPECT(pmm_mark_used(boot_context()->image_pa, 1) != MM_OK);
    EXPECT(pmm_mark_used(mapper_kernel_space()->root, 1) == MM_EXISTS);
    return true;
}

static bool frames_are_consistent(void)
{
    EXPECT(pmm_validate());
    return true;
}

static const struct selfcheck frame_checks[] = {
    {"frames: a frame holds data", frame_holds_data},
    {"frames: a run is contiguous and aligned", run_is_contiguous},
    {"frames: an upper limit is kept", limit_is_kept},
    {"frames: marking takes a frame", marking_takes_a_frame},
    {"frames: statistics are exact", statistics_return},
    {"frames: only RAM is managed", only_ram_is_managed},
    {"frames: bitmaps are consistent", frames_are_consistent},
};
const struct selfcheck_part selfcheck_frames = PART(frame_checks);

/* --- Page tables ----------------------------------------------------------------------------- */

static volatile uint64_t *pointer(vaddr_t va)
{
    return (volatile uint64_t *)va_number(va); /* mapped by the check that asks */
}

static bool alias_shows_the_frame(void)
{
    struct space *space = mapper_kernel_space();
    uint64_t before = free_kib();
    paddr_t frame;
    struct mapping mapping;
    EXPECT(pmm_alloc_frame(&frame) == MM_OK);
    EXPECT(paging_map(space, SCRATCH_VA, frame, 1, PROT_READ | PROT_WRITE, CACHE_WB) == MM_OK);
    *pointer(SCRATCH_VA) = PATTERN;
    EXPECT(*(volatile uint64_t *)phys_to_virt(frame) == PATTERN);
    EXPECT(paging_query(space, SCRATCH_VA, &mapping) == MM_OK && pa_eq(mapping.pa, frame));
    EXPECT(paging_map(space, SCRATCH_VA, frame, 1, PROT_READ, CACHE_WB) == MM_EXISTS);
    EXPECT(paging_unmap(space, SCRATCH_VA, 1) == MM_OK);
    EXPECT(paging_query(space, SCRATCH_VA, &mapping) == MM_NOTFOUND);
    EXPECT(pmm_free_frame(frame) == MM_OK);
    EXPECT(free_kib() == before); /* tables that became empty were given back */
    return true;
}

static bool large_page_is_used_and_split(void)
{
    struct space *space = mapper_kernel_space();
    const struct pmm_limits limits = {.align_frames = 512};
    paddr_t base;
    struct mapping mapping;
    mm_status_t status = pmm_alloc_frames(512, &limits, &base);
    if (status == MM_NOMEM)
        return true; /* a machine of a few MiB may have no such run */
    EXPECT(status == MM_OK);
    EXPECT(paging_map(space, SCRATCH_VA, base, 512, PROT_READ | PROT_WRITE, CACHE_WB) == MM_OK);
    EXPECT(paging_query(space, SCRATCH_VA, &mapping) == MM_OK && mapping.page_bytes == HUGE_2M);
    vaddr_t middle = va_add(SCRATCH_VA, 100 * PAGE_BYTES);
    *pointer(middle) = PATTERN;
    EXPECT(paging_protect(space, middle, 1, PROT_READ, CACHE_WB) == MM_OK);
    EXPECT(paging_query(space, middle, &mapping) == MM_OK && mapping.page_bytes == PAGE_BYTES &&
           !(mapping.prot & PROT_WRITE));
    EXPECT(*pointer(middle) == PATTERN);
    EXPECT(paging_unmap(space, SCRATCH_VA, 512) == MM_OK);
    EXPECT(pmm_free_frames(base, 512) == MM_OK);
    return true;
}

static bool second_space_is_apart(void)
{
    uint64_t before = free_kib();
    struct space space;
    struct mapping mapping;
    EXPECT(paging_create(&space) == MM_OK);
    EXPECT(paging_map(&space, SCRATCH_USER_VA, PA(0x100000), 600, PROT_READ | PROT_EXEC | PROT_USER,
                      CACHE_WB) == MM_OK);
    EXPECT(paging_query(&space, SCRATCH_USER_VA, &mapping) == MM_OK);
    EXPECT(paging_query(mapper_kernel_space(), SCRATCH_USER_VA, &mapping) == MM_NOTFOUND);
    EXPECT(paging_validate(&space));
    paging_destroy(&space);
    EXPECT(free_kib() == before);
    return true;
}

static bool writable_executable_is_denied(void)
{
    EXPECT(paging_map(mapper_kernel_space(), SCRATCH_VA, PA(0x100000), 1,
                      PROT_READ | PROT_WRITE | PROT_EXEC, CACHE_WB) == MM_DENIED);
    return true;
}

static bool tables_are_well_formed(void)
{
    EXPECT(paging_validate(mapper_kernel_space()));
    return true;
}

static bool audit_finds_nothing(void)
{
    struct mapper_audit audit;
    EXPECT(mapper_audit(mapper_kernel_space(), &audit));
    return true;
}

static bool guards_are_absent(void)
{
    size_t guards = 0;
    struct mapping mapping;
    for (struct map_range range = {0}; mapper_next_range(&range);) {
        if (range.prot != 0)
            continue;
        EXPECT(paging_query(mapper_kernel_space(), range.va, &mapping) == MM_NOTFOUND);
        guards++;
    }
    EXPECT(guards >= 2 + IST_STACKS); /* page 0, the boot stack's, one per interrupt stack */
    return true;
}

static const struct selfcheck paging_checks[] = {
    {"paging: an alias shows the same frame", alias_shows_the_frame},
    {"paging: a 2 MiB page is used and split", large_page_is_used_and_split},
    {"paging: a second space is apart", second_space_is_apart},
    {"paging: writable and executable is denied", writable_executable_is_denied},
    {"paging: tables are well-formed", tables_are_well_formed},
    {"mapper: the audit finds nothing", audit_finds_nothing},
    {"mapper: page 0 and guards are absent", guards_are_absent},
};
const struct selfcheck_part selfcheck_paging = PART(paging_checks);
