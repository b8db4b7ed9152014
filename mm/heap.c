/* Owns: the runs of frames that the heap has taken from the pmm, and the blocks in them.
 * Relies on: the pmm for runs, the direct map to reach them.
 * Stage: from "heap" on.
 *
 * A run is taken when no free block fits, and goes back when it is one free block again, but for
 * one that stays in reserve. A request of more than half the usual growth gets a run of its own
 * size. The list of runs, sorted by address, is what tells a foreign pointer before anything behind
 * it is read. */
#include "mm/heap.h"

#include "block.h"
#include "config.h"
#include "lock.h"
#include "mm/hhdm.h"
#include "mm/pmm.h"
#include "mm/string.h"

#define GROW_FRAMES     (CONFIG_HEAP_GROW_BYTES / FRAME_BYTES)
#define BIG_UNITS       (CONFIG_HEAP_GROW_BYTES / 2 / UNIT_BYTES)
#define FRAME_UNITS     (FRAME_BYTES / UNIT_BYTES)
#define MAX_ALIGN       (1ull << 20)
#define MAX_BLOCK_BYTES (1ull << 35) /* sizes in units must fit 32 bits */

struct run {
    struct block *first;
    uint64_t nframes;
};

struct heap {
    struct bins bins;
    struct run *runs; /* ascending */
    size_t nruns;
    size_t runs_frames; /* that hold the list */
    size_t nidle;       /* runs that are one free block */
    uint64_t units;     /* in all blocks */
    uint64_t used_units;
    uint64_t live_blocks, allocations, frees, failures;
    bool exhaustion_logged;
};

static struct spinlock heap_lock = SPINLOCK_INIT(LOCK_HEAP, "heap");
static struct heap heap GUARDED_BY(heap_lock);
static const struct pmm_limits stays = {.kind = PMM_LONG}; /* what we take from the pmm */

/* --- Runs ----------------------------------------------------------------- */

/* Units of all blocks of a run: what its last header leaves. */
static uint64_t run_units(uint64_t nframes)
{
    return nframes * FRAME_UNITS - HEADER_UNITS;
}

static size_t count_runs_up_to(const void *p) REQUIRES(heap_lock)
{
    size_t low = 0, high = heap.nruns;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if ((uintptr_t)heap.runs[middle].first <= (uintptr_t)p)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Make room in the list for one more run; it grows by doubling. */
static mm_status_t reserve_run(void) REQUIRES(heap_lock)
{
    if (heap.nruns < heap.runs_frames * FRAME_BYTES / sizeof *heap.runs)
        return MM_OK;
    size_t nframes = heap.runs_frames > 0 ? 2 * heap.runs_frames : 1;
    paddr_t frames;
    mm_status_t status = pmm_alloc_frames(nframes, &stays, &frames);
    if (status != MM_OK)
        return status;
    struct run *runs = phys_to_virt(frames);
    if (heap.nruns > 0) {
        memcpy(runs, heap.runs, heap.nruns * sizeof *runs);
        pmm_free_frames(virt_to_phys(heap.runs), heap.runs_frames);
    }
    heap.runs = runs;
    heap.runs_frames = nframes;
    return MM_OK;
}

/* Frames for a block of that size: plenty at once, or, where memory is short, just enough. */
static mm_status_t get_frames(uint64_t units, paddr_t *base, uint64_t *nframes)
{
    *nframes = bytes_to_frames((units + HEADER_UNITS) * UNIT_BYTES);
    if (units <= BIG_UNITS && pmm_alloc_frames(GROW_FRAMES, &stays, base) == MM_OK) {
        *nframes = GROW_FRAMES;
        return MM_OK;
    }
    return pmm_alloc_frames(*nframes, &stays, base);
}

/* Take a run in which a block of that size fits, and put its one block into a bin. */
static mm_status_t add_run(uint64_t units) REQUIRES(heap_lock)
{
    paddr_t base;
    uint64_t nframes;
    mm_status_t status = get_frames(units, &base, &nframes);
    if (status != MM_OK)
        return status;
    status = reserve_run();
    if (status != MM_OK) {
        pmm_free_frames(base, nframes);
        return status;
    }
    struct block *first = phys_to_virt(base);
    struct block *end = block_at(first, run_units(nframes));
    *first = (struct block){0};
    *end = (struct block){0};
    block_seal(end, BLOCK_LIVE); /* never merged with */
    block_resize(first, run_units(nframes), BLOCK_FREE);
    bins_add(&heap.bins, first);

    size_t at = count_runs_up_to(first);
    memmove(&heap.runs[at + 1], &heap.runs[at], (heap.nruns - at) * sizeof *heap.runs);
    heap.runs[at] = (struct run){first, nframes};
    heap.nruns++;
    heap.nidle++;
    heap.units += run_units(nframes);
    return MM_OK;
}

/* Give a run back whose one block is free and in no bin. */
static void remove_run(size_t at) REQUIRES(heap_lock)
{
    struct run run = heap.runs[at];
    heap.nruns--;
    heap.units -= run_units(run.nframes);
    memmove(&heap.runs[at], &heap.runs[at + 1], (heap.nruns - at) * sizeof *heap.runs);
    pmm_free_frames(virt_to_phys(run.first), run.nframes);
}

/* --- Blocks --------------------------------------------------------------- */

static uint64_t units_for(size_t bytes)
{
    uint64_t units = (bytes + UNIT_BYTES - 1) / UNIT_BYTES + HEADER_UNITS;
    return units < MIN_UNITS ? MIN_UNITS : units;
}

static void take_out(struct block *free) REQUIRES(heap_lock)
{
    heap.nidle -= block_fills_run(free);
    bins_remove(&heap.bins, free);
}

/* Make two neighbours one block. */
static void join(struct block *b, struct block *next, enum block_state state)
{
    uint64_t units = (uint64_t)b->units + next->units;
    block_wipe(next);
    block_resize(b, units, state);
}

/* Take a block in that is in no bin, and let it grow together with free neighbours. */
static void put_back(struct block *b) REQUIRES(heap_lock)
{
    block_seal(b, BLOCK_FREE);
    struct block *next = block_after(b);
    if (block_is(next, BLOCK_FREE)) {
        take_out(next);
        join(b, next, BLOCK_FREE);
    }
    struct block *previous = block_before(b);
    if (b->before > 0 && block_is(previous, BLOCK_FREE)) {
        take_out(previous);
        join(previous, b, BLOCK_FREE);
        b = previous;
    }
    if (block_fills_run(b)) {
        size_t at = count_runs_up_to(b) - 1;
        if (heap.nidle > 0 || heap.runs[at].nframes > GROW_FRAMES) {
            remove_run(at);
            return;
        }
        heap.nidle++;
    }
    bins_add(&heap.bins, b);
}

/* Cut off what a live block does not need. A big block keeps what is less than a frame, so that no
 * small one settles in its run and keeps it from going back. */
static void trim(struct block *b, uint64_t units) REQUIRES(heap_lock)
{
    uint64_t least = units > BIG_UNITS ? FRAME_UNITS : MIN_UNITS;
    if (b->units - units >= least)
        put_back(block_cut(b, units, BLOCK_LIVE));
}

/* Units to leave in front of the payload for its alignment: none, or enough for a free block. */
static uint64_t gap_for(struct block *b, size_t align)
{
    uintptr_t payload = (uintptr_t)block_payload(b);
    if (payload % align == 0)
        return 0;
    uintptr_t least = payload + MIN_UNITS * UNIT_BYTES;
    return ((least + align - 1) / align * align - payload) / UNIT_BYTES;
}

static void *allocate(size_t bytes, size_t align) REQUIRES(heap_lock)
{
    if (bytes > MAX_BLOCK_BYTES || align == 0 || (align & (align - 1)) != 0 || align > MAX_ALIGN)
        return NULL;
    uint64_t units = units_for(bytes);
    uint64_t slack = align > HEAP_ALIGN ? align / UNIT_BYTES + MIN_UNITS - 1 : 0; /* longest gap */
    if (align < HEAP_ALIGN)
        align = HEAP_ALIGN;

    struct block *b = bins_find(&heap.bins, units + slack);
    if (b == NULL && add_run(units + slack) == MM_OK)
        b = bins_find(&heap.bins, units + slack);
    if (b == NULL)
        return NULL;
    take_out(b);
    uint64_t gap = gap_for(b, align);
    if (gap > 0) {
        struct block *aligned = block_cut(b, gap, BLOCK_FREE);
        bins_add(&heap.bins, b);
        b = aligned;
    }
    block_seal(b, BLOCK_LIVE);
    trim(b, units);
    heap.used_units += b->units;
    heap.live_blocks++;
    heap.allocations++;
    return block_payload(b);
}

/* The block behind a pointer. Returns why it is not one of ours, or NULL. */
static const char *find_live(const void *p, struct block **out) REQUIRES(heap_lock)
{
    size_t at = count_runs_up_to(p);
    if (at == 0)
        return "not from this heap";
    const struct run *run = &heap.runs[at - 1];
    uint64_t offset = (uintptr_t)p - (uintptr_t)run->first;
    if (offset >= run_units(run->nframes) * UNIT_BYTES)
        return "not from this heap";
    if (offset == 0 || offset % UNIT_BYTES != 0)
        return "not the start of a block";
    struct block *b = block_at(run->first, offset / UNIT_BYTES - HEADER_UNITS);
    if (block_is(b, BLOCK_FREE))
        return "freed already (a double free)";
    if (!block_is(b, BLOCK_LIVE))
        return "not the start of a live block, or its header is overwritten";
    if (!block_is_sound(block_after(b)))
        return "its end is overrun: the next header is overwritten";
    if (b->before > 0 && !block_is_sound(block_before(b)))
        return "the header of the block in front is overwritten";
    *out = b;
    return NULL;
}

/* Make a live block larger or smaller where it is. False if it would have to move. */
static bool resize_in_place(struct block *b, uint64_t units) REQUIRES(heap_lock)
{
    uint64_t before = b->units;
    if (units > before) {
        struct block *next = block_after(b);
        if (!block_is(next, BLOCK_FREE) || before + next->units < units)
            return false;
        take_out(next);
        join(b, next, BLOCK_LIVE);
    }
    trim(b, units);
    heap.used_units += b->units - before;
    return true;
}

/* --- The interface -------------------------------------------------------- */

mm_status_t heap_init(void)
{
    irq_state_t irq = spin_lock(&heap_lock);
    heap = (struct heap){0};
    mm_status_t status = add_run(MIN_UNITS);
    spin_unlock(&heap_lock, irq);
    return status;
}

static void report_misuse(const char *call, const void *p, const char *why)
{
    port_misuse("heap: %s(0x%lx): %s", call, va_number(va_of(p)), why);
}

void *kaligned_alloc(size_t align, size_t bytes)
{
    bool log = false;
    irq_state_t irq = spin_lock(&heap_lock);
    void *p = allocate(bytes, align);
    if (p == NULL) {
        heap.failures++;
        log = !heap.exhaustion_logged;
        heap.exhaustion_logged = true;
    }
    spin_unlock(&heap_lock, irq);
    if (log)
        port_log("heap: no %lu bytes aligned to %lu (said once)", bytes, align);
    return p;
}

void *kmalloc(size_t bytes)
{
    return kaligned_alloc(HEAP_ALIGN, bytes);
}

void *kcalloc(size_t count, size_t bytes)
{
    size_t total;
    if (__builtin_mul_overflow(count, bytes, &total))
        total = SIZE_MAX; /* fails like any other size that is too large */
    void *p = kmalloc(total);
    if (p != NULL)
        memset(p, 0, total);
    return p;
}

void *krealloc(void *p, size_t bytes)
{
    if (p == NULL)
        return kmalloc(bytes);
    struct block *b;
    size_t kept = 0;
    bool done = false;
    irq_state_t irq = spin_lock(&heap_lock);
    const char *why = find_live(p, &b);
    if (why == NULL) {
        kept = block_payload_bytes(b);
        done = bytes <= MAX_BLOCK_BYTES && resize_in_place(b, units_for(bytes));
    }
    spin_unlock(&heap_lock, irq);

    if (why != NULL) {
        report_misuse("krealloc", p, why);
        return NULL;
    }
    if (done)
        return p;
    void *moved = kmalloc(bytes);
    if (moved == NULL)
        return NULL;
    memcpy(moved, p, kept); /* it did not fit in place, so it has grown */
    kfree(p);
    return moved;
}

void kfree(void *p)
{
    if (p == NULL)
        return;
    struct block *b;
    irq_state_t irq = spin_lock(&heap_lock);
    const char *why = find_live(p, &b);
    if (why == NULL) {
        heap.used_units -= b->units;
        heap.live_blocks--;
        heap.frees++;
        put_back(b);
    }
    spin_unlock(&heap_lock, irq);
    if (why != NULL)
        report_misuse("kfree", p, why);
}

size_t kmalloc_size(const void *p)
{
    if (p == NULL)
        return 0;
    struct block *b;
    irq_state_t irq = spin_lock(&heap_lock);
    const char *why = find_live(p, &b);
    size_t bytes = why == NULL ? block_payload_bytes(b) : 0;
    spin_unlock(&heap_lock, irq);
    if (why != NULL)
        report_misuse("kmalloc_size", p, why);
    return bytes;
}

void heap_get_stats(struct heap_stats *out)
{
    irq_state_t irq = spin_lock(&heap_lock);
    *out = (struct heap_stats){
        .used_bytes = heap.used_units * UNIT_BYTES,
        .free_bytes = (heap.units - heap.used_units) * UNIT_BYTES,
        .live_blocks = heap.live_blocks,
        .allocations = heap.allocations,
        .frees = heap.frees,
        .failures = heap.failures,
    };
    spin_unlock(&heap_lock, irq);
}

/* --- The invariants ------------------------------------------------------- */

/* What a walk over all blocks, or over all bins, comes to. */
struct tally {
    uint64_t units, used_units;
    uint64_t live_blocks, free_blocks;
    size_t nidle;
};

static bool tally_run(const struct run *run, struct tally *tally)
{
    struct block *b = run->first;
    struct block *end = block_at(b, run_units(run->nframes));
    uint32_t before = 0;
    bool after_free = false;
    while (b < end) {
        bool free = block_is(b, BLOCK_FREE);
        if (!block_is_sound(b) || b->before != before || b->units < MIN_UNITS ||
            (free && after_free))
            return false;
        tally->units += b->units;
        tally->used_units += free ? 0 : b->units;
        tally->live_blocks += !free;
        tally->free_blocks += free;
        tally->nidle += free && block_fills_run(b);
        before = b->units;
        after_free = free;
        b = block_after(b);
    }
    return b == end && block_is(b, BLOCK_LIVE) && b->units == 0 && b->before == before;
}

/* Free blocks in the bins; UINT64_MAX if a list or the summary of the lists is wrong. */
static uint64_t count_bins(const struct bins *bins)
{
    uint64_t count = 0;
    for (unsigned i = 0; i < BINS; i++) {
        const struct free_block *previous = NULL;
        for (const struct free_block *f = bins->first[i]; f != NULL; f = f->next) {
            if (!block_is(&f->head, BLOCK_FREE) || bin_of(f->head.units) != i ||
                f->prev != previous)
                return UINT64_MAX;
            previous = f;
            count++;
        }
        bool marked = (bins->nonempty[i / 64] >> i % 64 & 1) != 0;
        if (marked != (bins->first[i] != NULL))
            return UINT64_MAX;
    }
    return count;
}

bool heap_validate(void)
{
    struct tally tally = {0};
    irq_state_t irq = spin_lock(&heap_lock);
    bool valid = true;
    for (size_t i = 0; valid && i < heap.nruns; i++)
        valid = tally_run(&heap.runs[i], &tally) &&
                (i == 0 || (uintptr_t)heap.runs[i - 1].first < (uintptr_t)heap.runs[i].first);
    valid = valid && tally.free_blocks == count_bins(&heap.bins) && tally.units == heap.units &&
            tally.used_units == heap.used_units && tally.live_blocks == heap.live_blocks &&
            tally.nidle == heap.nidle;
    spin_unlock(&heap_lock, irq);
    return valid;
}
