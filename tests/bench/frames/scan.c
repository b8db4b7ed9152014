/* Baseline: one bit for each frame, 1 = free, under one lock. A search begins at the lowest word that
 * may have a free frame. */
#include "contestant.h"
#include "spin.h"

#define WORD_FRAMES 64

static struct {
    struct spin lock;
    uint64_t *words;
    uint64_t nwords;
    uint64_t hint; /* no frame is free in the words below */
    uint64_t nframes;
} bits;

static void fill_words(void)
{
    bits.hint = 0;
    for (uint64_t i = 0; i < bits.nwords; i++)
        bits.words[i] = ~0ull;
    if (bits.nframes % WORD_FRAMES != 0)
        bits.words[bits.nwords - 1] = (1ull << bits.nframes % WORD_FRAMES) - 1;
}

static uint64_t scan_start_again(void)
{
    uint64_t before = clock_wall();
    fill_words();
    return clock_wall() - before + 1;
}

static uint64_t scan_start(uint64_t ram_bytes, unsigned cpus)
{
    (void)cpus;
    bits.nframes = ram_bytes / FRAME_BYTES;
    bits.nwords = (bits.nframes + WORD_FRAMES - 1) / WORD_FRAMES;
    bits.words = baseline_map(bits.nwords * 8);
    return scan_start_again();
}

static void scan_stop(void)
{
    baseline_unmap(bits.words, bits.nwords * 8);
}

static uint64_t scan_metadata(void)
{
    return bits.nwords * 8;
}

/* --- Searching; the caller holds the lock ------------------------------------------------------- */

#define NOTHING UINT64_MAX

/* The free bits of a word at which 2^order free ones begin, naturally aligned; order below 6. */
static uint64_t run_starts(uint64_t word, unsigned order)
{
    static const uint64_t aligned[] = {~0ull,
                                       0x5555555555555555,
                                       0x1111111111111111,
                                       0x0101010101010101,
                                       0x0001000100010001,
                                       0x0000000100000001};
    for (unsigned shift = 0; shift < order; shift++)
        word &= word >> (1u << shift);
    return word & aligned[order];
}

static uint64_t find_in_words(unsigned order)
{
    for (uint64_t i = bits.hint; i < bits.nwords; i++) {
        if (bits.words[i] == 0) {
            bits.hint += i == bits.hint;
            continue;
        }
        uint64_t starts = run_starts(bits.words[i], order);
        if (starts != 0)
            return i * WORD_FRAMES + (unsigned)__builtin_ctzll(starts);
    }
    return NOTHING;
}

static uint64_t find_whole_words(uint64_t count)
{
    for (uint64_t i = (bits.hint + count - 1) / count * count; i + count <= bits.nwords;
         i += count) {
        uint64_t free = 0;
        while (free < count && bits.words[i + free] == ~0ull)
            free++;
        if (free == count)
            return i * WORD_FRAMES;
    }
    return NOTHING;
}

/* n frames in a row, wherever they begin. */
static uint64_t find_run(uint64_t n)
{
    uint64_t run = 0;
    for (uint64_t at = bits.hint * WORD_FRAMES; at < bits.nwords * WORD_FRAMES;) {
        uint64_t word = bits.words[at / WORD_FRAMES] >> at % WORD_FRAMES;
        uint64_t left = WORD_FRAMES - at % WORD_FRAMES;
        if ((word & 1) == 0) {
            uint64_t used = word == 0 ? left : (unsigned)__builtin_ctzll(word);
            at += used;
            run = 0;
            continue;
        }
        uint64_t free = ~word == 0 ? left : (unsigned)__builtin_ctzll(~word);
        at += free;
        run += free;
        if (run >= n)
            return at - run;
    }
    return NOTHING;
}

/* Change n bits from at on. */
static void toggle(uint64_t at, uint64_t n)
{
    while (n > 0) {
        uint64_t left = WORD_FRAMES - at % WORD_FRAMES;
        uint64_t now = n < left ? n : left;
        bits.words[at / WORD_FRAMES] ^= (~0ull >> (WORD_FRAMES - now)) << at % WORD_FRAMES;
        at += now;
        n -= now;
    }
}

/* --- The calls ---------------------------------------------------------------------------------- */

static mm_status_t take(uint64_t at, uint64_t n, paddr_t *out)
{
    if (at != NOTHING)
        toggle(at, n);
    spin_give(&bits.lock);
    if (at == NOTHING)
        return MM_NOMEM;
    *out = frame_address(at);
    return MM_OK;
}

static mm_status_t scan_free_frames(paddr_t base, uint64_t n)
{
    uint64_t at = frame_number(base);
    spin_take(&bits.lock);
    toggle(at, n);
    if (at / WORD_FRAMES < bits.hint)
        bits.hint = at / WORD_FRAMES;
    spin_give(&bits.lock);
    return MM_OK;
}

static mm_status_t scan_alloc_frame(paddr_t *out)
{
    spin_take(&bits.lock);
    uint64_t i = bits.hint;
    while (i < bits.nwords && bits.words[i] == 0)
        i++;
    bits.hint = i;
    if (i == bits.nwords)
        return take(NOTHING, 1, out);
    uint64_t bit = (unsigned)__builtin_ctzll(bits.words[i]);
    bits.words[i] &= bits.words[i] - 1;
    spin_give(&bits.lock);
    *out = frame_address(i * WORD_FRAMES + bit);
    return MM_OK;
}

static mm_status_t scan_free_frame(paddr_t frame)
{
    return scan_free_frames(frame, 1);
}

static mm_status_t scan_alloc_order(unsigned order, const struct pmm_limits *limits, paddr_t *out)
{
    if (limits != NULL)
        return MM_INVAL;
    spin_take(&bits.lock);
    uint64_t n = 1ull << order;
    return take(order < 6 ? find_in_words(order) : find_whole_words(n / WORD_FRAMES), n, out);
}

static mm_status_t scan_free_order(paddr_t base, unsigned order)
{
    return scan_free_frames(base, 1ull << order);
}

static mm_status_t scan_alloc_frames(uint64_t n, const struct pmm_limits *limits, paddr_t *out)
{
    if (limits != NULL)
        return MM_INVAL;
    spin_take(&bits.lock);
    return take(find_run(n), n, out);
}

const struct contestant scan = {
    .name = "scan",
    .start = scan_start,
    .start_again = scan_start_again,
    .stop = scan_stop,
    .bind_cpu = baseline_bind_cpu,
    .metadata_bytes = scan_metadata,
    .alloc_frame = scan_alloc_frame,
    .free_frame = scan_free_frame,
    .alloc_order = scan_alloc_order,
    .free_order = scan_free_order,
    .alloc_frames = scan_alloc_frames,
    .free_frames = scan_free_frames,
};
