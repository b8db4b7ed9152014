/* Owns: ranges that the program has freed and that are kept a while, with the memory in them.
 * Relies on: the heap, for which they are live.
 *
 * A range comes from Linux and goes back there, and each of its pages costs a fault when it is used:
 * more than all else that is done for it. So the last few are kept for who wants one of about
 * that size and does not want zeros. What grows may have one that is much larger: it has memory
 * already, and what has grown over a MiB will probably grow on, as what was there before did. */
#include <pthread.h>
#include <time.h>

#include "../../mm/heap/core.h"
#include "../../mm/heap/runs.h"
#include "mm/hhdm.h"
#include "parts.h"

#define KEPT_MOST   16u
#define KEPT_BYTES  (32ull << 20) /* all together */
#define KEPT_NS     1000000000ull /* when they are looked at */
#define ROOMY_MOST  64u
#define ROOMY_BYTES (32ull << 20) /* that all of those have and did not ask for */
#define ROOMY_TIMES 4             /* so many times larger than was asked for, at most */

static struct {
    pthread_mutex_t mutex;
    struct kept {
        void *p;
        size_t bytes;
        uint64_t ns;
    } ranges[KEPT_MOST]; /* the oldest first */
    unsigned count;
    size_t bytes;
    struct roomy {
        const void *p;
        size_t spare;
    } roomy[ROOMY_MOST]; /* live ranges that were too large for who wanted them */
    unsigned nroomy;
    size_t spare; /* of all of them */
} kept = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static uint64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &time);
    return (uint64_t)time.tv_sec * 1000000000ull + (uint64_t)time.tv_nsec;
}

/* The caller holds the mutex. */
static void *take(unsigned i)
{
    void *p = kept.ranges[i].p;
    kept.bytes -= kept.ranges[i].bytes;
    kept.count--;
    for (; i < kept.count; i++)
        kept.ranges[i] = kept.ranges[i + 1];
    return p;
}

/* The oldest one if it is too old, or too much is kept beside what comes; NULL: none. */
static void *take_old(uint64_t ns, size_t bytes)
{
    bool full = kept.count == KEPT_MOST || kept.bytes + bytes > KEPT_BYTES;
    bool old = kept.count > 0 && ns - kept.ranges[0].ns > KEPT_NS;
    return kept.count > 0 && (full || old) ? take(0) : NULL;
}

static bool has(const void *p)
{
    for (unsigned i = 0; i < kept.count; i++)
        if (kept.ranges[i].p == p)
            return true;
    return false;
}

/* The caller holds the mutex. */
static struct roomy *find_roomy(const void *p)
{
    for (unsigned i = 0; i < kept.nroomy; i++)
        if (kept.roomy[i].p == p)
            return &kept.roomy[i];
    return NULL;
}

/* NULL: there is nothing to forget. The caller holds the mutex. */
static void forget_roomy(struct roomy *r)
{
    if (r == NULL)
        return;
    kept.spare -= r->spare;
    *r = kept.roomy[--kept.nroomy];
}

/* The smallest that is large enough; NULL: there is none. */
static void *take_fitting(size_t bytes, bool grows)
{
    void *p = NULL;
    unsigned best = KEPT_MOST;
    pthread_mutex_lock(&kept.mutex);
    size_t most = bytes + bytes / 2, times = ROOMY_TIMES * bytes;
    if (grows && kept.nroomy < ROOMY_MOST) {
        size_t rest = bytes + (kept.spare < ROOMY_BYTES ? ROOMY_BYTES - kept.spare : 0);
        rest = rest < times ? rest : times;
        most = rest < most ? most : rest;
    }
    for (unsigned i = 0; i < kept.count; i++)
        if (kept.ranges[i].bytes >= bytes && kept.ranges[i].bytes <= most &&
            (best == KEPT_MOST || kept.ranges[i].bytes < kept.ranges[best].bytes))
            best = i;
    if (best != KEPT_MOST) {
        size_t spare = kept.ranges[best].bytes - bytes;
        p = take(best);
        if (spare > bytes / 2) {
            kept.roomy[kept.nroomy++] = (struct roomy){p, spare};
            kept.spare += spare;
        }
    }
    pthread_mutex_unlock(&kept.mutex);
    return p;
}

void *recycle_alloc(size_t bytes, const struct heap_want *want)
{
    if (likely(bytes < large_range_bytes))
        return core_alloc(bytes, want);
    void *p = NULL;
    if (bytes <= KEPT_BYTES &&
        (want == NULL || (want->align <= FRAME_BYTES && (want->flags & HEAP_ZERO) == 0)))
        p = take_fitting(bytes, want != NULL && (want->flags & LARGE_GROWS) != 0);
    if (p == NULL)
        p = core_alloc(bytes, want);
    if (p == NULL && recycle_bytes() != 0) { /* what is kept may be what is missing */
        recycle_end();
        p = core_alloc(bytes, want);
    }
    return p;
}

void recycle_free(void *p)
{
    struct large large;
    void *old[KEPT_MOST + 1]; /* and the NULL that ends them */
    unsigned n = 0;
    if (hhdm_contains(p) || !large_find(p, &large) || large.base != p || large.run != NULL ||
        large.pages * FRAME_BYTES > KEPT_BYTES) {
        core_free(p);
        return;
    }
    size_t bytes = large.pages * FRAME_BYTES;
    pthread_mutex_lock(&kept.mutex);
    bool twice = has(p);
    forget_roomy(find_roomy(p));
    if (!twice) {
        uint64_t ns = now_ns();
        while ((old[n] = take_old(ns, bytes)) != NULL)
            n++;
        kept.ranges[kept.count++] = (struct kept){p, bytes, ns};
        kept.bytes += bytes;
    }
    pthread_mutex_unlock(&kept.mutex);
    if (twice)
        heap_misuse("kfree", p, "freed already (a double free)");
    while (n > 0)
        core_free(old[--n]);
}

void recycle_look(const char *call, const void *p)
{
    if (recycle_bytes() == 0)
        return;
    pthread_mutex_lock(&kept.mutex);
    bool freed = has(p);
    pthread_mutex_unlock(&kept.mutex);
    if (!freed)
        return;
    bool common = thread_enter();
    heap_misuse(call, p, "is freed already");
    thread_exit(common);
}

bool recycle_stays(const void *p, size_t bytes)
{
    struct large large;
    if (hhdm_contains(p) || __atomic_load_n(&kept.nroomy, __ATOMIC_RELAXED) == 0 ||
        !large_find(p, &large))
        return false;
    size_t has = large.pages * FRAME_BYTES;
    bool stays = bytes <= has && bytes >= has / (2 * ROOMY_TIMES);
    pthread_mutex_lock(&kept.mutex);
    struct roomy *r = find_roomy(p);
    if (r != NULL && stays) {
        kept.spare = kept.spare - r->spare + (has - bytes);
        r->spare = has - bytes;
    } else {
        forget_roomy(r);
    }
    pthread_mutex_unlock(&kept.mutex);
    return r != NULL && stays;
}

void recycle_end(void)
{
    void *p;
    do {
        pthread_mutex_lock(&kept.mutex);
        p = kept.count > 0 ? take(0) : NULL;
        pthread_mutex_unlock(&kept.mutex);
        core_free(p);
    } while (p != NULL);
}

size_t recycle_bytes(void)
{
    return __atomic_load_n(&kept.bytes, __ATOMIC_RELAXED);
}

void recycle_lock(void)
{
    pthread_mutex_lock(&kept.mutex);
}

void recycle_unlock(void)
{
    pthread_mutex_unlock(&kept.mutex);
}
