/* The self-test: calls of all kinds, every byte written is there until it is freed. */
#include <malloc.h>
#include <string.h>

#include "heap.h"

struct object {
    uint8_t *bytes;
    size_t size;
    uint8_t first; /* the bytes count upwards from there */
};

static bool is_whole(const struct object *o, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (o->bytes[i] != (uint8_t)(o->first + i))
            return false;
    return true;
}

static void write_all(struct worker *w, struct object *o)
{
    o->first = (uint8_t)splitmix(&w->random);
    for (size_t i = 0; i < o->size; i++)
        o->bytes[i] = (uint8_t)(o->first + i);
}

/* NULL, or what is wrong. */
static const char *make(struct worker *w, struct object *o)
{
    size_t align = 16ull << splitmix_below(&w->random, 9);
    unsigned how = (unsigned)splitmix_below(&w->random, 4);
    void *p = NULL;
    o->size = random_size(w);
    if (how == 0)
        p = calloc(1, o->size);
    else if (how == 1 && posix_memalign(&p, align, o->size) != 0)
        return "posix_memalign fails";
    else if (how > 1)
        p = malloc(o->size);
    if (p == NULL)
        return "out of memory";
    o->bytes = p;
    if ((uintptr_t)p % (how == 1 ? align : o->size >= 16 ? 16 : 8) != 0)
        return "not aligned";
    if (malloc_usable_size(p) < o->size)
        return "usable size is too small";
    for (size_t i = 0; how == 0 && i < o->size; i++)
        if (o->bytes[i] != 0)
            return "calloc is not zeroed";
    write_all(w, o);
    return NULL;
}

static const char *resize(struct worker *w, struct object *o)
{
    size_t size = random_size(w), kept = size < o->size ? size : o->size;
    o->bytes = realloc(o->bytes, size);
    if (o->bytes == NULL)
        return "realloc fails";
    if (!is_whole(o, kept))
        return "realloc has lost bytes";
    o->size = size;
    write_all(w, o);
    return NULL;
}

static const char *step(struct worker *w, struct object *o)
{
    if (o->bytes == NULL)
        return make(w, o);
    if (!is_whole(o, o->size))
        return "bytes have changed";
    if (splitmix_below(&w->random, 4) == 0)
        return resize(w, o);
    free(o->bytes);
    o->bytes = NULL;
    return NULL;
}

/* The threads work on each other's objects in turn. */
void every_byte(struct worker *w)
{
    static struct object *objects[THREADS_MAX];
    uint64_t n = w->workload->count;
    objects[w->cpu] = calloc(n, sizeof **objects);
    for (unsigned round = 0; round < 10; round++) {
        crew_meet(w->cpus);
        struct object *mine = objects[(w->cpu + round) % w->cpus];
        for (uint64_t i = 0; w->broken == NULL && i < w->ops / 10; i++)
            w->broken = step(w, &mine[splitmix_below(&w->random, n)]);
    }
    crew_meet(w->cpus);
    for (uint64_t i = 0; w->broken == NULL && i < n; i++) {
        struct object *o = &objects[w->cpu][i];
        if (o->bytes != NULL && !is_whole(o, o->size))
            w->broken = "bytes have changed";
        free(o->bytes);
    }
    free(objects[w->cpu]);
    w->done[0] = w->ops;
    w->sum[0] = w->ops;
}
