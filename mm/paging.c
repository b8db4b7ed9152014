/* Owns: the page tables of an address space, and each frame that holds one.
 * Relies on: the pmm for frames, the direct map to reach them, the port for the TLBs and CR3.
 * Stage: from "frames" on.
 *
 *        63      48 47      39 38      30 29      21 20      12 11           0
 *   va  |   sign   |  slot 4  |  slot 3  |  slot 2  |  slot 1  |    offset    |
 *                       |          |          |          |            |
 *   root -----------> PML4 -----> PDPT ----> PD ------> PT ------> 4 KiB page
 *   level               4          3          2          1
 *   an entry covers  512 GiB     1 GiB      2 MiB      4 KiB
 *   and is a          table   table/page  table/page    page
 *
 * A range operation is one recursive descent: it visits each table that the range touches once and
 * fills or clears the slots there in a row. A struct range is the part that is still to be done;
 * when it is empty, all callers up the recursion stop. One invariant carries the rest: no table but
 * the root is ever empty. So where nothing is mapped there is no table in the way of a large page.
 *
 * Whole or not at all: an operation first looks whether it may succeed, then gets every frame that
 * it needs to split pages, and only then changes entries. Mapping alone allocates on the way; what
 * it did can be taken back exactly, as nothing was mapped there before.
 *
 * Other CPUs walk the tables while they change, without the lock: each entry is stored at once, and
 * a table is complete before the entry that leads to it. What an operation makes stale is gathered
 * and forgotten by all of them at its end, still under the lock; only then may frames be reused. */
#include "mm/paging.h"

#include "check.h"
#include "config.h"
#include "mm/pmm.h"
#include "mm/string.h"
#include "mm/tlb.h"
#include "tables.h"

struct range {
    vaddr_t va;
    uint64_t npages;
};

static void skip(struct range *r, uint64_t npages)
{
    r->va = va_add(r->va, npages * PAGE_BYTES);
    r->npages -= npages;
}

/* Pages of the range that lie in the same entry of a table of this level as its first. */
static uint64_t pages_in_entry(const struct range *r, unsigned level)
{
    uint64_t rest = level_pages(level) - r->va.v / PAGE_BYTES % level_pages(level);
    return rest < r->npages ? rest : r->npages;
}

/* --- Tables --------------------------------------------------------------- */

static mm_status_t add_table(struct space *space, pte_t *slot, vaddr_t va) REQUIRES(space->lock)
{
    paddr_t table;
    mm_status_t status = pmm_alloc_frame(&table);
    if (status != MM_OK)
        return status;
    memset64(table_at(table), 0, TABLE_SLOTS);
    pte_write(slot, pte_make_table(table, va));
    space->ntables++;
    return MM_OK;
}

/* What an operation leaves to be done at its end: translations that CPUs must forget, and tables
 * that were unhooked. CPUs may walk these until then, so their frames must not be used for anything
 * else before. They are chained through their first slot: an aligned address is an entry that is
 * not present. */
struct change {
    struct tlb_batch stale;
    paddr_t unhooked;
    uint64_t count; /* of unhooked tables */
};

static void unhook_table(struct change *change, pte_t *slot, vaddr_t va)
{
    paddr_t table = pte_table(*slot);
    pte_write(slot, (pte_t){0});
    pte_write(&table_at(table)[0], (pte_t){change->unhooked.v});
    change->unhooked = table;
    change->count++;
    if (tlb_batch_is_empty(&change->stale)) /* no page was in it, but CPUs cache tables, too */
        tlb_batch_add(&change->stale, va, PAGE_BYTES);
}

/* Who loads the space from now on is not in the set and finds the new entries: it puts itself into
 * the set before it walks them, and the fence keeps us from reading the set before we have written
 * them. */
static void finish(struct space *space, struct change *change) REQUIRES(space->lock)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    struct cpu_set cpus = cpu_set_copy(&space->cpus);
    change->stale.root = space->root;
    if (!tlb_batch_is_empty(&change->stale) && !cpu_set_is_empty(&cpus))
        port_tlb_shootdown(&cpus, &change->stale);

    space->ntables -= change->count;
    for (; change->count > 0; change->count--) {
        paddr_t table = change->unhooked;
        change->unhooked = PA(table_at(table)[0].raw);
        pmm_free_frame(table);
    }
}

/* --- Walks over a range --------------------------------------------------- */

/* True if every page of the range is mapped, or (mapped = false) none is. */
static bool all_pages_are(const pte_t *table, unsigned level, struct range *r, bool mapped)
{
    for (unsigned i = level_slot(r->va, level); i < TABLE_SLOTS && r->npages > 0; i++) {
        if (pte_is_table(table[i], level)) {
            if (!all_pages_are(child_of(table[i]), level - 1, r, mapped))
                return false;
        } else {
            if (pte_present(table[i]) != mapped)
                return false;
            skip(r, pages_in_entry(r, level));
        }
    }
    return true;
}

/* Clear every page of the range, mapped or not, and unhook the tables that become empty. Pages
 * never reach over the ends of the range: the caller has split them. */
static void clear_pages(pte_t *table, unsigned level, struct range *r, struct change *change)
{
    for (unsigned i = level_slot(r->va, level); i < TABLE_SLOTS && r->npages > 0; i++) {
        if (pte_is_table(table[i], level)) {
            pte_t *child = child_of(table[i]);
            vaddr_t va = r->va;
            clear_pages(child, level - 1, r, change);
            if (table_is_empty(child))
                unhook_table(change, &table[i], va);
        } else {
            if (pte_present(table[i]))
                tlb_batch_add(&change->stale, r->va, level_bytes(level));
            pte_write(&table[i], (pte_t){0});
            skip(r, pages_in_entry(r, level));
        }
    }
}

/* Give every page of the range a new protection and memory type. As for clear_pages, none reaches
 * over its ends. */
static void protect_pages(pte_t *table, unsigned level, struct range *r, prot_t prot, cache_t cache,
                          struct change *change)
{
    for (unsigned i = level_slot(r->va, level); i < TABLE_SLOTS && r->npages > 0; i++) {
        if (pte_is_table(table[i], level)) {
            protect_pages(child_of(table[i]), level - 1, r, prot, cache, change);
        } else {
            pte_t page = pte_make_page(pte_page(table[i], level), prot, cache, level);
            if (page.raw != table[i].raw) {
                pte_write(&table[i], page);
                tlb_batch_add(&change->stale, r->va, level_bytes(level));
            }
            skip(r, pages_in_entry(r, level));
        }
    }
}

/* What is to be mapped at the range that a fill is working through. */
struct fill {
    struct range range;
    paddr_t pa;
    prot_t prot;
    cache_t cache;
};

/* True if the next pages can be one page of this level. */
static bool fits_one_page(const struct fill *f, unsigned level)
{
    if (level == LEVEL_PT)
        return true; /* all addresses and sizes are whole pages */
    if (level > (port_cpu()->page_1g ? LEVEL_PDPT : LEVEL_PD))
        return false;
    uint64_t bytes = level_bytes(level);
    return va_aligned(f->range.va, bytes) && pa_aligned(f->pa, bytes) &&
           f->range.npages >= level_pages(level);
}

/* Map the range, of which nothing is mapped yet. On failure f->range is what was not reached. */
static mm_status_t fill_pages(struct space *space, pte_t *table, unsigned level, struct fill *f)
    REQUIRES(space->lock)
{
    for (unsigned i = level_slot(f->range.va, level); i < TABLE_SLOTS && f->range.npages > 0; i++) {
        if (fits_one_page(f, level)) {
            pte_write(&table[i], pte_make_page(f->pa, f->prot, f->cache, level));
            skip(&f->range, level_pages(level));
            f->pa = pa_add(f->pa, level_bytes(level));
            continue;
        }
        mm_status_t status = MM_OK;
        if (!pte_present(table[i]))
            status = add_table(space, &table[i], f->range.va);
        if (status == MM_OK)
            status = fill_pages(space, child_of(table[i]), level - 1, f);
        if (status != MM_OK)
            return status;
    }
    return MM_OK;
}

/* --- Splitting ------------------------------------------------------------ */

/* True if a page of at least this level lies across the border in front of va. */
static bool page_across(struct space *space, vaddr_t va, unsigned level) REQUIRES(space->lock)
{
    if (va_aligned(va, level_bytes(level)))
        return false;
    unsigned found;
    find_slot(space, va, &found);
    return found >= level;
}

/* Tables needed to make both ends of a mapped range the border of a page: for each size one at each
 * end that a page lies across, but only one if that is the same page. */
static unsigned count_splits(struct space *space, vaddr_t start, vaddr_t end) REQUIRES(space->lock)
{
    unsigned count = 0;
    for (unsigned level = LEVEL_PD; level <= LEVEL_PDPT; level++) {
        bool at_start = page_across(space, start, level);
        bool at_end = page_across(space, end, level);
        uint64_t bytes = level_bytes(level);
        bool same = va_eq(va_align_down(start, bytes), va_align_down(end, bytes));
        count += at_start;
        count += at_end && !(at_start && same);
    }
    return count;
}

/* Frames in hand, for splits that must not fail half-way. Each end of a range can lie in a 1 GiB
 * page and then in one of its 2 MiB pieces. */
struct spares {
    paddr_t frames[4];
    unsigned count;
};

static mm_status_t get_spares(struct spares *spares, unsigned count)
{
    ASSERT(count <= sizeof spares->frames / sizeof spares->frames[0]);
    for (spares->count = 0; spares->count < count; spares->count++) {
        mm_status_t status = pmm_alloc_frame(&spares->frames[spares->count]);
        if (status == MM_OK)
            continue;
        while (spares->count > 0)
            pmm_free_frame(spares->frames[--spares->count]);
        return status;
    }
    return MM_OK;
}

/* Put a table of 512 smaller pages in the place of a page: the same translations as before. */
static void split_page(struct space *space, pte_t *slot, unsigned level, vaddr_t va,
                       struct spares *spares) REQUIRES(space->lock)
{
    prot_t prot = pte_prot(*slot);
    cache_t cache = pte_cache(*slot, level);
    paddr_t pa = pte_page(*slot, level);
    paddr_t frame = spares->frames[--spares->count];
    pte_t *table = table_at(frame);
    for (unsigned i = 0; i < TABLE_SLOTS; i++, pa = pa_add(pa, level_bytes(level - 1)))
        table[i] = pte_make_page(pa, prot, cache, level - 1);
    pte_write(slot, pte_make_table(frame, va));
    space->ntables++;
}

/* Make va, where it is mapped, the border of a page. */
static void split_at(struct space *space, vaddr_t va, struct spares *spares) REQUIRES(space->lock)
{
    for (;;) {
        unsigned level;
        pte_t *slot = find_slot(space, va, &level);
        if (va_aligned(va, level_bytes(level)) || !pte_present(*slot))
            return;
        split_page(space, slot, level, va, spares);
    }
}

/* Check that the whole range is mapped, and make its ends borders of pages. A TLB may have cut a
 * large page into entries of its own, of which a flush of one address need not reach all once the
 * page is split: so after a split everything goes. */
static mm_status_t isolate(struct space *space, vaddr_t va, uint64_t npages, struct change *change)
    REQUIRES(space->lock)
{
    struct range all = {va, npages};
    if (!all_pages_are(table_at(space->root), LEVEL_PML4, &all, true))
        return MM_NOTFOUND;
    vaddr_t end = va_add(va, npages * PAGE_BYTES);
    struct spares spares;
    mm_status_t status = get_spares(&spares, count_splits(space, va, end));
    if (status != MM_OK)
        return status;
    if (spares.count > 0)
        tlb_batch_add_all(&change->stale);
    split_at(space, va, &spares);
    split_at(space, end, &spares);
    ASSERT(spares.count == 0);
    return MM_OK;
}

/* --- Checks of arguments -------------------------------------------------- */

/* The range must lie in one of the two canonical halves; it may end
 * with the last byte of either. */
static mm_status_t check_range(vaddr_t va, uint64_t npages)
{
    if (!va_aligned(va, PAGE_BYTES) || npages == 0)
        return MM_INVAL;
    const uint64_t half_pages = LOWER_HALF_END / PAGE_BYTES;
    uint64_t first = va.v / PAGE_BYTES % half_pages;
    if (!canonical(va) || npages > half_pages - first)
        return MM_RANGE;
    return MM_OK;
}

static mm_status_t check_attributes(const struct space *space, vaddr_t va, prot_t prot,
                                    cache_t cache)
{
    const prot_t known = PROT_READ | PROT_WRITE | PROT_EXEC | PROT_USER | PROT_GLOBAL;
    if (prot == 0 || (prot & ~known) != 0 || (unsigned)cache > CACHE_WC)
        return MM_INVAL;
    bool wx = (prot & PROT_WRITE) != 0 && (prot & PROT_EXEC) != 0;
    bool user_in_kernel_half = (prot & PROT_USER) != 0 && (va.v >> 63) != 0;
    return (wx && !space->allow_wx) || user_in_kernel_half ? MM_DENIED : MM_OK;
}

static mm_status_t check_physical(paddr_t pa, uint64_t npages)
{
    if (!pa_aligned(pa, FRAME_BYTES))
        return MM_INVAL;
    uint64_t limit = 1ull << port_cpu()->phys_bits;
    return range_fits(pa.v / FRAME_BYTES, npages, limit / FRAME_BYTES) ? MM_OK : MM_RANGE;
}

/* --- The interface -------------------------------------------------------- */

mm_status_t paging_create(struct space *out)
{
    ASSERT(port_cpu()->levels == LEVEL_PML4);
    paddr_t root;
    mm_status_t status = pmm_alloc_frame(&root);
    if (status != MM_OK)
        return status;
    memset64(table_at(root), 0, TABLE_SLOTS);
    *out = (struct space){.root = root, .ntables = 1, .lock = SPINLOCK_INIT(LOCK_SPACE, "space")};
    return MM_OK;
}

static void free_tables_below(pte_t *table, unsigned level)
{
    for (unsigned i = 0; i < TABLE_SLOTS; i++) {
        if (!pte_is_table(table[i], level))
            continue;
        free_tables_below(child_of(table[i]), level - 1);
        pmm_free_frame(pte_table(table[i]));
    }
}

void paging_destroy(struct space *space)
{
    ASSERT(cpu_set_is_empty(&space->cpus) && !pa_eq(space->root, port_get_root()));
    irq_state_t irq = spin_lock(&space->lock);
    free_tables_below(table_at(space->root), LEVEL_PML4);
    pmm_free_frame(space->root);
    space->ntables = 0;
    spin_unlock(&space->lock, irq);
}

static mm_status_t map_locked(struct space *space, const struct fill *what) REQUIRES(space->lock)
{
    pte_t *root = table_at(space->root);
    struct range all = what->range;
    if (!all_pages_are(root, LEVEL_PML4, &all, false))
        return MM_EXISTS;

    struct fill f = *what;
    mm_status_t status = fill_pages(space, root, LEVEL_PML4, &f);
    if (status == MM_OK)
        return MM_OK; /* entries that were not present are not in any TLB */

    struct change undo = {0};
    all = what->range;
    clear_pages(root, LEVEL_PML4, &all, &undo);
    finish(space, &undo);
    return status;
}

mm_status_t paging_map(struct space *space, vaddr_t va, paddr_t pa, uint64_t npages, prot_t prot,
                       cache_t cache)
{
    mm_status_t status = check_range(va, npages);
    if (status == MM_OK)
        status = check_attributes(space, va, prot, cache);
    if (status == MM_OK)
        status = check_physical(pa, npages);
    if (status != MM_OK)
        return status;

    struct fill fill = {{va, npages}, pa, prot, cache};
    irq_state_t irq = spin_lock(&space->lock);
    status = map_locked(space, &fill);
    spin_unlock(&space->lock, irq);
    return status;
}

mm_status_t paging_unmap(struct space *space, vaddr_t va, uint64_t npages)
{
    mm_status_t status = check_range(va, npages);
    if (status != MM_OK)
        return status;

    irq_state_t irq = spin_lock(&space->lock);
    struct change change = {0};
    status = isolate(space, va, npages, &change);
    if (status == MM_OK) {
        struct range range = {va, npages};
        clear_pages(table_at(space->root), LEVEL_PML4, &range, &change);
        finish(space, &change);
    }
    spin_unlock(&space->lock, irq);
    return status;
}

mm_status_t paging_protect(struct space *space, vaddr_t va, uint64_t npages, prot_t prot,
                           cache_t cache)
{
    mm_status_t status = check_range(va, npages);
    if (status == MM_OK)
        status = check_attributes(space, va, prot, cache);
    if (status != MM_OK)
        return status;

    irq_state_t irq = spin_lock(&space->lock);
    struct change change = {0};
    status = isolate(space, va, npages, &change);
    if (status == MM_OK) {
        struct range range = {va, npages};
        protect_pages(table_at(space->root), LEVEL_PML4, &range, prot, cache, &change);
        finish(space, &change);
    }
    spin_unlock(&space->lock, irq);
    return status;
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
    irq_state_t irq = irq_save();
    unsigned cpu = port_cpu_id();
    cpu_set_add(&space->cpus, cpu); /* before the first walk: see finish */
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
