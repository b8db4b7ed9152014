/* Owns: the stacks of callers. Relies on: store.c. Stage: from "frames" on. */
#include "depot.h"

#include "check.h"
#include "records.h"
#include "store.h"

#define BUCKETS 2048u

static struct {
    struct store entries;
    uint32_t buckets[BUCKETS];
} depot = {.entries.bytes = 128};
_Static_assert(sizeof(struct depot_entry) <= 128, "what the store has room for");

/* source: FNV-1a, a word at a time, and its high bits, which all words have reached */
static uint32_t bucket_of(const struct heap_stack *stack)
{
    uint64_t hash = 0xcbf29ce484222325ull;
    for (uint32_t i = 0; i < stack->count; i++)
        hash = (hash ^ stack->callers[i]) * 0x100000001b3ull;
    return (uint32_t)(hash >> 32 ^ hash) % BUCKETS;
}

static bool is_same(const struct heap_stack *a, const struct heap_stack *b)
{
    for (uint32_t i = 0; i < a->count; i++)
        if (a->callers[i] != b->callers[i])
            return false;
    return a->count == b->count;
}

/* Acquire order: an entry that is in a bucket is complete, and stays as it is. */
static uint32_t find(const uint32_t *bucket, const struct heap_stack *stack)
{
    uint32_t n = __atomic_load_n(bucket, __ATOMIC_ACQUIRE);
    while (n != 0 && !is_same(&depot_get(n)->stack, stack))
        n = depot_get(n)->next;
    return n;
}

static uint32_t add(uint32_t *bucket, const struct heap_stack *stack) REQUIRES(records_lock)
{
    uint32_t number = store_add(&depot.entries);
    if (number == 0)
        return 0;
    struct depot_entry *entry = depot_get(number);
    entry->stack = *stack;
    entry->next = *bucket;
    __atomic_store_n(bucket, number, __ATOMIC_RELEASE);
    return number;
}

uint32_t depot_number(const struct heap_stack *stack)
{
    uint32_t *bucket = &depot.buckets[bucket_of(stack)], n = 0;
    if (stack->count == 0 || (n = find(bucket, stack)) != 0)
        return n;
    irq_state_t irq = spin_lock(&records_lock);
    n = find(bucket, stack);
    if (n == 0)
        n = add(bucket, stack);
    spin_unlock(&records_lock, irq);
    return n;
}

struct depot_entry *depot_get(uint32_t number)
{
    return number == 0 ? NULL : store_at(&depot.entries, number);
}

uint32_t depot_count(void)
{
    return store_count(&depot.entries);
}

void depot_init(void)
{
    depot = (typeof(depot)){.entries.bytes = 128};
}
