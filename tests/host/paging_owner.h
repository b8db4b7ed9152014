/* Who owns frames that are mapped with PROT_OWNED, for tests: counts the mappings of each frame, and
 * frees a frame when its last mapping has gone. */
#ifndef PAGING_OWNER_H
#define PAGING_OWNER_H

#include "paging_rig.h"

#define OWNER_FRAMES 8192 /* of RAM, from its beginning */

static struct owner {
    unsigned mappings[OWNER_FRAMES];
    uint64_t shared, released, calls;
    uint64_t fail_share; /* this call of share fails; 0: none */
    uint64_t shares;     /* calls */
} owner;

static inline uint64_t owner_index(paddr_t frame)
{
    uint64_t i = pa_diff(PA(RAM_BASE), frame) / FRAME_BYTES;
    assert_true(i < OWNER_FRAMES);
    return i;
}

static inline void owner_add(paddr_t base, uint64_t nframes, int more)
{
    uint64_t first = owner_index(base);
    for (uint64_t i = first; i < first + nframes; i++) {
        assert_true(i < OWNER_FRAMES);
        assert_true(more > 0 || owner.mappings[i] > 0);
        owner.mappings[i] += (unsigned)more;
    }
}

static inline mm_status_t owner_share(paddr_t base, uint64_t nframes)
{
    if (++owner.shares == owner.fail_share)
        return MM_NOMEM;
    owner_add(base, nframes, 1);
    owner.shared += nframes;
    return MM_OK;
}

static inline bool owner_has(paddr_t frame)
{
    return owner.mappings[owner_index(frame)] > 0;
}

static inline void owner_release(paddr_t base, uint64_t nframes)
{
    owner_add(base, nframes, -1);
    owner.released += nframes;
    owner.calls++;
    for (uint64_t i = 0; i < nframes; i++)
        if (!owner_has(pa_add(base, i * FRAME_BYTES)))
            assert_int_equal(MM_OK, pmm_free_frame(pa_add(base, i * FRAME_BYTES)));
}

static const struct frame_hooks owner_hooks = {owner_share, owner_release};

/* Frames in pages of this many: they are mapped once each, or about to be. */
static inline paddr_t owner_take(uint64_t nframes)
{
    paddr_t base;
    const struct pmm_limits limits = {.align_frames = nframes == 512 ? nframes : 1};
    assert_int_equal(MM_OK, pmm_alloc_frames(nframes, &limits, &base));
    owner_add(base, nframes, 1);
    return base;
}

/* --- A space with such frames --------------------------------------------------- */

#define EMPTY KIND(ENTRY_EMPTY)
#define PAGES KIND(ENTRY_PAGE)
#define OWNED (RW | PROT_OWNED)

static inline int start_owned(void **state)
{
    memset(&owner, 0, sizeof owner);
    start(state);
    space.hooks = &owner_hooks;
    return 0;
}

static inline int start_owned_5_levels(void **state)
{
    memset(&owner, 0, sizeof owner);
    start_5_levels(state);
    space.hooks = &owner_hooks;
    return 0;
}

static const struct page_state lazy = {
    .kind = 2, .value = 7, .prot = RW | PROT_USER, .cache = CACHE_WB};
static const struct page_state guard = {.kind = 5, .value = (1ull << 40) - 1, .cache = CACHE_WC};
static const struct page_state nothing = {.kind = ENTRY_EMPTY};

static inline void set(uint64_t va, uint64_t npages, unsigned over, const struct page_state *s)
{
    assert_int_equal(MM_OK, paging_set(&space, VA(va), npages, over, s));
    assert_true(paging_validate(&space));
}

static inline struct mapping look_at(uint64_t va)
{
    struct mapping m;
    assert_int_equal(MM_OK, paging_look(&space, VA(va), &m));
    return m;
}

static inline void expect_state(uint64_t va, const struct page_state *s)
{
    struct mapping m = look_at(va);
    assert_int_equal(s->kind, m.kind);
    assert_int_equal(s->value, m.value);
    assert_int_equal(s->prot, m.prot);
    assert_int_equal(s->cache, m.cache);
    assert_false(look(va).present);
}

static inline void take_and_map(uint64_t va, uint64_t nframes)
{
    map(va, owner_take(nframes).v, nframes, OWNED);
}

#define OWNED_TEST(name) TEST_ON_4_AND_5_LEVELS(name, start_owned, stop)

#endif
