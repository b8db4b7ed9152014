/* Owns: each space's root table and what it shares of it, and which space each CPU has loaded.
 * Relies on: the pmm for frames, the port for the TLBs and CR3. Stage: from "frames" on. */
#include "config.h"
#include "mm/string.h"
#include "range.h"

/* The first slot of the root in the upper half. */
#define UPPER_SLOT (TABLE_SLOTS / 2)

mm_status_t paging_create(struct space *out)
{
    unsigned levels = port_cpu()->levels;
    ASSERT(levels == LEVEL_PML4 || levels == LEVEL_PML5);
    struct pool pool;
    mm_status_t status = pool_fill(&pool, 1);
    if (status != MM_OK)
        return status;
    paddr_t root = pool_take(&pool);
    memset64(table_at(root), 0, TABLE_SLOTS);
    *out = (struct space){
        .root = root, .levels = levels, .top = pte_make_table(root, VA(0), 0), .ntables = 1};
    return MM_OK;
}

/* --- The kernel's half in every space ---------------------------------------- */

pte_t user_copy(pte_t link)
{
    const uint64_t cpus = PTE_ADDRESS | PTE_PRESENT | PTE_WRITABLE | PTE_ACCESSED;
    return (pte_t){link.raw & cpus};
}

mm_status_t paging_create_user(struct space *out, struct space *kernel)
{
    ASSERT(kernel->sealed && kernel->levels == port_cpu()->levels);
    mm_status_t status = paging_create(out);
    if (status != MM_OK)
        return status;
    out->user = true;
    out->upper = kernel;
    pte_t *root = table_at(out->root), *upper = table_at(kernel->root);
    for (unsigned i = UPPER_SLOT; i < TABLE_SLOTS; i++)
        root[i] = user_copy(pte_read(&upper[i]));
    return MM_OK;
}

/* True if the slot of the root, which is i, is to have a table and has none. */
static bool is_missing(const struct hold *h, unsigned i, unsigned first, unsigned end)
{
    pte_t e = pte_read(&hold_table(h)[i]);
    return (e.raw == 0 && i >= first && i < end) || pte_is_state(e);
}

mm_status_t paging_seal(struct space *kernel, vaddr_t va, uint64_t npages)
{
    mm_status_t status = check_range(kernel, va, npages);
    if (status == MM_OK && (kernel->user || !in_upper_half(va)))
        status = MM_RANGE;
    if (status != MM_OK)
        return status;
    struct change c;
    const struct hold *h = &c.hold;
    vaddr_t base = VA(-half_bytes(kernel));
    unsigned first = level_slot(va, kernel->levels), added = 0;
    unsigned end = level_slot(va_add(va, npages * PAGE_BYTES - 1), kernel->levels) + 1;
    change_start(&c, kernel);
    hold_range(kernel, base, half_bytes(kernel) / PAGE_BYTES, HOLD_SMALLEST, &c.hold);
    for (unsigned i = UPPER_SLOT; i < TABLE_SLOTS; i++)
        c.splits += is_missing(h, i, first, end);
    status = kernel->sealed && c.splits > 0 ? MM_RANGE : pool_fill(&c.pool, c.splits);
    for (unsigned i = UPPER_SLOT; status == MM_OK && i < TABLE_SLOTS; i++) {
        pte_t *slot = &hold_table(h)[i], e = pte_read(slot);
        if (is_missing(h, i, first, end))
            split_entry(&c, slot, kernel->levels, base);
        else if (e.raw != 0)
            table_lock(slot);
        else
            continue;
        added += e.raw == 0;
        table_add(slot, 0, TABLE_PINNED);
        table_unlock(slot);
    }
    kernel->sealed |= status == MM_OK;
    hold_release(h, added, 0);
    return status;
}

/* --- The end ------------------------------------------------------------------- */

void paging_destroy(struct space *space)
{
    ASSERT(cpu_set_is_empty(&space->cpus) && !pa_eq(space->root, port_get_root()));
    struct bin bin;
    bin_start(&bin, space);
    const pte_t *root = table_at(space->root);
    for (unsigned i = 0; i < (space->user ? UPPER_SLOT : TABLE_SLOTS); i++)
        if (pte_is_table(root[i], space->levels))
            bin_add_tree(&bin, root[i], space->levels - 1);
    bin_add(&bin, space->root);
    bin_empty(&bin);
    space->ntables = 0;
}

/* --- CPUs ----------------------------------------------------------------------- */

/* The space that each CPU has loaded; only the CPU itself looks at it. */
static struct space *loaded[CONFIG_CPUS_MAX];

/* The CPU has forgotten the space that it had loaded; of the kernel's it goes on using parts. */
static void forget_loaded(unsigned cpu)
{
    if (loaded[cpu] != NULL && !loaded[cpu]->kernel)
        cpu_set_remove(&loaded[cpu]->cpus, cpu);
    loaded[cpu] = NULL;
}

/* The space whose upper half it has. */
static struct space *upper_of(struct space *space)
{
    return space->user ? space->upper : space;
}

void paging_switch(struct space *space)
{
    ASSERT(space->levels == port_cpu()->levels);
    irq_state_t irq = irq_save();
    unsigned cpu = port_cpu_id();
    struct space *upper = upper_of(space);
    cpu_set_add(&space->cpus, cpu); /* before the first walk: see change_flush */
    if (!cpu_set_has(&upper->cpus, cpu))
        cpu_set_add(&upper->cpus, cpu);
    port_set_root(space->root);
    /* Loading CR3 leaves global translations alone: those of the same upper half stay right. */
    if (loaded[cpu] == NULL || upper_of(loaded[cpu]) != upper)
        port_tlb_flush_all();
    if (loaded[cpu] != space)
        forget_loaded(cpu);
    loaded[cpu] = space;
    irq_restore(irq);
}

void paging_leave(void)
{
    irq_state_t irq = irq_save();
    unsigned cpu = port_cpu_id();
    port_tlb_flush_all();
    if (loaded[cpu] != NULL) {
        cpu_set_remove(&loaded[cpu]->cpus, cpu);
        cpu_set_remove(&upper_of(loaded[cpu])->cpus, cpu);
    }
    loaded[cpu] = NULL;
    irq_restore(irq);
}
