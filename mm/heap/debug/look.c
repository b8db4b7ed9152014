/* Owns: nothing; what an address is, and which objects there are, as those see it who have them, zones and
 * freed objects aside. Relies on: the core's own; records. Stage: from "heap" on. */
#include "../core.h"

#include "check.h"
#include "debug.h"

/* An address in a zone is in an object that is not live: nobody may be there. */
static void fill_in(const struct record *r, const void *p, struct heap_place *out)
{
    size_t offset = (size_t)((const uint8_t *)p - record_payload(r));
    out->object = record_payload(r);
    out->bytes = r->bytes;
    out->live = r->state == RECORD_LIVE && (offset < r->bytes || offset == 0);
}

bool heap_find(const void *p, struct heap_place *out) NO_LOCK_ANALYSIS
{
    if (!core_find(p, out))
        return false;
    const struct record *r = debug_record_of(out->object);
    if (r == NULL)
        r = records_around(p);
    if (r != NULL)
        fill_in(r, p, out);
    return true;
}

struct walk {
    heap_visit_t visit;
    void *argument;
};

static bool visit(const struct heap_object *whole, void *argument)
{
    struct walk *walk = argument;
    struct heap_object object = *whole;
    bool live = true;
    irq_state_t irq = spin_lock(&records_lock);
    const struct record *r = debug_record_of(whole->address);
    if (r != NULL) {
        object.address = record_payload(r);
        object.bytes = r->bytes;
        live = r->state == RECORD_LIVE;
    }
    spin_unlock(&records_lock, irq);
    return !live || walk->visit(&object, walk->argument);
}

void heap_walk(heap_visit_t visitor, void *argument)
{
    struct walk walk = {visitor, argument};
    core_walk(visit, &walk);
}
