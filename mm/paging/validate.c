/* Owns: nothing; the invariants as a check. Relies on: locks.h to keep operations out, the pmm.
 * Stage: from "frames" on. */
#include "mm/pmm.h"
#include "range.h"

static bool page_is_valid(pte_t e, unsigned level)
{
    const struct port_cpu *cpu = port_cpu();
    uint64_t reserved = PTE_ADDRESS & ~((1ull << cpu->phys_bits) - 1);
    reserved |= cpu->nx ? 0 : PTE_NX;
    reserved |= cpu->global ? 0 : PTE_GLOBAL;
    reserved |= cpu->pkeys ? 0 : 15ull << PTE_KEY_SHIFT;
    if (level > LEVEL_PT)
        reserved |= (level_bytes(level) - 1) & PTE_ADDRESS & ~PTE_PAT_LARGE;
    return level <= largest_page_level() && (e.raw & reserved) == 0;
}

/* Of a table: nobody holds its lock; it allows all, and the CPU has nothing to note in it. */
static bool link_is_valid(pte_t e, unsigned level)
{
    const uint64_t set = PTE_PRESENT | PTE_WRITABLE | PTE_ACCESSED;
    uint64_t reserved = PTE_ADDRESS & ~((1ull << port_cpu()->phys_bits) - 1);
    reserved |= PTE_NX | TABLE_LOCKED | TABLE_LEAVING;
    return level > LEVEL_PT && (e.raw & reserved) == 0 && (e.raw & set) == set;
}

static bool state_is_valid(pte_t e)
{
    return pte_state_kind(e) != 0 && (e.raw & ~(STATE_KIND | STATE_VALUE)) == 0;
}

/* The table that the link leads to, with entries of this level. Counts the tables: one that two
 * entries point to is counted twice, and the sum is wrong. */
static bool table_is_valid(pte_t link, unsigned level, uint64_t *count)
{
    if (!link_is_valid(link, level + 1) || !pmm_is_used(pte_table(link)))
        return false;
    ++*count;
    unsigned entries = 0;
    const pte_t *table = child_of(link);
    for (unsigned i = 0; i < TABLE_SLOTS; i++) {
        pte_t e = pte_read(&table[i]);
        if (e.raw == 0)
            continue;
        entries++;
        bool valid = pte_is_state(e) ? state_is_valid(e) && (link.raw & TABLE_STATES) != 0
                     : pte_is_page(e, level)
                         ? page_is_valid(e, level)
                         : table_is_valid(e, level - 1, count) && table_count(e) > 0;
        if (!valid)
            return false;
    }
    return entries == table_count(link);
}

bool paging_validate(struct space *space)
{
    uint64_t count = 0;
    irq_state_t irq = freeze(space);
    bool valid = pa_eq(pte_table(space->top), space->root) &&
                 table_is_valid(pte_read(&space->top), space->levels, &count) &&
                 count == __atomic_load_n(&space->ntables, __ATOMIC_RELAXED);
    thaw(space, irq);
    return valid;
}
