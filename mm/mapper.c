/* Owns: the kernel's address space, as a table of named ranges and as the page tables made from it.
 * Relies on: paging for the tables, the pmm for the memory of the list itself.
 * Stage: built at "frames" and switched to at once; devices join it later, from any CPU.
 *
 *   0000000000000000  null page            guard
 *         ...
 *   hhdm.base         direct map           RAM: RW, firmware's tables: R; holes stay holes
 *     + image_pa        kernel alias       text and rodata seen from there: R
 *         ...
 *   ffffe00000000000  framebuffer, devices RW, write-combining or uncached
 *                     CPUs' stacks         RW, with a guard under each
 *         ...
 *   image_va          kernel text          RX
 *                     kernel rodata        R
 *                     kernel data          RW, with a guard under every stack
 *
 * Only text is executable and nothing is both writable and executable, under none of its addresses.
 * Everything is global: these are the same in every space that will ever be. */
#include "mm/mapper.h"

#include "check.h"
#include "lock.h"
#include "mm/hhdm.h"
#include "mm/pmm.h"
#include "mm/string.h"

/* Devices may be mapped up to here: the end of the device window. */
#define DEVICE_END 0xfffff00000000000ull

#define PROT_R  (PROT_READ | PROT_GLOBAL)
#define PROT_RW (PROT_READ | PROT_WRITE | PROT_GLOBAL)
#define PROT_RX (PROT_READ | PROT_EXEC | PROT_GLOBAL)

/* How a kind of range is called and protected. */
struct rule {
    const char *name;
    prot_t prot;
    cache_t cache;
};

/* What the direct map shows, by the type of memory; the rest is not in it at all. A mapping of
 * memory that the firmware calls reserved could reach a device with the wrong memory type. */
static const struct rule direct_rules[MEM_TYPES] = {
    [MEM_USABLE] = {"direct map", PROT_RW, CACHE_WB},
    [MEM_BOOTLOADER_RECLAIMABLE] = {"direct map", PROT_RW, CACHE_WB},
    [MEM_EXECUTABLE_AND_MODULES] = {"direct map", PROT_RW, CACHE_WB},
    [MEM_ACPI_RECLAIMABLE] = {"ACPI tables", PROT_R, CACHE_WB},
    [MEM_ACPI_NVS] = {"ACPI NVS", PROT_RW, CACHE_WB},
    [MEM_RESERVED_MAPPED] = {"firmware data", PROT_R, CACHE_WB},
};
/* Text and rodata are read-only here as well, or W^X would end at the direct map. */
static const struct rule alias_rule = {"kernel alias", PROT_R, CACHE_WB};

static const struct rule text_rule = {"kernel text", PROT_RX, CACHE_WB};
static const struct rule rodata_rule = {"kernel rodata", PROT_R, CACHE_WB};
static const struct rule data_rule = {"kernel data", PROT_RW, CACHE_WB};
static const struct rule framebuffer_rule = {"framebuffer", PROT_RW, CACHE_WC};
static const struct rule null_rule = {"null page", 0, CACHE_WB};

static struct rwlock mapper_lock = RWLOCK_INIT(LOCK_MAPPER, "mapper");
static struct {
    struct map_range *ranges; /* ascending by va, never overlapping */
    size_t count;
    size_t nframes;      /* that hold the array */
    vaddr_t next_device; /* nothing is mapped from here to the end of the device window */
} mapper GUARDED_BY(mapper_lock);
static struct space *kernel_space; /* written once, before other CPUs start */

/* --- The list of ranges --------------------------------------------------- */

/* The last byte, because a range may end with the address space. */
static vaddr_t range_last(const struct map_range *r)
{
    return va_add(r->va, r->npages * PAGE_BYTES - 1);
}

/* The first range that ends behind va: the one that covers it, or the next; NULL if there
 * is none. */
static const struct map_range *range_from(vaddr_t va) REQUIRES_SHARED(mapper_lock)
{
    size_t low = 0, high = mapper.count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (va_lt(range_last(&mapper.ranges[middle]), va))
            low = middle + 1;
        else
            high = middle;
    }
    return low < mapper.count ? &mapper.ranges[low] : NULL;
}

static const struct map_range *range_at(vaddr_t va) REQUIRES_SHARED(mapper_lock)
{
    const struct map_range *r = range_from(va);
    return r != NULL && va_le(r->va, va) ? r : NULL;
}

static void free_ranges(void) REQUIRES(mapper_lock)
{
    if (mapper.nframes > 0)
        pmm_free_frames(virt_to_phys(mapper.ranges), mapper.nframes);
    mapper.ranges = NULL;
    mapper.count = mapper.nframes = 0;
}

/* Make room for one more. The list lives in frames of its own, as nobody knows how many pieces a
 * memory map has; it grows by doubling. */
static mm_status_t reserve_range(void) REQUIRES(mapper_lock)
{
    size_t capacity = mapper.nframes * FRAME_BYTES / sizeof *mapper.ranges;
    if (mapper.count < capacity)
        return MM_OK;
    static const struct pmm_limits stays = {.kind = PMM_LONG};
    size_t nframes = mapper.nframes > 0 ? 2 * mapper.nframes : 1;
    paddr_t frames;
    mm_status_t status = pmm_alloc_frames(nframes, &stays, &frames);
    if (status != MM_OK)
        return status;
    size_t count = mapper.count;
    struct map_range *ranges = phys_to_virt(frames);
    if (count > 0)
        memcpy(ranges, mapper.ranges, count * sizeof *ranges);
    free_ranges();
    mapper.ranges = ranges;
    mapper.count = count;
    mapper.nframes = nframes;
    return MM_OK;
}

/* True if b is what follows a: together they could be one range. */
static bool continues(const struct map_range *a, const struct map_range *b)
{
    uint64_t bytes = a->npages * PAGE_BYTES;
    return a->name == b->name && a->prot == b->prot && a->cache == b->cache &&
           va_eq(va_add(a->va, bytes), b->va) && pa_eq(pa_add(a->pa, bytes), b->pa);
}

/* Put a range into its place. errors: MM_INVAL if it overlaps another */
static mm_status_t add_range(const struct rule *rule, vaddr_t va, paddr_t pa, uint64_t npages)
    REQUIRES(mapper_lock)
{
    struct map_range new = {rule->name, va, pa, npages, rule->prot, rule->cache};
    if (npages == 0)
        return MM_OK;
    size_t at = mapper.count;
    while (at > 0 && va_lt(va, mapper.ranges[at - 1].va))
        at--;
    if (at > 0 && va_le(va, range_last(&mapper.ranges[at - 1])))
        return MM_INVAL;
    if (at < mapper.count && va_le(mapper.ranges[at].va, range_last(&new)))
        return MM_INVAL;
    if (at > 0 && continues(&mapper.ranges[at - 1], &new)) {
        mapper.ranges[at - 1].npages += npages;
        return MM_OK;
    }
    mm_status_t status = reserve_range();
    if (status != MM_OK)
        return status;
    struct map_range *slot = &mapper.ranges[at];
    memmove(slot + 1, slot, (mapper.count - at) * sizeof *slot);
    *slot = new;
    mapper.count++;
    return MM_OK;
}

static void remove_range(vaddr_t va) REQUIRES(mapper_lock)
{
    size_t at = 0;
    while (!va_eq(mapper.ranges[at].va, va))
        at++;
    mapper.count--;
    memmove(&mapper.ranges[at], &mapper.ranges[at + 1],
            (mapper.count - at) * sizeof *mapper.ranges);
}

/* --- From the input to the list ------------------------------------------- */

static uint64_t part_pages(const struct image_part *part)
{
    return va_diff(part->start, part->end) / PAGE_BYTES;
}

static bool part_is_valid(const struct mapper_input *in, const struct image_part *part)
{
    return va_aligned(part->start, PAGE_BYTES) && va_aligned(part->end, PAGE_BYTES) &&
           va_le(part->start, part->end) && va_le(in->image_va, part->start);
}

/* Where a part of the image is in physical memory; the image is contiguous there. */
static paddr_t part_pa(const struct mapper_input *in, vaddr_t va)
{
    return pa_add(in->image_pa, va_diff(in->image_va, va));
}

static mm_status_t check_input(const struct mapper_input *in)
{
    bool valid = va_aligned(in->image_va, PAGE_BYTES) && pa_aligned(in->image_pa, FRAME_BYTES) &&
                 part_is_valid(in, &in->text) && part_is_valid(in, &in->rodata) &&
                 part_is_valid(in, &in->data) && region_validate(in->map, in->nmap);
    vaddr_t floor = in->data.start; /* guards ascend from here */
    for (size_t i = 0; valid && i < in->nguards; i++) {
        const struct image_part *guard = &in->guards[i];
        valid = part_is_valid(in, guard) && va_le(floor, guard->start) &&
                va_le(guard->end, in->data.end);
        floor = guard->end;
    }
    return valid ? MM_OK : MM_INVAL;
}

static mm_status_t add_part(const struct mapper_input *in, const struct rule *rule,
                            const struct image_part *part) REQUIRES(mapper_lock)
{
    return add_range(rule, part->start, part_pa(in, part->start), part_pages(part));
}

/* Data in the pieces that its guards leave, and the guards themselves. */
static mm_status_t add_data(const struct mapper_input *in) REQUIRES(mapper_lock)
{
    struct image_part piece = {in->data.start, in->data.end};
    for (size_t i = 0; i < in->nguards; i++) {
        const struct rule guard_rule = {in->guard_names[i], 0, CACHE_WB};
        piece.end = in->guards[i].start;
        mm_status_t status = add_part(in, &data_rule, &piece);
        if (status == MM_OK)
            status = add_part(in, &guard_rule, &in->guards[i]);
        if (status != MM_OK)
            return status;
        piece.start = in->guards[i].end;
    }
    piece.end = in->data.end;
    return add_part(in, &data_rule, &piece);
}

static mm_status_t add_image(const struct mapper_input *in) REQUIRES(mapper_lock)
{
    mm_status_t status = add_part(in, &text_rule, &in->text);
    if (status == MM_OK)
        status = add_part(in, &rodata_rule, &in->rodata);
    if (status == MM_OK)
        status = add_data(in);
    return status;
}

static mm_status_t add_direct(const struct rule *rule, paddr_t base, paddr_t end)
    REQUIRES(mapper_lock)
{
    if (!pa_lt(base, end))
        return MM_OK;
    return add_range(rule, hhdm_address(base), base, pa_diff(base, end) / PAGE_BYTES);
}

/* RAM in the direct map, with the parts of the image cut out that must not be written. */
static mm_status_t add_direct_around_image(const struct mapper_input *in, const struct rule *rule,
                                           paddr_t base, paddr_t end) REQUIRES(mapper_lock)
{
    const struct image_part *first = &in->text, *second = &in->rodata;
    if (va_lt(second->start, first->start))
        first = &in->rodata, second = &in->text;
    const struct image_part *const parts[] = {first, second};

    for (size_t i = 0; i < 2; i++) {
        paddr_t from = pa_max(part_pa(in, parts[i]->start), base);
        paddr_t to = pa_min(part_pa(in, parts[i]->end), end);
        if (!pa_lt(from, to))
            continue;
        mm_status_t status = add_direct(rule, base, from);
        if (status == MM_OK)
            status = add_direct(&alias_rule, from, to);
        if (status != MM_OK)
            return status;
        base = to;
    }
    return add_direct(rule, base, end);
}

/* All of the direct map. Only RAM consists of whole pages: where two other regions share one, it
 * goes to the lower of them. */
static mm_status_t add_direct_map(const struct mapper_input *in) REQUIRES(mapper_lock)
{
    paddr_t done = PA(0);
    for (size_t i = 0; i < in->nmap; i++) {
        const struct mem_region *r = &in->map[i];
        const struct rule *rule = &direct_rules[r->type];
        if (rule->name == NULL)
            continue;
        paddr_t base = pa_max(pa_align_down(r->base, PAGE_BYTES), done);
        paddr_t end = pa_align_up(pa_add(r->base, r->bytes), PAGE_BYTES);
        mm_status_t status = add_direct_around_image(in, rule, base, end);
        if (status != MM_OK)
            return status;
        done = pa_max(done, end);
    }
    return MM_OK;
}

/* Whole pages around bytes at pa, mapped at va. The page behind them stays a hole. */
static mm_status_t add_device(const struct rule *rule, vaddr_t va, paddr_t pa, uint64_t bytes)
    REQUIRES(mapper_lock)
{
    if (bytes == 0)
        return MM_INVAL;
    if (!pa_lt(pa, PA(PADDR_LIMIT)) || pa_diff(pa, pa_end(pa, bytes)) != bytes)
        return MM_RANGE;
    paddr_t base = pa_align_down(pa, PAGE_BYTES);
    uint64_t npages = pa_diff(base, pa_align_up(pa_add(pa, bytes), PAGE_BYTES)) / PAGE_BYTES;
    if (!va_lt(va, VA(DEVICE_END)) || npages + 1 > va_diff(va, VA(DEVICE_END)) / PAGE_BYTES)
        return MM_RANGE;
    mm_status_t status = add_range(rule, va, base, npages);
    if (status == MM_OK)
        mapper.next_device = va_add(va, (npages + 1) * PAGE_BYTES);
    return status;
}

static mm_status_t add_all(const struct mapper_input *in) REQUIRES(mapper_lock)
{
    mm_status_t status = add_range(&null_rule, VA(0), PA(0), 1);
    if (status == MM_OK)
        status = add_direct_map(in);
    if (status == MM_OK && in->have_framebuffer)
        status = add_device(&framebuffer_rule, VA(MAPPER_DEVICE_BASE), in->framebuffer_pa,
                            in->framebuffer_bytes);
    if (status == MM_OK)
        status = add_image(in);
    return status;
}

/* --- The interface -------------------------------------------------------- */

static mm_status_t map_all(struct space *space) REQUIRES_SHARED(mapper_lock)
{
    for (size_t i = 0; i < mapper.count; i++) {
        const struct map_range *r = &mapper.ranges[i];
        if (r->prot == 0)
            continue;
        mm_status_t status = paging_map(space, r->va, r->pa, r->npages, r->prot, r->cache);
        if (status != MM_OK)
            return status;
    }
    return MM_OK;
}

static mm_status_t build_locked(const struct mapper_input *in, struct space *out)
    REQUIRES(mapper_lock)
{
    mapper.ranges = NULL;
    mapper.count = mapper.nframes = 0;
    mapper.next_device = VA(MAPPER_DEVICE_BASE);
    __atomic_store_n(&kernel_space, NULL, __ATOMIC_RELAXED);

    mm_status_t status = check_input(in);
    if (status != MM_OK)
        return status;
    struct space space;
    status = paging_create(&space);
    if (status != MM_OK)
        return status;
    status = add_all(in);
    if (status == MM_OK)
        status = map_all(&space);
    if (status != MM_OK) {
        paging_destroy(&space);
        free_ranges();
        return status;
    }
    *out = space;
    return MM_OK;
}

mm_status_t mapper_build(const struct mapper_input *input, struct space *out)
{
    irq_state_t irq = write_lock(&mapper_lock);
    mm_status_t status = build_locked(input, out);
    write_unlock(&mapper_lock, irq);
    return status;
}

void mapper_switch(struct space *space)
{
    space->kernel = true;
    paging_switch(space);
    __atomic_store_n(&kernel_space, space, __ATOMIC_RELEASE);
}

struct space *mapper_kernel_space(void)
{
    struct space *space = __atomic_load_n(&kernel_space, __ATOMIC_ACQUIRE);
    ASSERT(space != NULL);
    return space;
}

static mm_status_t map_device_locked(const struct rule *rule, paddr_t pa, uint64_t bytes,
                                     vaddr_t *out) REQUIRES(mapper_lock)
{
    vaddr_t before = mapper.next_device;
    paddr_t base = pa_align_down(pa, PAGE_BYTES);
    /* The same place within 2 MiB as the memory has: large pages fit. */
    vaddr_t va = va_add(va_align_up(before, HUGE_2M), pa_diff(pa_align_down(base, HUGE_2M), base));
    mm_status_t status = add_device(rule, va, pa, bytes);
    if (status != MM_OK)
        return status;
    const struct map_range *r = range_at(va);
    status = paging_map(mapper_kernel_space(), r->va, r->pa, r->npages, r->prot, r->cache);
    if (status != MM_OK) {
        remove_range(va);
        mapper.next_device = before;
        return status;
    }
    *out = va_add(va, pa_diff(base, pa));
    return MM_OK;
}

mm_status_t mapper_map_device(const char *name, paddr_t pa, uint64_t bytes, cache_t cache,
                              vaddr_t *out)
{
    const struct rule rule = {name, PROT_RW, cache};
    irq_state_t irq = write_lock(&mapper_lock);
    mm_status_t status = map_device_locked(&rule, pa, bytes, out);
    write_unlock(&mapper_lock, irq);
    return status;
}

static mm_status_t map_stack_locked(const struct rule *guard_rule, const struct rule *rule,
                                    paddr_t pa, uint64_t npages, vaddr_t *out) REQUIRES(mapper_lock)
{
    vaddr_t guard = mapper.next_device, va = va_add(guard, PAGE_BYTES);
    if (npages + 1 > va_diff(guard, VA(DEVICE_END)) / PAGE_BYTES)
        return MM_RANGE;
    mm_status_t status = add_range(guard_rule, guard, PA(0), 1);
    if (status != MM_OK)
        return status;
    status = add_range(rule, va, pa, npages);
    if (status == MM_OK) {
        status = paging_map(mapper_kernel_space(), va, pa, npages, rule->prot, rule->cache);
        if (status != MM_OK)
            remove_range(va);
    }
    if (status != MM_OK) {
        remove_range(guard);
        return status;
    }
    mapper.next_device = va_add(va, npages * PAGE_BYTES);
    *out = guard;
    return MM_OK;
}

mm_status_t mapper_map_stack(const char *guard_name, const char *name, paddr_t pa, uint64_t npages,
                             vaddr_t *out)
{
    const struct rule guard_rule = {guard_name, 0, CACHE_WB}, rule = {name, PROT_RW, CACHE_WB};
    irq_state_t irq = write_lock(&mapper_lock);
    mm_status_t status = map_stack_locked(&guard_rule, &rule, pa, npages, out);
    write_unlock(&mapper_lock, irq);
    return status;
}

bool mapper_next_range(struct map_range *range)
{
    irq_state_t irq = read_lock(&mapper_lock);
    const struct map_range *r = mapper.count > 0 ? mapper.ranges : NULL;
    if (r != NULL && range->npages > 0) {
        vaddr_t last = range_last(range);
        r = va_eq(last, VA(UINT64_MAX)) ? NULL : range_from(va_add(last, 1));
    }
    if (r != NULL)
        *range = *r;
    read_unlock(&mapper_lock, irq);
    return r != NULL;
}

bool mapper_find(vaddr_t va, struct map_range *out)
{
    irq_state_t irq = read_lock(&mapper_lock);
    const struct map_range *r = range_at(va);
    if (r != NULL)
        *out = *r;
    read_unlock(&mapper_lock, irq);
    return r != NULL;
}

/* The list may be torn, but never leads out of memory that is mapped: its old frames stay in the
 * direct map, and a new array is in place before its count grows. */
bool mapper_find_in_panic(vaddr_t va, struct map_range *out) NO_LOCK_ANALYSIS
{
    const struct map_range *r = range_at(va);
    if (r != NULL)
        *out = *r;
    return r != NULL;
}

/* --- The audit ------------------------------------------------------------ */

/* How a protection reads back from the tables of this CPU. */
static prot_t as_enforced(prot_t prot)
{
    prot |= PROT_READ | (port_cpu()->nx ? 0 : PROT_EXEC);
    return port_cpu()->global ? prot : prot & ~PROT_GLOBAL;
}

/* True if what is mapped at va, which both contain, is what the range says. */
static bool is_as_listed(const struct mapping *run, const struct map_range *r, vaddr_t va)
{
    return pa_eq(pa_add(run->pa, va_diff(run->va, va)), pa_add(r->pa, va_diff(r->va, va))) &&
           run->prot == as_enforced(r->prot) && run->cache == r->cache;
}

/* Hold the run against the list, piece by piece. Returns the pages that are as the list says. */
static uint64_t audit_coverage(const struct mapping *run, struct mapper_audit *out)
    REQUIRES_SHARED(mapper_lock)
{
    uint64_t matched = 0;
    vaddr_t last = va_add(run->va, run->bytes - 1);
    for (vaddr_t at = run->va, end;; at = va_add(end, 1)) {
        const struct map_range *r = range_from(at);
        bool inside = r != NULL && va_le(r->va, at);
        end = last;
        if (inside && va_lt(range_last(r), last))
            end = range_last(r);
        if (r != NULL && !inside && va_le(r->va, last))
            end = va_add(r->va, -1ull);
        uint64_t npages = (va_diff(at, end) + 1) / PAGE_BYTES;
        if (!inside || r->prot == 0)
            out->outside_ranges += npages;
        else if (is_as_listed(run, r, at))
            matched += npages;
        if (va_eq(end, last))
            return matched;
    }
}

static void audit_entries(const struct mapping *run, struct mapper_audit *out)
{
    uint64_t entries = run->bytes / run->page_bytes;
    out->pages_4k += run->page_bytes == PAGE_BYTES ? entries : 0;
    out->pages_2m += run->page_bytes == HUGE_2M ? entries : 0;
    out->pages_1g += run->page_bytes == HUGE_1G ? entries : 0;
    const prot_t wx = PROT_WRITE | PROT_EXEC;
    if (port_cpu()->nx && (run->prot & wx) == wx)
        out->writable_executable += entries;
    if ((run->prot & PROT_USER) != 0)
        out->user_accessible += entries;
}

static uint64_t count_bad(const struct mapper_audit *audit)
{
    return audit->writable_executable + audit->user_accessible + audit->outside_ranges +
           audit->mismatched;
}

/* Other CPUs may go on mapping outside of the list; the list itself stands still meanwhile. */
bool mapper_audit(struct space *space, struct mapper_audit *out)
{
    struct mapper_audit audit = {0};
    irq_state_t irq = read_lock(&mapper_lock);
    uint64_t listed = 0, matched = 0;
    for (size_t i = 0; i < mapper.count; i++)
        listed += mapper.ranges[i].prot != 0 ? mapper.ranges[i].npages : 0;

    struct mapping run;
    for (vaddr_t cursor = VA(0); paging_next(space, &cursor, &run) == MM_OK;) {
        uint64_t before = count_bad(&audit);
        audit_entries(&run, &audit);
        matched += audit_coverage(&run, &audit);
        if (before == 0 && count_bad(&audit) != 0)
            audit.first_bad = run.va;
    }
    read_unlock(&mapper_lock, irq);
    audit.mismatched = listed - matched;
    *out = audit;
    return count_bad(&audit) == 0;
}
