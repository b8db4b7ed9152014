/* Owns: the baseline of the frame benchmark: a bitmap, 1 = free, under a lock. A search begins at the
 * lowest word that may have a free frame. Relies on: its caller for memory. */
#include "bench/frames_parts.h"
#include "lock.h"
#include "mm/string.h"

#define WORD_FRAMES 64u
#define WORD_ORDER  6u

static struct {
    struct spinlock lock;
    uint64_t *words;
    uint64_t nwords;
    uint64_t hint;                                      /* no frame is free in the words below */
} bits = {.lock = SPINLOCK_INIT(LOCK_FRAMES, "bench")}; /* stands for the pmm */

uint64_t scan_bytes(uint64_t nframes)
{
    return (nframes + WORD_FRAMES - 1) / WORD_FRAMES * sizeof(uint64_t);
}

void scan_begin(void *words, uint64_t nframes)
{
    bits.words = words;
    bits.nwords = scan_bytes(nframes) / sizeof(uint64_t);
    bits.hint = 0;
    memset64(bits.words, ~0ull, bits.nwords);
    if (nframes % WORD_FRAMES != 0)
        bits.words[bits.nwords - 1] = (1ull << nframes % WORD_FRAMES) - 1;
}

/* ---- searching; the lock is held -------------------------------------------------------------- */

static uint64_t find_in_words(unsigned order)
{
    static const uint64_t aligned[WORD_ORDER] = {~0ull,
                                                 0x5555555555555555,
                                                 0x1111111111111111,
                                                 0x0101010101010101,
                                                 0x0001000100010001,
                                                 0x0000000100000001};
    for (uint64_t i = bits.hint; i < bits.nwords; i++) {
        uint64_t starts = bits.words[i];
        bits.hint += starts == 0 && i == bits.hint;
        for (unsigned shift = 0; shift < order; shift++)
            starts &= starts >> (1u << shift);
        starts &= aligned[order];
        if (starts != 0)
            return i * WORD_FRAMES + (unsigned)__builtin_ctzll(starts);
    }
    return BENCH_NOTHING;
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
    return BENCH_NOTHING;
}

/* n frames in a row, wherever they begin. */
static uint64_t find_run(uint64_t n)
{
    uint64_t run = 0, end = bits.nwords * WORD_FRAMES;
    for (uint64_t at = bits.hint * WORD_FRAMES; at < end;) {
        uint64_t left = WORD_FRAMES - at % WORD_FRAMES;
        uint64_t word = bits.words[at / WORD_FRAMES] >> at % WORD_FRAMES;
        bool free = word & 1;
        uint64_t other = free ? ~word : word; /* its lowest bit: where this ends */
        uint64_t same = other == 0 ? left : (unsigned)__builtin_ctzll(other);
        same = same < left ? same : left;
        at += same;
        run = free ? run + same : 0;
        if (run >= n)
            return at - run;
    }
    return BENCH_NOTHING;
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

/* ---- the calls -------------------------------------------------------------------------------- */

static mm_status_t take(uint64_t at, uint64_t n, paddr_t *out)
{
    if (at == BENCH_NOTHING)
        return MM_NOMEM;
    toggle(at, n);
    *out = pfn_to_pa((pfn_t){at});
    return MM_OK;
}

static mm_status_t scan_alloc_order(unsigned order, const struct pmm_limits *limits, paddr_t *out)
{
    (void)limits;
    irq_state_t irq = spin_lock(&bits.lock);
    uint64_t at =
        order < WORD_ORDER ? find_in_words(order) : find_whole_words(1ull << (order - WORD_ORDER));
    mm_status_t status = take(at, 1ull << order, out);
    spin_unlock(&bits.lock, irq);
    return status;
}

static mm_status_t scan_alloc_frame(paddr_t *out)
{
    return scan_alloc_order(0, NULL, out);
}

static mm_status_t scan_alloc_frames(uint64_t n, const struct pmm_limits *limits, paddr_t *out)
{
    (void)limits;
    irq_state_t irq = spin_lock(&bits.lock);
    mm_status_t status = take(find_run(n), n, out);
    spin_unlock(&bits.lock, irq);
    return status;
}

static mm_status_t scan_free_frames(paddr_t base, uint64_t n)
{
    uint64_t at = pa_to_pfn(base).v;
    irq_state_t irq = spin_lock(&bits.lock);
    toggle(at, n);
    if (at / WORD_FRAMES < bits.hint)
        bits.hint = at / WORD_FRAMES;
    spin_unlock(&bits.lock, irq);
    return MM_OK;
}

static mm_status_t scan_free_frame(paddr_t frame)
{
    return scan_free_frames(frame, 1);
}

static mm_status_t scan_free_order(paddr_t base, unsigned order)
{
    return scan_free_frames(base, 1ull << order);
}

static void scan_count_free(uint64_t *all, uint64_t *whole)
{
    const uint64_t words_a_block = (1u << PMM_ORDER_BLOCK) / WORD_FRAMES;
    uint64_t full = 0;
    *all = *whole = 0;
    for (uint64_t i = 0; i < bits.nwords; i++) {
        full = i % words_a_block ? full : 0;
        full += bits.words[i] == ~0ull;
        *whole += full == words_a_block ? 1u << PMM_ORDER_BLOCK : 0;
        *all += (unsigned)__builtin_popcountll(bits.words[i]);
    }
}

const struct frames_calls frames_scan = {
    .alloc_frame = scan_alloc_frame,
    .free_frame = scan_free_frame,
    .alloc_order = scan_alloc_order,
    .free_order = scan_free_order,
    .alloc_frames = scan_alloc_frames,
    .free_frames = scan_free_frames,
    .count_free = scan_count_free,
};
