/* Owns: each space's root table, and which space each CPU has loaded.
 * Relies on: the pmm for frames, the port for the TLBs and CR3. Stage: from "frames" on. */
#include "config.h"
#include "mm/string.h"
#include "range.h"

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

void paging_destroy(struct space *space)
{
    ASSERT(cpu_set_is_empty(&space->cpus) && !pa_eq(space->root, port_get_root()));
    struct bin bin = {.count = 0};
    bin_add_tree(&bin, pte_read(&space->top), space->levels);
    bin_empty(&bin);
    space->ntables = 0;
}

/* The space that each CPU has loaded; only the CPU itself looks at it. */
static struct space *loaded[CONFIG_CPUS_MAX];

/* The CPU has forgotten the space that it had loaded; of the kernel's it goes on using parts. */
static void forget_loaded(unsigned cpu)
{
    if (loaded[cpu] != NULL && !loaded[cpu]->kernel)
        cpu_set_remove(&loaded[cpu]->cpus, cpu);
    loaded[cpu] = NULL;
}

void paging_switch(struct space *space)
{
    ASSERT(space->levels == port_cpu()->levels);
    irq_state_t irq = irq_save();
    unsigned cpu = port_cpu_id();
    cpu_set_add(&space->cpus, cpu); /* before the first walk: see change_flush */
    port_set_root(space->root);
    port_tlb_flush_all(); /* loading CR3 leaves global translations alone */
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
    if (loaded[cpu] != NULL)
        cpu_set_remove(&loaded[cpu]->cpus, cpu);
    loaded[cpu] = NULL;
    irq_restore(irq);
}
