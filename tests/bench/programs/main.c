/* Programs that do with malloc what whole programs do: the name of one is the argument. Each does the same
 * work every time; who runs them (tests/bench/programs.py) measures processor time and memory. */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local uint64_t state = 88172645463325252;

static uint64_t random_below(uint64_t n)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (state >> 11) % n;
}

/* Small sizes often, large ones seldom: each doubling half as often. */
static size_t power_size(unsigned least_shift, unsigned shifts)
{
    unsigned shift = least_shift;
    while (shift < least_shift + shifts && random_below(2) == 0)
        shift++;
    return (1ull << shift) + random_below(1ull << shift);
}

static void *take(size_t bytes)
{
    unsigned char *p = malloc(bytes);
    if (p == NULL)
        abort();
    p[0] = p[bytes - 1] = 1; /* used, at least a little */
    return p;
}

static void at_once(unsigned n, void *(*run)(void *))
{
    pthread_t threads[16];
    for (uintptr_t i = 0; i < n; i++)
        if (pthread_create(&threads[i], NULL, run, (void *)i) != 0)
            abort();
    for (unsigned i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
}

/* --- numbers: long arithmetic, each result a new object ------------------------------------------ */

struct number {
    unsigned n;
    uint32_t digits[];
};

static struct number *number_new(unsigned n)
{
    struct number *x = take(sizeof *x + n * sizeof *x->digits);
    x->n = n;
    return x;
}

static struct number *times_plus(const struct number *a, uint32_t factor, uint32_t add)
{
    struct number *x = number_new(a->n + 1);
    uint64_t carry = add;
    for (unsigned i = 0; i < a->n; i++, carry >>= 32) {
        carry += (uint64_t)a->digits[i] * factor;
        x->digits[i] = (uint32_t)carry;
    }
    x->digits[a->n] = (uint32_t)carry;
    x->n -= carry == 0;
    return x;
}

static struct number *sum(const struct number *a, const struct number *b)
{
    struct number *x = number_new((a->n > b->n ? a->n : b->n) + 1);
    uint64_t carry = 0;
    for (unsigned i = 0; i < x->n; i++, carry >>= 32) {
        carry += (i < a->n ? a->digits[i] : 0) + (uint64_t)(i < b->n ? b->digits[i] : 0);
        x->digits[i] = (uint32_t)carry;
    }
    while (x->n > 1 && x->digits[x->n - 1] == 0)
        x->n--;
    return x;
}

static void numbers(void)
{
    uint32_t check = 0;
    for (unsigned round = 0; round < 800000; round++) {
        struct number *a = number_new(1), *b = number_new(1);
        a->digits[0] = round + 1;
        b->digits[0] = 7;
        for (unsigned i = 0; i < 20; i++) {
            struct number *product = times_plus(a, 1000003 + i, round), *next = sum(product, b);
            free(b);
            free(product);
            b = a;
            a = next;
            if (a->n > 12)
                a->n = 2;
        }
        check ^= a->digits[0];
        free(a);
        free(b);
    }
    printf("%u\n", check);
}

/* --- server: threads that replace random objects, and leave them to their successors -------------- */

enum { SERVED = 5000 };

static void *serve(void *which)
{
    void **objects = calloc(SERVED, sizeof *objects);
    state += (uintptr_t)which * 7777;
    for (unsigned i = 0; i < 4000000; i++) {
        void **object = &objects[random_below(SERVED)];
        free(*object);
        *object = take(8 + random_below(1000));
    }
    return objects;
}

static void *generation_of(void *which)
{
    void **objects = NULL;
    for (unsigned i = 0; i < 4; i++) {
        pthread_t thread;
        void *made;
        if (pthread_create(&thread, NULL, serve, which) != 0 || pthread_join(thread, &made) != 0)
            abort();
        for (unsigned j = 0; objects != NULL && j < SERVED; j++)
            free(objects[j]);
        free(objects);
        objects = made;
    }
    for (unsigned j = 0; j < SERVED; j++)
        free(objects[j]);
    free(objects);
    return NULL;
}

static void server(void)
{
    at_once(2, generation_of);
}

/* --- pipe: one thread allocates, another frees --------------------------------------------------- */

enum { BATCH = 120, BATCHES = 100000, SLOTS = 64 };
static void **slots[SLOTS];

static void *send_all(void *unused)
{
    (void)unused;
    for (unsigned i = 0; i < BATCHES; i++) {
        void **batch = take(BATCH * sizeof *batch);
        for (unsigned j = 0; j < BATCH; j++)
            batch[j] = take(power_size(4, 7));
        while (__atomic_load_n(&slots[i % SLOTS], __ATOMIC_ACQUIRE) != NULL)
            sched_yield();
        __atomic_store_n(&slots[i % SLOTS], batch, __ATOMIC_RELEASE);
    }
    return NULL;
}

static void *receive_all(void)
{
    for (unsigned i = 0; i < BATCHES; i++) {
        void **batch;
        while ((batch = __atomic_load_n(&slots[i % SLOTS], __ATOMIC_ACQUIRE)) == NULL)
            sched_yield();
        __atomic_store_n(&slots[i % SLOTS], NULL, __ATOMIC_RELEASE);
        for (unsigned j = 0; j < BATCH; j++)
            free(batch[j]);
        free(batch);
    }
    return NULL;
}

static void *send_or_receive(void *which)
{
    return which == NULL ? send_all(NULL) : receive_all();
}

static void pipe_line(void)
{
    at_once(2, send_or_receive);
}

/* --- phases: sets of objects that are built up and given up, some of them by other threads ---------- */

enum { SETS = 400 };
static void **sets[SETS];

static void **set_new(void)
{
    size_t n = 200 + random_below(3000);
    void **set = take((n + 1) * sizeof *set);
    for (size_t i = 0; i < n; i++)
        set[i] = take(power_size(3, random_below(100) == 0 ? 14 : 6));
    set[n] = NULL;
    return set;
}

static void set_free(void **set)
{
    for (size_t i = 0; set != NULL && set[i] != NULL; i++)
        free(set[i]);
    free(set);
}

static void *some_phases(void *which)
{
    state += (uintptr_t)which * 1234567;
    for (unsigned i = 0; i < 900; i++)
        set_free(__atomic_exchange_n(&sets[random_below(SETS)], i % 10 < 7 ? set_new() : NULL,
                                     __ATOMIC_ACQ_REL));
    return NULL;
}

static void phases(void)
{
    for (unsigned i = 0; i < 3; i++) {
        at_once(4, some_phases);
        for (unsigned j = 0; j < SETS; j++)
            if (j % 8 != 0 || i == 2)
                set_free(__atomic_exchange_n(&sets[j], NULL, __ATOMIC_ACQ_REL));
    }
}

/* --- tree: a search tree of strings that is built, changed and taken down ----------------------------- */

struct node {
    struct node *left, *right;
    char *key;
    uint64_t priority;
};

static char *make_key(uint64_t n)
{
    char text[64];
    int length = snprintf(text, sizeof text, "%llx-%.*s", (unsigned long long)n, (int)(n % 30),
                          "abcdefghijklmnopqrstuvwxyzabcd");
    char *key = take((size_t)length + 1);
    memcpy(key, text, (size_t)length + 1);
    return key;
}

static void split(struct node *t, const char *key, struct node **low, struct node **high)
{
    while (t != NULL) {
        if (strcmp(t->key, key) < 0) {
            *low = t;
            low = &t->right;
            t = t->right;
        } else {
            *high = t;
            high = &t->left;
            t = t->left;
        }
    }
    *low = *high = NULL;
}

static void insert(struct node **t, uint64_t n)
{
    struct node *node = take(sizeof *node);
    *node = (struct node){.key = make_key(n), .priority = random_below(1ull << 50)};
    while (*t != NULL && (*t)->priority > node->priority)
        t = strcmp((*t)->key, node->key) < 0 ? &(*t)->right : &(*t)->left;
    split(*t, node->key, &node->left, &node->right);
    *t = node;
}

static void remove_first(struct node **t)
{
    while ((*t)->left != NULL)
        t = &(*t)->left;
    struct node *node = *t;
    *t = node->right;
    free(node->key);
    free(node);
}

static void tree(void)
{
    struct node *root = NULL;
    for (unsigned i = 0; i < 700000; i++) {
        insert(&root, random_below(1ull << 40));
        if (i % 3 == 2)
            remove_first(&root);
    }
    for (; root != NULL;)
        remove_first(&root);
}

/* --- buffers: large objects, and strings that grow -------------------------------------------------- */

static void buffers(void)
{
    enum { MANY = 200 };
    static char *objects[MANY];
    static size_t bytes[MANY];
    for (unsigned i = 0; i < 100000; i++) {
        unsigned j = (unsigned)random_below(MANY);
        if (bytes[j] > 3000000 || random_below(40) == 0) {
            free(objects[j]);
            objects[j] = take(bytes[j] = power_size(8, 12));
            continue;
        }
        size_t more = bytes[j] + 10 + random_below(bytes[j] / 4 + 100);
        objects[j] = realloc(objects[j], more);
        memset(objects[j] + bytes[j], 1, more - bytes[j]);
        bytes[j] = more;
    }
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } programs[] = {{"numbers", numbers}, {"server", server}, {"pipe", pipe_line},
                    {"phases", phases},   {"tree", tree},     {"buffers", buffers}};
    for (unsigned i = 0; i < sizeof programs / sizeof *programs; i++)
        if (argc == 2 && strcmp(argv[1], programs[i].name) == 0) {
            programs[i].run();
            return 0;
        }
    fprintf(stderr, "numbers, server, pipe, phases, tree or buffers\n");
    return 2;
}
