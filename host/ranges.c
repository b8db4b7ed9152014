/* Owns: the heap's virtual ranges in a Linux process, and the table in which they are found.
 * Relies on: mmap, mprotect, mremap; nothing that could call malloc.
 *
 *     none   pages               none            none      to Linux, what is reserved
 *   | guard | . . . . . . . . . | guard  .  .  .  .  |
 *
 * A range is at least a unit of address space apart from the next one, so a unit has at most one
 * beginning. Its entry says where that is, and which range reaches into it from below: that is
 * written for each unit that the range lies in.
 *
 * Who reads takes no lock. Whoever looks for a range that is there finds it, as its entries do not
 * change meanwhile; for what is none he may read what was or will be there. */
#include "ranges.h"

#include <stddef.h>
#include <sys/mman.h>

#include "mm/addr.h"

#define UNIT_SHIFT 20
#define UNIT_PAGES (1ull << (UNIT_SHIFT - 12))
#define LEAF_UNITS (1ull << 13) /* 8 GiB of addresses */
#define ROOT_SLOTS (1ull << (47 - UNIT_SHIFT - 13))

/* Page numbers; 0: none. All atomic. */
struct unit {
    uint64_t first;  /* the first page of the range that begins here */
    uint64_t npages; /* of that */
    uint64_t below;  /* the first page of the range that the unit begins in the middle of */
    uint64_t object; /* 1: it is one */
};

static struct unit *leaves[ROOT_SLOTS];

#define READ(field)         __atomic_load_n(&(field), __ATOMIC_RELAXED)
#define WRITE(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELAXED)

static uint64_t page_of(const void *p)
{
    return va_number(va_of(p)) / PAGE_BYTES;
}

/* Address space that we have reserved, or are about to give to mmap. */
static void *at_page(uint64_t page)
{
    return (void *)(uintptr_t)(page * PAGE_BYTES);
}

/* --- The table -------------------------------------------------------------------------------- */

/* The unit that a page lies in; NULL if nothing was ever near it. */
static struct unit *unit_of(uint64_t page)
{
    uint64_t number = page / UNIT_PAGES;
    if (number / LEAF_UNITS >= ROOT_SLOTS)
        return NULL;
    struct unit *leaf = __atomic_load_n(&leaves[number / LEAF_UNITS], __ATOMIC_ACQUIRE);
    return leaf != NULL ? &leaf[number % LEAF_UNITS] : NULL;
}

static bool make_leaf(uint64_t number)
{
    struct unit *none = NULL;
    if (number >= ROOT_SLOTS)
        return false;
    if (__atomic_load_n(&leaves[number], __ATOMIC_ACQUIRE) != NULL)
        return true;
    void *leaf = mmap(NULL, LEAF_UNITS * sizeof(struct unit), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (leaf == MAP_FAILED)
        return false;
    if (!__atomic_compare_exchange_n(&leaves[number], &none, leaf, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE))
        munmap(leaf, LEAF_UNITS * sizeof(struct unit)); /* another thread was quicker */
    return true;
}

static bool make_leaves(uint64_t first, uint64_t npages)
{
    uint64_t end = (first + npages - 1) / UNIT_PAGES / LEAF_UNITS;
    for (uint64_t leaf = first / UNIT_PAGES / LEAF_UNITS; leaf <= end; leaf++)
        if (!make_leaf(leaf))
            return false;
    return true;
}

/* Where there are leaves. npages 0: there is no range any more. */
static void note(uint64_t first, uint64_t old_npages, uint64_t npages, bool object)
{
    struct unit *unit = unit_of(first);
    uint64_t most = npages > old_npages ? npages : old_npages;
    WRITE(unit->npages, npages);
    WRITE(unit->object, object);
    WRITE(unit->first, npages > 0 ? first : 0);
    for (uint64_t page = (first / UNIT_PAGES + 1) * UNIT_PAGES; page < first + most;
         page += UNIT_PAGES)
        WRITE(unit_of(page)->below, page < first + npages ? first : 0);
}

bool ranges_find_object(const void *p, void **base, uint64_t *npages)
{
    uint64_t page = page_of(p), first;
    const struct unit *unit = unit_of(page);
    if (unit == NULL)
        return false;
    first = READ(unit->first);
    if (first == 0 || page < first) {
        first = READ(unit->below);
        unit = first != 0 ? unit_of(first) : NULL;
    }
    if (unit == NULL || page - first >= READ(unit->npages) || !READ(unit->object))
        return false;
    *base = at_page(first);
    *npages = READ(unit->npages);
    return true;
}

bool ranges_next_object(void **base, uint64_t *npages)
{
    uint64_t next = *npages != 0 ? page_of(*base) / UNIT_PAGES + 1 : 0;
    for (; next / LEAF_UNITS < ROOT_SLOTS; next++) {
        const struct unit *unit = unit_of(next * UNIT_PAGES);
        if (unit == NULL) {
            next |= LEAF_UNITS - 1;
            continue;
        }
        uint64_t first = READ(unit->first);
        if (first == 0 || !READ(unit->object))
            continue;
        *base = at_page(first);
        *npages = READ(unit->npages);
        return true;
    }
    return false;
}

/* --- Address space ------------------------------------------------------------------------------ */

/* Pages that belong to a range of so many, its guards included. */
static uint64_t reserved_pages(uint64_t npages)
{
    return 2 + (npages > UNIT_PAGES ? npages : UNIT_PAGES);
}

static void unreserve(uint64_t page, uint64_t end)
{
    if (page < end)
        munmap(at_page(page), (end - page) * PAGE_BYTES);
}

/* Reserve addresses; the first page behind a guard. Large ranges are aligned for large pages, which
 * mremap moves as such. 0: there are none. */
static uint64_t reserve(uint64_t npages, uint64_t align)
{
    if (npages >= HUGE_2M / PAGE_BYTES && align < HUGE_2M / PAGE_BYTES)
        align = HUGE_2M / PAGE_BYTES;
    uint64_t all;
    if (__builtin_add_overflow(reserved_pages(npages), align, &all) ||
        all > PADDR_LIMIT / PAGE_BYTES)
        return 0;
    void *p =
        mmap(NULL, all * PAGE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return 0;
    uint64_t page = page_of(p), first = (page + 1 + align - 1) / align * align;
    unreserve(page, first - 1);
    unreserve(first - 1 + reserved_pages(npages), page + all);
    return first;
}

static void release(uint64_t first, uint64_t npages)
{
    unreserve(first - 1, first - 1 + reserved_pages(npages));
}

void *ranges_alloc(const char *name, uint64_t npages, uint64_t align_pages)
{
    uint64_t first = reserve(npages, align_pages);
    if (first == 0)
        return NULL;
    if (mprotect(at_page(first), npages * PAGE_BYTES, PROT_READ | PROT_WRITE) != 0 ||
        !make_leaves(first, npages)) {
        release(first, npages);
        return NULL;
    }
    if (npages >= HUGE_2M / PAGE_BYTES)
        (void)madvise(at_page(first), npages * PAGE_BYTES, MADV_HUGEPAGE); /* a wish */
    note(first, 0, npages, __builtin_strcmp(name, RANGES_OBJECT) == 0);
    return at_page(first);
}

/* The table first: then Linux may give the addresses to another thread. */
void ranges_free(void *base, uint64_t npages)
{
    note(page_of(base), npages, 0, false);
    release(page_of(base), npages);
}

/* What is given back at the end; the new guard is part of it. */
static void *shrink(uint64_t first, uint64_t npages, uint64_t new_npages)
{
    uint64_t end = first - 1 + reserved_pages(npages);
    uint64_t new_end = first - 1 + reserved_pages(new_npages);
    if (mmap(at_page(first + new_npages), (npages - new_npages) * PAGE_BYTES, PROT_NONE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED)
        return NULL;
    note(first, npages, new_npages, true);
    unreserve(new_end, end);
    return at_page(first);
}

/* The pages go elsewhere, into a larger reservation; Linux moves their tables. */
static void *grow(uint64_t first, uint64_t npages, uint64_t new_npages)
{
    uint64_t to = reserve(new_npages, 1);
    if (to == 0)
        return NULL;
    if (!make_leaves(to, new_npages)) {
        release(to, new_npages);
        return NULL;
    }
    note(first, npages, 0, false);
    void *moved = mremap(at_page(first), npages * PAGE_BYTES, new_npages * PAGE_BYTES,
                         MREMAP_MAYMOVE | MREMAP_FIXED, at_page(to));
    if (moved ==
        MAP_FAILED) { /* the place may be another thread's by now: so its addresses are lost */
        note(first, 0, npages, true);
        unreserve(to - 1, to);
        unreserve(to + new_npages, to - 1 + reserved_pages(new_npages));
        return NULL;
    }
    unreserve(first - 1, first);
    unreserve(first + npages, first - 1 + reserved_pages(npages));
    note(to, 0, new_npages, true);
    return moved;
}

void *ranges_resize(void *base, uint64_t npages, uint64_t new_npages)
{
    uint64_t first = page_of(base);
    if (new_npages == npages)
        return base;
    return new_npages < npages ? shrink(first, npages, new_npages)
                               : grow(first, npages, new_npages);
}

void ranges_forget(void)
{
    for (uint64_t i = 0; i < ROOT_SLOTS; i++)
        for (uint64_t u = 0; leaves[i] != NULL && u < LEAF_UNITS; u++)
            if (leaves[i][u].first != 0)
                ranges_free(at_page(leaves[i][u].first), leaves[i][u].npages);
}
