/* Owns: the records of blocks of which frames were shared, and the way to them.
 * Relies on: the pmm. Stage: "frames".
 *
 * A frame's sum is whole + part[]. Everything here keeps to two rules: a frame that is free has
 * the sum 0; a frame with n > 1 mappings has the sum n, and with one mapping 0 or 1.
 *
 * Why a release without a record takes no lock: a record is made when a frame is shared, by one
 * who holds the table in which that frame is mapped, before there is a second mapping. Who
 * releases a frame holds the table of its mapping, and so comes before that, or sees the record.
 * For the other frames of the block the new record says what none does: 0. */
#include "shares.h"

#include "lock.h"
#include "mm/hhdm.h"
#include "mm/pmm.h"
#include "../pmm/line.h"

#define BLOCK_BYTES HUGE_2M

/* The way to a record: the number of a block is 9 bits for each of three levels, and 4 above. */
#define WAY_LEVELS 3u
#define WAY_SLOTS  512u
#define ROOT_SLOTS (PADDR_LIMIT / BLOCK_BYTES >> 9 * WAY_LEVELS)

/* A frame. The counts are under the lock; 2^32 mappings of a frame would take 32 GiB of tables. */
struct record {
    struct spinlock lock;
    uint32_t whole;              /* mappings of every frame of the block, */
    uint32_t part[BLOCK_FRAMES]; /* and more of each; */
    uint32_t nparts;             /* so many of these are not 0 */
};
_Static_assert(sizeof(struct record) <= FRAME_BYTES, "a frame");

/* NULL, or a frame of WAY_SLOTS such pointers; the last ones are to records. */
static void *root[ROOT_SLOTS];
static uint64_t frames; /* in use here; atomic */

/* The part of a run of frames that lies in one block. */
struct piece {
    paddr_t base;
    unsigned first, n; /* frames of the block */
};

/* --- The way to a record -------------------------------------------------- */

static uint64_t block_of(paddr_t pa)
{
    return pa_diff(PA(0), pa) / BLOCK_BYTES;
}

/* The block's record, NULL if no frame of it was ever shared. Then *slot is where the first
 * pointer is missing that would lead to it, so many levels above. Acquire: what is found is
 * complete. */
static struct record *walk(uint64_t block, void ***slot, unsigned *level)
{
    void *found;
    *slot = &root[block >> 9 * WAY_LEVELS];
    for (*level = WAY_LEVELS; (found = __atomic_load_n(*slot, __ATOMIC_ACQUIRE)) != NULL;
         --*level) {
        if (*level == 0)
            break;
        *slot = (void **)found + (block >> 9 * (*level - 1)) % WAY_SLOTS;
    }
    return found;
}

static struct record *find_record(paddr_t pa)
{
    void **slot;
    unsigned level;
    return walk(block_of(pa), &slot, &level);
}

/* Put a zeroed frame there, unless another CPU does so first. */
static mm_status_t fill_slot(void **slot, bool is_record)
{
    static const struct pmm_limits limits = {.kind = PMM_LONG, .zeroed = true};
    paddr_t frame;
    mm_status_t status = pmm_alloc_batch(1, &limits, &frame);
    if (status != MM_OK)
        return status;
    struct record *record = phys_to_virt(frame);
    if (is_record)
        record->lock = (struct spinlock)SPINLOCK_INIT(LOCK_SHARES, "shares");
    void *nothing = NULL;
    if (__atomic_compare_exchange_n(slot, &nothing, record, false, __ATOMIC_RELEASE,
                                    __ATOMIC_RELAXED))
        __atomic_fetch_add(&frames, 1, __ATOMIC_RELAXED);
    else
        pmm_free_frame(frame);
    return MM_OK;
}

static mm_status_t make_record(paddr_t pa)
{
    void **slot;
    unsigned level;
    mm_status_t status = MM_OK;
    while (status == MM_OK && walk(block_of(pa), &slot, &level) == NULL)
        status = fill_slot(slot, level == 0);
    return status;
}

/* --- Runs ----------------------------------------------------------------- */

/* Take the first piece off a run. */
static struct piece next_piece(paddr_t *base, uint64_t *nframes)
{
    unsigned first = (unsigned)(pa_diff(pa_align_down(*base, BLOCK_BYTES), *base) / FRAME_BYTES);
    uint64_t room = BLOCK_FRAMES - first;
    struct piece piece = {*base, first, (unsigned)(*nframes < room ? *nframes : room)};
    *base = pa_add(*base, piece.n * FRAME_BYTES);
    *nframes -= piece.n;
    return piece;
}

static void part_raise(struct record *r, unsigned i)
{
    r->nparts += r->part[i]++ == 0;
}

static void part_lower(struct record *r, unsigned i)
{
    r->nparts -= --r->part[i] == 0;
}

/* One mapping more. A frame's one owner was not written down before. */
static void record_share(struct record *r, const struct piece *p)
{
    irq_state_t irq = spin_lock(&r->lock);
    bool all = p->n == BLOCK_FRAMES;
    if (all && r->whole == 0 && r->nparts == 0)
        r->whole = 1; /* the owner */
    for (unsigned i = p->first; r->whole == 0 && i < p->first + p->n; i++)
        if (r->part[i] == 0)
            part_raise(r, i);
    r->whole += all;
    for (unsigned i = p->first; !all && i < p->first + p->n; i++)
        part_raise(r, i);
    spin_unlock(&r->lock, irq);
}

/* One mapping less of each frame that has any written down, where all do not have one less. A
 * mapping of the whole block becomes one of each frame if it takes that. */
static void lower_parts(struct record *r, const struct piece *p)
{
    bool split = false;
    for (unsigned i = p->first; r->whole > 0 && i < p->first + p->n; i++)
        split = split || r->part[i] == 0;
    r->whole -= split;
    for (unsigned i = 0; split && i < BLOCK_FRAMES; i++)
        part_raise(r, i);
    for (unsigned i = p->first; i < p->first + p->n; i++)
        if (r->part[i] > 0)
            part_lower(r, i);
}

/* One mapping less. Which frames have none now: a bit for each. */
static void record_release(struct record *r, const struct piece *p, uint64_t gone[LINE_ROWS])
{
    irq_state_t irq = spin_lock(&r->lock);
    if (p->n == BLOCK_FRAMES && r->whole > 0)
        r->whole--;
    else
        lower_parts(r, p);
    unsigned last = p->first + p->n - 1;
    for (unsigned row = p->first / ROW_FRAMES; r->whole == 0 && row <= last / ROW_FRAMES; row++)
        gone[row] = line_mask(p->first, last, row);
    for (unsigned i = p->first; r->whole == 0 && r->nparts > 0 && i < p->first + p->n; i++)
        if (r->part[i] > 0)
            gone[i / ROW_FRAMES] &= ~(1ull << i % ROW_FRAMES);
    spin_unlock(&r->lock, irq);
}

static bool record_exclusive(struct record *r, const struct piece *p)
{
    irq_state_t irq = spin_lock(&r->lock);
    bool alone = r->whole <= 1;
    for (unsigned i = p->first; alone && r->nparts > 0 && i < p->first + p->n; i++)
        alone = r->whole + r->part[i] <= 1;
    spin_unlock(&r->lock, irq);
    return alone;
}

/* --- What others call ----------------------------------------------------- */

/* All records first: that is what can fail. */
mm_status_t shares_add(paddr_t base, uint64_t nframes)
{
    paddr_t at = base;
    for (uint64_t left = nframes; left > 0;) {
        mm_status_t status = make_record(next_piece(&at, &left).base);
        if (status != MM_OK)
            return status;
    }
    while (nframes > 0) {
        struct piece piece = next_piece(&base, &nframes);
        record_share(find_record(piece.base), &piece);
    }
    return MM_OK;
}

/* Runs to be freed grow until there is one that does not follow. */
struct run {
    paddr_t base;
    uint64_t nframes;
};

static void run_free(struct run *run)
{
    if (run->nframes > 0)
        pmm_free_frames(run->base, run->nframes);
    run->nframes = 0;
}

static void run_add(struct run *run, paddr_t base, uint64_t nframes)
{
    if (!pa_eq(pa_add(run->base, run->nframes * FRAME_BYTES), base)) {
        run_free(run);
        run->base = base;
    }
    run->nframes += nframes;
}

static void run_add_gone(struct run *run, paddr_t block, const uint64_t gone[LINE_ROWS])
{
    for (unsigned r = 0; r < LINE_ROWS; r++) {
        for (uint64_t row = gone[r]; row != 0;) {
            unsigned first = (unsigned)__builtin_ctzll(row);
            uint64_t behind = ~(row >> first);
            unsigned n = behind == 0 ? ROW_FRAMES : (unsigned)__builtin_ctzll(behind);
            run_add(run, pa_add(block, (r * ROW_FRAMES + first) * FRAME_BYTES), n);
            row &= ~row_mask(first, n);
        }
    }
}

void shares_release(paddr_t base, uint64_t nframes)
{
    struct run run = {base, 0};
    while (nframes > 0) {
        struct piece piece = next_piece(&base, &nframes);
        struct record *record = find_record(piece.base);
        uint64_t gone[LINE_ROWS] = {0};
        if (record == NULL) {
            run_add(&run, piece.base, piece.n);
        } else {
            record_release(record, &piece, gone);
            run_add_gone(&run, pa_align_down(piece.base, BLOCK_BYTES), gone);
        }
    }
    run_free(&run);
}

const struct frame_hooks shares_hooks = {shares_add, shares_release};

void shares_init(void)
{
    for (unsigned i = 0; i < ROOT_SLOTS; i++)
        root[i] = NULL;
    frames = 0;
}

bool shares_exclusive(paddr_t base, uint64_t nframes)
{
    while (nframes > 0) {
        struct piece piece = next_piece(&base, &nframes);
        struct record *record = find_record(piece.base);
        if (record != NULL && !record_exclusive(record, &piece))
            return false;
    }
    return true;
}

uint64_t shares_of(paddr_t pa)
{
    struct record *r = find_record(pa);
    if (r == NULL)
        return 1;
    uint64_t one = 1;
    struct piece piece = next_piece(&pa, &one);
    irq_state_t irq = spin_lock(&r->lock);
    uint64_t sum = (uint64_t)r->whole + r->part[piece.first];
    spin_unlock(&r->lock, irq);
    return sum > 0 ? sum : 1;
}

uint64_t shares_frames(void)
{
    return __atomic_load_n(&frames, __ATOMIC_RELAXED);
}
