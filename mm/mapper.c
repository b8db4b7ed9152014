/* Owns: the kernel's address space as it is at boot, as a table of named ranges and as the page
 * tables made from it. What is added later is the vmm's, in windows that are left free here.
 * Relies on: paging for the tables, the pmm for the memory of the list itself.
 * Stage: built at "frames" and switched to at once; from then on nothing of it changes, so that
 * everybody may read it at any time.
 *
 *   0000000000000000  null page            guard
 *         ...
 *   hhdm.base         direct map           RAM: RW, firmware's tables: R; holes stay holes
 *     + image_pa        kernel alias       text and rodata seen from there: R
 *         ...
 *   windows           the vmm's            allocations, stacks, devices
 *         ...
 *   image_va          kernel text          RX
 *                     kernel rodata        R
 *                     kernel data          RW, with a guard under every stack
 *
 * Only text is executable and nothing is both writable and executable, under none of its addresses.
 * Everything is global: these are the same in every space that will ever be. */
#include "mm/mapper.h"

#include "check.h"
#include "mm/hhdm.h"
#include "mm/kasan.h"
#include "mm/pmm.h"
#include "mm/string.h"

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
static const struct rule null_rule = {"null page", 0, CACHE_WB};

static struct {
    struct map_range *ranges; /* ascending by va, never overlapping */
    size_t count, capacity;
    vaddr_t windows, windows_end;
    struct space *space; /* in use; written once, before other CPUs start */
} mapper;

/* --- The list of ranges --------------------------------------------------- */

/* The last byte, because a range may end with the address space. */
static vaddr_t range_last(const struct map_range *r)
{
    return va_add(r->va, r->npages * PAGE_BYTES - 1);
}

/* The first range that ends behind va: the one that covers it, or the next; NULL if there
 * is none. */
static const struct map_range *range_from(vaddr_t va)
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

static uint64_t list_frames(void)
{
    return (mapper.capacity * sizeof *mapper.ranges + FRAME_BYTES - 1) / FRAME_BYTES;
}

static void free_list(void)
{
    pmm_free_frames(virt_to_phys(mapper.ranges), list_frames());
    mapper.ranges = NULL;
    mapper.count = mapper.capacity = 0;
}

/* Room for all that there can be: the null page; each region, and one more piece for each end of
 * text and rodata that cuts one; text, rodata, and data in the pieces that its guards leave. */
static mm_status_t allocate_list(const struct mapper_input *in)
{
    static const struct pmm_limits stays = {.kind = PMM_LONG};
    paddr_t frames;
    mapper.count = 0;
    mapper.capacity = 1 + (in->nmap + 4) + 2 + (2 * in->nguards + 1);
    mm_status_t status = pmm_alloc_frames(list_frames(), &stays, &frames);
    if (status == MM_OK)
        mapper.ranges = phys_to_virt(frames);
    return status;
}

/* True if b is what follows a: together they could be one range. */
static bool continues(const struct map_range *a, const struct map_range *b)
{
    uint64_t bytes = a->npages * PAGE_BYTES;
    return a->name == b->name && a->prot == b->prot && a->cache == b->cache &&
           va_eq(va_add(a->va, bytes), b->va) && pa_eq(pa_add(a->pa, bytes), b->pa);
}

static bool overlap(const struct map_range *a, vaddr_t base, vaddr_t end)
{
    return va_lt(a->va, end) && va_le(base, range_last(a));
}

/* Put a range into its place. errors: MM_INVAL if it overlaps another, or reaches into a window */
static mm_status_t add_range(const struct rule *rule, vaddr_t va, paddr_t pa, uint64_t npages)
{
    struct map_range new = {rule->name, va, pa, npages, rule->prot, rule->cache};
    if (npages == 0)
        return MM_OK;
    if (overlap(&new, mapper.windows, mapper.windows_end))
        return MM_INVAL;
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
    ASSERT(mapper.count < mapper.capacity);
    struct map_range *slot = &mapper.ranges[at];
    memmove(slot + 1, slot, (mapper.count - at) * sizeof *slot);
    *slot = new;
    mapper.count++;
    return MM_OK;
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
    bool valid = va_le(in->windows, in->windows_end) && va_aligned(in->image_va, PAGE_BYTES) &&
                 pa_aligned(in->image_pa, FRAME_BYTES) && part_is_valid(in, &in->text) &&
                 part_is_valid(in, &in->rodata) && part_is_valid(in, &in->data) &&
                 region_validate(in->map, in->nmap);
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
                            const struct image_part *part)
{
    return add_range(rule, part->start, part_pa(in, part->start), part_pages(part));
}

/* Data in the pieces that its guards leave, and the guards themselves. */
static mm_status_t add_data(const struct mapper_input *in)
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

static mm_status_t add_image(const struct mapper_input *in)
{
    mm_status_t status = add_part(in, &text_rule, &in->text);
    if (status == MM_OK)
        status = add_part(in, &rodata_rule, &in->rodata);
    if (status == MM_OK)
        status = add_data(in);
    return status;
}

static mm_status_t add_direct(const struct rule *rule, paddr_t base, paddr_t end)
{
    if (!pa_lt(base, end))
        return MM_OK;
    return add_range(rule, hhdm_address(base), base, pa_diff(base, end) / PAGE_BYTES);
}

/* RAM in the direct map, with the parts of the image cut out that must not be written. */
static mm_status_t add_direct_around_image(const struct mapper_input *in, const struct rule *rule,
                                           paddr_t base, paddr_t end)
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
static mm_status_t add_direct_map(const struct mapper_input *in)
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

static mm_status_t add_all(const struct mapper_input *in)
{
    mm_status_t status = add_range(&null_rule, VA(0), PA(0), 1);
    if (status == MM_OK)
        status = add_direct_map(in);
    if (status == MM_OK)
        status = add_image(in);
    return status;
}

/* --- The interface -------------------------------------------------------- */

static mm_status_t map_all(struct space *space)
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

mm_status_t mapper_build(const struct mapper_input *in, struct space *out)
{
    struct space space;
    mapper.space = NULL;
    mapper.windows = in->windows;
    mapper.windows_end = in->windows_end;
    mm_status_t status = check_input(in);
    if (status == MM_OK)
        status = allocate_list(in);
    if (status != MM_OK)
        return status;
    status = paging_create(&space);
    if (status != MM_OK) {
        free_list();
        return status;
    }
    status = add_all(in);
    if (status == MM_OK)
        status = map_all(&space);
    if (status != MM_OK) {
        paging_destroy(&space);
        free_list();
        return status;
    }
    *out = space;
    return MM_OK;
}

void mapper_switch(struct space *space)
{
    space->kernel = true;
    paging_switch(space);
    mapper.space = space;
}

struct space *mapper_kernel_space(void)
{
    ASSERT(mapper.space != NULL);
    return mapper.space;
}

bool mapper_next_range(struct map_range *range)
{
    const struct map_range *r = mapper.count > 0 ? mapper.ranges : NULL;
    if (r != NULL && range->npages > 0) {
        vaddr_t last = range_last(range);
        r = va_eq(last, VA(UINT64_MAX)) ? NULL : range_from(va_add(last, 1));
    }
    if (r != NULL)
        *range = *r;
    return r != NULL;
}

bool mapper_find(vaddr_t va, struct map_range *out)
{
    const struct map_range *r = range_from(va);
    if (r == NULL || va_lt(va, r->va))
        return false;
    *out = *r;
    return true;
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

/* All of it lies in a window, or is the shadow, which is never beside anything. What the vmm maps has unmapped pages on both sides, so no run that is
 * right reaches over the border. */
static bool in_window(const struct mapping *run)
{
    if (kasan_owns(run->va))
        return true;
    return va_le(mapper.windows, run->va) &&
           va_lt(va_add(run->va, run->bytes - 1), mapper.windows_end);
}

bool mapper_audit(struct space *space, struct mapper_audit *out)
{
    struct mapper_audit audit = {0};
    uint64_t listed = 0, matched = 0;
    for (size_t i = 0; i < mapper.count; i++)
        listed += mapper.ranges[i].prot != 0 ? mapper.ranges[i].npages : 0;

    struct mapping run;
    for (vaddr_t cursor = VA(0); paging_next(space, &cursor, &run) == MM_OK;) {
        uint64_t before = count_bad(&audit);
        audit_entries(&run, &audit);
        if (!in_window(&run))
            matched += audit_coverage(&run, &audit);
        if (before == 0 && count_bad(&audit) != 0)
            audit.first_bad = run.va;
    }
    audit.mismatched = listed - matched;
    *out = audit;
    return count_bad(&audit) == 0;
}
