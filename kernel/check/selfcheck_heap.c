/* Owns: the checks of the heap on the real machine.
 * Relies on: all of mm/. Stage: after the take-over. */
#include "check/selfcheck_parts.h"
#include "cpu/traps.h"
#include "mm/heap_debug.h"
#include "mm/heap_stats.h"
#include "mm/hhdm.h"
#include "mm/object_cache.h"
#include "mm/pmm.h"
#include "mm/string.h"
#include "tuning.h"

/* What the heap needs to keep account stays with it. */
static uint64_t free_kib(void)
{
    struct pmm_stats frames;
    struct heap_totals heap;
    (void)heap_shrink();
    pmm_get_stats(&frames);
    heap_get_totals(&heap);
    return frames.free_kib + heap.descriptor_bytes / 1024;
}

static uint64_t live(void)
{
    struct heap_totals totals;
    (void)heap_drain_delayed();
    heap_get_totals(&totals);
    return totals.all.live;
}

/* Of many, some. */
static bool all_bytes_are(const uint8_t *p, size_t bytes, uint8_t value)
{
    for (size_t i = 0; i < bytes; i += 1 + bytes / 4096)
        if (p[i] != value)
            return false;
    return true;
}

/* From 17 bytes to beyond the size classes, and none in the memory of another. */
static bool objects_do_not_overlap(void)
{
    enum { OBJECTS = 24 };
    uint8_t *object[OBJECTS];
    size_t bytes = 17;
    for (unsigned i = 0; i < OBJECTS; i++, bytes += bytes / 2) {
        object[i] = kmalloc(bytes);
        EXPECT(object[i] && va_aligned(va_of(object[i]), HEAP_ALIGN));
        EXPECT(kmalloc_size(object[i]) >= bytes);
        memset(object[i], (int)i, bytes);
    }
    EXPECT(heap_validate());
    bytes = 17;
    for (unsigned i = 0; i < OBJECTS; i++, bytes += bytes / 2) {
        EXPECT(all_bytes_are(object[i], bytes, (uint8_t)i));
        kfree_sized(object[i], bytes);
    }
    return true;
}

static bool realloc_keeps_contents(void)
{
    static const size_t sizes[] = {100, 5000, 50000, 1500000, 5000000, 1200000, 70000, 50};
    uint8_t *p = NULL;
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        p = krealloc(p, sizes[i]);
        EXPECT(p && (i == 0 || all_bytes_are(p, 50, 0x77)));
        memset(p, 0x77, 50);
        p[sizes[i] - 1] = 1;
    }
    kfree(p);
    return true;
}

static bool calloc_zeroes(void)
{
    for (size_t bytes = 512; bytes <= 1 << 21; bytes <<= 6) {
        uint8_t *dirty = kmalloc(bytes);
        EXPECT(dirty);
        memset(dirty, 0xff, bytes);
        kfree(dirty);
        uint8_t *p = kcalloc(bytes / 8, 8);
        EXPECT(p && all_bytes_are(p, bytes, 0));
        kfree(p);
    }
    return true;
}

static bool alignment_is_honoured(void)
{
    for (size_t align = 1; align <= 1 << 21; align <<= 1) {
        void *p = kaligned_alloc(align, 40);
        EXPECT(p && va_aligned(va_of(p), align));
        kfree(p);
    }
    return true;
}

/* A size that is no good fit for pages of 2 MiB. */
static bool ranges_have_guards(void)
{
    const size_t bytes = 3 << 19;
    uint64_t before = live();
    uint8_t *p = kmalloc(bytes);
    EXPECT(p);
    struct heap_place place; /* a debug build adds zones, inside of it */
    EXPECT(heap_find(p, &place));
    vaddr_t va = va_of(place.object), end = va_add(va_of(p), kmalloc_size(p));
    memset(p, 0x5a, bytes);
    EXPECT(selfcheck_faults_at(selfcheck_write, va_add(va, -1ull), FAULT_WRITE));
    EXPECT(selfcheck_faults_at(selfcheck_write, end, FAULT_WRITE));
    EXPECT(all_bytes_are(p, bytes, 0x5a));
    kfree(p);
    EXPECT(selfcheck_faults_at(selfcheck_read, va, 0));
    EXPECT(live() == before);
    return true;
}

/* One that is outside of the direct map. */
static bool sampled_objects_are_guarded(void)
{
    uint8_t *p = NULL;
    uint32_t rate = tuning_sample(HEAP_SAMPLE_RATE_MIN);
    for (unsigned i = 0; i < 1000 && !p; i++) {
        p = kmalloc(64);
        if (hhdm_contains(p)) {
            kfree(p);
            p = NULL;
        }
    }
    (void)tuning_sample(rate);
    EXPECT(p);
    vaddr_t page = va_align_down(va_of(p), PAGE_BYTES);
    memset(p, 0x5a, 64);
    EXPECT(selfcheck_faults_at(selfcheck_write, va_add(page, -1ull), FAULT_WRITE));
    EXPECT(selfcheck_faults_at(selfcheck_write, va_add(page, PAGE_BYTES), FAULT_WRITE));
    kfree(p);
    EXPECT(selfcheck_faults_at(selfcheck_read, va_of(p), 0));
    return true;
}

/* Objects of all sizes, in a list; they go and the memory is the pmm's again, to the last frame. */
static bool shrinking_gives_everything_back(void)
{
    void **list = NULL;
    uint64_t before = free_kib();
    for (unsigned i = 0; i < 2000; i++) {
        void **p = kmalloc(8 + i * i % 9000);
        EXPECT(p);
        *p = list;
        list = p;
    }
    EXPECT(free_kib() < before - 4000);
    while (list) {
        void **next = *list;
        kfree(list);
        list = next;
    }
    EXPECT(free_kib() == before);
    return true;
}

/* All memory in pieces as large as there are, which nobody touches but for a pointer. */
static bool without_memory_there_is_null(void)
{
    const struct heap_want want = {.flags = HEAP_NOWAIT};
    uint64_t before = free_kib(), pieces = 0;
    void **list = NULL;
    for (size_t bytes = 1ull << 44; bytes >= 16; bytes /= 2)
        for (void **p; (p = kmalloc_want(bytes, &want)) != NULL; pieces++) {
            *p = list;
            list = p;
        }
    bool refuses = !kmalloc_want(16, &want) && !kmalloc_want(4096, &want);
    bool valid = heap_validate();
    for (void **next; list; list = next) {
        next = *list;
        kfree(list);
    }
    EXPECT(refuses && valid && pieces > 0);
    EXPECT(free_kib() == before);
    return true;
}

static bool statistics_return(void)
{
    struct heap_totals before, during, after;
    heap_get_totals(&before);
    void *p = kmalloc(1000);
    EXPECT(p);
    heap_get_totals(&during);
    EXPECT(during.all.live == before.all.live + 1);
    EXPECT(during.all.live_bytes >= before.all.live_bytes + kmalloc_size(p));
    kfree(p);
    (void)heap_drain_delayed();
    heap_get_totals(&after);
    EXPECT(after.all.live == before.all.live && after.all.live_bytes == before.all.live_bytes);
    EXPECT(after.all.allocations == before.all.allocations + 1);
    return true;
}

static bool addresses_are_found(void)
{
    struct heap_place place;
    char *p = kmalloc(100);
    EXPECT(p && heap_find(p + 50, &place) && place.live);
    size_t front = (size_t)(p - (const char *)place.object); /* a debug build's zone */
    EXPECT(front < place.bytes && place.bytes - front >= kmalloc_size(p));
    kfree(p);
    EXPECT(!heap_find(&place, &place));
    EXPECT(!heap_find(NULL, &place));
    return true;
}

static void construct(void *object, void *argument)
{
    memset(object, *(int *)argument, 200);
}

static bool caches_keep_objects_constructed(void)
{
    enum { OBJECTS = 50 };
    int value = 0x33;
    const struct object_cache_want want = {
        .name = "selfcheck", .bytes = 200, .construct = construct, .argument = &value};
    struct object_cache *cache;
    void *object[OBJECTS];
    uint64_t before = free_kib();
    EXPECT(object_cache_create(&want, &cache) == MM_OK);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < OBJECTS; i++) {
            object[i] = object_cache_alloc(cache);
            EXPECT(object[i] && all_bytes_are(object[i], 200, 0x33));
        }
        for (unsigned i = 0; i < OBJECTS; i++)
            object_cache_free(cache, object[i]);
    }
    EXPECT(object_cache_destroy(cache) == 0);
    EXPECT(free_kib() == before);
    return true;
}

static bool heap_is_consistent(void)
{
    EXPECT(heap_validate());
    return true;
}

static const struct selfcheck checks[] = {
    {"heap: objects do not overlap", objects_do_not_overlap},
    {"heap: krealloc keeps contents", realloc_keeps_contents},
    {"heap: kcalloc zeroes", calloc_zeroes},
    {"heap: alignment is honoured", alignment_is_honoured},
    {"heap: large objects have guard pages", ranges_have_guards},
    {"heap: sampled objects are guarded", sampled_objects_are_guarded},
    {"heap: shrinking gives everything back", shrinking_gives_everything_back},
    {"heap: it says when memory is out", without_memory_there_is_null},
    {"heap: statistics return", statistics_return},
    {"heap: addresses are found", addresses_are_found},
    {"heap: caches keep objects constructed", caches_keep_objects_constructed},
    {"heap: all is consistent", heap_is_consistent},
};
const struct selfcheck_part selfcheck_heap = {checks, sizeof checks / sizeof checks[0]};
