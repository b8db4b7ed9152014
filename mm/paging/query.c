/* Owns: nothing; the part of the paging interface that only reads tables, without a lock.
 * Relies on: tables.h. Stage: from "frames" on.
 *
 * A table may go while it is read, and its frame be used for something else. So after each entry
 * that was read the count of changes is looked at: it grows after a table has gone out of the tree
 * and before its frame is freed. If it is as before, the entry was one of a table; what was read in
 * a frame that had gone is never followed nor believed. The reads come in this order: an x86 does
 * not reorder loads, and they are acquires for the compiler.
 *
 * What an operation is about to free is not yet gone: until then its entry counts as what it was. So
 * nothing is ever seen to be empty between a page and a state that takes its place. */
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

/* What one walk has found: a page, a state or nothing. Not one that is leaving. */
struct found {
    pte_t e;
    unsigned level;
    const pte_t *slot;
    bool alone;       /* nothing at all is in this table: one that stays */
    uint64_t changes; /* when it began */
};

/* False if it must begin again. Unrolled, so that the shifts are constants.
 * before: of what is leaving, find what it was; else it is not present. */
static inline __attribute__((always_inline)) bool try_find(const struct space *space, vaddr_t va,
                                                           bool before, struct found *out)
{
    const struct hhdm window = hhdm;
    paddr_t table = space->root;
    out->alone = false;
    out->changes = __atomic_load_n(&space->changes, __ATOMIC_ACQUIRE);
#pragma clang loop unroll(full)
    for (unsigned level = LEVEL_PML5; level >= LEVEL_PT; level--) {
        if (level == LEVEL_PML5 && space->levels < LEVEL_PML5)
            continue;
        const pte_t *slot = table_through(&window, table) + level_slot(va, level);
        pte_t e = read_slot(slot);
        if (has_changed(space, out->changes))
            return false;
        if (before)
            e = pte_before(e);
        out->e = e;
        out->level = level;
        out->slot = slot;
        if (!pte_is_table(e, level))
            break;
        out->alone = table_count(e) == 0;
        table = pte_table(e);
    }
    return true;
}

/* The kernel's tables are freed in view of its own count of changes. */
static inline const struct space *owner_at(const struct space *space, vaddr_t va)
{
    return is_kernels(space, va) ? space->upper : space;
}

static __attribute__((noinline)) void find(const struct space *space, vaddr_t va, struct found *out)
{
    space = owner_at(space, va);
    while (!try_find(space, va, true, out))
        ;
}

static struct mapping describe(const struct found *f, vaddr_t va)
{
    struct mapping m = {
        .va = va_align_down(va, level_bytes(f->level)),
        .bytes = level_bytes(f->level),
        .page_bytes = level_bytes(f->level),
        .kind = pte_kind(f->e),
    };
    if (m.kind == ENTRY_PAGE) {
        m.pa = pte_page(f->e, f->level);
        m.prot = pte_prot(f->e);
        m.cache = pte_cache(f->e, f->level);
        m.used = pte_used(f->e);
    } else if (m.kind != ENTRY_EMPTY) {
        m.value = state_value(f->e);
        m.prot = state_prot(f->e);
        m.cache = state_cache(f->e);
    }
    return m;
}

mm_status_t paging_look(struct space *space, vaddr_t va, struct mapping *out)
{
    if (!canonical(space, va))
        return MM_RANGE;
    struct found f;
    find(space, va, &f);
    *out = describe(&f, va);
    return MM_OK;
}

mm_status_t paging_query(struct space *space, vaddr_t va, struct mapping *out)
{
    struct mapping m;
    mm_status_t status = paging_look(space, va, &m);
    if (status == MM_OK && m.kind != ENTRY_PAGE)
        status = MM_NOTFOUND;
    if (status == MM_OK)
        *out = m;
    return status;
}

/* A table has gone meanwhile. */
static __attribute__((noinline)) mm_status_t translate_again(struct space *space, vaddr_t va,
                                                             paddr_t *out)
{
    struct mapping m;
    mm_status_t status = paging_query(space, va, &m);
    if (status == MM_OK)
        *out = pa_add(m.pa, va_diff(m.va, va));
    return status;
}

mm_status_t paging_translate(struct space *space, vaddr_t va, paddr_t *out)
{
    if (!canonical(space, va))
        return MM_RANGE;
    struct found f; /* in registers: nobody takes its address */
    if (__builtin_expect(!try_find(owner_at(space, va), va, false, &f), 0))
        return translate_again(space, va, out);
    if (!pte_present(f.e))
        return MM_NOTFOUND;
    uint64_t page = -level_bytes(f.level); /* the bits above those inside of it */
    *out = PA(va.v ^ ((va.v ^ (f.e.raw & PTE_ADDRESS)) & page));
    return MM_OK;
}

/* --- Iteration ------------------------------------------------------------ */

/* The first address behind the entry that covers va; behind its table, if that is empty. */
static inline vaddr_t entry_end(const struct found *f, vaddr_t va)
{
    uint64_t bytes = level_bytes(f->alone ? f->level + 1 : f->level);
    return va_add(va_align_down(va, bytes), bytes);
}

/* How many slots are empty from this one on, which is i in its table: not beyond that half of it (a
 * root's end where the hole is), and less its last. */
static unsigned count_empty(const pte_t *slot, unsigned i)
{
    unsigned n = 0, room = TABLE_SLOTS / 2 - 1 - i % (TABLE_SLOTS / 2);
    while (n < room && read_slot(slot + n).raw == 0)
        n++;
    return n;
}

/* The slot behind one that covers va, some empty ones passed over if that is wanted: in the same table
 * as a rule, without the walk from the root. *va becomes the first address there; false at the end of
 * all. */
static bool go_on(const struct space *space, struct found *f, vaddr_t *va, bool pass)
{
    vaddr_t next = entry_end(f, *va);
    if (!canonical(space, next))
        next = VA(-half_bytes(space));
    if (va_eq(next, VA(0)) || is_kernels(space, next))
        return false;
    *va = next;
    unsigned i = level_slot(next, f->level);
    if (i != 0) {
        struct found beside = *f;
        unsigned empty = pass ? count_empty(f->slot + 1, i) : 0;
        beside.slot += 1 + empty;
        beside.e = pte_before(read_slot(beside.slot));
        if (!has_changed(space, f->changes)) {
            *va = va_add(next, empty * level_bytes(f->level));
            *f = beside;
            if (!pte_is_table(beside.e, f->level))
                return true;
        }
    }
    find(space, *va, f);
    return true;
}

/* True if the entry is what a run goes on with, but for what the CPU has noted in a page. */
static inline bool continues(pte_t e, uint64_t expected)
{
    return ((e.raw ^ expected) & ~PTE_USED) == 0; /* states have nothing there */
}

/* What the next entry of the run is more: a page has other memory. */
static inline uint64_t step_of(const struct found *f)
{
    return pte_present(f->e) ? level_bytes(f->level) : 0;
}

/* How many slots behind f's, in the same table, go on with the run. */
static unsigned scan(const struct space *space, const struct found *f, vaddr_t va, uint64_t *used)
{
    unsigned room = TABLE_SLOTS - 1 - level_slot(va, f->level), n = 0;
    uint64_t step = step_of(f), expected = f->e.raw + step, seen = 0;
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

/* The run that begins at va, with the entry that was found there. A run of pages has one size; one of
 * states need not. *va becomes its end. */
static void follow(const struct space *space, struct found *f, vaddr_t *va, struct mapping *run)
{
    const struct found first = *f;
    uint64_t used = 0;
    bool more;
    do {
        uint64_t bytes = level_bytes(f->level);
        used |= f->e.raw;
        vaddr_t end = va_add(*va, (1ull + scan(space, f, *va, &used)) * bytes);
        run->bytes = va_diff(run->va, end);
        more = !va_eq(end, VA(0)) && canonical(space, end); /* no run goes on over the hole */
        if (more)
            find(space, end, f);
        *va = end;
        more = more && continues(f->e, first.e.raw + (step_of(&first) != 0 ? run->bytes : 0)) &&
               (f->level == first.level || !pte_present(f->e)) &&
               va_aligned(end, level_bytes(f->level));
    } while (more);
    run->used = pte_present(first.e) ? pte_used((pte_t){used}) : 0;
}

mm_status_t paging_next_of(struct space *space, unsigned kinds, vaddr_t *cursor,
                           struct mapping *out)
{
    vaddr_t va = canonical(space, *cursor) ? *cursor : VA(-half_bytes(space));
    struct found f;
    kinds &= ~KIND(ENTRY_EMPTY);
    if (is_kernels(space, va))
        return MM_NOTFOUND;
    find(space, va, &f);
    while ((KIND(pte_kind(f.e)) & kinds) == 0 || !va_aligned(va, level_bytes(f.level)))
        if (!go_on(space, &f, &va, true))
            return MM_NOTFOUND;
    struct mapping run = describe(&f, va);
    follow(space, &f, &va, &run);
    *cursor = va_eq(va, VA(0)) ? VA(UINT64_MAX) : va; /* no entry begins at the last byte */
    *out = run;
    return MM_OK;
}

/* To the slot in front of the one that covers va: in the same table but for 1 of 512. *va becomes its
 * last address; false at the beginning of all. */
static bool go_back(const struct space *space, struct found *f, vaddr_t *va)
{
    vaddr_t first = va_align_down(*va, level_bytes(f->level));
    if (va_eq(first, VA(0)) || !canonical(space, va_sub(first, 1)))
        return false;
    *va = va_sub(first, 1);
    if (level_slot(first, f->level) != 0) {
        struct found beside = *f;
        beside.slot--;
        beside.e = pte_before(read_slot(beside.slot));
        if (!has_changed(space, f->changes) && !pte_is_table(beside.e, f->level)) {
            *f = beside;
            return true;
        }
    }
    find(space, *va, f);
    return true;
}

mm_status_t paging_look_back(struct space *space, unsigned kinds, vaddr_t va, vaddr_t floor,
                             struct mapping *out)
{
    if (!canonical(space, va))
        return MM_RANGE;
    const struct space *owner = owner_at(space, va); /* of all of the half */
    struct found f;
    find(owner, va, &f);
    while ((KIND(pte_kind(f.e)) & kinds) == 0)
        if (!go_back(owner, &f, &va) || va_lt(va, floor))
            return MM_NOTFOUND;
    *out = describe(&f, va);
    return MM_OK;
}

mm_status_t paging_next(struct space *space, vaddr_t *cursor, struct mapping *out)
{
    return paging_next_of(space, KIND(ENTRY_PAGE), cursor, out);
}

/* How many slots behind f's, in the same table, are as empty as it is, or as much in use. */
static unsigned alike(const struct space *space, const struct found *f, vaddr_t va)
{
    unsigned room = TABLE_SLOTS - 1 - level_slot(va, f->level), n = 0;
    bool used = f->e.raw != 0;
    for (; n < room; n++) {
        pte_t e = read_slot(f->slot + 1 + n);
        if ((e.raw != 0) != used || pte_is_table(e, f->level) || pte_is_leaving(e))
            break;
    }
    return has_changed(space, f->changes) ? 0 : n;
}

mm_status_t paging_find_empty(struct space *space, vaddr_t from, vaddr_t limit, uint64_t npages,
                              uint64_t align, vaddr_t *out)
{
    const uint64_t room = va_diff(from, limit);
    if (!va_lt(from, limit) || npages == 0 || align == 0 || (align & (align - 1)) != 0)
        return MM_INVAL;
    if (check_range(space, va_align_down(from, PAGE_BYTES), (room - 1) / PAGE_BYTES + 1) != MM_OK)
        return MM_RANGE;
    if (npages > room / PAGE_BYTES)
        return MM_NOTFOUND;
    const uint64_t bytes = npages * PAGE_BYTES;
    vaddr_t start = va_align_up(from, align * PAGE_BYTES), va = start;
    struct found f;
    bool found = false;
    for (bool again = true; va_le(from, start) && range_fits(start.v, bytes, limit.v);) {
        if (again)
            find(space, va, &f);
        unsigned n = alike(space, &f, va); /* on to the last of these */
        f.slot += n;
        va = va_add(va, n * level_bytes(f.level));
        vaddr_t end = entry_end(&f, va);
        found = f.e.raw == 0 && va_diff(start, end) >= bytes;
        if (found)
            break;
        if (f.e.raw != 0)
            start = va_align_up(end, align * PAGE_BYTES);
        again = va_lt(end, start);
        if (again)
            va = start;
        else if (!go_on(space, &f, &va, false))
            break;
    }
    if (found)
        *out = start;
    return found ? MM_OK : MM_NOTFOUND;
}

/* --- For people ----------------------------------------------------------- */

static struct paging_step describe_step(paddr_t table, unsigned level, unsigned slot, pte_t e)
{
    struct paging_step step = {.table = table, .level = level, .slot = slot, .raw = e.raw};
    if (!pte_is_table(e, level))
        return step;
    step.is_table = true;
    step.entries = table_count(e);
    step.has_states = (e.raw & TABLE_STATES) != 0;
    step.stays = (e.raw & TABLE_PINNED) != 0;
    step.locked = (e.raw & TABLE_LOCKED) != 0;
    return step;
}

/* 0 if it must begin again. */
static unsigned try_walk(const struct space *space, vaddr_t va, struct paging_step *steps)
{
    const struct space *owner = owner_at(space, va); /* of all tables but the root */
    uint64_t changes = __atomic_load_n(&owner->changes, __ATOMIC_ACQUIRE);
    paddr_t table = space->root;
    unsigned n = 0;
    for (unsigned level = space->levels;; level--) {
        unsigned slot = level_slot(va, level);
        pte_t e = read_slot(table_at(table) + slot);
        if (has_changed(owner, changes))
            return 0;
        steps[n++] = describe_step(table, level, slot, e);
        if (!pte_is_table(e, level))
            return n;
        table = pte_table(e);
    }
}

unsigned paging_walk(struct space *space, vaddr_t va, struct paging_step steps[PAGING_STEPS])
{
    unsigned n = 0;
    while (canonical(space, va) && n == 0)
        n = try_walk(space, va, steps);
    return n;
}
