/* How often frames of user ranges are mapped. Internal to mm/vmm/.
 *
 * Only where that is more than once is it written down: each 2 MiB block of memory of which a
 * frame was ever shared has a record: mappings of all its frames, and of each frame. What counts
 * is the sum of both for a frame: 0 is a frame that was never shared, or is not any more, with
 * its one owner (or a free one), any other sum is the number of its mappings. So whether a
 * mapping is a 2 MiB page or 512 small ones makes no difference here: hooks of both kinds may be
 * mixed, and splitting changes nothing.
 *
 * Memory: one frame (half of it used) for each block of which a frame was ever shared, and one
 * for each GiB and 512 GiB with such a block: some 1/512 of RAM at most. They are kept for ever.
 * locking: a lock for each record, LOCK_SHARES, behind LOCK_SPACE, one at a time. Frames of
 *          blocks without a record are released without a lock or locked instruction. Who calls
 *          holds the page table in which the frames are mapped, interrupts off, so that this
 *          mapping stays. But unshare releases a frame after the exchange, without the table: a
 *          page that was PROT_COPY always has a record, in which the old mapping still counts.
 * Stage: from shares_init on. */
#ifndef QL_VMM_SHARES_H
#define QL_VMM_SHARES_H

#include "mm/paging.h"

/* No frame is shared. In vmm_init. */
void shares_init(void);

/* One mapping more of each frame, which has one. errors: MM_NOMEM: nothing is shared then,
 * though records may have been made */
mm_status_t shares_add(paddr_t base, uint64_t nframes) MUST_USE;

/* One mapping less of each frame; those that have none are freed. All frames that were ever
 * PROT_OWNED go back this way only: the frame that a copy has replaced, too. */
void shares_release(paddr_t base, uint64_t nframes);

/* Both, for struct space. */
extern const struct frame_hooks shares_hooks;

/* True if each of the frames has one mapping. Whoever holds the table in which that one is can rely
 * on it: nobody else can make it two. */
bool shares_exclusive(paddr_t base, uint64_t nframes);

/* How many mappings a frame has that is mapped at all: 1 or more. */
uint64_t shares_of(paddr_t pa);

/* Frames that hold records and the ways to them. */
uint64_t shares_frames(void);

#endif
