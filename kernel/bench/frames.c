/* Owns: the benchmark of the frame allocator: its workloads, the memory that they need themselves.
 * Relies on: bench.c, the pmm. Stage: after cpus_start; while a workload runs nobody else may need
 * memory, as some take every frame there is. */
#include "bench/frames_parts.h"
#include "mm/hhdm.h"
#include "mm/string.h"

#define MIB          (1ull << 20)
#define GIB          (1ull << 30)
#define BLOCK        (1u << PMM_ORDER_BLOCK)
#define BYTES_USUAL  (4 * GIB)
#define FRAMES_MIN   4096u /* 16 MiB: with less some workloads have nothing to do */
#define RESERVE_PART 64u   /* one frame in so many stays free where not everything is to be taken */
#define RESERVE_MIN  1024u

static const struct bench_workload workloads[] = {
    {.rows = {"bulk-alloc", "bulk-free"}, .body = frames_bulk},
    {.rows = {"free-random"}, .body = frames_free_random},
    {.rows = {"free-by-other-cpu"}, .body = frames_free_other, .cpus_min = 2},
    {.rows = {"pair"}, .body = frames_pairs},
    {.rows = {"batch-512"}, .body = frames_batches, .argument = 512},
    {.rows = {"batch-call-512"}, .body = frames_batch_calls, .argument = 512},
    {.rows = {"order-9-alloc", "order-9-free"}, .body = frames_orders, .argument = 9},
    {.rows = {"order-3-alloc", "order-3-free"}, .body = frames_orders, .argument = 3},
    {.rows = {"mixed-orders-pair"}, .body = frames_mixed, .argument = 9},
    {.rows = {"runs-3-17-100-pair"}, .body = frames_mixed},
    {.rows = {"holes-99%"}, .body = frames_holes, .argument = 100},
    {.rows = {"full-order-0"}, .body = frames_full},
    {.rows = {"checkerboard-order-1"}, .body = frames_checkerboard},
    {.rows = {"below-4G-pair", NULL},
     .body = frames_pairs_below,
     .argument = 4 * GIB,
     .self = true},
    {.rows = {"churn-dense"}, .body = frames_churn, .argument = 1, .bytes = GIB, .percent = true},
    {.rows = {"churn-dense-burst"},
     .body = frames_churn,
     .argument = 512,
     .bytes = GIB,
     .percent = true},
    {.rows = {"churn-random"},
     .body = frames_churn_random,
     .argument = 1,
     .bytes = GIB,
     .percent = true},
};

/* ---- memory for the benchmark itself --------------------------------------------------------- */

/* A run of frames for one thing; of no frames where there is none. */
struct piece {
    paddr_t base;
    uint64_t nframes;
};

/* Addresses, in frames that need not lie together. */
struct slots {
    struct piece directory;
    uint64_t nchunks;
};

static struct piece hands[BENCH_CPUS_MAX];
static struct slots slots[BENCH_CPUS_MAX], ballast;
static struct piece bitmap;
static uint64_t nballast, nfree;

static uint64_t used_kib(void)
{
    struct pmm_stats stats;
    pmm_get_stats(&stats);
    return stats.used_kib;
}

static uint64_t count_free(void)
{
    struct pmm_stats stats;
    pmm_get_stats(&stats);
    return stats.free_kib * 1024 / FRAME_BYTES;
}

static void *piece_open(struct piece *piece, uint64_t bytes)
{
    uint64_t n = bytes_to_frames(bytes);
    if (pmm_alloc_frames(n, NULL, &piece->base) != MM_OK)
        return NULL;
    piece->nframes = n;
    return phys_to_virt(piece->base);
}

static void piece_close(struct piece *piece)
{
    if (piece->nframes > 0)
        (void)pmm_free_frames(piece->base, piece->nframes);
    piece->nframes = 0;
}

static paddr_t **slots_chunks(const struct slots *s)
{
    return phys_to_virt(s->directory.base);
}

static bool slots_open(struct slots *s, uint64_t n)
{
    uint64_t nchunks = n / SLOTS_A_CHUNK + 1;
    paddr_t chunk, **chunks = piece_open(&s->directory, nchunks * sizeof *chunks);
    for (s->nchunks = 0; chunks != NULL && s->nchunks < nchunks; s->nchunks++) {
        if (pmm_alloc_frame(&chunk) != MM_OK)
            return false;
        chunks[s->nchunks] = phys_to_virt(chunk);
    }
    return chunks != NULL;
}

static void slots_close(struct slots *s)
{
    while (s->nchunks > 0)
        (void)pmm_free_frame(virt_to_phys(slots_chunks(s)[--s->nchunks]));
    piece_close(&s->directory);
}

/* ---- around a workload ----------------------------------------------------------------------- */

/* Take whole blocks until about so many frames are free. */
static bool leave_free(uint64_t n)
{
    uint64_t now = count_free(), blocks = now > n ? (now - n) / BLOCK : 0;
    nballast = 0;
    if (blocks == 0)
        return true;
    if (!slots_open(&ballast, blocks))
        return false;
    while (nballast < blocks &&
           pmm_alloc_order(
               PMM_ORDER_BLOCK, NULL,
               &slots_chunks(&ballast)[nballast / SLOTS_A_CHUNK][nballast % SLOTS_A_CHUNK]) ==
               MM_OK)
        nballast++;
    return true;
}

static void frames_close(void)
{
    while (nballast > 0) {
        nballast--;
        (void)pmm_free_order(
            slots_chunks(&ballast)[nballast / SLOTS_A_CHUNK][nballast % SLOTS_A_CHUNK],
            PMM_ORDER_BLOCK);
    }
    slots_close(&ballast);
    piece_close(&bitmap);
    for (unsigned i = 0; i < BENCH_CPUS_MAX; i++) {
        slots_close(&slots[i]);
        piece_close(&hands[i]);
    }
}

static const char *frames_open(const struct bench_workload *workload, unsigned cpus)
{
    uint64_t limit = (workload->bytes ? workload->bytes : BYTES_USUAL) / FRAME_BYTES;
    uint64_t room = count_free();
    room = room < limit + 2 * BLOCK ? room : limit + 2 * BLOCK;
    bool good = piece_open(&bitmap, scan_bytes(room)) != NULL;
    for (unsigned i = 0; i < cpus && good; i++) {
        struct frames_hand *hand = piece_open(&hands[i], sizeof *hand);
        good = hand != NULL && slots_open(&slots[i], room);
        if (good)
            *hand = (struct frames_hand){.chunks = slots_chunks(&slots[i]), .room = room};
    }
    good = good && leave_free(limit);
    nfree = count_free();
    if (good && nfree >= FRAMES_MIN)
        return NULL;
    frames_close();
    return "too little memory";
}

static void frames_begin(bool baseline)
{
    for (unsigned i = 0; i < BENCH_CPUS_MAX; i++)
        if (hands[i].nframes > 0)
            ((struct frames_hand *)phys_to_virt(hands[i].base))->calls =
                baseline ? &frames_scan : &frames_ours;
    if (baseline)
        scan_begin(phys_to_virt(bitmap.base), nfree);
}

static void frames_end(struct bench_worker *w)
{
    frames_give(frames_hand(w));
}

const struct bench_suite bench_frames = {
    .name = "frames",
    .summary = "the frame allocator, against a bitmap with a lock",
    .workloads = workloads,
    .n = sizeof workloads / sizeof workloads[0],
    .open = frames_open,
    .begin = frames_begin,
    .end = frames_end,
    .close = frames_close,
    .usage = used_kib,
};

/* ---- for the workloads ----------------------------------------------------------------------- */

static void ours_count_free(uint64_t *all, uint64_t *whole)
{
    uint64_t orders[PMM_ORDER_BLOCK + 1];
    pmm_get_order_stats(PMM_ALL_NODES, orders);
    *all = 0;
    for (unsigned order = 0; order <= PMM_ORDER_BLOCK; order++)
        *all += orders[order] << order;
    *whole = orders[PMM_ORDER_BLOCK] << PMM_ORDER_BLOCK;
}

const struct frames_calls frames_ours = {
    .alloc_frame = pmm_alloc_frame,
    .free_frame = pmm_free_frame,
    .alloc_order = pmm_alloc_order,
    .free_order = pmm_free_order,
    .alloc_frames = pmm_alloc_frames,
    .free_frames = pmm_free_frames,
    .alloc_batch = pmm_alloc_batch,
    .free_batch = pmm_free_batch,
    .count_free = ours_count_free,
};

struct frames_hand *frames_hand(const struct bench_worker *w)
{
    return phys_to_virt(hands[w->number].base);
}

uint64_t frames_free(void)
{
    return nfree;
}

uint64_t frames_quota(const struct bench_worker *w)
{
    uint64_t reserve = nfree / RESERVE_PART;
    reserve = reserve > RESERVE_MIN ? reserve : RESERVE_MIN;
    return (nfree - reserve) / w->cpus;
}

void frames_take(struct frames_hand *hand, uint64_t n)
{
    mm_status_t (*alloc)(paddr_t *) = hand->calls->alloc_frame;
    uint64_t i = hand->nslots;
    n = n < hand->room ? n : hand->room;
    while (i < n && alloc(frames_slot(hand, i)) == MM_OK)
        i++;
    hand->nslots = i;
}

void frames_give(struct frames_hand *hand)
{
    mm_status_t (*give)(paddr_t) = hand->calls->free_frame;
    for (uint64_t i = 0; i < hand->nslots; i++)
        (void)give(*frames_slot(hand, i));
    hand->nslots = 0;
}

void frames_shuffle(struct bench_worker *w)
{
    struct frames_hand *hand = frames_hand(w);
    for (uint64_t i = hand->nslots; i > 1; i--) {
        paddr_t *a = frames_slot(hand, i - 1), *b = frames_slot(hand, bench_random(w, i));
        paddr_t swapped = *a;
        *a = *b;
        *b = swapped;
    }
}
