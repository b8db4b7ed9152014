/* Spinlocks and barriers between CPUs, and the checks of a debug build: order,
 * double acquire, release by somebody else, each with the culprit named. */
#include "lock.h"
#include "smp_rig.h"

#define TURNS 20000

static struct spinlock spin = SPINLOCK_INIT(LOCK_FRAMES, "spin");
static uint64_t a GUARDED_BY(spin);
static uint64_t stage, turn;

static int start(void **state)
{
    (void)state;
    machine_start_simple(MIB);
    stage = turn = 0;
    return 0;
}

static int stop(void **state)
{
    (void)state;
    machine_stop();
    return 0;
}

/* --- Exclusion ------------------------------------------------------------ */

static void count_under_lock(unsigned cpu)
{
    (void)cpu;
    for (unsigned i = 0; i < TURNS; i++) {
        irq_state_t irq = spin_lock(&spin);
        a++; /* not atomic: the sanitizer sees it if the lock lets two in */
        spin_unlock(&spin, irq);
    }
}

static void a_spinlock_lets_one_in(void **state)
{
    (void)state;
    irq_state_t irq = spin_lock(&spin);
    a = 0;
    spin_unlock(&spin, irq);
    cpus_run(NCPUS, count_under_lock);
    irq = spin_lock(&spin);
    assert_int_equal(NCPUS * TURNS, a);
    spin_unlock(&spin, irq);
}

static void try_under_lock(unsigned cpu)
{
    for (unsigned i = 0; i < TURNS; i++) {
        irq_state_t irq;
        if (cpu % 2 == 0) {
            irq = spin_lock(&spin);
        } else if (!spin_try_lock(&spin, &irq)) {
            port_relax();
            continue;
        }
        a++;
        __atomic_fetch_add(&turn, 1, __ATOMIC_RELAXED);
        spin_unlock(&spin, irq);
    }
}

static void trying_takes_a_free_lock_only(void **state)
{
    (void)state;
    irq_state_t irq = spin_lock(&spin);
    a = 0;
    spin_unlock(&spin, irq);
    cpus_run(NCPUS, try_under_lock);
    if (!spin_try_lock(&spin, &irq))
        fail_msg("nobody holds it");
    else
        assert_int_equal(turn, a), spin_unlock(&spin, irq);
}

/* --- Waiting -------------------------------------------------------------- */

/* CPU 0 holds both locks and waits for the others to flush, while they wait for a lock. */
static void wait_while_waited_for(unsigned cpu)
{
    static const struct tlb_batch batch = {.whole = true};
    struct cpu_set all = {{0}};
    irq_state_t irq, outer;
    for (unsigned i = 0; i < NCPUS; i++)
        cpu_set_add(&all, i);
    for (unsigned i = 0; i < 200; i++) {
        if ((cpu + i) % 2 == 0) {
            static struct spinlock out = SPINLOCK_INIT(LOCK_SPACE, "outer");
            outer = spin_lock(&out);
            irq = spin_lock(&spin);
            port_tlb_shootdown(&all, &batch);
            spin_unlock(&spin, irq);
            spin_unlock(&out, outer);
        } else {
            irq = spin_lock(&spin);
            port_tlb_shootdown(&all, &batch);
            spin_unlock(&spin, irq);
        }
    }
}

static void who_waits_for_a_lock_answers_shootdowns(void **state)
{
    (void)state;
    cpus_run(NCPUS, wait_while_waited_for);
}

/* --- Barriers ------------------------------------------------------------- */

static uint64_t said[2]; /* by either side: its turn */

/* One side has no barrier of its own, only its order in the program: the other one's counts for
 * both. Neither may miss what the other said. */
static void speak_and_listen(unsigned cpu)
{
    static uint64_t heard[2];
    for (uint64_t i = 1; i <= TURNS; i++) {
        cpus_meet();
        __atomic_store_n(&said[cpu], i, __ATOMIC_RELAXED);
        if (cpu == 0)
            __atomic_signal_fence(__ATOMIC_SEQ_CST);
        else
            port_barrier_all();
        heard[cpu] = __atomic_load_n(&said[!cpu], __ATOMIC_RELAXED);
        cpus_meet();
        CPU_CHECK(heard[0] == i || heard[1] == i);
    }
}

static void a_barrier_counts_for_all_cpus(void **state)
{
    (void)state;
    said[0] = said[1] = 0;
    cpus_run(2, speak_and_listen);
}

/* --- The checks ----------------------------------------------------------- */

static struct spinlock outer_lock = SPINLOCK_INIT(LOCK_HEAP, "heap");
static struct spinlock inner_lock = SPINLOCK_INIT(LOCK_FRAMES, "pmm");
static struct spinlock inner_twin = SPINLOCK_INIT(LOCK_FRAMES, "pmm 2");

/* A function of its own, so that the address in a message can be told. */
__attribute__((noinline)) static irq_state_t take_first(struct spinlock *lock) NO_LOCK_ANALYSIS
{
    return spin_lock(lock);
}

/* The last message names an address in take_first: the first behind these words. */
static void assert_names_take_first(const char *words)
{
    assert_message(words);
    uint64_t at = strtoull(strstr(machine.message, words) + strlen(words), NULL, 16);
    uint64_t start = (uint64_t)(uintptr_t)take_first;
    assert_in_range(at, start, start + 1024);
}

static void taking_locks_out_of_order_names_both(void **state) NO_LOCK_ANALYSIS
{
    (void)state;
    irq_state_t irq = take_first(&inner_lock);
    assert_panics(spin_lock(&outer_lock), "wrong order: CPU 0 takes \"heap\" (10) at 0x");
    assert_names_take_first("holds \"pmm\" (40) since ");
    assert_panics(spin_lock(&inner_twin), "wrong order"); /* no two of one class */
    spin_unlock(&inner_lock, irq);
    irq = spin_lock(&outer_lock);
    irq_state_t irq2 = spin_lock(&inner_lock); /* this is the order */
    spin_unlock(&outer_lock, irq);             /* and any is right for giving back */
    assert_true(lock_is_held(&inner_lock) && !lock_is_held(&outer_lock));
    spin_unlock(&inner_lock, irq2);
}

static void taking_a_lock_twice_names_the_first_time(void **state) NO_LOCK_ANALYSIS
{
    (void)state;
    irq_state_t irq = take_first(&inner_lock);
    assert_panics(spin_lock(&inner_lock), "CPU 0 takes \"pmm\" at 0x");
    assert_names_take_first("holds it since ");
    spin_unlock(&inner_lock, irq);
}

static void giving_back_what_nobody_holds_is_named(void **state) NO_LOCK_ANALYSIS
{
    (void)state;
    irq_state_t irq = {0};
    assert_panics(spin_unlock(&inner_lock, irq), "CPU 0 releases \"pmm\" at 0x");
    assert_message("which nobody holds");
}

static void hold_or_wait(unsigned cpu) NO_LOCK_ANALYSIS
{
    irq_state_t irq = {0};
    if (cpu == 3) {
        irq = take_first(&inner_lock);
        store(&stage, 1);
        wait_for(&stage, 2);
        spin_unlock(&inner_lock, irq);
    } else if (cpu == 1) {
        jmp_buf behind;
        wait_for(&stage, 1);
        machine.panic_expected = &behind;
        if (setjmp(behind) == 0) {
            spin_unlock(&inner_lock, irq);
            cpus_fail("no panic");
        }
        machine.panic_expected = NULL;
        store(&stage, 2);
    }
}

static void giving_back_the_lock_of_another_cpu_names_it(void **state)
{
    (void)state;
    cpus_run(NCPUS, hold_or_wait);
    assert_message("CPU 1 releases \"pmm\" at 0x");
    assert_names_take_first("but CPU 3 holds it since ");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_spinlock_lets_one_in),
        TEST(trying_takes_a_free_lock_only),
        TEST(who_waits_for_a_lock_answers_shootdowns),
        TEST(a_barrier_counts_for_all_cpus),
        TEST(taking_locks_out_of_order_names_both),
        TEST(taking_a_lock_twice_names_the_first_time),
        TEST(giving_back_what_nobody_holds_is_named),
        TEST(giving_back_the_lock_of_another_cpu_names_it),
    };
    return cmocka_run_group_tests_name("locks", tests, NULL, NULL);
}
