/* Owns: the stacks of callers. Relies on: store.c. Stage: from "frames" on. */
#include "depot.h"

#include "check.h"
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

uint32_t depot_add(const struct heap_stack *stack)
{
    uint32_t *bucket = &depot.buckets[bucket_of(stack)];
    for (uint32_t n = *bucket; n != 0; n = depot_get(n)->next)
        if (is_same(&depot_get(n)->stack, stack))
            return n;
    uint32_t number = store_add(&depot.entries);
    if (number == 0)
        return 0;
    struct depot_entry *entry = depot_get(number);
    entry->stack = *stack;
    entry->next = *bucket;
    *bucket = number;
    return number;
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
