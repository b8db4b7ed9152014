/* Owns: nothing; where frames for a request are looked for, in which order.
 * Relies on: caches, blocks. Stage: "frames".
 *
 *   1. this CPU's slots                        plain loads and stores
 *   2. blocks that are partly free             the fullest first: by the order of their largest run,
 *      of the same kind                        so that whole blocks stay whole
 *   3. whole blocks                            by way of the window
 *   4. partly free blocks of the other kind
 *   5. 2 to 4 again with this CPU's cache given back, then with all caches given back
 * 2 to 4 for each tier of addresses, the scarce one last. A block found is owned and becomes a
 * slot, so the next requests find it in step 1. */
#include "check.h"
#include "mm/string.h"
#include "state.h"

#define CANDIDATES_MAX 64 /* blocks that are looked at for a run that may or may not be in them */
#define SLOTS_TRIED    8  /* that turned out not to have the run, before looking elsewhere */
#define AVOID_MAX      4  /* blocks passed over because their slot is another lane's */

/* --- Requests --------------------------------------------------------------- */

bool request_make(uint64_t n, const struct pmm_limits *limits, struct request *out)
{
    static const struct pmm_limits none;
    const struct pmm_limits *l = limits != NULL ? limits : &none;
    uint64_t align = l->align_frames == 0 ? 1 : l->align_frames;
    if (n == 0 || n > PADDR_LIMIT / FRAME_BYTES || (align & (align - 1)) != 0 ||
        align > PADDR_LIMIT / FRAME_BYTES || l->kind > PMM_LONG ||
        l->node_rule > PMM_NODE_REQUIRED ||
        (l->node_rule != PMM_NODE_ANY && l->node >= NUMA_NODES_MAX))
        return false;
    paddr_t min = pa_min(l->min_addr, PA(PADDR_LIMIT)); /* rounding up must not wrap */
    bool by_address = l->min_addr.v != 0 || l->max_addr.v != 0;
    bool power = (n & (n - 1)) == 0;
    if (power && n <= BLOCK_FRAMES && align < n)
        align = n;
    *out = (struct request){
        .n = n,
        .align = align,
        .order = order_for(n > align ? n : align),
        .low = bytes_to_frames(min.v),
        .high = l->max_addr.v != 0 ? l->max_addr.v >> FRAME_SHIFT : ANY_FRAME,
        .node_rule = l->node_rule,
        .node = l->node,
        .kind = l->kind,
        .lane = by_address || l->node_rule != PMM_NODE_ANY ? LANE_LIMITED : (enum lane_name)l->kind,
    };
    return true;
}

bool request_allows(const struct request *req, uint64_t frame, uint64_t n)
{
    if (frame < req->low || frame + n > req->high)
        return false;
    if (req->node_rule == PMM_NODE_ANY)
        return true;
    size_t i = numa_find(pmm.pieces, pmm.npieces, frame_address(frame));
    return pmm.pieces[i].node == req->node &&
           frame + n <= frame_number(numa_piece_end(pmm.pieces, pmm.npieces, i));
}

/* --- In a slot --------------------------------------------------------------- */

static unsigned find_run(const struct request *req, const uint64_t free[LINE_ROWS])
{
    if (req->n == 1 && req->align == 1)
        return line_find_order(free, 0);
    if (req->n == req->align)
        return line_find_order(free, req->order);
    return line_find_run(free, (unsigned)req->n, (unsigned)req->align);
}

/* Take it from the slot, and the next frames from the same row. What is known of aligned runs does
 * not tell whether an odd count fits. */
static bool use_slot(struct pmm_cache *c, const struct request *req, struct slot *s, uint64_t *out)
{
    uint8_t *may = &c->may.order[s - c->slots];
    bool aligned = req->n == req->align;
    if (*may == 0 || (aligned && *may <= req->order))
        return false;
    unsigned first = find_run(req, s->free);
    if (first == LINE_NONE || !slot_take(s, first, (unsigned)req->n)) {
        if (aligned)
            *may = (uint8_t)req->order;
        return false;
    }
    *out = (s->number << BLOCK_SHIFT) + first;
    if (s->rows == 0)
        s->rows = SLOT_ROWS;
    lane_use_row(&c->lanes[req->lane], s, first / ROW_FRAMES);
    return true;
}

static bool slot_allowed(const struct slot *s, const struct request *req)
{
    uint64_t first = s->number << BLOCK_SHIFT;
    return s->kind == req->kind &&
           (req->lane != LANE_LIMITED || request_allows(req, first, BLOCK_FRAMES));
}

/* Those of eight slots whose bytes are not 0. */
static bool use_eight_slots(struct pmm_cache *c, const struct request *req, unsigned first,
                            unsigned *tries, uint64_t *out)
{
    for (uint64_t rest = c->may.words[first / 8]; rest != 0;) {
        unsigned byte = (unsigned)__builtin_ctzll(rest) / 8;
        struct slot *s = &c->slots[first + byte];
        if (c->may.order[first + byte] > req->order && s != c->lanes[LANE_LIMITED].slot &&
            slot_allowed(s, req)) {
            if (use_slot(c, req, s, out))
                return true;
            if (--*tries == 0)
                return false;
        }
        rest &= ~(0xffull << 8 * byte);
    }
    return false;
}

/* From the lane's slot on and around, as most of those before it were found empty. */
static bool use_slots(struct pmm_cache *c, const struct request *req, uint64_t *out)
{
    if (req->n >= BLOCK_FRAMES || req->align > BLOCK_FRAMES || !c->holding)
        return false;
    struct slot *own = c->lanes[req->lane].slot;
    unsigned first = 0;
    if (own != NULL && slot_allowed(own, req)) {
        if (use_slot(c, req, own, out) || (slot_collect(c, own) && use_slot(c, req, own, out)))
            return true;
        first = (unsigned)(own - c->slots) & ~7u;
    }
    uint64_t any = 0; /* mostly not */
    for (unsigned w = 0; w < CACHE_SLOTS / 8; w++)
        any |= c->may.words[w];
    unsigned tries = req->n < ROW_FRAMES ? SLOTS_TRIED : 4 * SLOTS_TRIED;
    for (unsigned i = 0; i < CACHE_SLOTS && any != 0 && tries > 0; i += 8)
        if (use_eight_slots(c, req, (first + i) % CACHE_SLOTS, &tries, out))
            return true;
    return false;
}

/* --- In the blocks of an area: indices [low, high) of a zone ------------------ */

struct area {
    struct zone *zone;
    uint64_t low, high;
};

/* True if another lane would lose the slot that it takes frames from. */
static bool disturbs(const struct pmm_cache *c, const struct request *req, uint64_t number)
{
    const struct slot *s = &c->slots[number % CACHE_SLOTS];
    bool used = false;
    for (unsigned i = 0; i < LANES; i++)
        used = used || (i != (unsigned)req->lane && c->lanes[i].slot == s);
    return used && line_count(s->free) != 0;
}

static bool claim_block(struct pmm_cache *c, const struct request *req, struct zone *z, uint64_t b,
                        uint64_t number, uint64_t *out)
{
    cache_begin(c);
    if (!block_own(z, b, c->owner))
        return false;
    struct slot *s = cache_add_slot(c, z, b, number, block_entry(z, b));
    slot_collect(c, s);
    return use_slot(c, req, s, out);
}

/* The block that will probably be claimed after b, and its slot: where memory is almost full that is
 * soon, and neither will have been used for long. */
static void fetch_next(const struct pmm_cache *c, const struct zone *z, const struct bit_tree *list,
                       uint64_t b, uint64_t number)
{
    uint64_t below = tree_word(list, b / TREE_WORD_BITS) & ((1ull << b % TREE_WORD_BITS) - 1);
    if (below == 0)
        return;
    uint64_t distance = b % TREE_WORD_BITS - (63 - (unsigned)__builtin_clzll(below));
    const struct slot *s = &c->slots[(number - distance) % CACHE_SLOTS];
    __builtin_prefetch(z->lines[b - distance], 1);
    __builtin_prefetch(s->free, 1);
    __builtin_prefetch(s->ours, 1);
    __builtin_prefetch(&s->number, 1);
}

/* CPUs begin far from each other, the first one at the top. */
static uint64_t first_cursor(const struct pmm_cache *c, const struct area *a)
{
    unsigned ncpus = CACHE_GET(pmm.ncpus), place = (c->owner - 1) % ncpus;
    return a->high - (a->high - a->low) / ncpus * place;
}

/* The blocks of one list, from the cursor down and around: CPUs that are at different places stay
 * out of each other's way. */
static bool claim_from_list(struct pmm_cache *c, const struct request *req, const struct area *a,
                            const struct bit_tree *list, uint64_t *out)
{
    uint64_t cursor = c->cursor > a->low && c->cursor < a->high ? c->cursor : first_cursor(c, a);
    unsigned avoided = 0;
    for (unsigned round = 0; round < 2; round++) {
        uint64_t low = round == 0 ? a->low : cursor, high = round == 0 ? cursor : a->high, b;
        for (; tree_find_last(list, low, high, &b); high = b) {
            uint64_t number = zone_block_number(a->zone, b);
            if (avoided < AVOID_MAX && disturbs(c, req, number)) {
                avoided++;
                continue;
            }
            fetch_next(c, a->zone, list, b, number);
            if (!claim_block(c, req, a->zone, b, number, out))
                continue;
            c->cursor = b;
            return true;
        }
    }
    return avoided > 0 && tree_find_last(list, a->low, a->high, &cursor) &&
           claim_block(c, req, a->zone, cursor, zone_block_number(a->zone, cursor), out);
}

static bool claim_partial(struct pmm_cache *c, const struct request *req, const struct area *a,
                          enum pmm_kind kind, uint64_t *out)
{
    for (unsigned order = req->order; order < ZONE_LISTS; order++) {
        const struct bit_tree *list = &a->zone->lists[kind][order];
        if (!tree_is_empty(list) && claim_from_list(c, req, a, list, out))
            return true;
    }
    return false;
}

static bool claim_whole(struct pmm_cache *c, const struct request *req, const struct area *a,
                        uint64_t *out)
{
    uint64_t b;
    struct zone *z = a->zone;
    if (c->window.free == 0 && tree_is_empty(&z->whole))
        return false;
    if (!cache_take_whole(c, z, a->low, a->high, req->lane != LANE_LIMITED, &b))
        return false;
    uint64_t number = zone_block_number(z, b);
    if (req->n == BLOCK_FRAMES) {
        block_break(z, b, 0);
        *out = number << BLOCK_SHIFT;
        return true;
    }
    uint32_t entry = c->owner | (req->kind == PMM_LONG ? ENTRY_LONG : 0);
    block_break(z, b, entry);
    struct slot *s = cache_add_slot(c, z, b, number, entry);
    for (unsigned r = 0; r < LINE_ROWS; r++)
        CACHE_SET(s->free[r], ~0ull);
    cache_may(c, s);
    return use_slot(c, req, s, out);
}

/* A count that is no power of two may fit although no aligned run of the next one is free. */
static bool claim_odd(struct pmm_cache *c, const struct request *req, const struct area *a,
                      enum pmm_kind kind, uint64_t *out)
{
    unsigned looked = 0, least = order_for(req->n + 2) - 2; /* that any such run contains */
    for (unsigned order = req->order; order-- > least && looked < CANDIDATES_MAX;) {
        uint64_t high = a->high, b;
        while (looked++ < CANDIDATES_MAX &&
               tree_find_last(&a->zone->lists[kind][order], a->low, high, &b)) {
            uint64_t free[LINE_ROWS];
            block_read_free(a->zone, b, free);
            if (find_run(req, free) != LINE_NONE &&
                claim_block(c, req, a->zone, b, zone_block_number(a->zone, b), out))
                return true;
            high = b;
        }
    }
    return false;
}

static bool claim(struct pmm_cache *c, const struct request *req, const struct area *a,
                  uint64_t *out)
{
    if (a->low >= a->high)
        return false;
    enum pmm_kind other = req->kind == PMM_LONG ? PMM_SHORT : PMM_LONG;
    return claim_partial(c, req, a, req->kind, out) || claim_whole(c, req, a, out) ||
           claim_partial(c, req, a, other, out) ||
           (req->n != req->align &&
            (claim_odd(c, req, a, req->kind, out) || claim_odd(c, req, a, other, out)));
}

/* --- In the part of a block that the limits leave ------------------------------ */

static bool claim_part(struct pmm_cache *c, const struct request *req, struct zone *z,
                       uint64_t number, uint64_t low, uint64_t high, uint64_t *out)
{
    uint64_t b, free[LINE_ROWS], base = number << BLOCK_SHIFT;
    low = low > base ? low : base;
    high = high < base + BLOCK_FRAMES ? high : base + BLOCK_FRAMES;
    if (low >= high || !zone_find_block(z, number, &b))
        return false;
    cache_begin(c);
    if (!block_own_any(z, b, c->owner))
        return false;
    block_read_free(z, b, free);
    for (unsigned r = 0; r < LINE_ROWS; r++)
        free[r] &= line_part((unsigned)(low - base), (unsigned)(high - low), r);
    unsigned first = find_run(req, free);
    if (first != LINE_NONE)
        block_take(z, b, first, (unsigned)req->n);
    block_settle(z, b, c->owner);
    *out = base + first;
    return first != LINE_NONE;
}

/* --- All together ---------------------------------------------------------------- */

static uint64_t first_block(uint64_t frame)
{
    return (frame + BLOCK_FRAMES - 1) >> BLOCK_SHIFT;
}

static bool claim_in_zone(struct pmm_cache *c, const struct request *req, struct zone *z,
                          uint64_t low, uint64_t high, uint64_t *out)
{
    uint64_t first = low == 0 ? 0 : zone_lower_bound(z, first_block(low));
    uint64_t end = high == ANY_FRAME ? z->nblocks : zone_lower_bound(z, high >> BLOCK_SHIFT);
    if (req->n > BLOCK_FRAMES || req->align > BLOCK_FRAMES) /* perhaps across tiers: the highest */
        return first < end && alloc_long(c, req, z, first, end, out);
    for (unsigned tier = ZONE_TIERS; tier-- > 0;) {
        struct area a = {z, z->tiers[tier], z->tiers[tier + 1]};
        a.low = a.low > first ? a.low : first;
        a.high = a.high < end ? a.high : end;
        if (claim(c, req, &a, out))
            return true;
    }
    if (req->lane != LANE_LIMITED)
        return false;
    if (high % BLOCK_FRAMES != 0 && claim_part(c, req, z, high >> BLOCK_SHIFT, low, high, out))
        return true;
    return low % BLOCK_FRAMES != 0 && claim_part(c, req, z, low >> BLOCK_SHIFT, low, high, out);
}

static bool claim_in_range(struct pmm_cache *c, const struct request *req, uint64_t low,
                           uint64_t high, uint64_t *out)
{
    for (unsigned i = pmm_nzones(); low < high && i-- > 0;)
        if (claim_in_zone(c, req, &pmm.zones[i], low, high, out))
            return true;
    return false;
}

static bool claim_on_node(struct pmm_cache *c, const struct request *req, uint64_t *out)
{
    for (size_t i = pmm.npieces; i-- > 0;) {
        if (pmm.pieces[i].node != req->node)
            continue;
        uint64_t low = frame_number(pmm.pieces[i].base);
        uint64_t high = frame_number(numa_piece_end(pmm.pieces, pmm.npieces, i));
        low = low > req->low ? low : req->low;
        high = high < req->high ? high : req->high;
        if (claim_in_range(c, req, low, high, out))
            return true;
    }
    return false;
}

/* Beside the preferred node a slot will do as well. */
static bool claim_anywhere(struct pmm_cache *c, const struct request *req, uint64_t *out)
{
    if (req->node_rule == PMM_NODE_ANY)
        return claim_in_range(c, req, req->low, req->high, out);
    if (claim_on_node(c, req, out))
        return true;
    struct request any = *req;
    any.node_rule = PMM_NODE_ANY;
    return req->node_rule == PMM_NODE_PREFERRED &&
           (use_slots(c, &any, out) || claim_in_range(c, &any, req->low, req->high, out));
}

bool alloc_inside(struct pmm_cache *c, const struct request *req, uint64_t *out)
{
    if (use_slots(c, req, out))
        return true;
    bool found = claim_anywhere(c, req, out);
    if (!found && cache_release_all(c))
        found = claim_anywhere(c, req, out);
    cache_end(c);
    return found;
}

bool take_inside(struct pmm_cache *c, uint64_t frame, unsigned n)
{
    uint64_t number = frame >> BLOCK_SHIFT, b;
    unsigned first = frame % BLOCK_FRAMES;
    struct slot *s = cache_find_slot(c, number);
    if (s == NULL) {
        struct zone *z = pmm_find_block(number, &b);
        if (z == NULL || tree_has(&z->whole, b))
            return false;
        cache_begin(c);
        if (block_own(z, b, c->owner))
            s = cache_add_slot(c, z, b, number, block_entry(z, b));
    }
    bool taken =
        s != NULL && (slot_take(s, first, n) || (slot_collect(c, s) && slot_take(s, first, n)));
    cache_end(c);
    return taken;
}

/* --- With the help of others --------------------------------------------------- */

/* The sum of the others' seq; false if one of them keeps something or is at work. */
static bool others_are_quiet(const struct pmm_cache *self, uint64_t *sum)
{
    bool quiet = true;
    *sum = 0;
    for (unsigned i = 0; i < CACHE_GET(pmm.cpu_limit); i++) {
        struct pmm_cache *c = __atomic_load_n(&pmm.caches[i], __ATOMIC_ACQUIRE);
        if (c == NULL || c == self)
            continue;
        uint64_t seq = __atomic_load_n(&c->seq, __ATOMIC_ACQUIRE);
        *sum += seq;
        quiet = quiet && seq % 2 == 0 && !__atomic_load_n(&c->holding, __ATOMIC_ACQUIRE);
    }
    return quiet;
}

/* Wait until each of the others that keeps something or is at work is at rest, and give back what
 * it kept. */
static void empty_others(const struct pmm_cache *self)
{
    for (unsigned i = 0; i < CACHE_GET(pmm.cpu_limit); i++) {
        struct pmm_cache *c = __atomic_load_n(&pmm.caches[i], __ATOMIC_ACQUIRE);
        if (c == NULL || c == self || (CACHE_GET(c->seq) % 2 == 0 && !CACHE_GET(c->holding)))
            continue;
        irq_state_t irq = irq_save();
        cache_steal(c);
        cache_release_all(c);
        cache_unsteal(c);
        irq_restore(irq);
    }
}

static bool alloc_once(const struct request *req, struct pmm_cache **self, uint64_t *out)
{
    irq_state_t irq = irq_save();
    struct pmm_cache *c = cache_enter();
    bool found = alloc_inside(c, req, out);
    *self = c;
    cache_leave(c);
    irq_restore(irq);
    return found;
}

/* Who failed before looks at the others first: one search is then enough to fail again. */
bool alloc_request(const struct request *req, uint64_t *out)
{
    struct pmm_cache *self = &port_mm_cpu()->frames;
    uint64_t before = 0, after;
    bool quiet = CACHE_GET(self->failed) && others_are_quiet(self, &before);
    for (;;) {
        if (alloc_once(req, &self, out)) {
            CACHE_SET(self->failed, false);
            return true;
        }
        if (quiet && others_are_quiet(self, &after) && before == after)
            break;
        quiet = others_are_quiet(self, &before);
        if (!quiet)
            empty_others(self);
    }
    CACHE_SET(self->failed, true);
    return false;
}
