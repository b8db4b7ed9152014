/* Page-table entries and tables: what the bits mean, and how to get from one table to the next.
 * Internal to paging.c and paging_query.c. source: Intel SDM Vol. 3A "4-Level Paging", "Page
 * Attribute Table". */
#ifndef QL_MM_TABLES_H
#define QL_MM_TABLES_H

#include "mm/hhdm.h"
#include "mm/paging.h"
#include "mm/port.h"

#define PTE_PRESENT   0x001ull
#define PTE_WRITABLE  0x002ull
#define PTE_USER      0x004ull
#define PTE_PWT       0x008ull /* bit 0 of the index into the PAT */
#define PTE_PCD       0x010ull /* bit 1 */
#define PTE_PAT_SMALL 0x080ull /* bit 2, in a 4 KiB page's entry */
#define PTE_LARGE     0x080ull /* in an entry of a higher table: a page, not a table */
#define PTE_GLOBAL    0x100ull
#define PTE_PAT_LARGE 0x1000ull /* bit 2 of the index, in a 2 MiB or 1 GiB page's entry */
#define PTE_ADDRESS   0x000ffffffffff000ull
#define PTE_NX        (1ull << 63)

/* Levels count from the page up: 1 PT, 2 PD, 3 PDPT, 4 PML4. */
#define LEVEL_PT    1u
#define LEVEL_PD    2u
#define LEVEL_PDPT  3u
#define LEVEL_PML4  4u
#define TABLE_SLOTS 512u

/* Addresses between these two are not canonical. */
#define LOWER_HALF_END 0x0000800000000000ull
#define UPPER_HALF     0xffff800000000000ull

static inline bool canonical(vaddr_t va)
{
    return va.v < LOWER_HALF_END || va.v >= UPPER_HALF;
}

/* What one entry of a table covers. */
static inline uint64_t level_bytes(unsigned level)
{
    return PAGE_BYTES << (9 * (level - 1));
}

static inline uint64_t level_pages(unsigned level)
{
    return level_bytes(level) / PAGE_BYTES;
}

static inline unsigned level_slot(vaddr_t va, unsigned level)
{
    return (unsigned)(va.v / level_bytes(level)) % TABLE_SLOTS;
}

static inline bool pte_present(pte_t e)
{
    return (e.raw & PTE_PRESENT) != 0;
}

/* The two kinds of present entry. Bit 7 of a 4 KiB page's entry is part of its memory type. */
static inline bool pte_is_page(pte_t e, unsigned level)
{
    return pte_present(e) && (level == LEVEL_PT || (e.raw & PTE_LARGE) != 0);
}

static inline bool pte_is_table(pte_t e, unsigned level)
{
    return pte_present(e) && !pte_is_page(e, level);
}

static inline paddr_t pte_table(pte_t e)
{
    return PA(e.raw & PTE_ADDRESS);
}

static inline paddr_t pte_page(pte_t e, unsigned level)
{
    return PA(e.raw & PTE_ADDRESS & ~(level_bytes(level) - 1));
}

static inline uint64_t pte_pat_bit(unsigned level)
{
    return level == LEVEL_PT ? PTE_PAT_SMALL : PTE_PAT_LARGE;
}

/* Store an entry at once, after everything that it leads to: CPUs walk the tables meanwhile. */
static inline void pte_write(pte_t *slot, pte_t e)
{
    __atomic_store_n(&slot->raw, e.raw, __ATOMIC_RELEASE);
}

/* Tables allow everything that a page below may want: the protection is the page's own. Only the
 * user half is reachable for users at all. */
static inline pte_t pte_make_table(paddr_t table, vaddr_t va)
{
    uint64_t user = (va.v >> 63) == 0 ? PTE_USER : 0;
    return (pte_t){table.v | PTE_PRESENT | PTE_WRITABLE | user};
}

static inline pte_t pte_make_page(paddr_t pa, prot_t prot, cache_t cache, unsigned level)
{
    const struct port_cpu *cpu = port_cpu();
    uint64_t bits = pa.v | PTE_PRESENT;
    bits |= level == LEVEL_PT ? 0 : PTE_LARGE;
    bits |= (prot & PROT_WRITE) != 0 ? PTE_WRITABLE : 0;
    bits |= (prot & PROT_USER) != 0 ? PTE_USER : 0;
    bits |= (prot & PROT_GLOBAL) != 0 && cpu->global ? PTE_GLOBAL : 0;
    bits |= (prot & PROT_EXEC) == 0 && cpu->nx ? PTE_NX : 0;
    bits |= (cache & 1) != 0 ? PTE_PWT : 0;
    bits |= (cache & 2) != 0 ? PTE_PCD : 0;
    bits |= (cache & 4) != 0 ? pte_pat_bit(level) : 0;
    return (pte_t){bits};
}

/* What the hardware allows: without NX that is always execution, too. */
static inline prot_t pte_prot(pte_t e)
{
    return PROT_READ | ((e.raw & PTE_WRITABLE) != 0 ? PROT_WRITE : 0) |
           ((e.raw & PTE_NX) == 0 ? PROT_EXEC : 0) | ((e.raw & PTE_USER) != 0 ? PROT_USER : 0) |
           ((e.raw & PTE_GLOBAL) != 0 ? PROT_GLOBAL : 0);
}

static inline cache_t pte_cache(pte_t e, unsigned level)
{
    unsigned index = (e.raw & PTE_PWT) != 0 ? 1 : 0;
    index |= (e.raw & PTE_PCD) != 0 ? 2 : 0;
    index |= (e.raw & pte_pat_bit(level)) != 0 ? 4 : 0;
    return (cache_t)index;
}

static inline pte_t *table_at(paddr_t table)
{
    return phys_to_virt(table);
}

static inline pte_t *child_of(pte_t e)
{
    return table_at(pte_table(e));
}

static inline bool table_is_empty(const pte_t *table)
{
    for (unsigned i = 0; i < TABLE_SLOTS; i++)
        if (pte_present(table[i]))
            return false;
    return true;
}

/* The slot that maps va or would: of a page, or empty. Its level goes to *level. */
static inline pte_t *find_slot(struct space *space, vaddr_t va, unsigned *level)
    REQUIRES(space->lock)
{
    pte_t *table = table_at(space->root);
    for (*level = LEVEL_PML4;; --*level) {
        pte_t *slot = &table[level_slot(va, *level)];
        if (!pte_is_table(*slot, *level))
            return slot;
        table = child_of(*slot);
    }
}

#endif
