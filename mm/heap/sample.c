/* Owns: the sampled objects: which page has which, live or freed.
 * Relies on: sample_pages.c for the pages. Stage: from "heap" on, where interrupts are on.
 *
 * Page 2i + 1 of the range is that of sample i; those between them are never opened. A sample that
 * is BUSY belongs to the CPU that made it so, which holds no lock then: opening and closing a page
 * may wait for other CPUs. All else changes under the lock. */
#include "sample.h"

#include "config.h"
#include "lock.h"
#include "mm/addr.h"
#include "mm/string.h"
#include "origin.h"

#define SAMPLES      CONFIG_HEAP_SAMPLES
#define SPARE        (SAMPLES / 4) /* for those whose stack has no live sample */
#define PATTERN_LIVE 0xb7          /* around an object, and in it at first */
#define PATTERN_FREE 0xd9          /* where it was, until the page is closed */
_Static_assert(SAMPLES >= 16 && SAMPLES <= 250, "the range lies in one page table, or two");

enum state { NEW, LIVE, BUSY, OPEN, FREED }; /* OPEN: freed, but the page is still there */

struct sample {
    uint8_t *object;
    uint32_t bytes;
    enum state state;
    uint64_t when; /* it was freed */
    uint64_t mark;
    struct heap_stack allocated, freed;
};

static struct spinlock lock = SPINLOCK_INIT(LOCK_SAMPLE, "heap samples");
static uint8_t *pool_base; /* set once */
static struct {
    struct sample_stats stats GUARDED_BY(lock);
    uint64_t now GUARDED_BY(lock); /* counts frees */
    unsigned nopen GUARDED_BY(lock);
    bool failed GUARDED_BY(lock); /* no addresses */
    struct sample samples[SAMPLES];
} pool;

static uint8_t *base_of_pool(void)
{
    return __atomic_load_n(&pool_base, __ATOMIC_ACQUIRE);
}

static uint8_t *page_of(const struct sample *s)
{
    return base_of_pool() + (2 * (size_t)(s - pool.samples) + 1) * PAGE_BYTES;
}

/* --- The pattern ------------------------------------------------------------------- */

/* The first byte of a page that is not what it was filled with, but for the object; NULL if all is well. */
static const uint8_t *find_damage(const uint8_t *page, const uint8_t *object, size_t bytes,
                                  uint8_t pattern)
{
    for (const uint8_t *p = page; p < page + PAGE_BYTES; p++) {
        if (p == object)
            p += bytes;
        if (p < page + PAGE_BYTES && *p != pattern)
            return p;
    }
    return NULL;
}

static struct heap_origin origin_of(const struct sample *s)
{
    return (struct heap_origin){
        .object = s->object,
        .bytes = s->bytes,
        .live = s->state == LIVE,
        .mark = s->mark,
        .sampled = true,
        .allocated = s->allocated,
        .freed = s->freed,
    };
}

static void tell(const char *what, const struct sample *s, const void *p, bool live)
{
    irq_state_t irq = spin_lock(&lock);
    struct heap_origin origin = origin_of(s);
    spin_unlock(&lock, irq);
    origin.live = live;
    char words[ORIGIN_WORDS];
    origin_words(&origin, words, sizeof words);
    port_misuse("heap: 0x%lx: %s %s", va_number(va_of(p)), what, words);
}

/* --- Closing pages -------------------------------------------------------------------- */

/* Of a sample that is BUSY. False: it is still open. */
static bool close_page(struct sample *s)
{
    const uint8_t *damage = find_damage(page_of(s), NULL, 0, PATTERN_FREE);
    bool closed = sample_page_close(page_of(s));
    if (damage != NULL)
        tell("write after free, to", s, damage, false);
    irq_state_t irq = spin_lock(&lock);
    s->state = closed ? FREED : OPEN;
    pool.nopen += !closed;
    spin_unlock(&lock, irq);
    return closed;
}

static struct sample *take_open(void)
{
    struct sample *s = NULL;
    irq_state_t irq = spin_lock(&lock);
    if (pool.nopen > 0) {
        for (s = pool.samples; s->state != OPEN; s++)
            ;
        s->state = BUSY;
        pool.nopen--;
    }
    spin_unlock(&lock, irq);
    return s;
}

/* What was freed where it could not be done. */
static void close_others(void)
{
    struct sample *s = take_open();
    while (s != NULL && close_page(s))
        s = take_open();
}

/* --- Allocating ------------------------------------------------------------------------ */

/* The addresses, on first use; two CPUs may both make some. */
static bool have_base(void)
{
    if (base_of_pool() != NULL)
        return true;
    irq_state_t irq = spin_lock(&lock);
    bool failed = pool.failed;
    pool.failed = true; /* until we have them, nobody else asks */
    spin_unlock(&lock, irq);
    if (failed)
        return false;
    uint8_t *base = sample_pages_reserve(2 * SAMPLES + 1);
    __atomic_store_n(&pool_base, base, __ATOMIC_RELEASE);
    return base != NULL;
}

static bool same_stack(const struct heap_stack *a, const struct heap_stack *b)
{
    for (uint32_t i = 0; i < a->count; i++)
        if (a->callers[i] != b->callers[i])
            return false;
    return a->count == b->count;
}

/* The one that was freed longest ago, now BUSY. When most are live, objects that stay would use up the
 * rest: only a stack that has none gets another. */
static struct sample *take(const struct heap_stack *stack) REQUIRES(lock)
{
    struct sample *best = NULL;
    bool known = false;
    for (struct sample *s = pool.samples; s < pool.samples + SAMPLES; s++) {
        known = known || (s->state == LIVE && same_stack(&s->allocated, stack));
        if ((s->state == NEW || s->state == FREED) && (best == NULL || s->when < best->when))
            best = s;
    }
    if (best == NULL || (known && pool.stats.live >= SAMPLES - SPARE))
        return NULL;
    best->state = BUSY;
    return best;
}

/* Every other time against the end, as far as the alignment allows, then against the start. */
static uint8_t *place(uint8_t *page, size_t bytes, size_t align, bool at_end)
{
    size_t natural = (bytes & (bytes - 1)) == 0 ? bytes : 1;
    size_t wanted = align > natural ? align : natural;
    if (wanted < HEAP_ALIGN)
        wanted = HEAP_ALIGN;
    return at_end ? page + ((PAGE_BYTES - bytes) & ~(wanted - 1)) : page;
}

void *sample_alloc(size_t bytes, size_t align)
{
    if (bytes == 0 || bytes > PAGE_BYTES || align > PAGE_BYTES || !irq_enabled() || !have_base())
        return NULL;
    close_others();
    struct heap_stack stack;
    stack_take(&stack, __builtin_frame_address(0));
    irq_state_t irq = spin_lock(&lock);
    struct sample *s = take(&stack);
    bool at_end = pool.stats.samples % 2 == 0;
    spin_unlock(&lock, irq);
    if (s == NULL)
        return NULL;
    uint64_t mark = heap_mark();
    bool opened = sample_page_open(page_of(s));
    if (opened)
        memset(page_of(s), PATTERN_LIVE, PAGE_BYTES);

    irq = spin_lock(&lock);
    s->state = opened ? LIVE : FREED;
    if (opened) {
        s->object = place(page_of(s), bytes, align, at_end);
        s->bytes = (uint32_t)bytes;
        s->mark = mark;
        s->allocated = stack;
        s->freed.count = 0;
        pool.stats.samples++;
        pool.stats.live++;
    }
    spin_unlock(&lock, irq);
    return opened ? s->object : NULL;
}

/* --- Freeing ---------------------------------------------------------------------------- */

bool sample_owns(const void *p)
{
    const uint8_t *base = base_of_pool();
    return base != NULL && (uintptr_t)p - (uintptr_t)base < (2 * SAMPLES + 1) * PAGE_BYTES;
}

/* The sample in whose page p is, or the one that was nearer, if it is between two. */
static struct sample *nearest(const void *p)
{
    size_t offset = (size_t)((const uint8_t *)p - base_of_pool()), page = offset / PAGE_BYTES;
    size_t before = page == 0 ? 0 : (page - 1) / 2;
    if (page % 2 == 1 || page == 0 || before == SAMPLES - 1)
        return &pool.samples[before];
    const struct sample *low = &pool.samples[before], *high = low + 1;
    size_t behind_low = (uintptr_t)p - ((uintptr_t)low->object + low->bytes);
    size_t before_high = (uintptr_t)high->object - (uintptr_t)p;
    bool use_high = low->object == NULL || (high->object != NULL && before_high < behind_low);
    return &pool.samples[before + use_high];
}

/* Why the address is no object that can be freed, or NULL. */
static const char *wrong(const struct sample *s, const void *p) REQUIRES(lock)
{
    if (s->object == NULL)
        return "was never allocated, next to";
    if (p != s->object)
        return "is not the start of";
    return s->state == LIVE ? NULL : "is freed already (a double free):";
}

bool sample_free_sized(void *p, size_t bytes)
{
    struct heap_stack stack;
    if (!sample_owns(p))
        return false;
    stack_take(&stack, __builtin_frame_address(0));
    struct sample *s = nearest(p);
    irq_state_t irq = spin_lock(&lock);
    const char *why = wrong(s, p);
    bool live = s->state == LIVE;
    if (why == NULL && bytes != SIZE_MAX && bytes != s->bytes)
        why = "is freed with a wrong size:";
    if (why == NULL) {
        s->state = BUSY;
        s->when = ++pool.now;
        s->freed = stack;
        pool.stats.live--;
    }
    spin_unlock(&lock, irq);
    if (why != NULL) {
        tell(why, s, p, live);
        return true;
    }

    const uint8_t *damage = find_damage(page_of(s), s->object, s->bytes, PATTERN_LIVE);
    if (damage != NULL)
        tell("write out of bounds, beside", s, damage, true);
    memset(page_of(s), PATTERN_FREE, PAGE_BYTES);
    if (irq_enabled()) {
        (void)close_page(s);
        return true;
    }
    irq = spin_lock(&lock);
    s->state = OPEN;
    pool.nopen++;
    spin_unlock(&lock, irq);
    return true;
}

size_t sample_size(const void *p)
{
    struct sample *s = nearest(p);
    irq_state_t irq = spin_lock(&lock);
    const char *why = wrong(s, p);
    bool live = s->state == LIVE;
    spin_unlock(&lock, irq);
    if (why == NULL)
        return s->bytes;
    tell(why, s, p, live);
    return 0;
}

/* --- Looking ------------------------------------------------------------------------------ */

mm_status_t sample_find(const void *p, struct heap_origin *out)
{
    if (!sample_owns(p) || nearest(p)->object == NULL)
        return MM_NOTFOUND;
    const struct sample *s = nearest(p);
    *out = origin_of(s);
    return MM_OK;
}

bool sample_walk(sample_visit_t visit, void *argument)
{
    for (struct sample *s = pool.samples; s < pool.samples + SAMPLES; s++) {
        irq_state_t irq = spin_lock(&lock);
        struct heap_origin origin = origin_of(s);
        spin_unlock(&lock, irq);
        if (origin.live && !visit(&origin, argument))
            return false;
    }
    return true;
}

void sample_get_stats(struct sample_stats *out)
{
    irq_state_t irq = spin_lock(&lock);
    *out = pool.stats;
    spin_unlock(&lock, irq);
}

/* The addresses stay: a simulated machine starts more than once. */
void sample_init(void)
{
    if (base_of_pool() == NULL)
        return; /* there never were any */
    irq_state_t irq = spin_lock(&lock);
    for (struct sample *s = pool.samples; s < pool.samples + SAMPLES; s++) {
        if (s->state == LIVE || s->state == OPEN)
            (void)!sample_page_close(page_of(s));
        *s = (struct sample){0};
    }
    pool.stats = (struct sample_stats){0};
    pool.nopen = 0;
    spin_unlock(&lock, irq);
}

/* --- Forks ----------------------------------------------------------------------------- */

void sample_hold(void) NO_LOCK_ANALYSIS
{
    ticket_take(&lock.ticket);
}

void sample_let(void) NO_LOCK_ANALYSIS
{
    ticket_give(&lock.ticket);
}
