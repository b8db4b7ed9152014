/* The bytes of an object that no one may touch: red zones in front of and behind what the caller has,
 * and all of it when it is freed. Internal to mm/heap/debug/. A record's memory is its caller's: no lock.
 *
 * In front: at least ZONE_FRONT bytes, more where the alignment asks for it; none where that is
 * beyond a page. Behind: at least ZONE_BACK, and whatever the core gave more. An object in a range
 * lies against the end of it, where a page follows that cannot be touched at all. */
#ifndef QL_HEAP_DEBUG_ZONES_H
#define QL_HEAP_DEBUG_ZONES_H

#include "records.h"

#define ZONE_FRONT 32u
#define ZONE_BACK  32u

/* What to ask the core for. */
struct zones_plan {
    size_t bytes, align;
    uint32_t front;
    bool range; /* a range has pages around it that cannot be touched: no zones */
};

/* Room for an object and its zones. False: there is no such size. */
bool zones_plan(size_t bytes, const struct heap_want *want, struct zones_plan *out) MUST_USE;

/* Where in what the core gave the object begins. */
uint32_t zones_front(const struct zones_plan *plan, const void *object, size_t usable,
                     size_t bytes);

/* Fill the zones of a new object; poison: and the object. */
void zones_paint(const struct record *r, bool poison);

/* The first byte of the zones that was changed; NULL: none was. */
const uint8_t *zones_find_damage(const struct record *r);

/* The same for an object that is freed. */
void zones_paint_dead(const struct record *r);
const uint8_t *zones_find_damage_dead(const struct record *r);

#endif
