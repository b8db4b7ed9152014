/* Owns: the tree of lines of one window, and the frames that they are in.
 * Relies on: the pmm for frames; pmm/line.h for what a line is. Stage: "frames".
 *
 * A unit of which nothing is given out is a 1 in its line, with no line below it. Any other is a
 * 0: with a line below if it was ever given out in part since then, else it is all given out. A
 * line of which nothing is given out any more goes at once, but one that is all given out stays:
 * so giving back what was allocated as one never needs a line that is not there.
 *
 * The lines of each level are in lists by their largest free run, as the frame allocator's
 * blocks are: a place is found without a look at what is given out. */
#include "window.h"

#include "lock.h"
#include "mm/hhdm.h"
#include "mm/pmm.h"
#include "mm/string.h"
#include "../pmm/line.h"

#define LEVELS       4u  /* units: 1 pages, 2 pieces of 2 MiB, 3 GiBs, 4 of 512 GiB */
#define CLASSES      11u /* line_class: 0 .. 10 */
#define CLASS_EMPTY  10u /* nothing is given out */
#define TRIES        16u /* lines that may have room, before one that is sure to */
#define UNITS        BLOCK_FRAMES
#define WINDOW_UNITS (unsigned)(WINDOW_PAGES_MAX / WINDOW_ALIGN_MAX) /* of level 4 */

struct line {
    uint64_t free[LINE_ROWS];  /* of its units */
    struct line *next, **link; /* in the list of its class; what points to it */
    struct line **below;       /* a frame, for the lines of its units; NULL at level 1 */
    uint64_t first : 48;       /* page */
    uint64_t level : 8;
    uint64_t class : 8;
};

/* A frame of lines. */
struct shelf {
    struct shelf *next, **link; /* in the list of those with room */
    struct line *spare;
    uint64_t used; /* lines */
};
#define SHELF_LINES ((FRAME_BYTES - sizeof(struct shelf)) / sizeof(struct line))
_Static_assert(SHELF_LINES == 42, "the figures in window.h");

static struct spinlock lock = SPINLOCK_INIT(LOCK_WINDOW, "window");
static struct {
    vaddr_t base;
    uint64_t npages;
    struct line root; /* level 4 */
    struct line *below_root[WINDOW_UNITS];
    struct line *lists[LEVELS + 1][CLASSES];
    struct shelf *shelves; /* with room */
    struct window_stats stats;
} window GUARDED_BY(lock);

static const struct pmm_limits for_lines = {.kind = PMM_LONG, .zeroed = true};

static uint64_t unit_pages(unsigned level)
{
    return 1ull << 9 * (level - 1);
}

/* --- Lines ---------------------------------------------------------------- */

static mm_status_t get_frame(void **out) REQUIRES(lock)
{
    paddr_t frame;
    mm_status_t status = pmm_alloc_batch(1, &for_lines, &frame);
    if (status != MM_OK)
        return status;
    window.stats.frames++;
    *out = phys_to_virt(frame);
    return MM_OK;
}

static void put_frame(void *frame) REQUIRES(lock)
{
    window.stats.frames--;
    pmm_free_frame(virt_to_phys(frame));
}

static void shelf_insert(struct shelf *shelf) REQUIRES(lock)
{
    shelf->next = window.shelves;
    shelf->link = &window.shelves;
    if (shelf->next != NULL)
        shelf->next->link = &shelf->next;
    window.shelves = shelf;
}

static void shelf_remove(struct shelf *shelf)
{
    *shelf->link = shelf->next;
    if (shelf->next != NULL)
        shelf->next->link = shelf->link;
}

static mm_status_t shelf_make(void) REQUIRES(lock)
{
    void *frame;
    mm_status_t status = get_frame(&frame);
    if (status != MM_OK)
        return status;
    struct shelf *shelf = frame;
    struct line *lines = (struct line *)(shelf + 1);
    for (unsigned i = 0; i < SHELF_LINES; i++) {
        lines[i].next = shelf->spare;
        shelf->spare = &lines[i];
    }
    shelf_insert(shelf);
    return MM_OK;
}

static void line_give(struct line *line) REQUIRES(lock)
{
    struct shelf *shelf = (struct shelf *)((uintptr_t)line & ~(FRAME_BYTES - 1)); /* its frame */
    if (shelf->spare == NULL)
        shelf_insert(shelf);
    line->next = shelf->spare;
    shelf->spare = line;
    if (--shelf->used == 0) {
        shelf_remove(shelf);
        put_frame(shelf);
    }
}

static mm_status_t line_take(struct line **out) REQUIRES(lock)
{
    mm_status_t status = window.shelves != NULL ? MM_OK : shelf_make();
    if (status != MM_OK)
        return status;
    struct shelf *shelf = window.shelves;
    *out = shelf->spare;
    shelf->spare = shelf->spare->next;
    shelf->used++;
    if (shelf->spare == NULL)
        shelf_remove(shelf);
    return MM_OK;
}

/* Into the list of its class. */
static void line_insert(struct line *line) REQUIRES(lock)
{
    struct line **head = &window.lists[line->level][line->class];
    line->next = *head;
    line->link = head;
    if (line->next != NULL)
        line->next->link = &line->next;
    *head = line;
}

static void line_remove(struct line *line)
{
    *line->link = line->next;
    if (line->next != NULL)
        line->next->link = line->link;
}

static bool line_is_free(const struct line *line, unsigned i)
{
    return line->free[i / ROW_FRAMES] >> i % ROW_FRAMES & 1;
}

static void line_set(struct line *line, unsigned first, unsigned n, bool is_free)
{
    for (unsigned r = first / ROW_FRAMES; r <= (first + n - 1) / ROW_FRAMES; r++) {
        uint64_t mask = line_mask(first, first + n - 1, r);
        line->free[r] = is_free ? line->free[r] | mask : line->free[r] & ~mask;
    }
}

static bool line_has_free(const struct line *line, unsigned first, unsigned n)
{
    uint64_t any = 0;
    for (unsigned r = first / ROW_FRAMES; r <= (first + n - 1) / ROW_FRAMES; r++)
        any |= line->free[r] & line_mask(first, first + n - 1, r);
    return any != 0;
}

/* The line below a unit, which says for all its units what the unit's bit does. */
static mm_status_t line_make(struct line *above, unsigned i) REQUIRES(lock)
{
    struct line *line;
    mm_status_t status = line_take(&line);
    if (status != MM_OK)
        return status;
    void *below = NULL;
    if (above->level > 2 && (status = get_frame(&below)) != MM_OK) {
        line_give(line);
        return status;
    }
    *line = (struct line){.below = below, .level = above->level - 1};
    line->first = above->first + i * unit_pages(above->level);
    line->class = line_is_free(above, i) ? CLASS_EMPTY : 0;
    line_set(line, 0, UNITS, line->class == CLASS_EMPTY);
    line_insert(line);
    above->below[i] = line;
    return MM_OK;
}

/* The line below a unit goes, with all below it. */
static void line_drop(struct line *above, unsigned i) REQUIRES(lock)
{
    struct line *line = above->below[i];
    above->below[i] = NULL;
    for (unsigned j = 0; line->below != NULL && j < UNITS; j++)
        if (line->below[j] != NULL)
            line_drop(line, j);
    if (line->below != NULL)
        put_frame(line->below);
    line_remove(line);
    line_give(line);
}

/* --- Cutting -------------------------------------------------------------- */

/* The uppermost line that was made; above is NULL if none was. */
struct made {
    struct line *above;
    unsigned i;
};

static void cut_undo(const struct made *made) REQUIRES(lock)
{
    if (made->above != NULL)
        line_drop(made->above, made->i);
}

/* Make the lines that it takes for what is below the page to differ from what is above. */
static mm_status_t cut_at(uint64_t page, struct made *made) REQUIRES(lock)
{
    *made = (struct made){0};
    for (struct line *line = &window.root; page % unit_pages(line->level) != 0;) {
        unsigned i = (unsigned)((page - line->first) / unit_pages(line->level));
        if (line->below[i] == NULL) {
            mm_status_t status = line_make(line, i);
            if (status != MM_OK) {
                cut_undo(made);
                return status;
            }
            if (made->above == NULL)
                *made = (struct made){line, i};
        }
        line = line->below[i];
    }
    return MM_OK;
}

/* At both ends, or nowhere. */
static mm_status_t cut(uint64_t first, uint64_t npages) REQUIRES(lock)
{
    struct made low, high;
    mm_status_t status = cut_at(first, &low);
    if (status != MM_OK)
        return status;
    status = cut_at(first + npages, &high);
    if (status != MM_OK)
        cut_undo(&low);
    return status;
}

/* --- Giving out and taking back ------------------------------------------- */

/* Units become given out or free, and the line goes to another list. */
static void set_units(struct line *line, unsigned first, unsigned n, bool is_free) REQUIRES(lock)
{
    line_set(line, first, n, is_free);
    unsigned class = line_class(line->free);
    if (line->class == class)
        return;
    line_remove(line);
    line->class = class;
    line_insert(line);
}

static void mark(struct line *line, uint64_t from, uint64_t to, bool is_free) REQUIRES(lock);

/* Part of a unit. */
static void mark_below(struct line *line, unsigned i, uint64_t from, uint64_t to, bool is_free)
    REQUIRES(lock)
{
    struct line *below = line->below[i];
    mark(below, from, to, is_free);
    bool empty = below->class == CLASS_EMPTY;
    if (line_is_free(line, i) != empty)
        set_units(line, i, 1, empty);
    if (empty)
        line_drop(line, i);
}

/* Give the pages [from, to) of a line, counted from its first, out or take them back. They are all
 * free, or all given out, and cut. */
static void mark(struct line *line, uint64_t from, uint64_t to, bool is_free) REQUIRES(lock)
{
    uint64_t unit = unit_pages(line->level);
    unsigned i = (unsigned)(from / unit), end = (unsigned)(to / unit);
    if (from % unit != 0) {
        uint64_t stop = i == end ? to : (i + 1) * unit;
        mark_below(line, i, from % unit, stop - i * unit, is_free);
        i++;
    }
    if (i <= end && to % unit != 0)
        mark_below(line, end, 0, to % unit, is_free);
    for (unsigned j = i; is_free && line->below != NULL && j < end; j++)
        if (line->below[j] != NULL)
            line_drop(line, j);
    if (i < end)
        set_units(line, i, end - i, is_free);
}

/* The line of pages that lie in one piece, so that there is nothing to cut; NULL if there is none. */
static struct line *find_line(uint64_t first, uint64_t npages) REQUIRES(lock)
{
    if (first / UNITS != (first + npages - 1) / UNITS)
        return NULL;
    struct line *line = &window.root;
    while (line != NULL && line->level > 1)
        line = line->below[first / unit_pages(line->level) % UNITS];
    return line;
}

/* The same for pages of the window: mostly no other line changes than theirs. */
static void mark_pages(uint64_t first, uint64_t npages, bool is_free) REQUIRES(lock)
{
    struct line *line = find_line(first, npages);
    bool whole = line == NULL || line->class == CLASS_EMPTY; /* the line above need not say 0 */
    if (!whole) {
        set_units(line, first % UNITS, (unsigned)npages, is_free);
        whole = line->class == CLASS_EMPTY;
    }
    if (whole)
        mark(&window.root, first, first + npages, is_free);
}

/* True if all pages [from, to) of a line are given out. */
static bool is_used(const struct line *line, uint64_t from, uint64_t to)
{
    uint64_t unit = unit_pages(line->level);
    for (uint64_t stop; from < to; from = stop) {
        unsigned i = (unsigned)(from / unit);
        stop = (i + 1) * unit < to ? (i + 1) * unit : to;
        if (line_is_free(line, i))
            return false;
        const struct line *below = line->below != NULL ? line->below[i] : NULL;
        if (below != NULL && !is_used(below, from - i * unit, stop - i * unit))
            return false;
    }
    return true;
}

/* --- Finding -------------------------------------------------------------- */

/* The first page of n free units of this level, at a multiple of align units. A line of a class
 * above 'sure' has them, one of that class may. */
static bool find_units(unsigned level, unsigned n, unsigned align, uint64_t *out) REQUIRES(lock)
{
    unsigned sure = order_for(n > align ? n : align);
    for (unsigned class = sure > 0 ? sure : 1; class < CLASSES; class ++) {
        const struct line *line = window.lists[level][class];
        for (unsigned tries = 0; line != NULL && tries < TRIES; line = line->next, tries++) {
            unsigned i = line_find_run(line->free, n, align);
            if (i != LINE_NONE) {
                *out = line->first + i * unit_pages(level);
                return true;
            }
        }
    }
    return false;
}

/* The smallest units that will do. Those of a level may all be within larger ones that are free. */
static bool find_pages(uint64_t npages, uint64_t align, uint64_t *out) REQUIRES(lock)
{
    for (unsigned level = 1; level <= LEVELS; level++) {
        uint64_t unit = unit_pages(level);
        uint64_t n = (npages + unit - 1) / unit, every = align > unit ? align / unit : 1;
        if (n <= UNITS && every <= UNITS && find_units(level, (unsigned)n, (unsigned)every, out))
            return true;
    }
    return false;
}

/* --- What others call ----------------------------------------------------- */

mm_status_t window_init(vaddr_t base, uint64_t npages)
{
    if (!va_aligned(base, WINDOW_ALIGN_MAX * PAGE_BYTES) || npages == 0 ||
        npages > WINDOW_PAGES_MAX)
        return MM_INVAL;
    irq_state_t irq = spin_lock(&lock);
    memset(&window, 0, sizeof window);
    window.base = base;
    window.npages = npages;
    window.root.level = LEVELS;
    window.root.below = window.below_root;
    line_insert(&window.root);
    /* What there is becomes free, so that its end needs lines at most. */
    mm_status_t status = cut(0, npages);
    if (status == MM_OK)
        mark(&window.root, 0, npages, true);
    spin_unlock(&lock, irq);
    return status;
}

mm_status_t window_alloc(uint64_t npages, uint64_t align, uint64_t lead, vaddr_t *out)
{
    if (lead >= npages || npages > WINDOW_PAGES_MAX || align == 0 || (align & (align - 1)) != 0 ||
        align > WINDOW_ALIGN_MAX)
        return MM_INVAL;
    uint64_t skip = -lead & (align - 1), first = 0; /* free pages that stay so, in front */
    irq_state_t irq = spin_lock(&lock);
    mm_status_t status = MM_NOMEM;
    if (find_pages(skip + npages, align, &first)) {
        first += skip;
        status = find_line(first, npages) != NULL ? MM_OK : cut(first, npages);
    }
    if (status == MM_OK) {
        mark_pages(first, npages, false);
        window.stats.npages += npages;
        *out = va_add(window.base, first * PAGE_BYTES);
    }
    spin_unlock(&lock, irq);
    return status;
}

/* The first page of a range that is given out, with its ends cut. */
static mm_status_t find_used(vaddr_t va, uint64_t npages, uint64_t *out) REQUIRES(lock)
{
    uint64_t first = va_diff(window.base, va) / PAGE_BYTES;
    if (npages == 0 || !va_aligned(va, PAGE_BYTES) || va_lt(va, window.base) ||
        !range_fits(first, npages, window.npages))
        return MM_INVAL;
    *out = first;
    const struct line *line = find_line(first, npages);
    if (line != NULL)
        return line_has_free(line, first % UNITS, (unsigned)npages) ? MM_NOTFOUND : MM_OK;
    return is_used(&window.root, first, first + npages) ? cut(first, npages) : MM_NOTFOUND;
}

mm_status_t window_free(vaddr_t va, uint64_t npages)
{
    uint64_t first;
    irq_state_t irq = spin_lock(&lock);
    mm_status_t status = find_used(va, npages, &first);
    if (status == MM_OK) {
        mark_pages(first, npages, true);
        window.stats.npages -= npages;
    }
    spin_unlock(&lock, irq);
    return status;
}

mm_status_t window_cut(vaddr_t va, uint64_t npages)
{
    uint64_t first;
    irq_state_t irq = spin_lock(&lock);
    mm_status_t status = find_used(va, npages, &first);
    spin_unlock(&lock, irq);
    return status;
}

void window_get_stats(struct window_stats *out)
{
    irq_state_t irq = spin_lock(&lock);
    *out = window.stats;
    spin_unlock(&lock, irq);
}

/* --- Validation ----------------------------------------------------------- */

/* What is found below a line. */
struct census {
    uint64_t lines, used; /* pages */
    bool good;
};

static void count_line(const struct line *line, struct census *census)
{
    uint64_t unit = unit_pages(line->level);
    census->lines++;
    census->good = census->good && line->class == line_class(line->free) && *line->link == line &&
                   (line->level == LEVELS || line->class != CLASS_EMPTY);
    for (unsigned i = 0; i < UNITS; i++) {
        bool can = line->level > 1 && (line->level < LEVELS || i < WINDOW_UNITS);
        const struct line *below = can ? line->below[i] : NULL;
        if (below != NULL) {
            census->good = census->good && !line_is_free(line, i) &&
                           below->level + 1 == line->level &&
                           below->first == line->first + i * unit;
            count_line(below, census);
        } else {
            census->used += line_is_free(line, i) ? 0 : unit;
        }
    }
}

bool window_validate(void)
{
    irq_state_t irq = spin_lock(&lock);
    struct census census = {.good = true};
    count_line(&window.root, &census);
    /* What is behind the window counts as given out. */
    uint64_t behind = unit_pages(LEVELS + 1) - window.npages;
    uint64_t listed = 0;
    for (unsigned level = 1; level <= LEVELS; level++)
        for (unsigned class = 0; class < CLASSES; class ++)
            for (const struct line *l = window.lists[level][class]; l != NULL; l = l->next)
                listed += l->level == level && l->class == class;
    bool good =
        census.good && census.used == window.stats.npages + behind && listed == census.lines;
    spin_unlock(&lock, irq);
    return good;
}
