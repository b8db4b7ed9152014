/* The heap under several CPUs: blocks stay intact, also those that one CPU takes and another gives
 * back, and nothing is lost. */
#include "heap_rig.h"
#include "smp_rig.h"

#define STEPS 40000
#define SLOTS 40
#define MAIL  16

struct block {
    size_t bytes;
    unsigned tag;
    unsigned char payload[];
};

/* Blocks on their way from CPU to CPU. */
static struct block *mail[MAIL];

static struct block *make(struct rng *rng, unsigned tag)
{
    size_t bytes = rng_size(rng, rng_below(rng, 40) == 0 ? 300 * KIB : 2 * KIB);
    size_t align = 16ull << rng_below(rng, 6);
    struct block *b = rng_below(rng, 2) == 0 ? kmalloc(sizeof *b + bytes)
                                             : kaligned_alloc(align, sizeof *b + bytes);
    if (b == NULL)
        return NULL;
    CPU_CHECK(kmalloc_size(b) >= sizeof *b + bytes);
    *b = (struct block){bytes, tag};
    fill(b->payload, bytes, tag);
    return b;
}

static void check(const struct block *b)
{
    for (size_t i = 0; i < b->bytes; i++)
        CPU_CHECK(b->payload[i] == (unsigned char)(b->tag * 31 + i * 7));
}

static struct block *resize(struct rng *rng, struct block *b)
{
    size_t bytes = rng_size(rng, 4 * KIB);
    struct block *moved = krealloc(b, sizeof *b + bytes);
    if (moved == NULL)
        return b;
    if (bytes < moved->bytes)
        moved->bytes = bytes;
    check(moved);
    moved->bytes = bytes;
    fill(moved->payload, bytes, moved->tag);
    return moved;
}

static void use_the_heap(unsigned cpu)
{
    struct rng *rng = &rngs[cpu];
    struct block *slots[SLOTS] = {0};
    for (unsigned step = 0; step < STEPS; step++) {
        struct block **slot = &slots[rng_below(rng, SLOTS)];
        if (*slot == NULL) {
            *slot = make(rng, step * NCPUS + cpu);
        } else if (rng_below(rng, 4) == 0) {
            *slot = resize(rng, *slot);
        } else if (rng_below(rng, 3) == 0) {
            *slot = __atomic_exchange_n(&mail[rng_below(rng, MAIL)], *slot, __ATOMIC_ACQ_REL);
            if (*slot != NULL)
                check(*slot);
        } else {
            check(*slot);
            kfree(*slot);
            *slot = NULL;
        }
        if (step % 128 == cpu)
            CPU_CHECK(heap_validate());
        struct heap_stats stats;
        heap_get_stats(&stats);
        CPU_CHECK(stats.allocations - stats.frees == stats.live_blocks);
    }
    for (unsigned i = 0; i < SLOTS; i++)
        kfree(slots[i]);
}

static void blocks_stay_intact_and_none_is_lost(void **state)
{
    (void)state;
    start_rngs();
    cpus_run(NCPUS, use_the_heap);
    for (unsigned i = 0; i < MAIL; i++) {
        kfree(mail[i]);
        mail[i] = NULL;
    }
}

/* Large blocks are runs of their own: the list of runs grows and shrinks all the time. */
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

/* The CPUs' shares stay: they are no frames of the heap's. */
static int start_cpus(void **state)
{
    start(state);
    uint64_t before = machine_free_frames();
    cpus_make_shares(NCPUS);
    frames_at_start -= before - machine_free_frames();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(blocks_stay_intact_and_none_is_lost, start_cpus, stop),
        cmocka_unit_test_setup_teardown(runs_come_and_go, start_cpus, stop),
    };
    return cmocka_run_group_tests_name("heap of several CPUs", tests, NULL, NULL);
}
