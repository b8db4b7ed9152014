/* Owns: nothing; frames between the pmm and the tree. Relies on: the pmm. Stage: "frames". */
#include "pool.h"

static const struct pmm_limits for_tables = {.kind = PMM_LONG};

void pool_empty(struct pool *pool)
{
    if (pool->nfew > 0)
        pmm_free_batch(pool->few, pool->nfew);
    pool->nfew = 0;
    while (pool->directories != NULL) {
        struct directory *d = pool->directories;
        pool->directories = d->next;
        pmm_free_batch(d->frames, d->count);
        pmm_free_frame(virt_to_phys(d));
    }
}

/* A directory with up to n - 1 frames: n with its own. */
static mm_status_t add_directory(struct pool *pool, uint64_t n)
{
    paddr_t frame;
    mm_status_t status = pmm_alloc_batch(1, &for_tables, &frame);
    if (status != MM_OK)
        return status;
    struct directory *d = phys_to_virt(frame);
    d->taken = 0;
    d->count = (uint32_t)n - 1;
    status = d->count > 0 ? pmm_alloc_batch(d->count, &for_tables, d->frames) : MM_OK;
    if (status != MM_OK) {
        pmm_free_frame(frame);
        return status;
    }
    d->next = pool->directories;
    pool->directories = d;
    return MM_OK;
}

mm_status_t pool_fill(struct pool *pool, uint64_t n)
{
    pool->nfew = 0;
    pool->directories = NULL;
    if (n == 0)
        return MM_OK;
    if (n <= POOL_FEW) {
        mm_status_t status = pmm_alloc_batch(n, &for_tables, pool->few);
        pool->nfew = status == MM_OK ? (unsigned)n : 0;
        return status;
    }
    while (n > 0) {
        uint64_t some = n < DIRECTORY_FRAMES + 1 ? n : DIRECTORY_FRAMES + 1;
        mm_status_t status = add_directory(pool, some);
        if (status != MM_OK) {
            pool_empty(pool);
            return status;
        }
        n -= some;
    }
    return MM_OK;
}

paddr_t pool_take(struct pool *pool)
{
    if (pool->nfew > 0)
        return pool->few[--pool->nfew];
    struct directory *d = pool->directories;
    ASSERT(d != NULL);
    if (d->taken < d->count)
        return d->frames[d->taken++]; /* upwards, as they mostly are, for the CPU's prefetcher */
    pool->directories = d->next;
    return virt_to_phys(d);
}

/* No entry leads to the tables any more. Who reads without a lock has perhaps read one that did: it
 * finds the number changed, and does not believe what it has read in the table. */
static void free_tables(struct bin *bin)
{
    if (bin->count == 0)
        return;
    __atomic_fetch_add(&bin->space->changes, 1, __ATOMIC_SEQ_CST);
    pmm_free_batch(bin->frames, bin->count);
    bin->count = 0;
}

static void release_run(struct bin *bin)
{
    if (bin->run.nframes > 0)
        bin->space->hooks->release(bin->run.base, bin->run.nframes);
    bin->run.nframes = 0;
}

void bin_empty(struct bin *bin)
{
    release_run(bin);
    free_tables(bin);
}

void bin_add(struct bin *bin, paddr_t frame)
{
    if (bin->count == sizeof bin->frames / sizeof bin->frames[0])
        free_tables(bin);
    bin->frames[bin->count++] = frame;
    bin->total++;
}

void bin_add_page(struct bin *bin, pte_t page, unsigned level)
{
    paddr_t base = pte_page(page, level);
    if (level > LEVEL_PT) {
        bin->space->hooks->release(base, level_pages(level));
    } else if (!run_add(&bin->run, base)) {
        release_run(bin);
        bin->run = (struct run){base, 1};
    }
}

void bin_add_tree(struct bin *bin, pte_t link, unsigned level)
{
    const pte_t *table = child_of(link);
    bool owned = (link.raw & TABLE_OWNED) != 0;
    for (unsigned i = 0; (level > LEVEL_PT || owned) && i < TABLE_SLOTS; i++) {
        pte_t e = pte_read(&table[i]);
        if (e.raw == 0)
            continue;
        e = pte_before(e);
        if (pte_is_table(e, level))
            bin_add_tree(bin, e, level - 1);
        else if (pte_is_owned(e))
            bin_add_page(bin, e, level);
        else if (pte_present(e))
            i += pages_in_a_row(&table[i + 1], TABLE_SLOTS - i - 1, level, PTE_OWNED);
    }
    bin_add(bin, pte_table(link));
}
