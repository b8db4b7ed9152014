/* Owns: nothing; how descriptors are linked.
 * Relies on: nothing. Stage: "heap". Whoever holds the list's lock calls. */
#include "list.h"

#include "mm/heap_stats.h"
#include "mm/hhdm.h"

#define LINK_KEY 0x9e3779b97f4a7c15ull

/* Its own inverse; NULL of one descriptor is not that of another. */
static struct slab *hide(const struct slab *s, const struct slab *neighbour)
{
    uintptr_t own = (uintptr_t)s;
    return (struct slab *)((uintptr_t)neighbour ^ (own << 23 | own >> 41) ^ LINK_KEY);
}

_Noreturn __attribute__((noinline, cold)) static void panic_broken(const struct slab *s)
{
    port_panic("heap: the list links of the slab at 0x%lx, class %s, are destroyed: its descriptor "
               "at 0x%lx was overwritten",
               (unsigned long)s->base, heap_class_name(s->class), va_number(va_of(s)));
}

static struct slab *shown(const struct slab *s, const struct slab *hidden)
{
    struct slab *neighbour = hide(s, hidden);
    if (neighbour != NULL &&
        ((uintptr_t)neighbour % _Alignof(struct slab) != 0 || !hhdm_contains(neighbour)))
        panic_broken(s);
    return neighbour;
}

struct slab *list_next(const struct slab *s)
{
    struct slab *next = shown(s, s->next);
    if (next != NULL && hide(next, next->prev) != s)
        panic_broken(s);
    return next;
}

static struct slab *list_prev(const struct slab *s)
{
    struct slab *prev = shown(s, s->prev);
    if (prev != NULL && hide(prev, prev->next) != s)
        panic_broken(s);
    return prev;
}

static void link(struct slab_list *list, struct slab *before, struct slab *s, struct slab *behind)
{
    s->prev = hide(s, before);
    s->next = hide(s, behind);
    if (before != NULL)
        before->next = hide(before, s);
    else
        list->first = s;
    if (behind != NULL)
        behind->prev = hide(behind, s);
    else
        list->last = s;
}

void list_add_first(struct slab_list *list, struct slab *s)
{
    link(list, NULL, s, list->first);
}

void list_add_last(struct slab_list *list, struct slab *s)
{
    link(list, list->last, s, NULL);
}

void list_remove(struct slab_list *list, struct slab *s)
{
    struct slab *before = list_prev(s), *behind = list_next(s);
    if ((before == NULL) != (list->first == s) || (behind == NULL) != (list->last == s))
        panic_broken(s);
    if (before != NULL)
        before->next = hide(before, behind);
    else
        list->first = behind;
    if (behind != NULL)
        behind->prev = hide(behind, before);
    else
        list->last = before;
}
