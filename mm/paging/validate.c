/* Owns: nothing; the invariants as a check. Relies on: locks.h to keep operations out, the pmm.
 * Stage: from "frames" on. */
#include "mm/pmm.h"
#include "range.h"

/* Who is shared cannot be written, and who is owned can be found. */
static bool notes_are_valid(pte_t e, pte_t link)
{
    bool copy = (e.raw & PTE_COPY) != 0;
    return (!copy || (e.raw & PTE_WRITABLE) == 0) && (copy || (e.raw & PTE_MEANT) == 0) &&
           (!pte_is_owned(e) || (link.raw & TABLE_OWNED) != 0);
}

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
    reserved |= PTE_NX | TABLE_LOCKED | ENTRY_LEAVING;
    return level > LEVEL_PT && (e.raw & reserved) == 0 && (e.raw & set) == set;
}

static bool state_is_valid(pte_t e)
{
    return pte_kind(e) != ENTRY_EMPTY &&
           (e.raw & ~(STATE_KIND | STATE_VALUE | STATE_CACHE | STATE_PROT)) == 0;
}

/* The table that the link leads to, with entries of this level, up to a slot. Counts the tables: one
 * that two entries point to is counted twice, and the sum is wrong. */
static bool table_is_valid(pte_t link, unsigned level, unsigned end, uint64_t *count)
{
    if (!link_is_valid(link, level + 1) || !pmm_is_used(pte_table(link)))
        return false;
    ++*count;
    unsigned entries = 0;
    const pte_t *table = child_of(link);
    for (unsigned i = 0; i < end; i++) {
        pte_t e = pte_read(&table[i]);
        if (e.raw == 0)
            continue;
        entries++;
        bool valid = pte_is_state(e) ? state_is_valid(e) && (link.raw & TABLE_STATES) != 0
                     : pte_is_page(e, level)
                         ? page_is_valid(e, level) && notes_are_valid(e, link)
                         : table_is_valid(e, level - 1, TABLE_SLOTS, count) &&
                               (table_count(e) > 0 || (e.raw & TABLE_PINNED) != 0);
        if (!valid)
            return false;
    }
    return entries == table_count(link);
}

/* A sealed root has in its upper half only tables that stay; a user space the same ones. */
static bool upper_half_is_valid(const struct space *space)
{
    const pte_t *root = table_at(space->root), *upper = root;
    if (space->user)
        upper = table_at(space->upper->root);
    for (unsigned i = TABLE_SLOTS / 2; i < TABLE_SLOTS; i++) {
        pte_t e = pte_read(&root[i]), kernels = pte_read(&upper[i]);
        if (space->sealed && e.raw != 0 && (e.raw & TABLE_PINNED) == 0)
            return false;
        if (space->user && e.raw != user_copy(kernels).raw)
            return false;
    }
    return true;
}

bool paging_validate(struct space *space)
{
    uint64_t count = 0;
    irq_state_t irq = freeze(space);
    bool valid = pa_eq(pte_table(space->top), space->root) && upper_half_is_valid(space) &&
                 table_is_valid(pte_read(&space->top), space->levels,
                                space->user ? TABLE_SLOTS / 2 : TABLE_SLOTS, &count) &&
                 count == __atomic_load_n(&space->ntables, __ATOMIC_RELAXED);
    thaw(space, irq);
    return valid;
}
