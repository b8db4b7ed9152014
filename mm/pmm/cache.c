/* Owns: what the CPUs keep; see cache.h.
 * Relies on: blocks; the port for the barrier. Stage: "frames". */
#include "cache.h"

#include "check.h"
#include "mm/string.h"
#include "poison.h"
#include "state.h"

#define HINTS_TRIED 3

static uint64_t no_row; /* always 0: the row of a lane that has none */

void cache_init(struct pmm_cache *c, unsigned cpu)
{
    c->owner = cpu + 1;
    c->last_miss = c->last_word = SLOT_EMPTY;
    for (unsigned i = 0; i < LANES; i++)
        c->lanes[i].row = &no_row;
    for (unsigned i = 0; i < CACHE_SLOTS; i++)
        c->tags[i] = SLOT_EMPTY;
}

/* --- The biased lock ------------------------------------------------------- */

void cache_wait(struct pmm_cache *c)
{
    if (c->owner == 0)
        port_panic("pmm: CPU %u has no share of the memory manager; call mm_cpu_create first",
                   port_cpu_id());
    CACHE_SET(c->waiting, 1);
    do {
        cache_leave(c);
        while (__atomic_load_n(&c->steal, __ATOMIC_ACQUIRE) != 0)
            port_relax();
        CACHE_SET(c->busy, 1);
        __atomic_signal_fence(__ATOMIC_SEQ_CST);
    } while (__atomic_load_n(&c->steal, __ATOMIC_ACQUIRE) != 0);
    CACHE_SET(c->waiting, 0);
}

/* An owner that waits comes in first, or thieves that come again and again would keep it out. */
void cache_take(struct pmm_cache *c)
{
    while (__atomic_load_n(&c->waiting, __ATOMIC_ACQUIRE) != 0 ||
           __atomic_exchange_n(&c->steal, 1, __ATOMIC_SEQ_CST) != 0)
        port_relax();
}

void cache_steal(struct pmm_cache *c)
{
    cache_take(c);
    port_barrier_all();
    while (__atomic_load_n(&c->busy, __ATOMIC_ACQUIRE) != 0)
        port_relax();
}

void cache_unsteal(struct pmm_cache *c)
{
    __atomic_store_n(&c->steal, 0, __ATOMIC_RELEASE);
}

/* --- Slots ------------------------------------------------------------------ */

struct slot *cache_find_slot(struct pmm_cache *c, uint64_t number)
{
    struct slot *s = cache_slot(c, number);
    return cache_tag(c, number) == number ? s : NULL;
}

/* Frames of a ragged block that may be freed without a closer look: ours, and not bad. */
static void find_ours(const struct zone *z, uint64_t number, uint64_t ours[LINE_ROWS])
{
    uint64_t frame = number << BLOCK_SHIFT, end = frame + BLOCK_FRAMES;
    memset64(ours, 0, LINE_ROWS);
    for (uint64_t n; frame < end; frame += n) {
        if (!zone_span(z, frame, end, &n))
            continue;
        for (unsigned r = 0; r < LINE_ROWS; r++)
            ours[r] |= line_part(frame % BLOCK_FRAMES, (unsigned)n, r);
    }
    for (size_t i = bad_find(end - BLOCK_FRAMES); i < pmm.nbad && pmm.bad[i].frame < end; i++)
        ours[pmm.bad[i].frame / ROW_FRAMES % LINE_ROWS] &= ~(1ull << pmm.bad[i].frame % ROW_FRAMES);
}

struct slot *cache_add_slot(struct pmm_cache *c, struct zone *z, uint64_t b, uint64_t number,
                            uint32_t entry)
{
    struct slot *s = cache_slot(c, number);
    if (cache_tag(c, number) != SLOT_EMPTY)
        cache_release_slot(c, s);
    for (unsigned r = 0; r < LINE_ROWS; r++)
        CACHE_SET(s->free[r], 0);
    if (entry & ENTRY_RAGGED)
        find_ours(z, number, s->ours);
    else if (!s->all_ours)
        memset64(s->ours, ~0ull, LINE_ROWS);
    s->all_ours = !(entry & ENTRY_RAGGED);
    s->line = z->lines[b];
    s->zone = z;
    s->index = b;
    c->may.order[number % CACHE_SLOTS] = 0;
    s->rows = 0;
    s->kind = entry & ENTRY_LONG ? PMM_LONG : PMM_SHORT;
    s->number = number;
    CACHE_SET(c->tags[number % CACHE_SLOTS], number);
    CACHE_SET(c->holding, true);
    return s;
}

/* We own the block, so nobody else sets bits: those that are 0 stay 0 until we take them. Which rows
 * have any is not to be guessed, so there is one loop over those that have. */
bool slot_collect(struct pmm_cache *c, struct slot *s)
{
    uint64_t free[LINE_ROWS];
    uint32_t rows = 0;
    if (line_is_used(s->line))
        return false;
    for (unsigned r = 0; r < LINE_ROWS; r++) {
        free[r] = ~__atomic_load_n(&s->line[r], __ATOMIC_ACQUIRE);
        rows |= (uint32_t)(free[r] != 0) << r;
    }
    cache_may(c, s);
    s->rows = rows;
    for (; rows != 0; rows &= rows - 1) {
        unsigned r = (unsigned)__builtin_ctz(rows);
        __atomic_fetch_or(&s->line[r], free[r], __ATOMIC_SEQ_CST);
        CACHE_SET(s->free[r], s->free[r] | free[r]);
    }
    return true;
}

/* Rows of several, apart from the most frequent case of one. */
static bool take_rows(struct slot *s, unsigned first, unsigned n)
{
    unsigned low = first / ROW_FRAMES, high = (first + n - 1) / ROW_FRAMES;
    for (unsigned r = low; r <= high; r++)
        if (~s->free[r] & line_mask(first, first + n - 1, r))
            return false;
    for (unsigned r = low; r <= high; r++)
        CACHE_SET(s->free[r], s->free[r] & ~line_mask(first, first + n - 1, r));
    return true;
}

bool slot_take(struct slot *s, unsigned first, unsigned n)
{
    unsigned low = first / ROW_FRAMES, at = first % ROW_FRAMES;
    if (at + n > ROW_FRAMES)
        return take_rows(s, first, n);
    uint64_t mask = row_mask(at, n), free = s->free[low];
    if (~free & mask)
        return false;
    CACHE_SET(s->free[low], free & ~mask);
    return true;
}

static bool push_rows(struct slot *s, unsigned first, unsigned n)
{
    unsigned low = first / ROW_FRAMES, high = (first + n - 1) / ROW_FRAMES;
    for (unsigned r = low; r <= high; r++)
        if (~slot_freeable(s, r) & line_mask(first, first + n - 1, r))
            return false;
    poison_fill((s->number << BLOCK_SHIFT) + first, n);
    for (unsigned r = low; r <= high; r++)
        CACHE_SET(s->free[r], s->free[r] | line_mask(first, first + n - 1, r));
    return true;
}

static inline bool slot_push(struct slot *s, unsigned first, unsigned n)
{
    unsigned low = first / ROW_FRAMES, at = first % ROW_FRAMES;
    if (at + n > ROW_FRAMES)
        return push_rows(s, first, n);
    uint64_t mask = row_mask(at, n);
    if (~slot_freeable(s, low) & mask)
        return false;
    poison_fill((s->number << BLOCK_SHIFT) + first, n);
    CACHE_SET(s->free[low], s->free[low] | mask);
    return true;
}

bool cache_push_run(struct pmm_cache *c, uint64_t frame, unsigned n)
{
    struct slot *s = cache_slot(c, frame >> BLOCK_SHIFT);
    if (cache_tag(c, frame >> BLOCK_SHIFT) != frame >> BLOCK_SHIFT ||
        !slot_push(s, frame % BLOCK_FRAMES, n))
        return false;
    cache_may(c, s);
    if (n < BLOCK_FRAMES)
        cache_hint(c, order_for(n), frame);
    return true;
}

bool cache_pop_hinted(struct pmm_cache *c, unsigned n, uint64_t *out)
{
    bool power = (n & (n - 1)) == 0;
    struct hints *h = &c->hints[order_for(n)];
    for (unsigned i = 0; i < HINTS_TRIED && h->count > 0; i++) {
        uint64_t frame = h->frames[h->last];
        struct slot *s = cache_slot(c, frame >> BLOCK_SHIFT);
        unsigned first = frame % BLOCK_FRAMES;
        h->last = (h->last - 1) % CACHE_HINTS;
        h->count--;
        if (cache_tag(c, frame >> BLOCK_SHIFT) != frame >> BLOCK_SHIFT || s->kind != PMM_SHORT ||
            first + n > BLOCK_FRAMES || (power && first % n != 0) || !slot_take(s, first, n))
            continue; /* taken in another way, or gone */
        *out = frame;
        return true;
    }
    return false;
}

/* True if all frames of the block are free, here or in the line. */
static bool slot_is_whole(const struct slot *s)
{
    uint64_t used = 0;
    for (unsigned r = 0; r < LINE_ROWS; r++)
        used |= (~s->free[r] & __atomic_load_n(&s->line[r], __ATOMIC_SEQ_CST)) | ~s->ours[r];
    return used == 0;
}

static void give_rows(struct slot *s)
{
    for (unsigned r = 0; r < LINE_ROWS; r++) {
        uint64_t free = s->free[r];
        if (free == 0)
            continue;
        uint64_t before = __atomic_fetch_and(&s->line[r], ~free, __ATOMIC_SEQ_CST);
        if ((before & free) != free)
            pmm_misuse("frames of this block were freed by two CPUs at once",
                       pa_number(frame_address(s->number << BLOCK_SHIFT)), 0);
    }
}

static void forget_slot(struct pmm_cache *c, struct slot *s)
{
    for (unsigned i = 0; i < LANES; i++) {
        struct lane *lane = &c->lanes[i];
        if (lane->slot == s)
            lane->slot = NULL;
        if (lane->row >= s->free && lane->row < s->free + LINE_ROWS)
            lane->row = &no_row;
    }
    c->may.order[s - c->slots] = 0;
    CACHE_SET(c->tags[s - c->slots], SLOT_EMPTY);
}

/* The line of a block that is all free means nothing any more, so it need not be written. */
void cache_release_slot(struct pmm_cache *c, struct slot *s)
{
    struct zone *z = s->zone;
    uint64_t free = 0;
    for (unsigned r = 0; r < LINE_ROWS; r++)
        free |= s->free[r];
    if (free == ~0ull && slot_is_whole(s)) {
        cache_give_whole(c, z, s->index);
        forget_slot(c, s);
        return;
    }
    if (free != 0)
        give_rows(s);
    forget_slot(c, s);
    if (free != 0 || !block_leave_used(z, s->index))
        block_settle(z, s->index, c->owner);
}

static void flush_window(struct pmm_cache *c)
{
    struct window *w = &c->window;
    if (w->zone != NULL && w->free != 0)
        tree_add_word(&w->zone->whole, w->word, w->free);
    CACHE_SET(w->free, 0);
}

bool cache_release_all(struct pmm_cache *c)
{
    if (!c->holding)
        return false;
    cache_begin(c);
    c->last_word = SLOT_EMPTY;
    for (unsigned i = 0; i < CACHE_SLOTS; i++)
        if (c->tags[i] != SLOT_EMPTY)
            cache_release_slot(c, &c->slots[i]);
    flush_window(c);
    CACHE_SET(c->window.zone, NULL);
    CACHE_SET(c->holding, false);
    cache_end(c);
    return true;
}

/* --- The window ------------------------------------------------------------- */

/* How many whole blocks a CPU may keep: few where there are few. */
static unsigned window_limit(const struct zone *z)
{
    uint64_t share = z->nblocks / (8 * (uint64_t)CACHE_GET(pmm.ncpus));
    return share == 0 ? 1 : share < TREE_WORD_BITS ? (unsigned)share : TREE_WORD_BITS;
}

static uint64_t highest_bits(uint64_t mask, unsigned n)
{
    uint64_t rest = mask;
    for (unsigned i = 0; i < n && rest != 0; i++)
        rest &= ~(1ull << (63 - __builtin_clzll(rest)));
    return mask & ~rest;
}

/* To the word of this block. */
static void move_window(struct pmm_cache *c, struct zone *z, uint64_t b)
{
    uint64_t word = b / TREE_WORD_BITS;
    flush_window(c);
    CACHE_SET(c->window.zone, z);
    CACHE_SET(c->window.word, word);
    zone_word_numbers(z, word, b, &c->window.number, &c->window.mask);
    CACHE_SET(c->holding, true);
}

/* Move the window to the word of a whole block, and take what we may of it. */
static bool fill_window(struct pmm_cache *c, struct zone *z, uint64_t low, uint64_t high)
{
    uint64_t b;
    while (tree_find_last(&z->whole, low, high, &b)) {
        uint64_t word = b / TREE_WORD_BITS,
                 upto = ~0ull >> (TREE_WORD_BITS - 1 - b % TREE_WORD_BITS);
        if (low / TREE_WORD_BITS == word)
            upto &= ~0ull << low % TREE_WORD_BITS;
        cache_begin(c);
        move_window(c, z, b);
        uint64_t wanted = highest_bits(tree_word(&z->whole, word) & upto, window_limit(z));
        uint64_t taken = wanted != 0 ? tree_remove_word(&z->whole, word, wanted) : 0;
        for (uint64_t rest = taken; rest != 0; rest &= rest - 1)
            __atomic_store_n(&z->entries[word * TREE_WORD_BITS + (unsigned)__builtin_ctzll(rest)],
                             c->owner, __ATOMIC_RELAXED);
        CACHE_SET(c->window.free, taken);
        if (taken != 0)
            return true;
        high = b; /* another CPU was faster */
    }
    return false;
}

/* The highest block of the window in [low, high). */
static bool take_from_window(struct pmm_cache *c, const struct zone *z, uint64_t low, uint64_t high,
                             uint64_t *out)
{
    struct window *w = &c->window;
    uint64_t first = w->word * TREE_WORD_BITS;
    if (w->free == 0 || w->zone != z || high <= first)
        return false;
    uint64_t free = w->free;
    if (high - first < TREE_WORD_BITS)
        free &= ~(~0ull << (high - first));
    if (free == 0)
        return false;
    unsigned bit = 63 - (unsigned)__builtin_clzll(free);
    if (first + bit < low)
        return false;
    CACHE_SET(w->free, w->free & ~(1ull << bit));
    *out = first + bit;
    return true;
}

bool cache_take_whole(struct pmm_cache *c, struct zone *z, uint64_t low, uint64_t high, bool move,
                      uint64_t *out)
{
    if (take_from_window(c, z, low, high, out))
        return true;
    if (c->window.free == 0 && move)
        return fill_window(c, z, low, high) && take_from_window(c, z, low, high, out);
    while (tree_find_last(&z->whole, low, high, out)) { /* beside a window that is elsewhere */
        cache_begin(c);
        if (tree_remove(&z->whole, *out)) {
            __atomic_store_n(&z->entries[*out], c->owner, __ATOMIC_RELAXED);
            return true;
        }
        high = *out;
    }
    return false;
}

/* The second block in a row of another word moves the window there, and the first if the window is
 * empty or full: who takes blocks elsewhere shall not find words with a block or two. */
void cache_give_whole(struct pmm_cache *c, struct zone *z, uint64_t b)
{
    uint64_t word = b / TREE_WORD_BITS;
    if (c->window.zone != z || c->window.word != word) {
        bool again = c->last_word == word,
             idle = c->window.free == 0 || c->window.free == c->window.mask;
        c->last_word = word;
        if (!(again || idle) || window_limit(z) < TREE_WORD_BITS) {
            tree_add(&z->whole, b);
            return;
        }
        move_window(c, z, b);
    }
    CACHE_SET(c->window.free, c->window.free | 1ull << b % TREE_WORD_BITS);
}

bool cache_pop_block(struct pmm_cache *c, uint64_t *frame)
{
    struct window *w = &c->window;
    uint64_t free = w->free & w->mask;
    if (free == 0)
        return false;
    unsigned bit = 63 - (unsigned)__builtin_clzll(free);
    CACHE_SET(w->free, w->free & ~(1ull << bit));
    block_break(w->zone, w->word * TREE_WORD_BITS + bit, 0);
    *frame = (w->number + bit) << BLOCK_SHIFT;
    return true;
}

bool cache_push_block(struct pmm_cache *c, uint64_t frame)
{
    struct window *w = &c->window;
    uint64_t bit = (frame >> BLOCK_SHIFT) - w->number;
    if (bit >= TREE_WORD_BITS || w->zone == NULL)
        return false;
    uint64_t b = w->word * TREE_WORD_BITS + bit;
    uint32_t nobody = 0; /* on no list, not ragged */
    if (!((w->mask & ~w->free) >> bit & 1) || tree_has(&w->zone->whole, b) ||
        block_entry(w->zone, b) != nobody || !line_is_used(w->zone->lines[b]) ||
        !__atomic_compare_exchange_n(&w->zone->entries[b], &nobody, c->owner, false,
                                     __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
        return false;
    poison_fill(frame, BLOCK_FRAMES);
    CACHE_SET(w->free, w->free | 1ull << bit);
    return true;
}

/* --- Looking ---------------------------------------------------------------- */

uint64_t cache_keeps_row(const struct pmm_cache *c, const struct zone *z, uint64_t b,
                         uint64_t number, unsigned r)
{
    const struct slot *s = &c->slots[number % CACHE_SLOTS];
    if (__atomic_load_n(&c->tags[number % CACHE_SLOTS], __ATOMIC_ACQUIRE) == number)
        return CACHE_GET(s->free[r]);
    const struct window *w = &c->window;
    bool near = CACHE_GET(w->zone) == z && CACHE_GET(w->word) == b / TREE_WORD_BITS;
    return near && CACHE_GET(w->free) >> b % TREE_WORD_BITS & 1 ? ~0ull : 0;
}
