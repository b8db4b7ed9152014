/* The addresses of a window, the names and the counts of shared frames, used by several CPUs at
 * once. */
#include "../../mm/vmm/names.h"
#include "../../mm/vmm/shares.h"
#include "../../mm/vmm/window.h"
#include "mm/vmm.h"
#include "smp_rig.h"

static int start(void **state)
{
    (void)state;
    machine_start_simple(32 * MIB);
    names_init();
    shares_init();
    cpus_make_shares(NCPUS);
    start_rngs();
    return 0;
}

static int stop(void **state)
{
    (void)state;
    assert_true(pmm_validate());
    machine_stop();
    return 0;
}

/* --- The window ------------------------------------------------------------- */

#define WINDOW_PAGES 70000
#define HELD         24

static uint64_t owners[WINDOW_PAGES]; /* of each page: 0, or the CPU's number + 1; atomic */
static uint64_t window_failures;

static void own(uint64_t first, uint64_t n, uint64_t from, uint64_t to)
{
    CPU_CHECK(first + n <= WINDOW_PAGES);
    for (uint64_t i = first; i < first + n; i++)
        CPU_CHECK(__atomic_exchange_n(&owners[i], to, __ATOMIC_RELAXED) == from);
}

static void give_and_take(unsigned cpu)
{
    struct rng *rng = &rngs[cpu];
    struct {
        uint64_t first, n;
    } held[HELD] = {0};
    for (unsigned step = 0; step < 3000; step++) {
        unsigned i = (unsigned)rng_below(rng, HELD);
        if (held[i].n == 0) {
            uint64_t n = rng_size(rng, 1500), align = 1ull << rng_below(rng, 11);
            vaddr_t va;
            if (window_alloc(n, align, n > 1, &va) != MM_OK) {
                __atomic_fetch_add(&window_failures, 1, __ATOMIC_RELAXED);
                continue;
            }
            held[i].first = (va.v - VMM_WINDOW_BASE) / PAGE_BYTES;
            held[i].n = n;
            CPU_CHECK((held[i].first + (n > 1)) % align == 0);
            own(held[i].first, n, 0, cpu + 1);
            continue;
        }
        uint64_t some = rng_between(rng, 1, held[i].n);
        vaddr_t va = VA(VMM_WINDOW_BASE + held[i].first * PAGE_BYTES);
        own(held[i].first, some, cpu + 1, 0);
        CPU_CHECK(window_cut(va, some) == MM_OK);
        CPU_CHECK(window_free(va, some) == MM_OK);
        held[i].first += some;
        held[i].n -= some;
        if (step % 100 == 0)
            CPU_CHECK(window_validate());
    }
    for (unsigned i = 0; i < HELD; i++) {
        own(held[i].first, held[i].n, cpu + 1, 0);
        if (held[i].n > 0)
            CPU_CHECK(window_free(VA(VMM_WINDOW_BASE + held[i].first * PAGE_BYTES), held[i].n) ==
                      MM_OK);
    }
}

static void no_address_is_given_out_twice(void **state)
{
    (void)state;
    struct window_stats before, after;
    assert_int_equal(MM_OK, window_init(VA(VMM_WINDOW_BASE), WINDOW_PAGES));
    window_get_stats(&before);
    cpus_run(NCPUS, give_and_take);
    window_get_stats(&after);
    assert_int_equal(0, after.npages);
    assert_int_equal(before.frames, after.frames);
    assert_true(window_validate());
    assert_in_range(window_failures, 0, NCPUS * 3000 / 2);
}

/* --- Names ------------------------------------------------------------------- */

#define NAMES 900
static char texts[NCPUS][NAMES][12]; /* each CPU has strings of its own */
static uint64_t numbers[NAMES];      /* what any CPU got; atomic */

static void number_names(unsigned cpu)
{
    for (unsigned i = 0; i < NAMES; i++)
        snprintf(texts[cpu][i], sizeof texts[cpu][i], "name %u", i);
    cpus_meet();
    for (unsigned step = 0; step < 4 * NAMES; step++) {
        unsigned i = (unsigned)rng_below(&rngs[cpu], NAMES);
        uint64_t number = name_number(texts[cpu][i]), before = 0;
        CPU_CHECK(number != NAME_UNNAMED && strcmp(name_of((unsigned)number), texts[0][i]) == 0);
        CPU_CHECK(__atomic_compare_exchange_n(&numbers[i], &before, number, false, __ATOMIC_RELAXED,
                                              __ATOMIC_RELAXED) ||
                  before == number);
        name_of((unsigned)number + 1); /* which another CPU may be making */
    }
}

static void all_cpus_get_the_same_number_for_a_name(void **state)
{
    (void)state;
    cpus_run(NCPUS, number_names);
    bool seen[NAMES + 1] = {false};
    for (unsigned i = 0; i < NAMES; i++) {
        assert_in_range(numbers[i], 0, NAMES); /* 0: nobody asked */
        assert_false(numbers[i] != 0 && seen[numbers[i]]);
        seen[numbers[i]] = true;
    }
    assert_string_equal("unnamed", name_of(NAMES + 1));
}

/* --- Shares ------------------------------------------------------------------ */

/* One mapping of a run of frames. It is one CPU's at a time, as if that held the table. */
struct run {
    paddr_t base;
    uint64_t n;
};

/* Mappings on their way from one CPU to another. */
static struct {
    uint64_t full; /* 0: empty, 1: somebody is at it, 2: full; atomic */
    struct run run;
} boxes[8];

static uint64_t nshared, nexclusive;

static uint64_t *frame_of(const struct run *run, uint64_t i)
{
    return phys_to_virt(pa_add(run->base, i * FRAME_BYTES));
}

/* Only whoever has the one mapping may write. Plain accesses: the thread sanitizer looks on. */
static void write_run(struct rng *rng, const struct run *run)
{
    for (uint64_t i = 0; i < run->n; i++)
        frame_of(run, i)[0] = frame_of(run, i)[511] = rng_next(rng);
}

static void read_run(const struct run *run)
{
    for (uint64_t i = 0; i < run->n; i++)
        CPU_CHECK(frame_of(run, i)[0] == frame_of(run, i)[511]);
}

/* Into a box, or out of one. */
static bool pass(struct rng *rng, struct run *run, uint64_t from, uint64_t to)
{
    unsigned i = (unsigned)rng_below(rng, COUNT(boxes));
    if (!__atomic_compare_exchange_n(&boxes[i].full, &from, 1, false, __ATOMIC_ACQUIRE,
                                     __ATOMIC_RELAXED))
        return false;
    if (to == 2)
        boxes[i].run = *run;
    else
        *run = boxes[i].run;
    store(&boxes[i].full, to);
    return true;
}

static void share_run(struct rng *rng, struct run *run)
{
    if (shares_add(run->base, run->n) != MM_OK)
        return;
    __atomic_fetch_add(&nshared, 1, __ATOMIC_RELAXED);
    if (!pass(rng, run, 0, 2))
        shares_release(run->base, run->n);
}

/* One mapping less, in two parts at times: those of a 2 MiB page go one by one then. */
static void release_run(struct rng *rng, struct run *run)
{
    uint64_t some = rng_below(rng, 2) == 0 ? run->n : rng_below(rng, run->n);
    if (some > 0)
        shares_release(run->base, some);
    if (some < run->n)
        shares_release(pa_add(run->base, some * FRAME_BYTES), run->n - some);
    run->n = 0;
}

static void step_run(struct rng *rng, struct run *run)
{
    uint64_t n = rng_below(rng, 4) == 0 ? 512 : rng_size(rng, 40);
    if (run->n == 0) {
        if (rng_below(rng, 2) == 0 && pass(rng, run, 2, 0))
            return;
        if (pmm_alloc_frames(n, NULL, &run->base) == MM_OK) {
            run->n = n;
            write_run(rng, run);
        }
        return;
    }
    read_run(run);
    switch (rng_below(rng, 5)) {
    case 0:
    case 1:
        share_run(rng, run);
        break;
    case 2:
        if (shares_exclusive(run->base, run->n)) {
            __atomic_fetch_add(&nexclusive, 1, __ATOMIC_RELAXED);
            write_run(rng, run);
            CPU_CHECK(shares_of(run->base) == 1);
        }
        break;
    default:
        release_run(rng, run);
    }
}

static void share_and_release(unsigned cpu)
{
    struct run held[6] = {0};
    for (unsigned step = 0; step < 2500; step++) {
        step_run(&rngs[cpu], &held[rng_below(&rngs[cpu], COUNT(held))]);
        port_relax();
    }
    for (unsigned i = 0; i < COUNT(held); i++)
        if (held[i].n > 0)
            release_run(&rngs[cpu], &held[i]);
}

static void a_frame_lives_as_long_as_a_mapping_of_it(void **state)
{
    (void)state;
    uint64_t before = machine_free_frames();
    cpus_run(NCPUS, share_and_release);
    for (unsigned i = 0; i < COUNT(boxes); i++)
        if (boxes[i].full == 2)
            shares_release(boxes[i].run.base, boxes[i].run.n);
    assert_int_equal(before, machine_free_frames() + shares_frames());
    assert_in_range(nshared, 500, NCPUS * 2500);
    assert_in_range(nexclusive, 100, NCPUS * 2500);
}

/* Rounds in which all CPUs make the same records, and the ways there, at once. */
#define ROUNDS 300
static paddr_t fresh; /* a frame for each CPU */

static void share_at_once(unsigned cpu)
{
    paddr_t mine = pa_add(fresh, cpu * FRAME_BYTES);
    for (unsigned round = 0; round < ROUNDS; round++) {
        cpus_meet();
        CPU_CHECK(shares_of(mine) == 1);
        CPU_CHECK(shares_add(mine, 1) == MM_OK);
        CPU_CHECK(shares_of(mine) == 2);
        shares_release(mine, 1);
        CPU_CHECK(shares_of(mine) == 1);
        cpus_meet();
        if (cpu == 0) {
            store(&nshared, load(&nshared) + shares_frames());
            shares_init();
        }
    }
}

static void records_are_made_once(void **state)
{
    (void)state;
    assert_int_equal(MM_OK, pmm_alloc_frames(NCPUS, NULL, &fresh));
    nshared = 0;
    uint64_t before = machine_free_frames();
    cpus_run(NCPUS, share_at_once);
    assert_int_equal(4 * ROUNDS, nshared);
    assert_int_equal(before, machine_free_frames() + nshared);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(no_address_is_given_out_twice),
        TEST(all_cpus_get_the_same_number_for_a_name),
        TEST(a_frame_lives_as_long_as_a_mapping_of_it),
        TEST(records_are_made_once),
    };
    return cmocka_run_group_tests_name("units of vmm on several CPUs", tests, NULL, NULL);
}
