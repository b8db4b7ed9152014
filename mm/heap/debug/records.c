/* Owns: the records of objects, and the table that finds them. Relies on: store.c, depot.c.
 * Stage: from "frames" on. */
#include "records.h"

#include "check.h"
#include "depot.h"
#include "mm/hhdm.h"
#include "mm/pmm.h"
#include "store.h"

#define BUCKETS_AT_START (FRAME_BYTES / sizeof(void *))
#define CHAIN_MAX        100000u /* in a panic nobody has the lock, and a chain may be a circle */

struct spinlock records_lock = SPINLOCK_INIT(LOCK_RECORD, "heap records");

static struct {
    struct store store;
    struct record *blank;
    struct record **buckets;
    uint64_t nbuckets; /* a power of two, or 0 */
    uint64_t used;
} table = {.store.bytes = sizeof(struct record)};

void records_init(void)
{
    table = (typeof(table)){.store.bytes = sizeof(struct record)};
}

uint32_t records_count(void)
{
    return store_count(&table.store);
}

uint64_t records_used(void)
{
    return table.used;
}

struct record *records_at(uint32_t number)
{
    struct record *r = store_at(&table.store, number);
    return r->state == RECORD_BLANK ? NULL : r;
}

/* Objects are 16 bytes apart at least. source: Knuth, multiplicative hashing */
static struct record **bucket_of(const void *p)
{
    uint64_t hash = (uint64_t)((uintptr_t)p >> 4) * 0x9e3779b97f4a7c15ull;
    return &table.buckets[(hash >> 32) & (table.nbuckets - 1)];
}

static void link_into_bucket(struct record *r)
{
    struct record **bucket = bucket_of(record_payload(r));
    r->next = *bucket;
    *bucket = r;
}

/* Twice as many buckets. If there is no memory for them, chains grow longer. */
static void grow(void) REQUIRES(records_lock)
{
    struct record **old = table.buckets;
    uint64_t before = table.nbuckets, n = before == 0 ? BUCKETS_AT_START : 2 * before;
    struct record **buckets = store_frames(n * sizeof *buckets / FRAME_BYTES);
    if (buckets == NULL)
        return;
    table.buckets = buckets;
    table.nbuckets = n;
    for (uint64_t i = 0; i < before; i++)
        for (struct record *r = old[i], *next; r != NULL; r = next) {
            next = r->next;
            link_into_bucket(r);
        }
    if (before > 0)
        store_give_frames(old, before * sizeof *old / FRAME_BYTES);
}

struct record *records_take(void)
{
    if (table.used >= table.nbuckets)
        grow();
    if (table.nbuckets == 0)
        return NULL;
    struct record *r = table.blank;
    if (r != NULL) {
        table.blank = r->next;
    } else {
        uint32_t number = store_add(&table.store);
        if (number == 0)
            return NULL;
        r = store_at(&table.store, number);
    }
    *r = (struct record){0};
    return r;
}

void records_give(struct record *r)
{
    r->state = RECORD_BLANK;
    r->next = table.blank;
    table.blank = r;
}

void records_insert(struct record *r)
{
    link_into_bucket(r);
    table.used++;
}

void records_remove(struct record *r)
{
    struct record **link = bucket_of(record_payload(r));
    while (*link != r)
        link = &(*link)->next;
    *link = r->next;
    table.used--;
}

struct record *records_find(const void *p)
{
    struct record *r = table.nbuckets > 0 ? *bucket_of(p) : NULL;
    for (unsigned i = 0; r != NULL && record_payload(r) != p; r = r->next)
        if (++i == CHAIN_MAX)
            return NULL;
    return r;
}

struct record *records_around(const void *p)
{
    for (uint32_t n = table.store.count; n > 0; n--) {
        struct record *r = records_at(n);
        if (r != NULL && (uintptr_t)p - (uintptr_t)r->object < r->usable)
            return r;
    }
    return NULL;
}

void record_origin(const struct record *r, struct heap_origin *out)
{
    const struct depot_entry *allocated = depot_get(r->allocated), *freed = depot_get(r->freed);
    *out = (struct heap_origin){
        .object = record_payload(r),
        .bytes = r->bytes,
        .live = r->state == RECORD_LIVE,
        .mark = r->sequence,
    };
    if (allocated != NULL)
        out->allocated = allocated->stack;
    if (freed != NULL)
        out->freed = freed->stack;
}
