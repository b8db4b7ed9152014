/* Owns: the benchmark of the heap: its workloads, the memory for what they keep.
 * Relies on: bench.c, the heap, the pmm. Stage: after cpus_start.
 *
 * The baseline is what no heap under a lock does without: a list of free objects of one size, made
 * beforehand, for all CPUs. It knows one size at a time, so rows about sizes have none. */
#include "bench/bench_parts.h"
#include "cpu/cpu.h"
#include "cpu/crew.h"
#include "lock.h"
#include "mm/heap_stats.h"
#include "mm/hhdm.h"
#include "mm/object_cache.h"
#include "mm/pmm.h"

#define OPS       50000u
#define BATCH     1000u
#define FEW       10000u
#define MANY      100000u
#define BUFFERS   16u
#define RUN       0x19000u  /* 100 KiB: a run of frames */
#define RANGE     0x300000u /* 3 MiB: a virtual range */
#define LARGE_OPS 200u

enum way { IN_ORDER, SHUFFLED, OF_OTHER, OF_CACHE };
#define ARGUMENT(bytes, count, way) ((uint64_t)(way) << 60 | (uint64_t)(count) << 32 | (bytes))

static void pairs(struct bench_worker *w);
static void batches(struct bench_worker *w);
static void replace(struct bench_worker *w);
static void grow(struct bench_worker *w);
static void longest(struct bench_worker *w);

static const struct bench_workload workloads[] = {
    {.rows = {"pair-64"}, .body = pairs, .argument = ARGUMENT(64, 1, 0)},
    {.rows = {"pair-4096"}, .body = pairs, .argument = ARGUMENT(4096, 1, 0)},
    {.rows = {"pair-cache"}, .body = pairs, .argument = ARGUMENT(64, 1, OF_CACHE)},
    {.rows = {"pair-100K"}, .body = pairs, .argument = ARGUMENT(RUN, 0, 0)},
    {.rows = {"pair-3M"}, .body = pairs, .argument = ARGUMENT(RANGE, 0, 0)},
    {.rows = {"batch-64-alloc", "batch-64-free"},
     .body = batches,
     .argument = ARGUMENT(64, BATCH, IN_ORDER)},
    {.rows = {"batch-4096-alloc", "batch-4096-free"},
     .body = batches,
     .argument = ARGUMENT(4096, BATCH, IN_ORDER)},
    {.rows = {"shuffled-64-alloc", "shuffled-64-free"},
     .body = batches,
     .argument = ARGUMENT(64, BATCH, SHUFFLED)},
    {.rows = {"other-cpu-alloc", "other-cpu-free"},
     .body = batches,
     .argument = ARGUMENT(64, BATCH, OF_OTHER),
     .cpus_min = 2},
    {.rows = {"live-100"}, .body = replace, .argument = ARGUMENT(64, 100, 0)},
    {.rows = {"live-100000"}, .body = replace, .argument = ARGUMENT(64, MANY, 0)},
    {.rows = {"realloc"}, .body = grow},
    {.rows = {"longest", "longest-new-slab"}, .body = longest, .cpus_max = 1},
};

static uint64_t bytes_of(void)
{
    return bench_current->argument & UINT32_MAX;
}

/* Objects that the baseline has for each CPU; 0: there is no baseline. */
static uint64_t count_of(void)
{
    return bench_current->argument << 4 >> 36;
}

static enum way way_of(void)
{
    return bench_current->argument >> 60;
}

/* ---- the calls ------------------------------------------------------------------------------- */

static struct {
    struct spinlock lock;
    void **first;
} list = {.lock = SPINLOCK_INIT(LOCK_HEAP, "bench")};
static struct object_cache *cache;

static void *list_alloc(size_t bytes)
{
    (void)bytes;
    irq_state_t irq = spin_lock(&list.lock);
    void **object = list.first;
    if (object)
        list.first = *object;
    spin_unlock(&list.lock, irq);
    return object;
}

static void list_free(void *object)
{
    irq_state_t irq = spin_lock(&list.lock);
    *(void **)object = list.first;
    list.first = object;
    spin_unlock(&list.lock, irq);
}

static void *cache_alloc(size_t bytes)
{
    (void)bytes;
    return object_cache_alloc(cache);
}

static void cache_free(void *object)
{
    object_cache_free(cache, object);
}

static struct {
    void *(*alloc)(size_t bytes);
    void (*free)(void *object);
} calls;

/* ---- around a workload ----------------------------------------------------------------------- */

#define SLOTS_FRAMES bytes_to_frames(MANY * sizeof(void *))

/* What the CPUs keep, one behind the other; the objects of the list. */
static paddr_t slots, objects;
static uint64_t nslots, nobjects; /* frames */

static void heap_close(void)
{
    if (nslots > 0)
        (void)pmm_free_frames(slots, nslots);
    if (nobjects > 0)
        (void)pmm_free_frames(objects, nobjects);
    nslots = nobjects = 0;
    if (cache)
        (void)object_cache_destroy(cache);
    cache = NULL;
}

static const char *heap_open(const struct bench_workload *workload, unsigned cpus)
{
    (void)workload; /* it is the current one */
    static const struct object_cache_want want = {.name = "bench", .bytes = 64};
    uint64_t n = bytes_to_frames(count_of() * bytes_of() * cpus);
    bool good = pmm_alloc_frames(SLOTS_FRAMES * cpus, NULL, &slots) == MM_OK;
    nslots = good ? SLOTS_FRAMES * cpus : 0;
    good = good && (n == 0 || pmm_alloc_frames(n, NULL, &objects) == MM_OK);
    nobjects = good ? n : 0;
    if (good && way_of() == OF_CACHE)
        good = object_cache_create(&want, &cache) == MM_OK;
    if (good)
        return NULL;
    heap_close();
    return "too little memory";
}

static void heap_begin(bool baseline)
{
    calls.alloc = baseline ? list_alloc : cache ? cache_alloc : kmalloc;
    calls.free = baseline ? list_free : cache ? cache_free : kfree;
    list.first = NULL;
    for (uint64_t i = 0; i < crew.n * count_of(); i++)
        list_free(phys_to_virt(pa_add(objects, i * bytes_of())));
}

static uint64_t live_kib(void)
{
    struct heap_totals totals;
    heap_get_totals(&totals);
    return totals.all.live_bytes / 1024;
}

const struct bench_suite bench_heap = {
    .name = "heap",
    .summary = "the heap, against a list under a lock",
    .workloads = workloads,
    .n = sizeof workloads / sizeof workloads[0],
    .open = heap_open,
    .begin = heap_begin,
    .close = heap_close,
    .usage = live_kib,
};

/* ---- bodies ---------------------------------------------------------------------------------- */

static void **slots_of(unsigned number)
{
    return phys_to_virt(pa_add(slots, number * SLOTS_FRAMES * FRAME_BYTES));
}

static void *take(struct bench_worker *w)
{
    void *object = calls.alloc(bytes_of());
    if (!object)
        w->broken = "out of memory";
    return object;
}

static void give_all(void **from, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        if (from[i])
            calls.free(from[i]);
}

static void pairs(struct bench_worker *w)
{
    uint64_t ops = count_of() > 0 ? OPS : LARGE_OPS;
    if (w->baseline && count_of() == 0)
        return;
    calls.free(calls.alloc(bytes_of())); /* the first is another matter */
    bench_begin(w);
    for (uint64_t i = 0; i < ops && !w->broken; i++)
        calls.free(take(w));
    bench_end(w, 0, ops);
}

static void shuffle(struct bench_worker *w, void **all, uint64_t n)
{
    for (uint64_t i = n; i > 1; i--) {
        uint64_t k = bench_random(w, i);
        void *swapped = all[i - 1];
        all[i - 1] = all[k];
        all[k] = swapped;
    }
}

/* The first round is another matter. */
static void batches(struct bench_worker *w)
{
    void **mine = slots_of(w->number);
    void **other = way_of() == OF_OTHER ? slots_of((w->number + 1) % w->cpus) : mine;
    for (unsigned round = 0; round <= OPS / BATCH; round++) {
        bench_begin(w);
        for (unsigned i = 0; i < BATCH; i++)
            mine[i] = take(w);
        bench_end(w, round > 0 ? 0 : 2, BATCH);
        if (way_of() == SHUFFLED)
            shuffle(w, mine, BATCH);
        bench_begin(w);
        give_all(other, BATCH);
        bench_end(w, round > 0 ? 1 : 2, BATCH);
    }
}

static void replace(struct bench_worker *w)
{
    void **mine = slots_of(w->number);
    uint64_t count = count_of();
    for (uint64_t i = 0; i < count; i++)
        mine[i] = take(w);
    bench_begin(w);
    for (unsigned i = 0; i < OPS && !w->broken; i++) {
        void **slot = &mine[bench_random(w, count)];
        calls.free(*slot);
        *slot = take(w);
    }
    bench_end(w, 0, OPS);
    give_all(mine, count);
}

/* Some buffers in turn, each by half of what it has. */
static void grow(struct bench_worker *w)
{
    void *buffers[BUFFERS] = {NULL}, *grown;
    uint64_t bytes[BUFFERS] = {0};
    if (w->baseline)
        return;
    bench_begin(w);
    for (unsigned i = 0; i < OPS; i++) {
        uint64_t *size = &bytes[i % BUFFERS];
        *size = *size < 16 || *size > 2 * HEAP_CLASS_BYTES ? 16 : *size + *size / 2;
        grown = krealloc(buffers[i % BUFFERS], *size);
        if (grown)
            buffers[i % BUFFERS] = grown;
        else
            w->broken = "out of memory";
    }
    bench_end(w, 0, OPS);
    give_all(buffers, BUFFERS);
}

/* ---- the longest call ------------------------------------------------------------------------ */

/* One call by itself, that no interrupt lengthens: what is there is freed, else allocated. */
static void time_call(struct bench_worker *w, void **slot, unsigned section)
{
    struct bench_section *timed = &w->sections[section];
    uint64_t longest_yet = timed->sum;
    timed->sum = 0;
    irq_state_t irq = irq_save();
    w->began = cpu_tsc();
    void *object = NULL;
    if (*slot)
        kfree(*slot);
    else
        object = kmalloc(64);
    bench_end(w, section, 0);
    irq_restore(irq);
    *slot = object;
    timed->sum = timed->sum > longest_yet ? timed->sum : longest_yet;
    timed->ops = 1;
}

/* Returns what it was; an object between guard pages is another matter. */
static uint32_t set_sample_rate(uint32_t rate)
{
    struct heap_tuning tuning;
    heap_get_tuning(&tuning);
    uint32_t before = tuning.sample_rate;
    tuning.sample_rate = rate;
    (void)!heap_tune(&tuning); /* a rate that was, or none: cannot fail */
    return before;
}

/* Never more objects than there were in the beginning: no slab is needed. Then more and more. */
static void longest(struct bench_worker *w)
{
    void **mine = slots_of(0);
    if (w->baseline)
        return;
    uint32_t rate = set_sample_rate(0);
    for (unsigned i = 0; i < MANY; i++)
        mine[i] = i < FEW ? kmalloc(64) : NULL;
    for (unsigned i = 0; i < OPS; i++)
        time_call(w, &mine[bench_random(w, FEW)], 0);
    for (unsigned i = FEW; i < MANY; i++)
        time_call(w, &mine[i], 1);
    give_all(mine, MANY);
    (void)set_sample_rate(rate);
}
