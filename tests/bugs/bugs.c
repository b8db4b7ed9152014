/* Owns: the bugs. Relies on: the heap, caches, arenas. Each is repeatable, but for what it leaves
 * damaged. */
#include "bugs.h"

#include <stdint.h>

#include "mm/arena.h"
#include "mm/heap.h"
#include "mm/object_cache.h"

#define BYTES 64 /* a size class, so that nothing is left behind an object */

/* The compiler must not know that these are wrong, or it would leave them out, or warn. */
static uint8_t *hidden(const void *p)
{
    __asm__ volatile("" : "+r"(p));
    return (uint8_t *)(uintptr_t)p;
}

static void write_at(void *p, ptrdiff_t offset)
{
    *(volatile uint8_t *)(hidden(p) + offset) = 0x5a;
}

static uint8_t read_at(void *p, ptrdiff_t offset)
{
    return *(volatile uint8_t *)(hidden(p) + offset);
}

static void free_again(void *p, ptrdiff_t offset)
{
    kfree(hidden(p) + offset);
}

/* Objects of that size before and after it, as in a program that runs for some time. */
static void *alloc(size_t bytes)
{
    void *before = kmalloc(bytes), *p = kmalloc(bytes), *after = kmalloc(bytes);
    for (size_t i = 0; p != NULL && i < bytes; i++)
        *(volatile uint8_t *)((uint8_t *)p + i) = (uint8_t)i;
    kfree(before);
    kfree(after);
    return p;
}

/* --- Out of bounds ------------------------------------------------------------------------ */

static bool write_outside(size_t bytes, ptrdiff_t offset)
{
    void *p = alloc(bytes);
    write_at(p, offset);
    kfree(p);
    return false;
}

static bool overflow_by_one(void)
{
    return write_outside(BYTES, BYTES);
}

static bool overflow_into_padding(void)
{
    return write_outside(BYTES - 3, BYTES - 3);
}

static bool overflow_far(void)
{
    return write_outside(BYTES, BYTES + 200);
}

static bool overflow_by_a_loop(void)
{
    uint8_t *p = alloc(BYTES);
    for (ptrdiff_t i = 0; i <= BYTES + 8; i++)
        write_at(p, i);
    kfree(p);
    return false;
}

static bool underflow_by_one(void)
{
    return write_outside(BYTES, -1);
}

static bool underflow_far(void)
{
    return write_outside(BYTES, -200);
}

static bool overflow_read(void)
{
    void *p = alloc(BYTES);
    (void)read_at(p, BYTES);
    kfree(p);
    return false;
}

static bool underflow_read(void)
{
    void *p = alloc(BYTES);
    (void)read_at(p, -1);
    kfree(p);
    return false;
}

static bool overflow_of_a_run(void)
{
    return write_outside(100000, 100000);
}

static bool overflow_of_a_range(void)
{
    size_t bytes = (1 << 20) + (1 << 19); /* whole pages */
    void *p = kmalloc(bytes);
    write_at(p, (ptrdiff_t)kmalloc_size(p));
    kfree(p);
    return false;
}

/* --- After free ---------------------------------------------------------------------------- */

static bool write_after_free(void)
{
    void *p = alloc(BYTES);
    kfree(p);
    write_at(p, 8);
    return false;
}

static bool read_after_free(void)
{
    void *p = alloc(BYTES);
    kfree(p);
    (void)read_at(p, 8);
    return false;
}

/* What is read is used: as long as nobody else has the memory, all goes well without a check. */
static bool pointer_after_free(void)
{
    static int target;
    int **p = kmalloc(BYTES);
    *p = &target;
    kfree(p);
    int **stale = (int **)(void *)hidden(p);
    **(int *volatile *)stale = 1;
    return false;
}

static bool write_long_after_free(void)
{
    void *p = alloc(BYTES);
    kfree(p);
    for (unsigned i = 0; i < 200; i++)
        kfree(kmalloc(BYTES));
    write_at(p, 8);
    return false;
}

static bool write_after_realloc(void)
{
    void *p = alloc(BYTES), *old = hidden(p);
    void *moved = krealloc(p, 1000 * BYTES);
    write_at(old, 8);
    kfree(moved);
    return false;
}

static bool write_after_release(void)
{
    struct arena arena;
    arena_init(&arena, 2048);
    (void)!arena_alloc(&arena, 1500, 0);
    struct arena_mark mark = arena_mark(&arena);
    void *p = arena_alloc(&arena, 1500, 0); /* in another chunk, which goes */
    arena_release(&arena, mark);
    write_at(p, 8);
    arena_reset(&arena);
    return false;
}

static bool write_to_a_freed_range(void)
{
    void *p = kmalloc((1 << 20) + (1 << 19));
    kfree(p);
    write_at(p, 8);
    return false;
}

/* --- Wrong frees ---------------------------------------------------------------------------- */

static bool double_free(void)
{
    void *p = alloc(BYTES);
    kfree(p);
    free_again(p, 0);
    return false;
}

static bool double_free_later(void)
{
    void *p = alloc(BYTES);
    kfree(p);
    for (unsigned i = 0; i < 200; i++)
        kfree(kmalloc(BYTES / 2));
    free_again(p, 0);
    return false;
}

static bool double_free_of_a_run(void)
{
    void *p = kmalloc(100000);
    kfree(p);
    free_again(p, 0);
    return false;
}

static bool interior_free(void)
{
    void *p = alloc(BYTES);
    free_again(p, 16);
    kfree(p);
    return false;
}

static bool misaligned_free(void)
{
    void *p = alloc(BYTES);
    free_again(p, 1);
    kfree(p);
    return false;
}

static bool interior_free_of_a_run(void)
{
    void *p = kmalloc(100000);
    free_again(p, 4096);
    kfree(p);
    return false;
}

static bool free_of_a_global(void)
{
    static uint64_t global[16];
    free_again(&global[2], 0);
    return false;
}

static bool free_of_the_stack(void)
{
    uint64_t local[16];
    free_again(&local[2], 0);
    return false;
}

static bool free_with_a_wrong_size(void)
{
    void *p = alloc(BYTES);
    kfree_sized(hidden(p), 4 * BYTES);
    return false;
}

static bool realloc_after_free(void)
{
    void *p = alloc(BYTES);
    kfree(p);
    (void)!krealloc(hidden(p), 2 * BYTES);
    return false;
}

static bool size_after_free(void)
{
    void *p = alloc(BYTES);
    kfree(p);
    (void)kmalloc_size(hidden(p));
    return false;
}

/* --- Object caches --------------------------------------------------------------------------- */

static struct object_cache *make_cache(const char *name)
{
    const struct object_cache_want want = {.name = name, .bytes = BYTES};
    struct object_cache *cache;
    return object_cache_create(&want, &cache) == MM_OK ? cache : NULL;
}

static bool free_into_another_cache(void)
{
    struct object_cache *right = make_cache("right"), *wrong = make_cache("wrong");
    void *p = object_cache_alloc(right);
    object_cache_free(wrong, hidden(p));
    (void)object_cache_destroy(wrong);
    (void)object_cache_destroy(right);
    return false;
}

static bool kfree_of_a_cached_object(void)
{
    struct object_cache *cache = make_cache("cache");
    void *p = object_cache_alloc(cache);
    free_again(p, 0);
    (void)object_cache_destroy(cache);
    return false;
}

static bool cache_destroyed_too_early(void)
{
    struct object_cache *cache = make_cache("cache");
    (void)!object_cache_alloc(cache);
    return object_cache_destroy(cache) > 0;
}

static bool overflow_in_a_cache(void)
{
    struct object_cache *cache = make_cache("cache");
    void *p = object_cache_alloc(cache);
    write_at(p, BYTES);
    object_cache_free(cache, p);
    (void)object_cache_destroy(cache);
    return false;
}

/* --- Contents and life ------------------------------------------------------------------------ */

/* The memory was used before, so what is read looks right. */
static bool uninitialised(void)
{
    static int target;
    int **before = kmalloc(BYTES);
    *before = &target;
    kfree(before);
    int **p = (int **)(void *)hidden(kmalloc(BYTES));
    **(int *volatile *)p = 1;
    kfree(p);
    return false;
}

static bool leak(void)
{
    (void)!hidden(kmalloc(BYTES));
    return false;
}

static bool correct(void)
{
    for (size_t bytes = 1; bytes < 5000; bytes = bytes * 3 / 2 + 1) {
        uint8_t *p = kmalloc(bytes), *q = kcalloc(1, bytes);
        for (size_t i = 0; p != NULL && i < bytes; i++)
            p[i] = 1;
        uint8_t *moved = krealloc(p, 2 * bytes);
        kfree(moved != NULL ? moved : p);
        kfree(q);
    }
    return false;
}

const struct bug bug_none = {"none", "nothing wrong", correct};

static const struct bug all[] = {
    {"overflow", "write 1 byte behind an object", overflow_by_one},
    {"overflow-padding", "write 1 byte behind an object, into its class's slack",
     overflow_into_padding},
    {"overflow-far", "write 200 bytes behind an object", overflow_far},
    {"overflow-loop", "write on and on behind an object", overflow_by_a_loop},
    {"underflow", "write 1 byte in front of an object", underflow_by_one},
    {"underflow-far", "write 200 bytes in front of an object", underflow_far},
    {"overflow-read", "read 1 byte behind an object", overflow_read},
    {"underflow-read", "read 1 byte in front of an object", underflow_read},
    {"overflow-run", "write 1 byte behind 100000", overflow_of_a_run},
    {"overflow-range", "write behind the last page of 1.5 MiB", overflow_of_a_range},
    {"freed-write", "write to a freed object", write_after_free},
    {"freed-read", "read from a freed object", read_after_free},
    {"freed-pointer", "use a pointer that is in a freed object", pointer_after_free},
    {"freed-late", "write to an object freed long ago", write_long_after_free},
    {"freed-realloc", "write to where an object was before krealloc", write_after_realloc},
    {"freed-arena", "write to an object of an arena behind a mark that was released",
     write_after_release},
    {"freed-range", "write to 1.5 MiB that were freed", write_to_a_freed_range},
    {"double-free", "free an object twice", double_free},
    {"double-late", "free an object twice, much in between", double_free_later},
    {"double-run", "free 100000 bytes twice", double_free_of_a_run},
    {"interior", "free 16 bytes behind the start", interior_free},
    {"misaligned", "free 1 byte behind the start", misaligned_free},
    {"interior-run", "free 4096 bytes behind the start of 100000", interior_free_of_a_run},
    {"free-global", "free a static variable", free_of_a_global},
    {"free-stack", "free a local variable", free_of_the_stack},
    {"free-size", "free with the size of another class", free_with_a_wrong_size},
    {"freed-resize", "krealloc a freed object", realloc_after_free},
    {"freed-size", "ask for the size of a freed object", size_after_free},
    {"cross-cache", "free an object into another cache", free_into_another_cache},
    {"cache-kfree", "kfree an object of a cache", kfree_of_a_cached_object},
    {"cache-live", "destroy a cache whose objects are live", cache_destroyed_too_early},
    {"cache-overflow", "write 1 byte behind an object of a cache", overflow_in_a_cache},
    {"uninitialised", "use a pointer that nobody has set", uninitialised},
    {"leak", "forget an object", leak},
};

const struct bug *bugs(size_t *n)
{
    *n = sizeof all / sizeof all[0];
    return all;
}
