/* The heap under several CPUs: objects stay intact, also those that one CPU takes and another gives
 * back, and nothing is lost, whoever leaves or shrinks meanwhile. */
#include <sched.h>

#include "../../mm/heap/share.h"
#include "heap_rig.h"
#include "smp_rig.h"

#define STEPS 30000
#define SLOTS 40
#define MAIL  64

_Static_assert(NCPUS == RIG_CPUS, "the rig's");

struct object {
    size_t bytes;
    unsigned tag;
    unsigned char payload[];
};

/* Objects on their way from CPU to CPU. */
static struct object *mail[MAIL];

static struct object *make(struct rng *rng, unsigned tag)
{
    size_t bytes = rng_size(rng, rng_below(rng, 40) == 0 ? 300 * KIB : 2 * KIB);
    size_t align = 16ull << rng_below(rng, 6);
    struct object *o = rng_below(rng, 2) == 0 ? kmalloc(sizeof *o + bytes)
                                              : kaligned_alloc(align, sizeof *o + bytes);
    if (o == NULL)
        return NULL;
    CPU_CHECK(kmalloc_size(o) >= sizeof *o + bytes);
    *o = (struct object){bytes, tag};
    fill(o->payload, bytes, tag);
    return o;
}

static void check(const struct object *o)
{
    for (size_t i = 0; i < o->bytes; i++)
        CPU_CHECK(o->payload[i] == (unsigned char)(o->tag * 31 + i * 7));
}

static struct object *resize(struct rng *rng, struct object *o)
{
    size_t bytes = rng_size(rng, 4 * KIB);
    struct object *moved = krealloc(o, sizeof *o + bytes);
    if (moved == NULL)
        return o;
    if (bytes < moved->bytes)
        moved->bytes = bytes;
    check(moved);
    moved->bytes = bytes;
    fill(moved->payload, bytes, moved->tag);
    return moved;
}

/* Put it where any CPU finds it; what was there is ours. */
static struct object *post(struct rng *rng, struct object *o)
{
    return __atomic_exchange_n(&mail[rng_below(rng, MAIL)], o, __ATOMIC_ACQ_REL);
}

static void use_slot(struct rng *rng, struct object **slot, unsigned tag)
{
    if (*slot == NULL) {
        *slot = make(rng, tag);
    } else if (rng_below(rng, 4) == 0) {
        *slot = resize(rng, *slot);
    } else if (rng_below(rng, 3) == 0) {
        *slot = post(rng, *slot);
        if (*slot != NULL)
            check(*slot);
    } else {
        check(*slot);
        kfree(*slot);
        *slot = NULL;
    }
}

/* What happens seldom. */
static void meddle(struct rng *rng)
{
    struct heap_totals t;
    switch (rng_below(rng, 4)) {
    case 0:
        heap_leave_cpu();
        break;
    case 1:
        heap_shrink();
        break;
    case 2: /* as a fork does */
        heap_lock_all();
        heap_unlock_all();
        break;
    default:
        heap_get_totals(&t);
    }
}

static void use_the_heap(unsigned cpu)
{
    struct rng *rng = &rngs[cpu];
    struct object *slots[SLOTS] = {0};
    for (unsigned step = 0; step < STEPS; step++) {
        use_slot(rng, &slots[rng_below(rng, SLOTS)], step * NCPUS + cpu);
        if (rng_below(rng, 200) == 0)
            meddle(rng);
    }
    for (unsigned i = 0; i < SLOTS; i++)
        kfree(slots[i]);
}

static void empty_mail(void)
{
    for (unsigned i = 0; i < MAIL; i++) {
        kfree(mail[i]);
        mail[i] = NULL;
    }
}

static void objects_stay_intact_and_none_is_lost(void **state)
{
    (void)state;
    start_rngs();
    cpus_run(NCPUS, use_the_heap);
    empty_mail();
}

/* The same with next to no slabs that a CPU keeps: they change hands all the time. */
static void slabs_change_hands(void **state)
{
    struct heap_tuning before, tight;
    heap_get_tuning(&before);
    tight = before;
    tight.cache_depth = 1;
    tight.reserve_pages = 4;
    assert_int_equal(MM_OK, heap_tune(&tight));
    objects_stay_intact_and_none_is_lost(state);
    assert_int_equal(MM_OK, heap_tune(&before));
}

/* So does what is freed, as there is next to no room for it: of one class, so that slabs go all the time. */
static void use_one_class(unsigned cpu)
{
    static struct object *slots[NCPUS][4 * SLOTS];
    for (unsigned step = 0; step < STEPS; step++) {
        struct object **slot = &slots[cpu][rng_below(&rngs[cpu], COUNT(slots[cpu]))];
        if (*slot != NULL) {
            check(*slot);
            kfree(*slot);
            *slot = NULL;
            continue;
        }
        *slot = kmalloc(2048);
        CPU_CHECK(*slot != NULL);
        **slot = (struct object){64, step * NCPUS + cpu};
        fill((*slot)->payload, 64, (*slot)->tag);
    }
    for (unsigned i = 0; i < COUNT(slots[cpu]); i++) {
        kfree(slots[cpu][i]);
        slots[cpu][i] = NULL;
    }
}

static void what_is_freed_as_its_slab_goes_is_one_cpus(void **state)
{
    (void)state;
    struct heap_tuning before, tight;
    heap_get_tuning(&before);
    tight = before;
    start_rngs();
    for (tight.cache_depth = 1; tight.cache_depth <= 4; tight.cache_depth++) {
        assert_int_equal(MM_OK, heap_tune(&tight));
        cpus_run(NCPUS, use_one_class);
        assert_true(heap_validate());
    }
    assert_int_equal(MM_OK, heap_tune(&before));
}

/* One CPU only allocates, the others only free: of three classes, one of them wide. */
#define POSTED 20000u

static struct object *ring[64];
static uint64_t taken;

static void produce(struct rng *rng)
{
    static const size_t sizes[] = {8, 48, 1000};
    for (unsigned i = 0; i < POSTED; i++) {
        struct object **slot = &ring[i % COUNT(ring)], *none;
        size_t bytes = sizes[rng_below(rng, COUNT(sizes))];
        struct object *o = kmalloc(sizeof *o + bytes);
        CPU_CHECK(o != NULL);
        *o = (struct object){bytes, i};
        fill(o->payload, bytes, i);
        while (none = NULL, !__atomic_compare_exchange_n(slot, &none, o, false, __ATOMIC_RELEASE,
                                                         __ATOMIC_RELAXED))
            sched_yield();
    }
}

static void consume(struct rng *rng)
{
    while (load(&taken) < POSTED) {
        struct object **slot = &ring[rng_below(rng, COUNT(ring))];
        struct object *o = __atomic_exchange_n(slot, NULL, __ATOMIC_ACQUIRE);
        if (o == NULL) {
            sched_yield();
            continue;
        }
        check(o);
        kfree(o);
        __atomic_fetch_add(&taken, 1, __ATOMIC_RELAXED);
    }
}

static void take_part(unsigned cpu)
{
    if (cpu == 0)
        produce(&rngs[cpu]);
    else
        consume(&rngs[cpu]);
}

static void what_others_free_is_used_again(void **state)
{
    (void)state;
    start_rngs();
    taken = 0;
    cpus_run(NCPUS, take_part);
    struct heap_totals t = totals();
    assert_int_equal(0, t.all.live);
    assert_int_equal(POSTED, t.all.remote_frees);
    assert_true(t.all.slab_bytes < MIB); /* of some 20 MiB in all */
}

/* Large objects are runs of their own. */
static void grow_and_shrink(unsigned cpu)
{
    struct rng *rng = &rngs[cpu];
    for (unsigned i = 0; i < 300; i++) {
        size_t bytes = 130 * KIB + rng_below(rng, 2 * MIB);
        unsigned char *p = kmalloc(bytes), *q = kmalloc(200 * KIB);
        if (p != NULL) {
            p[0] = p[bytes - 1] = (unsigned char)cpu;
            port_relax();
            CPU_CHECK(p[0] == cpu && p[bytes - 1] == cpu);
        }
        kfree(p);
        kfree(q);
    }
}

static void runs_come_and_go(void **state)
{
    (void)state;
    start_rngs();
    cpus_run(NCPUS, grow_and_shrink);
}

/* Runs of a few lengths, which CPUs keep, while others want them back and free what is not theirs. */
static struct object *make_run(struct rng *rng, unsigned tag)
{
    size_t bytes = (9 + 4 * rng_below(rng, 8)) * PAGE_BYTES - sizeof(struct object);
    struct object *o = kmalloc(sizeof *o + bytes);
    if (o != NULL)
        *o = (struct object){bytes, tag};
    if (o != NULL)
        o->payload[0] = o->payload[bytes - 1] = (unsigned char)tag;
    return o;
}

static void check_run(const struct object *o)
{
    CPU_CHECK(o->payload[0] == (unsigned char)o->tag);
    CPU_CHECK(o->payload[o->bytes - 1] == (unsigned char)o->tag);
}

static void hand_runs_about(unsigned cpu)
{
    struct rng *rng = &rngs[cpu];
    struct object *slots[8] = {NULL};
    for (unsigned step = 0; step < STEPS; step++) {
        struct object **slot = &slots[rng_below(rng, COUNT(slots))];
        if (*slot == NULL)
            *slot = make_run(rng, step * NCPUS + cpu);
        else
            check_run(*slot);
        if (rng_below(rng, 8) == 0) {
            *slot = post(rng, *slot);
        } else if (rng_below(rng, 2) == 0) {
            kfree(*slot);
            *slot = NULL;
        }
        if (rng_below(rng, 100) == 0)
            meddle(rng);
    }
    for (unsigned i = 0; i < COUNT(slots); i++)
        kfree(slots[i]);
}

static void runs_that_are_kept_are_nobody_elses(void **state)
{
    (void)state;
    start_rngs();
    cpus_run(NCPUS, hand_runs_about);
    empty_mail();
}

static void *victims[60];

static void free_all(unsigned cpu)
{
    (void)cpu;
    for (unsigned i = 0; i < COUNT(victims); i++)
        kfree(victims[i]);
}

/* Who does it at the very same time may be told when the run is looked at next. */
static void of_many_who_free_a_run_one_does(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < COUNT(victims); i++)
            victims[i] = kmalloc(40 * KIB);
        cpus_run(NCPUS, free_all);
        (void)heap_shrink();
        be(0);
        (void)heap_shrink();
        assert_int_equal((NCPUS - 1) * COUNT(victims), machine.misuses);
        machine.misuses = 0;
        assert_int_equal(0, totals().all.live);
        assert_true(heap_validate());
    }
}

/* Memory for less than what the CPUs want together: who finds none takes the reserves of others. */
static void want_all(unsigned cpu)
{
    struct rng *rng = &rngs[cpu];
    enum { MANY = 1500 };
    static void *held[NCPUS][MANY];
    uint64_t failed = 0;
    for (unsigned round = 0; round < 12; round++) {
        size_t bytes = 64ull << rng_below(rng, 9);
        for (unsigned i = 0; i < MANY; i++) {
            held[cpu][i] = kmalloc(bytes);
            failed += held[cpu][i] == NULL;
        }
        for (unsigned i = 0; i < MANY; i++)
            kfree(held[cpu][i]);
    }
    CPU_CHECK(failed < 12 * MANY);
}

static void all_memory_can_be_had_by_any(void **state)
{
    (void)state;
    start_rngs();
    cpus_run(NCPUS, want_all);
}

/* The CPUs' threads bind shares of their own, which are the same. */
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(objects_stay_intact_and_none_is_lost),
        TEST(slabs_change_hands),
        TEST(what_is_freed_as_its_slab_goes_is_one_cpus),
        TEST(what_others_free_is_used_again),
        TEST(runs_come_and_go),
        TEST(all_memory_can_be_had_by_any),
        TEST(runs_that_are_kept_are_nobody_elses),
        TEST(of_many_who_free_a_run_one_does),
    };
    return cmocka_run_group_tests_name("heap of several CPUs", tests, NULL, NULL);
}
