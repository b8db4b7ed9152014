/* Owns: which of the machine's blocks of 2 MiB Linux backs, and the giving back of those that are
 * free.
 * Relies on: the frames' inside: who has removed a block from the tree of whole ones, or owns a partly
 * free one, is alone with its free frames; madvise(2).
 *
 * The heap's frames come and go by way of frames_alloc and frames_free. When a thread has freed
 * some, or much is free and it comes by, and some time has passed, the blocks that were whole the
 * last time too are given back. A large run that is freed goes at once.
 * The kernel's heap has all its memory; so this is not in mm/. */
#include <errno.h>
#include <sys/mman.h>
#include <time.h>

#include "../../mm/pmm/state.h"
#include "mm/hhdm.h"
#include "parts.h"
#include "../../mm/heap/share.h"

#define BLOCKS_MAX   (1u << 23) /* 16 TiB */
#define FIRST_BLOCK  (RAM_PA >> (FRAME_SHIFT + BLOCK_SHIFT))
#define FREED_FRAMES (16384u / 4)  /* by one thread, before it looks around */
#define PAUSE_NS     1000000000ull /* between two looks */
#define BRIEF_NS     250000000ull  /* the same when most of what is backed is free */
#define MOST_TIMES   4
#define IDLE_PART    16 /* of what is in use may be backed without need, and */
#define IDLE_FRAMES  512
#define LEAST_FRAMES 4u    /* of a run in a block that is not whole */
#define LARGE_RUN    8192u /* frames: what recycle.c would not keep, either */

/* By number of the block, from the start of RAM. Each zone has one extent, and begins with a word. */
static struct {
    uint64_t last_ns;
    uint64_t several_ns; /* since when there are several threads */
    bool busy;           /* a thread is giving back */
    int64_t used;        /* frames that the heap has */
    int64_t idle;        /* frames of backed blocks that it has not */
    struct {
        uint64_t backed; /* was used since it was given back */
        uint64_t aged;   /* was whole when we looked, and not used since */
    } words[BLOCKS_MAX / 64];
} blocks;

/* --- What is backed -------------------------------------------------------------------------------- */

static void add(int64_t *counter, int64_t n)
{
    __atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

/* True if the run begins a block that is not backed. */
static bool is_fresh(paddr_t base)
{
    uint64_t b = (frame_number(base) >> BLOCK_SHIFT) - FIRST_BLOCK;
    return !(CACHE_GET(blocks.words[b / 64].backed) >> b % 64 & 1);
}

/* Returns the blocks that were not backed. */
static uint64_t note_used(paddr_t base, uint64_t nframes)
{
    uint64_t fresh = 0;
    uint64_t first = (frame_number(base) >> BLOCK_SHIFT) - FIRST_BLOCK;
    uint64_t last = first + (frame_number(base) % BLOCK_FRAMES + nframes - 1) / BLOCK_FRAMES;
    for (uint64_t b = first; b <= last; b++) {
        uint64_t bit = 1ull << b % 64, w = b / 64;
        if (!(__atomic_load_n(&blocks.words[w].backed, __ATOMIC_RELAXED) & bit))
            fresh += !(__atomic_fetch_or(&blocks.words[w].backed, bit, __ATOMIC_RELAXED) & bit);
        if (__atomic_load_n(&blocks.words[w].aged, __ATOMIC_RELAXED) & bit)
            __atomic_fetch_and(&blocks.words[w].aged, ~bit, __ATOMIC_RELAXED);
    }
    return fresh;
}

/* The heap has n frames more, or less. */
static void count_used(int64_t n, uint64_t fresh)
{
    add(&blocks.used, n);
    add(&blocks.idle, (int64_t)(fresh * BLOCK_FRAMES) - n);
}

static bool much_is_idle(void)
{
    return __atomic_load_n(&blocks.idle, __ATOMIC_RELAXED) >
           __atomic_load_n(&blocks.used, __ATOMIC_RELAXED) / IDLE_PART + IDLE_FRAMES;
}

/* A CPU keeps the free frames of many blocks, which in the kernel costs nothing. Here it would make the
 * others use memory that Linux has not backed yet: so when one is about to although much is backed and
 * free, all give up what they keep. */
static bool others_may_have(paddr_t base)
{
    return unlikely(is_fresh(base)) && threads_count() > 1 && much_is_idle();
}

/* --- Giving back ------------------------------------------------------------------------------------ */

static uint64_t give(uint64_t frame, uint64_t n)
{
    madvise(phys_to_virt(frame_address(frame)), n * FRAME_BYTES, MADV_DONTNEED);
    return n;
}

static uint64_t first_word(const struct zone *z)
{
    return (z->extents[0].number - FIRST_BLOCK) / 64;
}

/* The whole blocks of a word of the tree: those that had time, or all. Inside the cache. */
static uint64_t give_whole(struct pmm_cache *c, struct zone *z, uint64_t w, bool all)
{
    uint64_t at = first_word(z) + w, given = 0,
             whole = tree_word(&z->whole, w) & blocks.words[at].backed;
    uint64_t wanted = all ? whole : whole & blocks.words[at].aged;
    __atomic_store_n(&blocks.words[at].aged, whole & ~wanted, __ATOMIC_RELAXED);
    if (wanted == 0)
        return 0;
    cache_begin(c);
    uint64_t taken = tree_remove_word(&z->whole, w, wanted);
    for (uint64_t rest = taken; rest != 0;) {
        unsigned bit = (unsigned)__builtin_ctzll(rest);
        uint64_t above = ~(rest >> bit);
        unsigned n = above == 0 ? 64 : (unsigned)__builtin_ctzll(above);
        uint64_t number = zone_block_number(z, w * TREE_WORD_BITS + bit);
        given += give(number << BLOCK_SHIFT, (uint64_t)n * BLOCK_FRAMES);
        rest &= ~row_mask(bit, n);
    }
    __atomic_fetch_and(&blocks.words[at].backed, ~taken, __ATOMIC_RELAXED);
    add(&blocks.idle, -(int64_t)BLOCK_FRAMES * __builtin_popcountll(taken));
    tree_add_word(&z->whole, w, taken);
    cache_end(c);
    return given;
}

/* The free runs of a block that is partly used. Inside the cache. */
static uint64_t give_parts(struct pmm_cache *c, struct zone *z, uint64_t b)
{
    uint64_t free[LINE_ROWS], given = 0, base = zone_block_number(z, b) << BLOCK_SHIFT;
    if (!block_own(z, b, c->owner))
        return 0;
    block_read_free(z, b, free);
    for (unsigned first = 0, n; first < BLOCK_FRAMES; first += n + 1) {
        for (n = 0; first + n < BLOCK_FRAMES; n++)
            if (!(free[(first + n) / ROW_FRAMES] >> (first + n) % ROW_FRAMES & 1))
                break;
        if (n >= LEAST_FRAMES)
            given += give(base + first, n);
    }
    block_settle(z, b, c->owner);
    return given;
}

/* Enter the cache for each step only: others may wait for it. */
static uint64_t give_zone_whole(struct zone *z, bool all)
{
    uint64_t given = 0, words = (z->nblocks + TREE_WORD_BITS - 1) / TREE_WORD_BITS;
    for (uint64_t w = 0; w < words; w++) {
        if (CACHE_GET(blocks.words[first_word(z) + w].backed) == 0)
            continue;
        struct pmm_cache *c = cache_enter();
        given += give_whole(c, z, w, all);
        cache_leave(c);
    }
    return given;
}

static uint64_t give_zone_parts(struct zone *z)
{
    uint64_t given = 0, b;
    for (unsigned list = 0; list < ZONE_KINDS * ZONE_LISTS; list++) {
        struct bit_tree *tree = &z->lists[list / ZONE_LISTS][list % ZONE_LISTS];
        for (uint64_t high = z->nblocks; tree_find_last(tree, 0, high, &b); high = b) {
            struct pmm_cache *c = cache_enter();
            cache_begin(c);
            given += give_parts(c, z, b);
            cache_end(c);
            cache_leave(c);
        }
    }
    return given;
}

static uint64_t give_all_whole(bool all)
{
    uint64_t given = 0;
    for (unsigned i = 0; i < pmm_nzones(); i++)
        given += give_zone_whole(&pmm.zones[i], all);
    return given;
}

uint64_t give_back_all(void)
{
    int error = errno;
    pmm_drain();
    uint64_t given = give_all_whole(true);
    for (unsigned i = 0; i < pmm_nzones(); i++)
        given += give_zone_parts(&pmm.zones[i]);
    errno = error;
    return given;
}

static uint64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &time);
    return (uint64_t)time.tv_sec * 1000000000ull + (uint64_t)time.tv_nsec;
}

static bool most_is_idle(void)
{
    return __atomic_load_n(&blocks.idle, __ATOMIC_RELAXED) >
           MOST_TIMES * __atomic_load_n(&blocks.used, __ATOMIC_RELAXED);
}

/* What was whole a while, after all CPUs have given up what they keep. */
COLD static void give_back_some(void)
{
    uint64_t now = now_ns(), pause = most_is_idle() ? BRIEF_NS : PAUSE_NS;
    if (now - __atomic_load_n(&blocks.last_ns, __ATOMIC_RELAXED) < pause ||
        __atomic_exchange_n(&blocks.busy, true, __ATOMIC_ACQUIRE))
        return;
    int error = errno;
    __atomic_store_n(&blocks.last_ns, now, __ATOMIC_RELAXED);
    pmm_drain();
    give_all_whole(false);
    errno = error;
    __atomic_store_n(&blocks.busy, false, __ATOMIC_RELEASE);
}

_Thread_local uint32_t give_back_calls;

/* With a lock of the heap held, as every call of the frames is, so that no fork comes in between. */
COLD void give_back_look(void)
{
    irq_state_t irq;
    if (!much_is_idle())
        return;
    struct share *s = share_enter(&irq);
    give_back_some();
    share_leave(s, irq);
}

void give_back_begin(void)
{
    blocks.several_ns = now_ns();
}

COLD void give_back_left(void)
{
    if (most_is_idle() && now_ns() - blocks.several_ns >= PAUSE_NS)
        (void)give_back_all();
}

/* The whole blocks of a run that is about to be freed. */
COLD static void give_run(paddr_t base, uint64_t nframes)
{
    int error = errno;
    uint64_t b = (frame_number(base) + BLOCK_FRAMES - 1) >> BLOCK_SHIFT,
             end = (frame_number(base) + nframes) >> BLOCK_SHIFT;
    give(b << BLOCK_SHIFT, (end - b) << BLOCK_SHIFT);
    add(&blocks.idle, -(int64_t)((end - b) << BLOCK_SHIFT));
    for (b -= FIRST_BLOCK, end -= FIRST_BLOCK; b < end; b++)
        __atomic_fetch_and(&blocks.words[b / 64].backed, ~(1ull << b % 64), __ATOMIC_RELAXED);
    errno = error;
}

/* --- The heap's calls -------------------------------------------------------------------------------- */

mm_status_t frames_alloc(uint64_t nframes, const struct pmm_limits *limits, paddr_t *out)
{
    uint64_t known;
    mm_status_t status;
    bool drained = false;
    do {
        known = machine_known();
        status = pmm_alloc_frames(nframes, limits, out);
        if (status == MM_OK && !drained && others_may_have(*out)) {
            drained = true;
            pmm_free_frames(*out, nframes);
            pmm_drain();
            status = pmm_alloc_frames(nframes, limits, out); /* another thread may have it now */
        }
    } while (status == MM_NOMEM && machine_grow(known));
    if (status != MM_OK)
        return status;
    count_used((int64_t)nframes, note_used(*out, nframes));
    return MM_OK;
}

mm_status_t frames_grow(paddr_t base, uint64_t nframes)
{
    mm_status_t status = pmm_try_mark_used(base, nframes);
    if (status == MM_OK)
        count_used((int64_t)nframes, note_used(base, nframes));
    return status;
}

mm_status_t frames_free(paddr_t base, uint64_t nframes)
{
    static _Thread_local uint64_t freed;
    if (unlikely(nframes >= LARGE_RUN))
        give_run(base, nframes);
    mm_status_t status = pmm_free_frames(base, nframes);
    count_used(-(int64_t)nframes, 0);
    freed += nframes;
    if (unlikely(freed >= FREED_FRAMES)) {
        freed = 0;
        give_back_some();
    }
    return status;
}
