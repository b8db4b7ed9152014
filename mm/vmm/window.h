/* The addresses of a window of the kernel's half: which are given out. Nothing is mapped here.
 * Internal to mm/vmm/.
 *
 * A tree of lines (pmm/line.h) of 512 units each: pages of 4 KiB make a piece of 2 MiB, pieces a
 * GiB, GiBs 512 of them, and those the window. A line is there only where some of a unit is
 * given out and some is not, or was: so a TiB is given out by a handful of words. Runs up to 512
 * units of one level never lie across a unit of the next.
 *
 * Memory: 100 bytes for each piece that is given out in part, 4.2 KiB for each such GiB and each
 * such 512 GiB: at most 56 KiB for each GiB of which something is given out, 12 KiB in all while
 * few ranges are. All of it goes back.
 * Time: does not grow with the number of ranges. Alloc and free: a few words at each of four
 * levels.
 * locking: its own spinlock, LOCK_WINDOW; any CPU. Calls the pmm with it held.
 * Stage: from window_init on. */
#ifndef QL_VMM_WINDOW_H
#define QL_VMM_WINDOW_H

#include "mm/addr.h"
#include "status.h"

/* What a window may be at most, and the largest alignment of a range in it: 32 TiB and 512 GiB. */
#define WINDOW_PAGES_MAX (1ull << 33)
#define WINDOW_ALIGN_MAX (1ull << 27)

/* An empty window; the one before is forgotten, its lines must have gone with its machine (tests).
 * units:   base a multiple of WINDOW_ALIGN_MAX pages; npages 1 .. WINDOW_PAGES_MAX
 * errors:  MM_NOMEM (its end may need lines), MM_INVAL */
mm_status_t window_init(vaddr_t base, uint64_t npages) MUST_USE;

/* Give npages addresses out, low and dense as a rule.
 * units:   the address 'lead' pages behind *out is a multiple of align: a power of two, in
 *          pages, up to WINDOW_ALIGN_MAX. Without a guard in front lead is 0. lead < npages
 * out:     the first; untouched on failure
 * errors:  MM_NOMEM (no room in the window, or no frame for a line), MM_INVAL. Nothing has
 *          changed then, and no frame is held */
mm_status_t window_alloc(uint64_t npages, uint64_t align, uint64_t lead, vaddr_t *out) MUST_USE;

/* Take addresses back: what one or several calls of window_alloc gave out, or any part of it.
 * errors:  MM_NOTFOUND (not all of them are given out: misuse), MM_INVAL (0 pages, misaligned,
 *          outside of the window), MM_NOMEM. Nothing has changed then. It needs no memory, so
 *          that MM_NOMEM cannot be, for exactly what window_alloc gave out, or after window_cut
 *          of the same range */
mm_status_t window_free(vaddr_t va, uint64_t npages) MUST_USE;

/* Get ready for window_free of this range, which is given out: then that cannot fail, as long as
 * the range is given out. To be called before the range's pages go. If nothing is freed
 * afterwards, no harm is done. errors: as window_free */
mm_status_t window_cut(vaddr_t va, uint64_t npages) MUST_USE;

/* What is given out: pages; and the frames that the lines are in. */
struct window_stats {
    uint64_t npages;
    uint64_t frames;
};
void window_get_stats(struct window_stats *out);

/* O(lines): the lines and lists agree. */
bool window_validate(void);

#endif
