/* Owns: nothing; the mapper's ranges and the vmm's as one list, and what the heap has in them.
 * Relies on: mapper, vmm, heap: what of them takes no lock. Stage: any. */
#include "ranges.h"

#include "console/print.h"
#include "mm/heap_stats.h"
#include "mm/string.h"

static bool in_windows(vaddr_t va)
{
    return va_le(VA(VMM_WINDOW_BASE), va) && va_lt(va, VA(VMM_DEVICE_END));
}

static struct range at_boot(const struct map_range *r)
{
    return (struct range){.name = r->name,
                          .va = r->va,
                          .npages = r->npages,
                          .prot = r->prot,
                          .cache = r->cache,
                          .pa = r->pa};
}

static struct range allocated(const struct vmm_range *r)
{
    return (struct range){.name = r->name, .va = r->va, .npages = r->npages, .allocated = true};
}

/* The first one in the windows, or the one behind *range, which is there. */
static bool next_allocated(const struct range *range, struct vmm_range *out)
{
    *out = (struct vmm_range){0};
    if (range->allocated)
        *out = (struct vmm_range){range->name, range->va, range->npages};
    else if (!va_lt(range->va, VA(VMM_WINDOW_BASE)))
        return false;
    return vmm_next_range(out);
}

bool ranges_next(struct range *range)
{
    struct map_range boot = {.va = range->va, .npages = range->npages};
    struct vmm_range later;
    bool have_boot = mapper_next_range(&boot);
    bool have_later = next_allocated(range, &later);
    if (have_later && !(have_boot && va_lt(boot.va, later.va)))
        *range = allocated(&later);
    else if (have_boot)
        *range = at_boot(&boot);
    return have_boot || have_later;
}

bool ranges_find(vaddr_t va, struct range *out)
{
    struct map_range boot;
    struct vmm_range later;
    if (mapper_find(va, &boot))
        *out = at_boot(&boot);
    else if (in_windows(va) && vmm_find(va, &later))
        *out = allocated(&later);
    else
        return false;
    return true;
}

/* Of page 0 there is more to say than that it is one. */
static bool is_guard(const struct range *r, vaddr_t va)
{
    return r->allocated ? va_lt(va, r->va) : r->prot == 0 && !va_lt(va, VA(PAGE_BYTES));
}

bool ranges_guard(vaddr_t va, char *words, size_t bytes)
{
    struct range r;
    if (!ranges_find(va, &r) || !is_guard(&r, va))
        return false;
    ksnprintf(words, bytes, r.allocated ? "guard page of %s" : "%s page", r.name);
    return true;
}

/* "16 bytes behind heap", if a range ends where va's page starts. */
static bool describe_behind(vaddr_t va, char *words, size_t bytes)
{
    struct range r;
    vaddr_t page = va_align_down(va, PAGE_BYTES);
    unsigned long n = va_diff(page, va);
    if (!in_windows(page) || !ranges_find(va_add(page, -1ull), &r) || !va_lt(r.va, page))
        return false;
    if (n == 0)
        ksnprintf(words, bytes, "right behind %s", r.name);
    else
        ksnprintf(words, bytes, "%lu byte%s behind %s", n, n == 1 ? "" : "s", r.name);
    return true;
}

bool ranges_heap(vaddr_t va, char *words, size_t bytes)
{
    struct heap_place place;
    if (!heap_find((const void *)va_number(va), &place)) /* only looked up */
        return false;
    const char *class = heap_class_name(place.class);
    if (place.live)
        ksnprintf(words, bytes, "%lu bytes inside an object of %lu bytes (class %s)",
                  va_diff(va_of(place.object), va), (unsigned long)place.bytes, class);
    else
        ksnprintf(words, bytes, "in a free object of class %s", class);
    return true;
}

/* Which range va is in, or near to. */
static void describe_range(vaddr_t va, char *words, size_t bytes)
{
    struct range r;
    char guard[RANGES_WORDS], behind[RANGES_WORDS];
    bool found = ranges_find(va, &r), in_guard = ranges_guard(va, guard, sizeof guard);

    if (found && !in_guard)
        ksnprintf(words, bytes, "in %s", r.name);
    else if (!describe_behind(va, behind, sizeof behind))
        ksnprintf(words, bytes, "%s%s",
                  in_guard         ? "in the "
                  : in_windows(va) ? "where nothing is allocated, or not any more"
                                   : "",
                  in_guard ? guard : "");
    else
        ksnprintf(words, bytes, "%s%s%s", behind, in_guard ? ", in the " : "",
                  in_guard ? guard : "");
}

void ranges_place(vaddr_t va, char *words, size_t bytes)
{
    char heap[RANGES_WORDS];
    describe_range(va, words, bytes);
    size_t n = strlen(words);
    if (ranges_heap(va, heap, sizeof heap))
        ksnprintf(words + n, bytes - n, "%s%s", n > 0 ? ", " : "", heap);
}
