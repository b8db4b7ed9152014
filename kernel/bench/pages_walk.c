/* Owns: the baseline of the page benchmark: page tables as they are often written. Each page by a
 * walk from the root, tables made and zeroed on the way, one INVLPG for each entry that changes. It
 * has no locks and keeps no counts.
 * Relies on: the pmm for tables, the kernel's own tables for the upper half. */
#include "bench/pages_parts.h"
#include "mm/hhdm.h"
#include "mm/string.h"

#define SLOTS   512u
#define LARGE   0x80ull
#define NX      (1ull << 63)
#define ADDRESS 0x000ffffffffff000ull

static unsigned slot_number(vaddr_t va, unsigned level)
{
    return (unsigned)(va_number(va) >> (9 * level + 3)) % SLOTS;
}

static void forget(vaddr_t va)
{
    __asm__ volatile("invlpg (%0)" ::"r"(va_number(va)) : "memory");
}

paddr_t walk_frame(uint64_t entry)
{
    return PA(entry & ADDRESS);
}

static uint64_t *table_of(uint64_t entry)
{
    return phys_to_virt(walk_frame(entry));
}

static bool make_table(uint64_t *slot)
{
    paddr_t frame;
    if (pmm_alloc_frame(&frame) != MM_OK)
        return false;
    memset64(phys_to_virt(frame), 0, SLOTS);
    *slot = pa_number(frame) | WALK_PRESENT | WALK_WRITABLE;
    return true;
}

bool walk_open(struct walk *walk)
{
    uint64_t entry;
    if (!make_table(&entry))
        return false;
    const uint64_t *kernel = phys_to_virt(vmm_kernel()->space.root);
    memcpy(table_of(entry) + SLOTS / 2, kernel + SLOTS / 2, FRAME_BYTES / 2);
    *walk = (struct walk){walk_frame(entry), port_cpu()->levels,
                          WALK_PRESENT | WALK_WRITABLE | (port_cpu()->nx ? NX : 0)};
    return true;
}

static void free_tables(uint64_t entry, unsigned level, unsigned end)
{
    for (unsigned i = 0; level > WALK_4K && i < end; i++) {
        uint64_t below = table_of(entry)[i];
        if ((below & (WALK_PRESENT | LARGE)) == WALK_PRESENT)
            free_tables(below, level - 1, SLOTS);
    }
    (void)pmm_free_frame(walk_frame(entry));
}

void walk_close(struct walk *walk)
{
    free_tables(pa_number(walk->root), walk->levels, SLOTS / 2);
}

void walk_use(const struct walk *walk)
{
    paging_leave();
    port_set_root(walk->root);
}

uint64_t *walk_slot(const struct walk *walk, vaddr_t va, unsigned level, bool make)
{
    uint64_t *table = phys_to_virt(walk->root);
    for (unsigned at = walk->levels; at > level; at--) {
        uint64_t *slot = &table[slot_number(va, at)];
        if ((*slot & WALK_PRESENT) == 0 && !(make && make_table(slot)))
            return NULL;
        table = table_of(*slot);
    }
    return &table[slot_number(va, level)];
}

bool walk_map(const struct walk *walk, vaddr_t va, paddr_t pa, unsigned level)
{
    uint64_t *slot = walk_slot(walk, va, level, true);
    if (slot == NULL)
        return false;
    *slot = pa_number(pa) | walk->attributes | (level == WALK_2M ? LARGE : 0);
    return true;
}

/* Free the lowest table if it is empty. */
static void prune(const struct walk *walk, vaddr_t va, unsigned level)
{
    uint64_t *above = walk_slot(walk, va, level + 1, false), *table = table_of(*above);
    for (unsigned i = 0; i < SLOTS; i++)
        if (table[i] != 0)
            return;
    (void)pmm_free_frame(walk_frame(*above));
    *above = 0;
}

paddr_t walk_unmap(const struct walk *walk, vaddr_t va, unsigned level)
{
    uint64_t *slot = walk_slot(walk, va, level, false);
    paddr_t frame = walk_frame(*slot);
    *slot = 0;
    forget(va);
    if (slot_number(va, level) == SLOTS - 1)
        prune(walk, va, level);
    return frame;
}

void walk_protect(const struct walk *walk, vaddr_t va, unsigned level, bool write)
{
    uint64_t *slot = walk_slot(walk, va, level, false);
    *slot = (*slot & ~WALK_WRITABLE) | (write ? WALK_WRITABLE : 0);
    forget(va);
}
