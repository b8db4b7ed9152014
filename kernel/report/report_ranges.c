/* Owns: what the report and the monitor say of address spaces.
 * Relies on: the kernel's ranges, the mapper's audit and the vmm's. Stage: after the memory
 * take-over. */
#include "console/style.h"
#include "mm/mapper.h"
#include "mm/port.h"
#include "mm/string.h"
#include "mm/vmm.h"
#include "ranges.h"
#include "report/facts.h"
#include "report/report.h"
#include "report/report_parts.h"
#include "report/units.h"

/* ---- ranges --------------------------------------------------------------------------------- */

/* The stacks of the other CPUs: one line for all, in a report. */
static bool is_of_a_cpu(const struct range *range)
{
    return range->allocated && strncmp(range->name, "CPU ", 4) == 0;
}

/* Pieces of one thing, which holes keep apart: the direct map has as many as RAM has. Allocated ranges
 * of one name are for one purpose. */
static bool alike(const struct range *a, const struct range *b)
{
    if (is_of_a_cpu(a) && is_of_a_cpu(b))
        return true;
    if (a->allocated != b->allocated || strcmp(a->name, b->name) != 0)
        return false;
    return a->allocated || (a->prot == b->prot && a->cache == b->cache &&
                            va_diff(a->va, b->va) == pa_diff(a->pa, b->pa));
}

/* A range, or several alike that start with it. */
static void print_range(const struct range *range, uint64_t npages, size_t pieces)
{
    char name[32], size[UNITS_MAX], physical[16] = "-";
    struct facts_range facts;

    facts_range(range, &facts);
    if (pieces > 1)
        ksnprintf(name, sizeof name, "%s (%lu)", is_of_a_cpu(range) ? "CPU stacks" : range->name,
                  (unsigned long)pieces);
    else
        ksnprintf(name, sizeof name, "%s", range->name);
    if (facts.contiguous)
        ksnprintf(physical, sizeof physical, "%011lx", pa_number(facts.pa));
    units_size(size, npages * PAGE_BYTES);
    kprintf(REPORT_INDENT "%-25s %016lx ", name, va_number(range->va));
    if (facts.prot == 0)
        kprintf(STYLE_DIM "%-11s" STYLE_PLAIN " %10s " STYLE_DIM "guard" STYLE_PLAIN "\n",
                "not mapped", size);
    else
        kprintf("%11s %10s %s   %s\n", physical, size, facts_prot(facts.prot),
                facts_cache(facts.cache));
}

/* A line more for a range that is not just small pages, all there. */
static void print_pages(const struct range *range)
{
    struct facts_range facts;
    const struct facts_pages *f = &facts.pages;

    facts_range(range, &facts);
    if (!range->allocated || f->pages_4k == range->npages)
        return;
    kprintf(REPORT_INDENT STYLE_DIM "  pages: %lu of 4 KiB, %lu of 2 MiB, %lu of 1 GiB; "
                                    "%lu on touch, %lu reserved" STYLE_PLAIN "\n",
            (unsigned long)f->pages_4k, (unsigned long)f->pages_2m, (unsigned long)f->pages_1g,
            (unsigned long)f->on_touch, (unsigned long)f->reserved);
}

static void print_head(void)
{
    kprintf(REPORT_INDENT STYLE_DIM "%-25s %-16s %-11s %10s %-5s %s" STYLE_PLAIN "\n", "range",
            "virtual", "physical", "size", "prot", "type");
}

/* One line for those that are alike, but each guard has its own. */
static void print_folded(void)
{
    print_head();
    for (struct range range = {0}; ranges_next(&range);) {
        uint64_t npages = 0;
        size_t pieces = 0;
        bool fold = range.allocated || range.prot != 0;
        bool said = false; /* with an earlier one that is alike */
        for (struct range other = {0}; fold && !said && ranges_next(&other);) {
            if (!alike(&range, &other))
                continue;
            said = va_lt(other.va, range.va);
            npages += other.npages;
            pieces++;
        }
        if (!said)
            print_range(&range, pieces ? npages : range.npages, pieces);
    }
}

static bool contains(const char *text, const char *part)
{
    size_t bytes = strlen(part);

    for (; strlen(text) >= bytes; text++)
        if (strncmp(text, part, bytes) == 0)
            return true;
    return false;
}

static void print_all(const char *part)
{
    size_t found = 0;

    print_head();
    for (struct range range = {0}; ranges_next(&range);) {
        if (!contains(range.name, part))
            continue;
        print_range(&range, range.npages, 1);
        print_pages(&range);
        found++;
    }
    if (found == 0)
        kprintf(REPORT_INDENT "No range has \"%s\" in its name.\n", part);
}

/* ---- the kernel's space --------------------------------------------------------------------- */

static void print_address_space(const char *part)
{
    struct mapper_audit audit;
    bool sound = mapper_audit(mapper_kernel_space(), &audit);

    report_heading("Address space", !sound           ? "THE AUDIT FAILED"
                                    : port_cpu()->nx ? "nothing writable is executable"
                                                     : "no NX here: all of it is executable");
    if (part)
        print_all(part);
    else
        print_folded();
    if (!sound)
        kprintf(REPORT_INDENT STYLE_BAD
                "%lu writable and executable, %lu user-accessible, %lu outside every "
                "range, %lu otherwise than their range says; first at 0x%lx" STYLE_PLAIN "\n",
                (unsigned long)audit.writable_executable, (unsigned long)audit.user_accessible,
                (unsigned long)audit.outside_ranges, (unsigned long)audit.mismatched,
                va_number(audit.first_bad));
}

void report_address_space(void)
{
    print_address_space(NULL);
}

void report_page_tables(void)
{
    struct mapper_audit audit;

    (void)mapper_audit(mapper_kernel_space(), &audit);
    report_row("page tables", "%u levels, %lu tables", mapper_kernel_space()->levels,
               (unsigned long)mapper_kernel_space()->ntables);
    report_row("", "%lu pages of 4 KiB, %lu of 2 MiB, %lu of 1 GiB", (unsigned long)audit.pages_4k,
               (unsigned long)audit.pages_2m, (unsigned long)audit.pages_1g);
}

void report_ranges(const char *part)
{
    print_address_space(part);
    report_page_tables();
}

/* ---- all spaces ----------------------------------------------------------------------------- */

static void print_space(struct vm *vm)
{
    struct facts_pages facts;
    char mapped[UNITS_MAX], to_come[UNITS_MAX];

    facts_space(vm, &facts);
    kprintf(REPORT_INDENT "%-14s %7lu %11s %11s %9lu %9lu %9lu\n", vm->name,
            (unsigned long)vm->space.ntables, units_size(mapped, facts.mapped * PAGE_BYTES),
            units_size(to_come, facts.on_touch * PAGE_BYTES), (unsigned long)facts.owned,
            (unsigned long)facts.shared, (unsigned long)vm->faults);
}

static void print_audit(void)
{
    struct vmm_audit audit;
    bool good;
    mm_status_t status = vmm_audit(&audit, &good);

    if (status != MM_OK)
        kprintf(REPORT_INDENT "audit: %s\n", mm_status_name(status));
    else if (good)
        kprintf(REPORT_INDENT STYLE_GOOD
                "audit: %lu frames of ranges, %lu of them shared; all as it "
                "should be" STYLE_PLAIN "\n",
                (unsigned long)audit.owned, (unsigned long)audit.shared);
    else
        kprintf(REPORT_INDENT STYLE_BAD
                "audit: %lu writable and executable, %lu of the wrong half, %lu frames mapped too "
                "often, %lu miscounted, %lu mapped but free; first at 0x%lx" STYLE_PLAIN "\n",
                (unsigned long)audit.writable_executable, (unsigned long)audit.user_in_kernel,
                (unsigned long)audit.mapped_twice, (unsigned long)audit.miscounted,
                (unsigned long)audit.not_in_use, va_number(audit.first_bad));
}

void report_spaces(void)
{
    report_heading("Address spaces", "");
    kprintf(REPORT_INDENT STYLE_DIM "%-14s %7s %11s %11s %9s %9s %9s" STYLE_PLAIN "\n", "space",
            "tables", "mapped", "on touch", "own pages", "shared", "faults");
    for (struct vm *vm = vmm_kernel(); vm; vm = vm->next)
        print_space(vm);
    print_audit();
}
