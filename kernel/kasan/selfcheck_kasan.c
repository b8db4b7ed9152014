/* Owns: the checks of the shadow: what it allows, and what not; of RAM only if all of that is
 * watched, as it could be any. Relies on: heap, frames, the shadow.
 * Stage: after kasan_start. */
#include "check/selfcheck_parts.h"
#include "kasan/kasan.h"
#include "mm/heap_stats.h"
#include "mm/hhdm.h"
#include "mm/pmm.h"

/* True if the first byte of [p, p + bytes) that must not be touched is number at. */
static bool ends_at(const void *p, size_t bytes, size_t at)
{
    vaddr_t bad;
    return kasan_find(p, bytes, &bad) && va_eq(bad, va_add(va_of(p), at));
}

static bool is_valid(const void *p, size_t bytes)
{
    vaddr_t bad;
    return !kasan_find(p, bytes, &bad);
}

static bool memory_is_watched(void)
{
    EXPECT(kasan_ram_kib() > 0);
    return true;
}

static bool frames_are_followed(void)
{
    if (!kasan_has_all())
        return true;
    paddr_t frame;
    EXPECT(pmm_alloc_frame(&frame) == MM_OK);
    const void *p = phys_to_virt(frame);
    EXPECT(is_valid(p, FRAME_BYTES));
    EXPECT(pmm_free_frame(frame) == MM_OK);
    EXPECT(ends_at(p, FRAME_BYTES, 0));
    EXPECT(pmm_mark_used(frame, 1) == MM_OK);
    EXPECT(is_valid(p, FRAME_BYTES));
    EXPECT(pmm_mark_free(frame, 1) == MM_OK);
    EXPECT(ends_at(p, FRAME_BYTES, 0));
    return true;
}

static bool heap_has_zones(void)
{
    struct heap_tuning tuning;
    heap_get_tuning(&tuning);
    return tuning.debug_level > 0;
}

/* Sizes around those of a grain, a class, the largest class and a page run. Without zones, what lies
 * in front of an object may be another one. */
static bool objects_end_where_asked(void)
{
    if (!kasan_has_all())
        return true;
    static const size_t sizes[] = {1,    7,    8,    9,      13,     64,     65,
                                   1000, 4096, 4097, 0x8000, 0x8001, 0x18123};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint8_t *p = kmalloc(sizes[i]);
        EXPECT(p);
        EXPECT(is_valid(p, sizes[i]));
        EXPECT(ends_at(p, sizes[i] + 1, sizes[i]));
        EXPECT(!heap_has_zones() || ends_at(p - 1, sizes[i], 0));
        kfree(p);
        EXPECT(ends_at(p, sizes[i], 0));
    }
    return true;
}

static bool objects_end_where_resized(void)
{
    if (!kasan_has_all())
        return true;
    uint8_t *p = kmalloc(100);
    EXPECT(p && (p = krealloc(p, 97)) && is_valid(p, 97) && ends_at(p, 98, 97));
    EXPECT((p = krealloc(p, 111)) && is_valid(p, 111) && ends_at(p, 112, 111));
    EXPECT((p = krealloc(p, 5000)) && is_valid(p, 5000) && ends_at(p, 5001, 5000));
    kfree(p);
    EXPECT((p = kcalloc(3, 7)) && is_valid(p, 21) && ends_at(p, 22, 21));
    kfree(p);
    EXPECT((p = kaligned_alloc(512, 30)) && is_valid(p, 30) && ends_at(p, 31, 30));
    kfree(p);
    return true;
}

static bool variables_have_zones(void)
{
    static uint8_t of_file[5];
    uint8_t of_function[5];
    __asm__ volatile("" ::"r"(of_file), "r"(of_function) : "memory"); /* so that they are there */
    EXPECT(is_valid(of_file, 5) && ends_at(of_file, 6, 5));
    EXPECT(is_valid(of_function, 5) && ends_at(of_function, 6, 5));
    return true;
}

static bool bugs_are_seen(void)
{
    if (!kasan_has_all())
        return true;
    unsigned missed;
    EXPECT(kasan_try_bugs(&missed) > 0 && missed == 0);
    return true;
}

static const struct selfcheck checks[] = {
    {"kasan: memory is watched", memory_is_watched},
    {"kasan: frames are valid while they are used", frames_are_followed},
    {"kasan: objects of the heap end where it was asked", objects_end_where_asked},
    {"kasan: also when they were resized, or are zeroed or aligned", objects_end_where_resized},
    {"kasan: bugs are seen", bugs_are_seen},
    {"kasan: variables have zones behind them", variables_have_zones},
};
const struct selfcheck_part selfcheck_kasan = {checks, sizeof checks / sizeof checks[0]};
