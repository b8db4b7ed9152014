/* Owns: the sequence of objects. What an object goes through: a record, zones, then
 * live; claimed by who frees it. Relies on: the core for memory. Stage: from "heap" on.
 *
 * The lock is never held while the core, the pmm's users or misuse are called. */
#include "debug.h"

#include "../core.h"
#include "../origin.h"
#include "../runs.h"
#include "../share.h"
#include "check.h"
#include "config.h"
#include "depot.h"
#include "mm/hhdm.h"
#include "mm/heap_stats.h"
#include "store.h"
#include "zones.h"

#define LOOK_EVERY 1024u /* objects between two looks at all of them, at DEBUG_ALL */

static uint64_t sequence GUARDED_BY(records_lock);

/* What the core does not know: how much of live objects nobody has asked for, and which objects are freed,
 * though their memory is not. */
static struct {
    uint64_t slack, dead, dead_bytes;
} hidden GUARDED_BY(records_lock);

unsigned debug_level(void)
{
    return __atomic_load_n(&heap_tuning.debug_level, __ATOMIC_RELAXED);
}

void debug_init(void)
{
    irq_state_t irq = spin_lock(&records_lock);
    records_init();
    depot_init();
    store_forget();
    sequence = 0;
    hidden.slack = hidden.dead = hidden.dead_bytes = 0;
    spin_unlock(&records_lock, irq);
    delay_init();
}

uint64_t heap_mark(void)
{
    irq_state_t irq = spin_lock(&records_lock);
    uint64_t mark = sequence;
    spin_unlock(&records_lock, irq);
    return mark;
}

/* --- Allocating --------------------------------------------------------------------------- */

/* The number of the stack; 0 where none is taken. */
static uint32_t stack_number(const void *frame)
{
    struct heap_stack stack;
    if (debug_level() < DEBUG_STACKS)
        return 0;
    stack_take(&stack, frame);
    return depot_number(&stack);
}

static struct record *begin(uint32_t stack)
{
    irq_state_t irq = spin_lock(&records_lock);
    struct record *r = records_take();
    spin_unlock(&records_lock, irq);
    if (r != NULL)
        r->allocated = stack;
    return r;
}

/* What is delayed has records, and what the heap keeps is frames for new ones. */
struct record *debug_begin(const void *frame, bool wait)
{
    uint32_t stack = stack_number(frame);
    struct record *r;
    while ((r = begin(stack)) == NULL)
        if (delay_drain() == 0 && share_relieve(wait) == 0)
            break;
    return r;
}

void debug_give_up(struct record *r)
{
    irq_state_t irq = spin_lock(&records_lock);
    records_give(r);
    spin_unlock(&records_lock, irq);
}

/* From the core; when it has nothing, what is delayed is given up. */
static void *get_memory(size_t bytes, const struct heap_want *want)
{
    struct heap_want first = *want;
    first.flags &= ~HEAP_NOFAIL;
    void *object = core_alloc(bytes, &first);
    if (object == NULL && delay_drain() > 0)
        object = core_alloc(bytes, &first);
    if (object == NULL && (want->flags & HEAP_NOFAIL) != 0)
        object = core_alloc(bytes, want); /* which says what is missing */
    return object;
}

/* Now and then, so that damage is seen before somebody frees its victim. */
static void look_at_all(uint64_t number)
{
    if (debug_level() >= DEBUG_ALL && number % LOOK_EVERY == 0 && heap_check_zones() > 0)
        port_misuse("heap: objects are damaged: see above");
}

static void *without_record(size_t bytes, const struct heap_want *want)
{
    if ((want->flags & HEAP_NOFAIL) != 0)
        port_panic("heap: no record for the %lu bytes of %s", bytes,
                   want->what != NULL ? want->what : "somebody");
    return NULL;
}

void *debug_publish(struct record *r, bool poison)
{
    zones_paint(r, poison);
    irq_state_t irq = spin_lock(&records_lock);
    uint64_t number = sequence++;
    r->sequence = number;
    r->state = RECORD_LIVE;
    hidden.slack += r->usable - r->bytes;
    records_insert(r);
    spin_unlock(&records_lock, irq);
    look_at_all(number);
    return record_payload(r);
}

void *debug_alloc(size_t bytes, const struct heap_want *want, const void *frame)
{
    struct zones_plan plan;
    bool odd = (want->align & (want->align - 1)) != 0 || want->align > HEAP_ALIGN_MAX;
    if (odd || !zones_plan(bytes, want, &plan))
        return core_alloc(odd ? bytes : SIZE_MAX, want); /* fails as ever */
    struct record *r = debug_begin(frame, (want->flags & HEAP_NOWAIT) == 0);
    if (r == NULL)
        return without_record(bytes, want);
    struct heap_want inner = *want;
    inner.align = plan.align;
    inner.flags |= plan.range ? LARGE_GROWS : 0;
    void *object = get_memory(plan.bytes, &inner);
    if (object == NULL) {
        debug_give_up(r);
        return NULL;
    }
    r->object = object;
    r->usable = core_size(object);
    r->bytes = bytes;
    r->front = zones_front(&plan, object, r->usable, bytes);
    return debug_publish(r, (want->flags & HEAP_ZERO) == 0);
}

/* --- Finding ------------------------------------------------------------------------------- */

static void tell(const char *call, const void *p, const char *why, const struct record *r,
                 const struct heap_origin *origin)
{
    char words[ORIGIN_WORDS];
    struct heap_place place = {0};
    (void)core_find(r->object, &place);
    origin_words(origin, words, sizeof words);
    port_misuse("heap: %s(0x%lx), class %s: %s %s", call, va_number(va_of(p)),
                heap_class_name(place.class), why, words);
}

void debug_damage_words(const struct record *r, const uint8_t *p, bool live, char *out,
                        size_t bytes)
{
    struct heap_origin origin;
    char words[ORIGIN_WORDS];
    record_origin(r, &origin);
    origin.live = live;
    origin_words(&origin, words, sizeof words);
    const uint8_t *start = record_payload(r), *end = start + r->bytes;
    size_t distance = (size_t)(p - start);
    const char *where = "behind the start of";
    if (p < start) {
        distance = (size_t)(start - p);
        where = "in front of";
    } else if (p >= end) {
        distance = (size_t)(p - end) + 1;
        where = "behind the end of";
    }
    port_format(out, bytes, "%s to 0x%lx, %lu bytes %s %s",
                live ? "write out of bounds" : "write after free", va_number(va_of(p)), distance,
                where, words);
}

void debug_tell_damage(const struct record *r, const uint8_t *p, bool live)
{
    char words[DAMAGE_WORDS];
    debug_damage_words(r, p, live, words, sizeof words);
    port_misuse("heap: %s", words);
}

struct record *debug_record_of(const void *whole)
{
    struct record *r = records_find(whole);
    if (r != NULL && r->object == whole)
        return r;
    if (!hhdm_contains(whole))
        return records_around(whole); /* a range, with any front */
    for (size_t front = ZONE_FRONT; front <= PAGE_BYTES; front *= 2) {
        r = records_find((const uint8_t *)whole + front);
        if (r != NULL && r->object == whole)
            return r;
    }
    return NULL;
}

/* The record that is responsible for p. Without one, the core is; it knows all objects, so p may also be what
 * it gave for one that begins behind the zone. */
static struct record *find_record(const void *p) REQUIRES(records_lock)
{
    struct heap_place place;
    struct record *r = records_find(p);
    if (r != NULL)
        return r;
    bool plain = core_find(p, &place) && place.live && place.object == p;
    return plain ? debug_record_of(p) : records_around(p);
}

/* Why a record cannot be what is claimed, or NULL. */
static const char *wrong(const struct record *r, const struct debug_claim *claim, const void *p)
{
    if (record_payload(r) != p)
        return "is not the start of";
    if (r->state != RECORD_LIVE)
        return "is freed already (a double free):";
    if (claim->cache != RECORD_ANY_CACHE && claim->cache != r->cache)
        return r->cache != RECORD_NO_CACHE && claim->cache == RECORD_NO_CACHE
                   ? "is of an object cache, whose call frees it:"
                   : "is not of the cache that it is freed to:";
    return claim->bytes != SIZE_MAX && claim->bytes != r->bytes ? "is freed with a wrong size:"
                                                                : NULL;
}

/* With taker, who frees it is noted, and nobody else can. */
static enum debug_answer look_up(const struct debug_claim *claim, const void *p, uint32_t *taker,
                                 struct record **out)
{
    struct heap_origin origin = {0};
    const char *why = NULL;
    irq_state_t irq = spin_lock(&records_lock);
    struct record *r = find_record(p);
    if (r != NULL) {
        record_origin(r, &origin);
        why = wrong(r, claim, p);
        if (why == NULL && taker != NULL) {
            r->state = RECORD_FREEING;
            r->freed = *taker;
            hidden.slack -= r->usable - r->bytes;
            hidden.dead++;
            hidden.dead_bytes += r->usable;
        }
    }
    spin_unlock(&records_lock, irq);
    if (r == NULL)
        return DEBUG_NOT_OURS;
    *out = r;
    if (why != NULL)
        tell(claim->call, p, why, r, &origin);
    return why == NULL ? DEBUG_OURS : DEBUG_MISUSE;
}

enum debug_answer debug_find(const char *call, const void *p, struct record **out)
{
    const struct debug_claim claim = {call, SIZE_MAX, RECORD_ANY_CACHE, NULL};
    return look_up(&claim, p, NULL, out);
}

enum debug_answer debug_claim(const struct debug_claim *claim, const void *p, struct record **out)
{
    uint32_t taker = stack_number(claim->frame);
    return look_up(claim, p, &taker, out);
}

void debug_forget(const struct record *r)
{
    hidden.dead--;
    hidden.dead_bytes -= r->usable;
}

void debug_adjust(struct heap_totals *totals)
{
    irq_state_t irq = spin_lock(&records_lock);
    totals->all.live -= hidden.dead;
    totals->all.live_bytes -= hidden.slack + hidden.dead_bytes;
    totals->all.frees += hidden.dead;
    totals->descriptor_bytes += store_count_frames() * FRAME_BYTES;
    spin_unlock(&records_lock, irq);
}

void debug_finish(struct record *r)
{
    const uint8_t *damage = zones_find_damage(r);
    if (damage != NULL)
        debug_tell_damage(r, damage, true);
    delay_free(r, debug_level() >= DEBUG_STACKS);
}

mm_status_t debug_get_origin(const void *p, struct heap_origin *out) NO_LOCK_ANALYSIS
{
    const struct record *r = records_around(p);
    if (r == NULL)
        return MM_NOTFOUND;
    record_origin(r, out);
    return MM_OK;
}
