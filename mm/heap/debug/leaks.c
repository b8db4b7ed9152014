/* Owns: nothing; what the records say when they are asked: what is live, and whose; what is damaged.
 * Relies on: records.c, depot.c. Stage: from "heap" on.
 *
 * The lock is given back between two records, as it keeps interrupts off: what others allocate and
 * free meanwhile is seen or not. The counts in the
 * depot are for the one CPU that is counting. */
#include "debug.h"

#include "../origin.h"
#include "../sample.h"
#include "check.h"
#include "depot.h"
#include "zones.h"

static bool counting; /* a CPU is */

/* --- Leaks ---------------------------------------------------------------------------------- */

/* What is counted, beside the depot: since when, and what is nobody's. */
struct count {
    uint64_t mark;
    struct heap_leak unknown;
};

/* One object more of a stack. */
static void count_object(struct count *count, uint32_t stack, const void *object, size_t bytes)
{
    struct depot_entry *e = depot_get(stack);
    *(e != NULL ? &e->objects : &count->unknown.objects) += 1;
    *(e != NULL ? &e->bytes : &count->unknown.bytes) += bytes;
    *(e != NULL ? &e->example : &count->unknown.example) = object;
}

static void count_record(struct count *count, uint32_t number)
{
    irq_state_t irq = spin_lock(&records_lock);
    const struct record *r = records_at(number);
    if (r != NULL && r->state == RECORD_LIVE && r->sequence >= count->mark)
        count_object(count, r->allocated, record_payload(r), r->bytes);
    spin_unlock(&records_lock, irq);
}

static bool count_sample(const struct heap_origin *sample, void *argument)
{
    struct count *count = argument;
    if (sample->mark < count->mark)
        return true;
    count_object(count, depot_number(&sample->allocated), sample->object, sample->bytes);
    return true;
}

static void forget_counts(void)
{
    for (uint32_t n = depot_count(); n > 0; n--) {
        struct depot_entry *e = depot_get(n);
        e->objects = e->bytes = 0;
    }
}

/* The stack with most bytes, whose count is taken out. False: there is none left. */
static bool take_most(struct heap_leak *out)
{
    struct depot_entry *most = NULL;
    for (uint32_t n = depot_count(); n > 0; n--) {
        struct depot_entry *e = depot_get(n);
        if (e->objects > 0 && (most == NULL || e->bytes > most->bytes))
            most = e;
    }
    if (most == NULL)
        return false;
    *out = (struct heap_leak){most->objects, most->bytes, most->example, most->stack};
    most->objects = most->bytes = 0;
    return true;
}

mm_status_t heap_visit_leaks(uint64_t mark, heap_leak_visit_t visit, void *argument)
{
    struct heap_leak leak;
    struct count count = {.mark = mark};
    if (__atomic_exchange_n(&counting, true, __ATOMIC_ACQUIRE))
        return MM_EXISTS;
    forget_counts();
    for (uint32_t n = records_count(); n > 0; n--)
        count_record(&count, n);
    (void)sample_walk(count_sample, &count);
    bool more = true;
    while (more && take_most(&leak))
        more = visit(&leak, argument);
    if (more && count.unknown.objects > 0)
        (void)visit(&count.unknown, argument);
    __atomic_store_n(&counting, false, __ATOMIC_RELEASE);
    return MM_OK;
}

struct leak_log {
    uint64_t objects, bytes, stacks;
    unsigned most;
};

static bool log_leak(const struct heap_leak *leak, void *argument)
{
    struct leak_log *log = argument;
    char words[ORIGIN_WORDS];
    log->objects += leak->objects;
    log->bytes += leak->bytes;
    if (log->stacks++ >= log->most)
        return true;
    stack_words(&leak->allocated, words, sizeof words, HEAP_CALLERS);
    port_log("heap: %lu objects, %lu bytes, one at 0x%lx, allocated by %s", leak->objects,
             leak->bytes, va_number(va_of(leak->example)), words);
    return true;
}

uint64_t heap_log_leaks(uint64_t mark, unsigned most)
{
    struct leak_log log = {.most = most};
    if (heap_visit_leaks(mark, log_leak, &log) != MM_OK)
        return 0;
    if (log.stacks > most)
        port_log("heap: and by %lu other stacks", log.stacks - most);
    port_log("heap: %lu objects of %lu bytes are live", log.objects, log.bytes);
    return log.objects;
}

/* --- Damage ----------------------------------------------------------------------------------- */

/* With the lock, so that nobody frees it meanwhile; what is found is said without. */
static const uint8_t *look_at(uint32_t number, struct record *copy)
{
    const uint8_t *damage = NULL;
    irq_state_t irq = spin_lock(&records_lock);
    const struct record *r = records_at(number);
    if (r != NULL && r->state == RECORD_LIVE)
        damage = zones_find_damage(r);
    else if (r != NULL && r->state == RECORD_DELAYED)
        damage = zones_find_damage_dead(r);
    if (damage != NULL)
        *copy = *r;
    spin_unlock(&records_lock, irq);
    return damage;
}

uint64_t heap_check_zones(void)
{
    uint64_t damaged = 0;
    for (uint32_t n = records_count(); n > 0; n--) {
        struct record copy;
        char words[DAMAGE_WORDS];
        const uint8_t *damage = look_at(n, &copy);
        if (damage == NULL)
            continue;
        damaged++;
        debug_damage_words(&copy, damage, copy.state == RECORD_LIVE, words, sizeof words);
        port_log("heap: %s", words);
    }
    return damaged;
}
