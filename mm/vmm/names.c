/* Owns: the table of names. Relies on: the pmm. Stage: any; more than 64 names: "frames". */
#include "names.h"

#include "lock.h"
#include "mm/hhdm.h"
#include "mm/pmm.h"
#include "mm/string.h"

#define FIRST_NAMES 64u  /* in the image */
#define FRAME_NAMES 256u /* in a frame */
#define BUCKETS     256u

struct name {
    const char *text;
    uint32_t hash;
    uint32_t next; /* the number of another in its bucket; 0: none */
};
_Static_assert(FRAME_NAMES * sizeof(struct name) == FRAME_BYTES, "a frame full");

/* An entry is complete before a bucket or the count leads to it (release, acquire), and then stays
 * as it is: so whoever finds it can read it without a lock. */
static struct spinlock lock = SPINLOCK_INIT(LOCK_NAMES, "names");
static unsigned count = 1;        /* number 0 has no entry; grows under the lock */
static uint16_t buckets[BUCKETS]; /* the newest name of each */
static struct name first_names[FIRST_NAMES];
static struct name *more_names[(NAMES_MAX - FIRST_NAMES + FRAME_NAMES - 1) / FRAME_NAMES];

void names_init(void)
{
    irq_state_t irq = spin_lock(&lock);
    count = 1;
    memset(buckets, 0, sizeof buckets);
    memset(more_names, 0, sizeof more_names);
    spin_unlock(&lock, irq);
}

/* source: FNV-1a (Fowler, Noll, Vo) */
static uint32_t hash_of(const char *text)
{
    uint32_t hash = 0x811c9dc5;
    for (; *text != '\0'; text++)
        hash = (hash ^ (unsigned char)*text) * 0x01000193;
    return hash ^ hash >> 16;
}

static struct name *entry(unsigned number)
{
    if (number < FIRST_NAMES)
        return &first_names[number];
    return &more_names[(number - FIRST_NAMES) / FRAME_NAMES][(number - FIRST_NAMES) % FRAME_NAMES];
}

static unsigned find(const char *text, uint32_t hash)
{
    unsigned number = __atomic_load_n(&buckets[hash % BUCKETS], __ATOMIC_ACQUIRE);
    for (; number != 0; number = entry(number)->next) {
        const struct name *e = entry(number);
        if (e->text == text || (e->hash == hash && strcmp(e->text, text) == 0))
            break;
    }
    return number;
}

/* A place for one name more: 0 if there is none. */
static unsigned make_room(void) REQUIRES(lock)
{
    static const struct pmm_limits limits = {.kind = PMM_LONG};
    paddr_t frame;
    if (count == NAMES_MAX)
        return NAME_UNNAMED;
    if (count >= FIRST_NAMES && (count - FIRST_NAMES) % FRAME_NAMES == 0) {
        if (pmm_alloc_batch(1, &limits, &frame) != MM_OK)
            return NAME_UNNAMED;
        more_names[(count - FIRST_NAMES) / FRAME_NAMES] = phys_to_virt(frame);
    }
    return count;
}

unsigned name_number(const char *text)
{
    if (text == NULL)
        return NAME_UNNAMED;
    uint32_t hash = hash_of(text);
    unsigned number = find(text, hash);
    if (number != 0)
        return number;
    irq_state_t irq = spin_lock(&lock);
    number = find(text, hash); /* another CPU may have come first */
    if (number == 0 && (number = make_room()) != NAME_UNNAMED) {
        uint16_t *bucket = &buckets[hash % BUCKETS];
        *entry(number) = (struct name){text, hash, *bucket};
        __atomic_store_n(bucket, (uint16_t)number, __ATOMIC_RELEASE);
        __atomic_store_n(&count, number + 1, __ATOMIC_RELEASE);
    }
    spin_unlock(&lock, irq);
    return number;
}

const char *name_of(unsigned number)
{
    if (number == NAME_UNNAMED || number >= __atomic_load_n(&count, __ATOMIC_ACQUIRE))
        return "unnamed";
    return entry(number)->text;
}
