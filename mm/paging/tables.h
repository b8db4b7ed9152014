/* Page-table entries and tables: what the bits mean, and how to get from one table to the next.
 * Internal to mm/paging/. source: Intel SDM Vol. 3A "4-Level Paging and 5-Level Paging", "Page
 * Attribute Table", "Protection Keys". */
#ifndef QL_PAGING_TABLES_H
#define QL_PAGING_TABLES_H

#include "mm/hhdm.h"
#include "mm/paging.h"
#include "mm/port.h"

#define PTE_PRESENT   0x001ull
#define PTE_WRITABLE  0x002ull
#define PTE_USER      0x004ull
#define PTE_PWT       0x008ull /* bit 0 of the index into the PAT */
#define PTE_PCD       0x010ull /* bit 1 */
#define PTE_ACCESSED  0x020ull
#define PTE_DIRTY     0x040ull
#define PTE_PAT_SMALL 0x080ull /* bit 2, in a 4 KiB page's entry */
#define PTE_LARGE     0x080ull /* in an entry of a higher table: a page, not a table */
#define PTE_GLOBAL    0x100ull
#define PTE_PAT_LARGE 0x1000ull /* bit 2 of the index, in a 2 MiB or 1 GiB page's entry */
#define PTE_ADDRESS   0x000ffffffffff000ull
#define PTE_KEY_SHIFT 59 /* of a page: its protection key, 4 bits */
#define PTE_NX        (1ull << 63)

/* Notes in a page's entry, in bits that the CPU ignores: those of prot_t, in the same order. A page
 * with PTE_COPY is never PTE_WRITABLE; whether PROT_WRITE is meant is in a bit of its own. */
#define PTE_OWNED       0x200ull
#define PTE_COPY        0x400ull
#define PTE_LOCKED      0x800ull
#define PTE_NOTES       (PTE_OWNED | PTE_COPY | PTE_LOCKED)
#define PTE_NOTES_SHIFT 7 /* from prot_t's, to the right */
#define PTE_MEANT       (1ull << 52)

/* What the CPU sets by itself in a page's entry, at any time. In a table's entry it would set
 * ACCESSED alone; we make these with it set, so that nobody writes them but us. */
#define PTE_USED (PTE_ACCESSED | PTE_DIRTY)

/* What we keep in the entry that leads to a table, in bits that the CPU ignores there: how many of
 * its entries are not zero, whether one of those may be a state, or a page with PTE_OWNED; whether the
 * table stays even when it is empty; and its lock. */
#define TABLE_STATES      0x200ull
#define TABLE_OWNED       0x400ull
#define TABLE_PINNED      0x800ull
#define TABLE_COUNT_SHIFT 52
#define TABLE_COUNT       (0x3ffull << TABLE_COUNT_SHIFT)
#define TABLE_LOCKED      (1ull << 62)

/* An entry that is not present and not zero says what the range is without a page: a state, the same
 * at every level. It has a kind that is not 0, a value, and the prot and cache of pages to come. The
 * value's bits are inverted: a CPU that speculates on entries that are not present (L1TF) is then led
 * beyond all RAM by values that are not huge. source: Intel, "L1 Terminal Fault" */
#define STATE_CACHE_SHIFT 1 /* 3 bits */
#define STATE_CACHE       0xeull
#define STATE_KIND_SHIFT  9 /* 3 bits */
#define STATE_KIND        0xe00ull
#define STATE_VALUE       PTE_ADDRESS
#define STATE_PROT_SHIFT  52 /* 12 bits */
#define STATE_PROT        (0xfffull << STATE_PROT_SHIFT)

/* Or, while an operation has the table, it is a page with PTE_OWNED or an entry that leads to a table,
 * as it was but for PTE_PRESENT: out of the tree, but not free before all have forgotten it. */
#define ENTRY_LEAVING 0x100ull

/* Levels count from the page up: 1 PT, 2 PD, 3 PDPT, 4 PML4, 5 PML5. */
#define LEVEL_PT    1u
#define LEVEL_PD    2u
#define LEVEL_PDPT  3u
#define LEVEL_PML4  4u
#define LEVEL_PML5  5u
#define TABLE_SLOTS 512u

/* What one entry of a table covers. */
static inline uint64_t level_pages(unsigned level)
{
    return 1ull << (9 * (level - 1));
}

static inline uint64_t level_bytes(unsigned level)
{
    return PAGE_BYTES << (9 * (level - 1));
}

static inline unsigned level_slot(vaddr_t va, unsigned level)
{
    return (unsigned)(va.v >> (9 * level + 3)) % TABLE_SLOTS;
}

/* The first address of the upper half less that of the hole's: what the lower half has. */
static inline uint64_t half_bytes(const struct space *space)
{
    return space->levels == LEVEL_PML4 ? 1ull << 47 : 1ull << 56;
}

/* All bits from the highest that is translated on are the same. */
static inline bool canonical(const struct space *space, vaddr_t va)
{
    return va.v + half_bytes(space) < 2 * half_bytes(space);
}

static inline bool in_upper_half(vaddr_t va)
{
    return va.v >> 63 != 0;
}

/* True for what a user space has of the kernel's. */
static inline bool is_kernels(const struct space *space, vaddr_t va)
{
    return space->user && in_upper_half(va);
}

static inline unsigned largest_page_level(void)
{
    return port_cpu()->page_1g ? LEVEL_PDPT : LEVEL_PD;
}

/* --- Entries -------------------------------------------------------------- */

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
    return level > LEVEL_PT && (e.raw & (PTE_PRESENT | PTE_LARGE)) == PTE_PRESENT;
}

/* Of what does not lead to a table. */
static inline bool pte_is_owned(pte_t e)
{
    return (e.raw & (PTE_PRESENT | PTE_OWNED)) == (PTE_PRESENT | PTE_OWNED);
}

static inline bool pte_is_state(pte_t e)
{
    return !pte_present(e) && e.raw != 0;
}

static inline bool pte_is_leaving(pte_t e)
{
    return (e.raw & (PTE_PRESENT | ENTRY_LEAVING)) == ENTRY_LEAVING;
}

static inline pte_t pte_leave(pte_t e)
{
    return (pte_t){(e.raw & ~PTE_PRESENT) | ENTRY_LEAVING};
}

/* What a leaving entry was, of a page but for PTE_GLOBAL; others are what they are. */
static inline pte_t pte_before(pte_t e)
{
    return pte_is_leaving(e) ? (pte_t){e.raw ^ (PTE_PRESENT | ENTRY_LEAVING)} : e;
}

/* ENTRY_...; not of an entry that leads to a table, or leaves. */
static inline unsigned pte_kind(pte_t e)
{
    return pte_present(e) ? ENTRY_PAGE : (unsigned)((e.raw & STATE_KIND) >> STATE_KIND_SHIFT);
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

/* Read an entry, and what it leads to afterwards. */
static inline pte_t pte_read(const pte_t *slot)
{
    return (pte_t){__atomic_load_n(&slot->raw, __ATOMIC_ACQUIRE)};
}

/* Store an entry at once, after everything that it leads to: CPUs walk the tables meanwhile. */
static inline void pte_write(pte_t *slot, pte_t e)
{
    __atomic_store_n(&slot->raw, e.raw, __ATOMIC_RELEASE);
}

/* Replace an entry that is still the one expected. Acquire and release. */
static inline bool pte_replace(pte_t *slot, pte_t expected, pte_t e)
{
    return __atomic_compare_exchange_n(&slot->raw, &expected.raw, e.raw, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_RELAXED);
}

/* Tables allow everything that a page below may want: the protection is the page's own. Only the
 * user half is reachable for users at all. */
static inline pte_t pte_make_table(paddr_t table, vaddr_t va, uint64_t count)
{
    uint64_t user = in_upper_half(va) ? 0 : PTE_USER;
    return (pte_t){table.v | PTE_PRESENT | PTE_WRITABLE | PTE_ACCESSED | user |
                   count << TABLE_COUNT_SHIFT};
}

static inline unsigned table_count(pte_t e)
{
    return (unsigned)((e.raw & TABLE_COUNT) >> TABLE_COUNT_SHIFT);
}

/* True if all entries of the table are present, as far as the entry that leads to it knows. */
static inline bool table_is_full(pte_t e)
{
    return (e.raw & (TABLE_COUNT | TABLE_STATES)) == (uint64_t)TABLE_SLOTS << TABLE_COUNT_SHIFT;
}

/* The writable bit of a page that has these bits: as meant, or not while it is shared. */
static inline uint64_t pte_writable_bits(uint64_t bits, bool write)
{
    return !write ? 0 : (bits & PTE_COPY) != 0 ? PTE_MEANT : PTE_WRITABLE;
}

/* A page's entry at some level, but for the address. */
static inline uint64_t pte_attributes(prot_t prot, cache_t cache, unsigned level)
{
    const struct port_cpu *cpu = port_cpu();
    uint64_t bits = PTE_PRESENT | (prot & PROT_NOTES) >> PTE_NOTES_SHIFT;
    bits |= level == LEVEL_PT ? 0 : PTE_LARGE;
    bits |= pte_writable_bits(bits, (prot & PROT_WRITE) != 0);
    bits |= (prot & PROT_USER) != 0 ? PTE_USER : 0;
    bits |= (prot & PROT_GLOBAL) != 0 && cpu->global ? PTE_GLOBAL : 0;
    bits |= (prot & PROT_EXEC) == 0 && cpu->nx ? PTE_NX : 0;
    bits |= (cache & 1) != 0 ? PTE_PWT : 0;
    bits |= (cache & 2) != 0 ? PTE_PCD : 0;
    bits |= (cache & 4) != 0 ? pte_pat_bit(level) : 0;
    return bits | (uint64_t)PROT_KEY_OF(prot) << PTE_KEY_SHIFT;
}

/* What the hardware allows, without NX that is always execution, too; but PROT_WRITE as meant. */
static inline prot_t pte_prot(pte_t e)
{
    return PROT_READ | ((e.raw & (PTE_WRITABLE | PTE_MEANT)) != 0 ? PROT_WRITE : 0) |
           ((e.raw & PTE_NX) == 0 ? PROT_EXEC : 0) | ((e.raw & PTE_USER) != 0 ? PROT_USER : 0) |
           ((e.raw & PTE_GLOBAL) != 0 ? PROT_GLOBAL : 0) |
           PROT_KEY((unsigned)(e.raw >> PTE_KEY_SHIFT)) |
           (prot_t)(e.raw & PTE_NOTES) << PTE_NOTES_SHIFT;
}

static inline cache_t pte_cache(pte_t e, unsigned level)
{
    unsigned index = (e.raw & PTE_PWT) != 0 ? 1 : 0;
    index |= (e.raw & PTE_PCD) != 0 ? 2 : 0;
    index |= (e.raw & pte_pat_bit(level)) != 0 ? 4 : 0;
    return (cache_t)index;
}

/* USED_ACCESSED and USED_DIRTY, and the bits they stand for. */
static inline unsigned pte_used(pte_t e)
{
    return ((e.raw & PTE_ACCESSED) != 0 ? USED_ACCESSED : 0) |
           ((e.raw & PTE_DIRTY) != 0 ? USED_DIRTY : 0);
}

static inline uint64_t pte_used_bits(unsigned used)
{
    return ((used & USED_ACCESSED) != 0 ? PTE_ACCESSED : 0) |
           ((used & USED_DIRTY) != 0 ? PTE_DIRTY : 0);
}

/* The same page attributes in an entry of another level, without the address. */
static inline uint64_t pte_attributes_at(pte_t page, unsigned from, unsigned to)
{
    uint64_t bits = page.raw & ~(PTE_ADDRESS | PTE_LARGE);
    bits |= to == LEVEL_PT ? 0 : PTE_LARGE;
    return bits | ((page.raw & pte_pat_bit(from)) != 0 ? pte_pat_bit(to) : 0);
}

/* --- States --------------------------------------------------------------- */

/* The five flags, the key and the three notes, side by side. */
static inline uint64_t state_prot_bits(prot_t prot)
{
    uint64_t packed = (prot & 0x1f) | (prot & PROT_KEY(15)) >> 3 | (prot & PROT_NOTES) >> 7;
    return packed << STATE_PROT_SHIFT;
}

static inline prot_t state_prot(pte_t e)
{
    prot_t packed = (prot_t)(e.raw >> STATE_PROT_SHIFT);
    return (packed & 0x1f) | (packed << 3 & PROT_KEY(15)) | (packed << 7 & PROT_NOTES);
}

static inline cache_t state_cache(pte_t e)
{
    return (cache_t)((e.raw & STATE_CACHE) >> STATE_CACHE_SHIFT);
}

static inline uint64_t state_value(pte_t e)
{
    return (~e.raw & STATE_VALUE) >> FRAME_SHIFT;
}

/* The entry; zero for no state. */
static inline pte_t state_make(const struct page_state *state)
{
    if (state->kind == ENTRY_EMPTY)
        return (pte_t){0};
    return (pte_t){(uint64_t)state->kind << STATE_KIND_SHIFT |
                   (uint64_t)state->cache << STATE_CACHE_SHIFT | state_prot_bits(state->prot) |
                   (~(state->value << FRAME_SHIFT) & STATE_VALUE)};
}

/* --- Tables --------------------------------------------------------------- */

static inline pte_t *table_at(paddr_t table)
{
    return phys_to_virt(table);
}

/* The same door for who has looked up the window before. */
static inline const pte_t *table_through(const struct hhdm *window, paddr_t table)
{
    DCHECK(table.v < window->bytes);
    return (const pte_t *)(uintptr_t)(window->base.v + table.v);
}

static inline pte_t *child_of(pte_t e)
{
    return table_at(pte_table(e));
}

/* Pages [a, b) of those that a table covers, 0 its first; never empty. */
struct part {
    uint64_t a, b;
};

static inline unsigned part_first(struct part p, unsigned level)
{
    return (unsigned)(p.a / level_pages(level));
}

/* The slot behind the last. */
static inline unsigned part_end(struct part p, unsigned level)
{
    return (unsigned)((p.b + level_pages(level) - 1) / level_pages(level));
}

/* What of it slot i covers, counted from the slot's first page. */
static inline struct part part_in(struct part p, unsigned i, unsigned level)
{
    uint64_t start = i * level_pages(level), end = start + level_pages(level);
    return (struct part){(p.a > start ? p.a : start) - start, (p.b < end ? p.b : end) - start};
}

/* True if it is all of what an entry of this level covers. */
static inline bool part_is_all(struct part p, unsigned level)
{
    return p.b - p.a == level_pages(level);
}

/* How many slots from i on it covers with all that they have. */
static inline unsigned part_slots(struct part p, unsigned i, unsigned level)
{
    uint64_t pages = level_pages(level);
    return p.a > i * pages || p.b < i * pages ? 0 : (unsigned)(p.b / pages) - i;
}

/* How many of n slots are pages, up to the first that is something else or has one of these notes. In
 * map.c. */
unsigned pages_in_a_row(const pte_t *slot, unsigned n, unsigned level, uint64_t notes);

static inline vaddr_t slot_va(vaddr_t base, unsigned i, unsigned level)
{
    return va_add(base, i * level_bytes(level));
}

#endif
