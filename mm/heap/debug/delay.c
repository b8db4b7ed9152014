/* Owns: the freed objects whose memory is not used again yet, the oldest first. Relies on: the core.
 * Stage: from "heap" on. */
#include "debug.h"

#include "../core.h"
#include "../object_cache.h"
#include "check.h"
#include "config.h"
#include "zones.h"

#define LARGE (CONFIG_HEAP_DELAY_BYTES / 8) /* what is larger is not delayed */

static struct {
    struct record *first, *last;
    uint64_t bytes; /* of all of them */
} delayed GUARDED_BY(records_lock);

void delay_init(void)
{
    irq_state_t irq = spin_lock(&records_lock);
    delayed.first = delayed.last = NULL;
    delayed.bytes = 0;
    spin_unlock(&records_lock, irq);
}

/* A record that is the caller's. It is told apart from its memory before another object has that. */
static void give_back(struct record *r)
{
    void *object = r->object;
    unsigned cache = r->cache;
    irq_state_t irq = spin_lock(&records_lock);
    debug_forget(r);
    records_remove(r);
    records_give(r);
    spin_unlock(&records_lock, irq);
    if (cache != RECORD_NO_CACHE)
        cache_free_whole(cache_at(CLASS_CACHES + cache - 1), object);
    else
        core_free(object);
}

/* The oldest, for the caller alone, if more than so many bytes are there; NULL: there are not. */
static struct record *take_oldest(uint64_t limit)
{
    irq_state_t irq = spin_lock(&records_lock);
    struct record *r = delayed.bytes > limit ? delayed.first : NULL;
    if (r != NULL) {
        delayed.first = r->after;
        delayed.bytes -= r->usable;
        r->state = RECORD_FREEING;
    }
    spin_unlock(&records_lock, irq);
    return r;
}

static uint64_t drain_to(uint64_t limit)
{
    uint64_t n = 0;
    for (struct record *r; (r = take_oldest(limit)) != NULL; n++) {
        const uint8_t *damage = zones_find_damage_dead(r);
        if (damage != NULL)
            debug_tell_damage(r, damage, false);
        give_back(r);
    }
    return n;
}

uint64_t delay_drain(void)
{
    return drain_to(0);
}

void delay_free(struct record *r, bool later)
{
    if (!later || r->usable > LARGE) {
        give_back(r);
        return;
    }
    zones_paint_dead(r);
    irq_state_t irq = spin_lock(&records_lock);
    r->state = RECORD_DELAYED;
    r->after = NULL;
    if (delayed.bytes == 0)
        delayed.first = r;
    else
        delayed.last->after = r;
    delayed.last = r;
    delayed.bytes += r->usable;
    spin_unlock(&records_lock, irq);
    (void)drain_to(CONFIG_HEAP_DELAY_BYTES);
}

uint64_t heap_drain_delayed(void)
{
    return delay_drain();
}
