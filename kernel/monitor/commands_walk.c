/* Owns: the command walk: how an address gets to its memory, entry by entry.
 * Relies on: paging to read the tables, the vmm for what an entry without a page means.
 * Stage: the last one. source: Intel SDM Vol. 3A "4-Level Paging and 5-Level Paging" */
#include "boot/memory.h"
#include "console/print.h"
#include "console/style.h"
#include "mm/string.h"
#include "monitor/commands.h"
#include "ranges.h"
#include "report/facts.h"
#include "report/units.h"

#define INDENT "  "

/* What the CPU takes from a page's entry, or writes there. PAT is elsewhere in small pages. */
static void print_flags(const struct paging_step *step)
{
    static const struct {
        uint64_t bit;
        const char *name;
    } flags[] = {
        {1ull << 1, "writable"}, {1ull << 2, "user"},  {1ull << 3, "PWT"},    {1ull << 4, "PCD"},
        {1ull << 12, "PAT"},     {1ull << 7, "large"}, {1ull << 8, "global"}, {1ull << 63, "NX"},
        {1ull << 5, "accessed"}, {1ull << 6, "dirty"},
    };
    const uint64_t moves = 1ull << 7 | 1ull << 12;
    uint64_t raw =
        step->level > 1 ? step->raw : (step->raw & ~moves) | (step->raw & 1ull << 7) << 5;

    kprintf(INDENT "     present");
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        if (raw & flags[i].bit)
            kprintf(", %s", flags[i].name);
    kprintf("\n");
}

static void print_step(const struct paging_step *step)
{
    static const char *const names[] = {"?", "PT", "PD", "PDPT", "PML4", "PML5"};

    kprintf(INDENT "%-4s" STYLE_DIM " at %011lx" STYLE_PLAIN " [%3u]  %016lx  ", names[step->level],
            pa_number(step->table), step->slot, (unsigned long)step->raw);
    if (step->is_table) {
        kprintf("table, %u in use%s%s%s\n", step->entries, step->has_states ? ", states" : "",
                step->stays ? ", stays" : "", step->locked ? ", LOCKED" : "");
    } else if (step->raw & 1) {
        kprintf("page\n");
        print_flags(step);
    } else {
        kprintf("not present\n");
    }
}

/* What a page is, beyond its flags. */
static void print_page(const struct mapping *m, vaddr_t va)
{
    char size[UNITS_MAX];
    uint64_t offset = va_diff(m->va, va);

    kprintf(INDENT "physical %lx, page of %s: %s %s%s%s%s", pa_number(pa_add(m->pa, offset)),
            units_size(size, m->page_bytes), facts_prot(m->prot), facts_cache(m->cache),
            m->prot & PROT_OWNED ? ", of the range's own" : "",
            m->prot & PROT_COPY ? ", shared until it is written" : "",
            m->prot & PROT_LOCKED ? ", locked" : "");
    if (PROT_KEY_OF(m->prot) != 0)
        kprintf(", protection key %u", PROT_KEY_OF(m->prot));
    kprintf("\n");
}

static void print_absent(struct vm *vm, vaddr_t va, const struct mapping *m)
{
    struct vmm_run run = {.kind = VMM_IS_FREE};
    vaddr_t cursor = va_align_down(va, PAGE_BYTES);
    char size[UNITS_MAX];
    static const char *const kinds[] = {
        [VMM_IS_FREE] = "nothing",
        [VMM_IS_LAZY] = "zeros, on the first touch",
        [VMM_IS_STACK] = "a stack, if it grows to here",
        [VMM_IS_SET_ASIDE] = "reserved",
        [VMM_IS_GUARD] = "a guard",
    };

    if (vmm_next(vm, &cursor, &run) != MM_OK || va_lt(va, run.va))
        run.kind = VMM_IS_FREE;
    if (run.kind == VMM_IS_PAGE) /* since we looked */
        return;
    kprintf(INDENT "no memory: %s; the entry covers %s", kinds[run.kind],
            units_size(size, m->page_bytes));
    if (run.kind != VMM_IS_FREE && run.kind != VMM_IS_GUARD)
        kprintf(", to be %s %s", facts_prot(run.prot), facts_cache(run.cache));
    kprintf("\n");
}

static void walk(struct vm *vm, vaddr_t va)
{
    struct paging_step steps[PAGING_STEPS];
    struct mapping m;
    char place[RANGES_WORDS];
    unsigned n = paging_walk(&vm->space, va, steps);

    ranges_place(va, place, sizeof place);
    kprintf(INDENT "%016lx%s%s\n", va_number(va), *place ? ", " : "", place);
    for (unsigned i = 0; i < n; i++)
        print_step(&steps[i]);
    if (n == 0 || paging_look(&vm->space, va, &m) != MM_OK)
        kprintf(INDENT "no CPU translates this: the address is not canonical\n");
    else if (m.kind == ENTRY_PAGE)
        print_page(&m, va);
    else
        print_absent(vm, va, &m);
}

/* The first page of the first range that is called so; else it is a number. */
static bool parse_place(const char *text, vaddr_t *out)
{
    uint64_t number;

    for (struct range range = {0}; ranges_next(&range);)
        if (strcmp(range.name, text) == 0) {
            *out = range.va;
            return true;
        }
    *out = VA(0);
    if (!command_parse_hex(text, &number))
        return false;
    *out = VA(number);
    return true;
}

bool command_walk(const char *argument)
{
    vaddr_t va;

    if (!parse_place(argument, &va))
        return false;
    walk(va_lt(va, VA(1ull << 63)) ? vmm_current() : vmm_kernel(), va);
    return true;
}
