/* Owns: the patterns around objects and in them. Not checked itself (mm/kasan.h), as it looks there. Relies on: nothing. Stage: any. */
#include "zones.h"

#include "mm/hhdm.h"
#include "mm/kasan.h"
#include "mm/string.h"

#define ZONE  0xc9 /* around an object: no ASCII, not 0 or small, as a pointer not canonical */
#define FRESH 0xa7 /* in a new one */
#define DEAD  0xdb /* in a freed one */

/* Of a large object only so many bytes at both ends are filled: all of it would take too long. */
#define EDGE 0x20000u

bool zones_plan(size_t bytes, const struct heap_want *want, struct zones_plan *out)
{
    size_t align = want->align;
    size_t natural = bytes > 0 && (bytes & (bytes - 1)) == 0 ? bytes : 1;
    if (natural > PAGE_BYTES)
        natural = PAGE_BYTES;
    if (align < natural)
        align = natural;
    if (align < HEAP_ALIGN)
        align = HEAP_ALIGN;
    out->align = align;
    out->range = bytes >= HEAP_RANGE_BYTES && (want->flags & HEAP_NOWAIT) == 0;
    out->front = 0;
    out->bytes = bytes;
    if (out->range)
        return true;
    out->front = align > PAGE_BYTES ? 0 : align > ZONE_FRONT ? (uint32_t)align : ZONE_FRONT;
    return !__builtin_add_overflow(bytes, out->front + ZONE_BACK, &out->bytes);
}

uint32_t zones_front(const struct zones_plan *plan, const void *object, size_t usable, size_t bytes)
{
    if (hhdm_contains(object))
        return plan->front;
    return (uint32_t)((usable - bytes) & ~(plan->align - 1)); /* a range is a multiple of it */
}

static const uint8_t *find_other(const uint8_t *p, size_t bytes, uint8_t pattern)
{
    uint64_t word = 0x0101010101010101ull * pattern;
    const uint8_t *end = p + bytes;
    for (; p < end && (uintptr_t)p % sizeof word != 0; p++)
        if (*p != pattern)
            return p;
    for (; (size_t)(end - p) >= sizeof word && *(const uint64_t *)(const void *)p == word;)
        p += sizeof word;
    for (; p < end; p++)
        if (*p != pattern)
            return p;
    return NULL;
}

static void fill(uint8_t *p, size_t bytes, uint8_t pattern)
{
    if (bytes <= 2 * EDGE) {
        memset(p, pattern, bytes);
        return;
    }
    memset(p, pattern, EDGE);
    memset(p + bytes - EDGE, pattern, EDGE);
}

static const uint8_t *find_unfilled(const uint8_t *p, size_t bytes, uint8_t pattern)
{
    if (bytes <= 2 * EDGE)
        return find_other(p, bytes, pattern);
    const uint8_t *damage = find_other(p, EDGE, pattern);
    return damage != NULL ? damage : find_other(p + bytes - EDGE, EDGE, pattern);
}

static uint8_t *back_of(const struct record *r)
{
    return record_payload(r) + r->bytes;
}

static size_t back_bytes(const struct record *r)
{
    return r->usable - r->front - r->bytes;
}

void zones_paint(const struct record *r, bool poison)
{
    kasan_allow(r->object, r->usable);
    memset(r->object, ZONE, r->front);
    memset(back_of(r), ZONE, back_bytes(r));
    if (poison)
        fill(record_payload(r), r->bytes, FRESH);
    kasan_forbid(r->object, r->front, KASAN_HEAP_ZONE);
    kasan_alloc(record_payload(r), r->bytes, r->usable - r->front);
}

/* The one nearest to the object, as most go wrong by little. */
const uint8_t *zones_find_damage(const struct record *r)
{
    const uint8_t *damage = find_other(back_of(r), back_bytes(r), ZONE);
    if (damage != NULL || find_other(r->object, r->front, ZONE) == NULL)
        return damage;
    const uint8_t *p = record_payload(r) - 1;
    while (p > r->object && *p == ZONE)
        p--;
    return p;
}

void zones_paint_dead(const struct record *r)
{
    if (!r->constructed)
        fill(record_payload(r), r->bytes, DEAD);
    kasan_free(record_payload(r), r->usable - r->front);
}

const uint8_t *zones_find_damage_dead(const struct record *r)
{
    const uint8_t *damage = zones_find_damage(r);
    if (damage != NULL || r->constructed)
        return damage;
    return find_unfilled(record_payload(r), r->bytes, DEAD);
}
