/* Workloads that do what programs do. */
#include <pthread.h>
#include <string.h>

#include "heap.h"

/* --- Buffers that grow by half, several in turn ------------------------------------------------- */

#define BUFFERS_MAX 16

static void grow(struct worker *w, uint64_t ops)
{
    size_t bytes[BUFFERS_MAX] = {0};
    for (uint64_t i = 0; i < ops; i++) {
        unsigned k = (unsigned)(i % w->workload->count);
        bytes[k] += bytes[k] / 2;
        if (bytes[k] < w->workload->bytes_min || bytes[k] > w->workload->bytes_max) {
            free(w->slots[k]);
            w->slots[k] = NULL;
            bytes[k] = w->workload->bytes_min;
        }
        w->slots[k] = touched(realloc(w->slots[k], bytes[k]));
    }
    slots_free(w);
}

void growth(struct worker *w)
{
    grow(w, warm_ops(w));
    section_begin(w);
    grow(w, w->ops);
    section_end(w, 0, w->ops);
}

/* --- A queue ------------------------------------------------------------------------------------ */

static void turn_over(struct worker *w, uint64_t ops)
{
    for (uint64_t i = 0; i < ops; i++) {
        void **slot = &w->slots[i % w->workload->count];
        free(*slot);
        *slot = take(w->sizes[i % SIZES]);
    }
}

void fifo(struct worker *w)
{
    slots_fill(w);
    turn_over(w, warm_ops(w));
    section_begin(w);
    turn_over(w, w->ops);
    section_end(w, 0, w->ops);
    slots_free(w);
}

/* --- A tree, built and freed -------------------------------------------------------------------- */

struct node {
    struct node *left, *right;
};

static struct node *build(struct worker *w, uint64_t n)
{
    if (n == 0)
        return NULL;
    uint64_t left = splitmix_below(&w->random, n);
    struct node *node = take(w->workload->bytes_min);
    node->left = build(w, left);
    node->right = build(w, n - 1 - left);
    return node;
}

static void fell(struct node *node)
{
    if (node == NULL)
        return;
    fell(node->left);
    fell(node->right);
    free(node);
}

static void grow_trees(struct worker *w, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        fell(build(w, w->workload->count));
}

void tree(struct worker *w)
{
    uint64_t n = w->ops / w->workload->count;
    grow_trees(w, warm_ops(w) / w->workload->count);
    section_begin(w);
    grow_trees(w, n);
    section_end(w, 0, n * w->workload->count);
}

/* --- Strings that words are appended to --------------------------------------------------------- */

#define TEXT_MAX 1000

static void append(struct worker *w, size_t *lengths, uint64_t ops)
{
    static const char word[64] = "a word of at most so many letters as the table says";
    for (uint64_t i = 0; i < ops; i++) {
        uint64_t k = splitmix_below(&w->random, w->workload->count);
        size_t more = random_size(w), length = lengths[k];
        if (length + more > TEXT_MAX) {
            free(w->slots[k]);
            w->slots[k] = NULL;
            length = 0;
        }
        char *text = malloc(length + more + 1);
        if (length > 0)
            memcpy(text, w->slots[k], length);
        memcpy(text + length, word, more);
        text[length + more] = '\0';
        free(w->slots[k]);
        w->slots[k] = text;
        lengths[k] = length + more;
    }
}

void strings(struct worker *w)
{
    size_t *lengths = calloc(w->workload->count, sizeof *lengths);
    append(w, lengths, warm_ops(w));
    section_begin(w);
    append(w, lengths, w->ops);
    section_end(w, 0, w->ops);
    slots_free(w);
    free(lengths);
}

/* --- A server ----------------------------------------------------------------------------------- */

#define GENERATIONS 10

/* A thread of the server, which ends after a while: its successor goes on with what it has
 * allocated. source: Larson and Krishnan, "Memory Allocation for Long-Running Server Applications",
 * ISMM 1998 */
static void *serve(void *argument)
{
    struct worker *w = argument;
    crew_pin(w->cpu);
    for (uint64_t i = 0; i < w->ops / GENERATIONS; i++) {
        uint64_t z = splitmix(&w->random);
        void **slot = &w->slots[(z >> 32) * w->workload->count >> 32];
        free(*slot);
        *slot = take(w->sizes[z % SIZES]);
    }
    return NULL;
}

/* Each generation works on what another core's thread has left. */
static void serve_all(unsigned generations)
{
    pthread_t threads[THREADS_MAX];
    unsigned cpus = worker_of(0)->cpus;
    for (unsigned g = 0; g < generations; g++) {
        for (unsigned i = 0; i < cpus; i++)
            if (pthread_create(&threads[i], NULL, serve, worker_of(i)) != 0)
                abort();
        for (unsigned i = 0; i < cpus; i++)
            pthread_join(threads[i], NULL);
        void **first = worker_of(0)->slots;
        for (unsigned i = 0; i + 1 < cpus; i++)
            worker_of(i)->slots = worker_of(i + 1)->slots;
        worker_of(cpus - 1)->slots = first;
    }
}

/* Time is that of the process, with the threads' beginnings and ends. */
void larson(struct worker *w)
{
    for (unsigned i = 0; i < w->cpus; i++)
        slots_fill(worker_of(i));
    serve_all(1);
    uint64_t before = clock_process();
    serve_all(GENERATIONS);
    w->sum[0] = clock_process() - before;
    w->done[0] = w->ops / GENERATIONS * GENERATIONS * w->cpus;
    for (unsigned i = 0; i < w->cpus; i++)
        slots_free(worker_of(i));
}
