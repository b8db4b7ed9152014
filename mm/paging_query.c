/* Owns: nothing; the part of the paging interface that only reads tables.
 * Relies on: tables.h, the invariants stated in paging.c, the pmm to check them.
 * Stage: from "frames" on. */
#include "mm/pmm.h"
#include "tables.h"

static struct mapping describe(pte_t page, unsigned level, vaddr_t va)
{
    return (struct mapping){
        .va = va_align_down(va, level_bytes(level)),
        .pa = pte_page(page, level),
        .bytes = level_bytes(level),
        .page_bytes = level_bytes(level),
        .prot = pte_prot(page),
        .cache = pte_cache(page, level),
    };
}

mm_status_t paging_query(struct space *space, vaddr_t va, struct mapping *out)
{
    if (!canonical(va))
        return MM_RANGE;
    irq_state_t irq = spin_lock(&space->lock);
    unsigned level;
    pte_t slot = *find_slot(space, va, &level);
    spin_unlock(&space->lock, irq);
    if (!pte_present(slot))
        return MM_NOTFOUND;
    *out = describe(slot, level, va);
    return MM_OK;
}

/* The first page at or after *va in what the table covers; if there is none, *va is moved behind
 * it. */
static bool first_page(const pte_t *table, unsigned level, vaddr_t *va, struct mapping *out)
{
    for (unsigned i = level_slot(*va, level); i < TABLE_SLOTS; i++) {
        if (pte_is_page(table[i], level)) {
            *out = describe(table[i], level, *va);
            return true;
        }
        if (!pte_is_table(table[i], level))
            *va = va_add(va_align_down(*va, level_bytes(level)), level_bytes(level));
        else if (first_page(child_of(table[i]), level - 1, va, out))
            return true;
    }
    return false;
}

/* The first page that begins at or after va. */
static bool page_from(struct space *space, vaddr_t va, struct mapping *out) REQUIRES(space->lock)
{
    const pte_t *root = table_at(space->root);
    for (;;) {
        if (!canonical(va))
            va = VA(UPPER_HALF);
        vaddr_t at = va;
        if (!first_page(root, LEVEL_PML4, &at, out))
            return false;
        if (va_le(va, out->va))
            break;
        va = va_add(out->va, out->bytes); /* in the middle of that page: go on behind it */
        if (va_eq(va, VA(0)))
            return false;
    }
    if (!canonical(out->va)) /* the walk has counted from the lower half into the hole */
        out->va = va_add(out->va, UPPER_HALF - LOWER_HALF_END);
    return true;
}

static bool page_continues(const struct mapping *run, const struct mapping *page)
{
    return pa_eq(page->pa, pa_add(run->pa, run->bytes)) && page->page_bytes == run->page_bytes &&
           page->prot == run->prot && page->cache == run->cache;
}

mm_status_t paging_next(struct space *space, vaddr_t *cursor, struct mapping *out)
{
    struct mapping run, page;
    irq_state_t irq = spin_lock(&space->lock);
    bool found = page_from(space, *cursor, &run);
    vaddr_t end = found ? va_add(run.va, run.bytes) : *cursor;
    unsigned level = LEVEL_PML4;
    const pte_t *slot = found ? find_slot(space, run.va, &level) : NULL;
    while (found && canonical(end) && !va_eq(end, VA(0))) {
        /* The next slot is in the same table but for 1 of 512: without the walk from the root. */
        slot = level_slot(end, level) != 0 ? slot + 1 : find_slot(space, end, &level);
        page = describe(*slot, level, end);
        if (!pte_is_page(*slot, level) || !page_continues(&run, &page))
            break;
        run.bytes += page.bytes;
        end = va_add(end, page.bytes);
    }
    spin_unlock(&space->lock, irq);
    if (!found)
        return MM_NOTFOUND;
    *out = run;
    *cursor = va_eq(end, VA(0)) ? VA(UINT64_MAX) : end; /* no page begins at the last byte */
    return MM_OK;
}

/* --- The invariants ------------------------------------------------------- */

static bool entry_is_valid(pte_t e, unsigned level)
{
    const struct port_cpu *cpu = port_cpu();
    uint64_t reserved = PTE_ADDRESS & ~((1ull << cpu->phys_bits) - 1);
    reserved |= cpu->nx ? 0 : PTE_NX;
    if (pte_is_page(e, level)) {
        if (level > (cpu->page_1g ? LEVEL_PDPT : LEVEL_PD))
            return false;
        reserved |= cpu->global ? 0 : PTE_GLOBAL;
        if (level > LEVEL_PT)
            reserved |= (level_bytes(level) - 1) & PTE_ADDRESS & ~PTE_PAT_LARGE;
    }
    return (e.raw & reserved) == 0;
}

/* Counts the tables: one that two entries point to is counted twice, and the sum is wrong. */
static bool table_is_valid(paddr_t at, unsigned level, uint64_t *count)
{
    if (!pmm_is_used(at))
        return false;
    ++*count;
    const pte_t *table = table_at(at);
    for (unsigned i = 0; i < TABLE_SLOTS; i++) {
        if (pte_present(table[i]) && !entry_is_valid(table[i], level))
            return false;
        if (!pte_is_table(table[i], level))
            continue;
        if (!table_is_valid(pte_table(table[i]), level - 1, count))
            return false;
        if (table_is_empty(child_of(table[i])))
            return false;
    }
    return true;
}

bool paging_validate(struct space *space)
{
    uint64_t count = 0;
    irq_state_t irq = spin_lock(&space->lock);
    bool valid = table_is_valid(space->root, LEVEL_PML4, &count) && count == space->ntables;
    spin_unlock(&space->lock, irq);
    return valid;
}
