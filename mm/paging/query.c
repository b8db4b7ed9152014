/* Owns: nothing; the part of the paging interface that only reads tables, without a lock.
 * Relies on: tables.h. Stage: from "frames" on.
 *
 * A table may go while it is read, and its frame be used for something else. So after each entry
 * that was read the count of changes is looked at: it grows after a table has gone out of the tree
 * and before its frame is freed. If it is as before, the entry was one of a table; what was read in
 * a frame that had gone is never followed nor believed. The reads come in this order: an x86 does
 * not reorder loads, and they are acquires for the compiler. */
#include "range.h"

/* Readers look at frames that may be others' by now: the thread sanitizer must not. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define NO_RACE_CHECK __attribute__((noinline, disable_sanitizer_instrumentation))
#endif
#endif
#ifndef NO_RACE_CHECK
#define NO_RACE_CHECK inline __attribute__((always_inline))
#endif

static NO_RACE_CHECK pte_t read_slot(const pte_t *slot)
{
    return pte_read(slot);
}

static inline bool has_changed(const struct space *space, uint64_t changes)
{
    return __atomic_load_n(&space->changes, __ATOMIC_RELAXED) != changes;
}

/* What one walk has found: a page, a state or nothing. */
struct found {
    pte_t e;
    unsigned level;
    const pte_t *slot;
    uint64_t changes; /* when it began */
};

/* False if it must begin again. Unrolled, so that the shifts are constants. */
static inline __attribute__((always_inline)) bool try_find(const struct space *space, vaddr_t va,
                                                           struct found *out)
{
    const struct hhdm window = hhdm;
    paddr_t table = space->root;
    out->changes = __atomic_load_n(&space->changes, __ATOMIC_ACQUIRE);
#pragma clang loop unroll(full)
    for (unsigned level = LEVEL_PML5; level >= LEVEL_PT; level--) {
        if (level == LEVEL_PML5 && space->levels < LEVEL_PML5)
            continue;
        const pte_t *slot = table_through(&window, table) + level_slot(va, level);
        pte_t e = read_slot(slot);
        if (has_changed(space, out->changes))
            return false;
        out->e = e;
        out->level = level;
        out->slot = slot;
        if (!pte_is_table(e, level))
            break;
        table = pte_table(e);
    }
    return true;
}

static __attribute__((noinline)) void find(const struct space *space, vaddr_t va, struct found *out)
{
    while (!try_find(space, va, out))
        ;
}

static struct mapping describe(pte_t page, unsigned level, vaddr_t va)
{
    return (struct mapping){
        .va = va_align_down(va, level_bytes(level)),
        .pa = pte_page(page, level),
        .bytes = level_bytes(level),
        .page_bytes = level_bytes(level),
        .prot = pte_prot(page),
        .cache = pte_cache(page, level),
        .used = pte_used(page),
    };
}

mm_status_t paging_query(struct space *space, vaddr_t va, struct mapping *out)
{
    if (!canonical(space, va))
        return MM_RANGE;
    struct found f;
    find(space, va, &f);
    if (!pte_present(f.e))
        return MM_NOTFOUND;
    *out = describe(f.e, f.level, va);
    return MM_OK;
}

mm_status_t paging_translate(struct space *space, vaddr_t va, paddr_t *out)
{
    if (!canonical(space, va))
        return MM_RANGE;
    struct found f, again;
    if (__builtin_expect(!try_find(space, va, &f), 0)) {
        find(space, va, &again);
        f = again; /* its address is not taken: it stays in registers */
    }
    if (!pte_present(f.e))
        return MM_NOTFOUND;
    uint64_t inside = level_bytes(f.level) - 1;
    *out = PA((f.e.raw & PTE_ADDRESS & ~inside) | (va.v & inside));
    return MM_OK;
}

mm_status_t paging_reserved(struct space *space, vaddr_t va, pte_t *out)
{
    if (!canonical(space, va))
        return MM_RANGE;
    struct found f;
    find(space, va, &f);
    if (pte_present(f.e) || pte_state_kind(f.e) == 0)
        return MM_NOTFOUND;
    *out = f.e;
    return MM_OK;
}

/* --- Iteration ------------------------------------------------------------ */

/* The slot behind one that covers va: in the same table but for 1 of 512, without the walk from the
 * root. *va becomes the first address there; false at the end of all. */
static bool go_on(const struct space *space, struct found *f, vaddr_t *va)
{
    vaddr_t next = va_add(va_align_down(*va, level_bytes(f->level)), level_bytes(f->level));
    if (va_eq(next, VA(0)))
        return false;
    if (!canonical(space, next))
        next = VA(-half_bytes(space));
    *va = next;
    if (level_slot(next, f->level) != 0) {
        struct found beside = *f;
        beside.slot++;
        beside.e = read_slot(beside.slot);
        if (!has_changed(space, f->changes) && !pte_is_table(beside.e, f->level)) {
            *f = beside;
            return true;
        }
    }
    find(space, next, f);
    return true;
}

/* True if the entry is a page that a run goes on with: what is expected, but for what the CPU has
 * noted. */
static inline bool continues(pte_t e, uint64_t expected)
{
    return ((e.raw ^ expected) & ~PTE_USED) == 0;
}

/* How many slots behind f's, in the same table, go on with the run. */
static unsigned scan(const struct space *space, const struct found *f, vaddr_t va, uint64_t *used)
{
    unsigned room = TABLE_SLOTS - 1 - level_slot(va, f->level), n = 0;
    uint64_t step = level_bytes(f->level), expected = f->e.raw + step, seen = 0;
    for (; n < room; n++, expected += step) {
        pte_t e = read_slot(f->slot + 1 + n);
        if (!continues(e, expected))
            break;
        seen |= e.raw;
    }
    if (has_changed(space, f->changes))
        return 0;
    *used |= seen;
    return n;
}

mm_status_t paging_next(struct space *space, vaddr_t *cursor, struct mapping *out)
{
    vaddr_t va = canonical(space, *cursor) ? *cursor : VA(-half_bytes(space));
    struct found f;
    find(space, va, &f);
    while (!pte_present(f.e) || !va_aligned(va, level_bytes(f.level)))
        if (!go_on(space, &f, &va))
            return MM_NOTFOUND;

    struct mapping run = describe(f.e, f.level, va);
    unsigned level = f.level;
    uint64_t used = 0, first = f.e.raw;
    bool more;
    do {
        used |= f.e.raw;
        va = va_add(va, scan(space, &f, va, &used) * run.page_bytes);
        vaddr_t end = va_add(va, run.page_bytes);
        run.bytes = va_diff(run.va, end);
        more = !va_eq(end, VA(0)) && canonical(space, end); /* no run goes on over the hole */
        if (more)
            find(space, end, &f);
        va = end;
    } while (more && f.level == level && continues(f.e, first + run.bytes));
    run.used = pte_used((pte_t){used});
    *cursor = va_eq(va, VA(0)) ? VA(UINT64_MAX) : va; /* no page begins at the last byte */
    *out = run;
    return MM_OK;
}
