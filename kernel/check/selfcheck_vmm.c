/* Owns: the checks of virtual memory: kernel ranges of every kind, made, touched and given back.
 * Relies on: the vmm, the page fault's handler. Stage: after the take-over. */
#include "check/selfcheck_parts.h"
#include "cpu/cpu.h"
#include "cpu/traps.h"
#include "mm/hhdm.h"
#include "mm/mapper.h"
#include "mm/pmm.h"
#include "mm/string.h"
#include "mm/vmm.h"

#define NAME    "self-check"
#define RW      (PROT_READ | PROT_WRITE)
#define PATTERN 0x0ddba11c0ffee123ull

/* The audit of all frames takes a bit for each: where memory is larger, it is done once only. */
#define OFTEN_BYTES (64ull << 30)

static uint64_t free_kib(void)
{
    struct pmm_stats stats;
    pmm_get_stats(&stats);
    return stats.free_kib;
}

static bool audit_all(void)
{
    struct vmm_audit audit;
    bool good;
    EXPECT(vmm_audit(&audit, &good) == MM_OK && good);
    return true;
}

static bool is_sound(void)
{
    struct mapper_audit audit;
    EXPECT(paging_validate(&vmm_kernel()->space));
    EXPECT(mapper_audit(&vmm_kernel()->space, &audit));
    return hhdm.bytes > OFTEN_BYTES || audit_all();
}

static volatile uint64_t *word(vaddr_t va)
{
    return (volatile uint64_t *)va_number(va); /* mapped, or it faults */
}

static vaddr_t page(vaddr_t va, uint64_t n)
{
    return va_add(va, n * PAGE_BYTES);
}

static bool can_read(vaddr_t va)
{
    return traps_try(selfcheck_read, (void *)va_number(va), NULL);
}

static bool can_write(vaddr_t va)
{
    return traps_try(selfcheck_write, (void *)va_number(va), NULL);
}

static bool is_zero(vaddr_t va, uint64_t npages)
{
    for (uint64_t i = 0; i < npages * PAGE_BYTES; i += sizeof(uint64_t))
        if (*word(va_add(va, i)) != 0)
            return false;
    return true;
}

/* The range's name and extent, and that no access gets out of it at either end. */
static bool is_guarded(vaddr_t va, uint64_t npages)
{
    struct vmm_range range;
    EXPECT(vmm_find(page(va, npages - 1), &range));
    EXPECT(va_eq(range.va, va) && range.npages == npages && strcmp(range.name, NAME) == 0);
    EXPECT(selfcheck_faults_at(selfcheck_write, va_add(va, -1ull), FAULT_WRITE));
    EXPECT(selfcheck_faults_at(selfcheck_read, page(va, npages), 0));
    return true;
}

static bool is_gone(vaddr_t va, uint64_t kib_before)
{
    EXPECT(selfcheck_faults_at(selfcheck_read, va, 0));
    EXPECT(free_kib() == kib_before);
    return is_sound();
}

/* Pages of the range that are there. */
static uint64_t count_pages(vaddr_t va, uint64_t npages)
{
    uint64_t n = 0;
    struct vmm_run run;
    for (vaddr_t at = va;
         vmm_next(vmm_kernel(), &at, &run) == MM_OK && va_lt(run.va, page(va, npages));)
        n += run.kind == VMM_IS_PAGE ? run.npages : 0;
    return n;
}

static mm_status_t alloc(uint64_t npages, enum vmm_backing backing, unsigned flags, vaddr_t *out)
{
    const struct vmm_want want = {
        .name = NAME, .npages = npages, .prot = RW, .backing = backing, .flags = flags};
    return vmm_alloc(vmm_kernel(), &want, out);
}

/* --- The checks ------------------------------------------------------------------------------ */

/* First: what the vmm keeps for itself it has afterwards. */
static bool a_range_begins_zeroed(void)
{
    vaddr_t va;
    EXPECT(alloc(5, VMM_NOW, 0, &va) == MM_OK);
    vmm_free_range(va);
    uint64_t before = free_kib();
    EXPECT(alloc(5, VMM_NOW, 0, &va) == MM_OK);
    EXPECT(is_zero(va, 5) && is_guarded(va, 5) && is_sound());
    for (uint64_t i = 0; i < 5; i++)
        *word(page(va, i)) = PATTERN + i;
    for (uint64_t i = 0; i < 5; i++)
        EXPECT(*word(page(va, i)) == PATTERN + i);
    vmm_free_range(va);
    return is_gone(va, before);
}

static bool a_part_can_go(void)
{
    uint64_t before = free_kib();
    vaddr_t va;
    struct vmm_range range;
    EXPECT(alloc(9, VMM_NOW, 0, &va) == MM_OK);
    EXPECT(vmm_free(vmm_kernel(), page(va, 3), 3) == MM_OK);
    EXPECT(is_guarded(va, 3) && is_guarded(page(va, 6), 3) && is_sound());
    EXPECT(!vmm_find(page(va, 4), &range) && can_write(va) && can_write(page(va, 8)));
    vmm_free_range(va);
    vmm_free_range(page(va, 6));
    return is_gone(va, before);
}

static bool lazy_pages_come_when_touched(void)
{
    enum { PAGES = 1024 };
    uint64_t before = free_kib();
    vaddr_t va;
    EXPECT(alloc(PAGES, VMM_LAZY, VMM_SMALL_PAGES, &va) == MM_OK);
    EXPECT(count_pages(va, PAGES) == 0 && before - free_kib() < 128);
    EXPECT(is_guarded(va, PAGES));
    EXPECT(can_write(page(va, 1)) && can_read(page(va, 511)) && can_read(page(va, PAGES - 1)));
    EXPECT(*word(page(va, 511)) == 0 && count_pages(va, PAGES) == 3 && is_sound());
    vmm_free_range(va);
    return is_gone(va, before);
}

static bool reserved_pages_need_a_commit(void)
{
    uint64_t before = free_kib();
    struct vm *kernel = vmm_kernel();
    vaddr_t va;
    EXPECT(alloc(16, VMM_RESERVED, 0, &va) == MM_OK);
    EXPECT(selfcheck_faults_at(selfcheck_write, va, FAULT_WRITE));
    EXPECT(vmm_commit(kernel, page(va, 2), 4, VMM_NOW) == MM_OK);
    EXPECT(vmm_commit(kernel, page(va, 8), 4, VMM_LAZY) == MM_OK);
    EXPECT(count_pages(va, 16) == 4 && is_zero(page(va, 2), 4) && can_write(page(va, 11)));
    EXPECT(selfcheck_faults_at(selfcheck_read, page(va, 1), 0));
    EXPECT(selfcheck_faults_at(selfcheck_read, page(va, 6), 0) && is_sound());
    EXPECT(vmm_decommit(kernel, page(va, 2), 4) == MM_OK && count_pages(va, 16) == 1);
    EXPECT(selfcheck_faults_at(selfcheck_read, page(va, 2), 0) && is_guarded(va, 16));
    vmm_free_range(va);
    return is_gone(va, before);
}

static bool stacks_grow_down(void)
{
    enum { PAGES = 64, GAP = VMM_STACK_GAP / PAGE_BYTES };
    uint64_t before = free_kib();
    vaddr_t va, last;
    EXPECT(alloc(PAGES, VMM_STACK, 0, &va) == MM_OK);
    last = page(va, PAGES - 1);
    EXPECT(can_write(last) && count_pages(va, PAGES) == 1);
    EXPECT(selfcheck_faults_at(selfcheck_write, page(last, 0ull - GAP - 1), FAULT_WRITE));
    EXPECT(can_write(page(last, 0ull - GAP)) && count_pages(va, PAGES) == 2 && is_sound());
    vmm_free_range(va);
    EXPECT(is_gone(va, before));
    EXPECT(vmm_alloc_stack(NAME, 4, &va) == MM_OK);
    EXPECT(is_guarded(va, 4) && count_pages(va, 4) == 4);
    vmm_free_range(va);
    return is_gone(va, before);
}

static bool protections_can_change(void)
{
    uint64_t before = free_kib();
    struct vm *kernel = vmm_kernel();
    vaddr_t va;
    EXPECT(alloc(3, VMM_LAZY, VMM_SMALL_PAGES, &va) == MM_OK && can_write(va));
    EXPECT(vmm_protect(kernel, va, 2, PROT_READ) == MM_OK);
    EXPECT(selfcheck_faults_at(selfcheck_write, va, FAULT_PRESENT | FAULT_WRITE));
    EXPECT(selfcheck_faults_at(selfcheck_write, page(va, 1), FAULT_WRITE)); /* not there yet */
    EXPECT(can_read(page(va, 1)) && can_write(page(va, 2)));
    EXPECT(vmm_protect(kernel, va, 3, RW | PROT_EXEC) == MM_DENIED);
    EXPECT(vmm_protect(kernel, va, 3, RW) == MM_OK && can_write(va) && can_write(page(va, 1)));
    vmm_free_range(va);
    return is_gone(va, before);
}

static bool device_memory_is_within_limits(void)
{
    const struct vmm_want want = {.name = NAME, .npages = 8, .prot = RW};
    const struct pmm_limits limits = {.align_frames = 8, .max_addr = PA(1ull << 32)};
    uint64_t before = free_kib();
    vaddr_t va;
    paddr_t pa, there;
    EXPECT(vmm_alloc_dma(&want, &limits, &va, &pa) == MM_OK);
    EXPECT(pa_aligned(pa, 8 * FRAME_BYTES) && pa_lt(pa, PA(1ull << 32)));
    for (uint64_t i = 0; i < 8; i++)
        EXPECT(paging_translate(&vmm_kernel()->space, page(va, i), &there) == MM_OK &&
               pa_eq(there, pa_add(pa, i * FRAME_BYTES)));
    EXPECT(is_zero(va, 8) && is_guarded(va, 8) && is_sound());
    vmm_free_range(va);
    return is_gone(va, before);
}

/* At the end of all that this CPU can address: nothing is there, and nobody looks. */
static bool devices_have_one_memory_type(void)
{
    paddr_t pa = PA((1ull << cpu_info()->phys_bits) - PAGE_BYTES + 16), frame;
    uint64_t before = free_kib();
    vaddr_t va, other;
    struct mapping mapping;
    EXPECT(vmm_map_device(NAME, pa, 32, CACHE_UC, &va) == MM_OK);
    EXPECT(paging_query(&vmm_kernel()->space, va, &mapping) == MM_OK);
    EXPECT(mapping.cache == CACHE_UC && pa_eq(mapping.pa, pa_align_down(pa, PAGE_BYTES)));
    EXPECT(va_number(va) % PAGE_BYTES == 16 && is_guarded(va_align_down(va, PAGE_BYTES), 1));
    EXPECT(vmm_map_device(NAME, pa, 32, CACHE_WC, &other) == MM_DENIED);
    vmm_free_range(va);
    EXPECT(is_gone(va, before) && pmm_alloc_frame(&frame) == MM_OK);
    EXPECT(vmm_map_device(NAME, frame, 32, CACHE_UC, &other) == MM_DENIED);
    EXPECT(pmm_free_frame(frame) == MM_OK);
    return true;
}

static const struct selfcheck checks[] = {
    {"vmm: a range begins zeroed, between guards", a_range_begins_zeroed},
    {"vmm: a part of a range can go", a_part_can_go},
    {"vmm: lazy pages come when they are touched", lazy_pages_come_when_touched},
    {"vmm: reserved pages need a commit", reserved_pages_need_a_commit},
    {"vmm: stacks grow down, a step at a time", stacks_grow_down},
    {"vmm: protections can change", protections_can_change},
    {"vmm: memory for a device is within its limits", device_memory_is_within_limits},
    {"vmm: devices have one memory type", devices_have_one_memory_type},
    {"vmm: the audit finds nothing", audit_all},
};
const struct selfcheck_part selfcheck_vmm = {checks, sizeof checks / sizeof checks[0]};
