/* Owns: which thread is which CPU, from its first call to its end.
 * Relies on: the key of POSIX threads whose destructor says that a thread ends.
 *
 * A thread gets the lowest free number with its first call, and gives it back when its destructors run.
 * What is called after that, and by threads for whom there is no number left, happens on the common
 * CPU, one at a time. */
#include "config.h"
#include "parts.h"

#include <pthread.h>

#include "../../mm/pmm/state.h"
#include "mm/heap.h"
#include "mm/port.h"
#include "../../mm/heap/share.h"

#define COMMON (CONFIG_CPUS_MAX - 1) /* the number of the common CPU */

enum thread_state {
    THREAD_NEW,  /* has not called yet, or found no number */
    THREAD_CPU,  /* has a CPU */
    THREAD_LEFT, /* had one */
};
static _Thread_local enum thread_state state;

static struct {
    pthread_mutex_t mutex; /* of the rest; held while a thread comes or goes */
    bool started;
    bool has_key; /* the program has left us one */
    pthread_key_t key;
    uint64_t used[CONFIG_CPUS_MAX / 64];
    unsigned count, most;
} threads = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static pthread_mutex_t common_mutex = PTHREAD_MUTEX_INITIALIZER;

/* --- Numbers --------------------------------------------------------------------------------------- */

bool reserve_is_fixed;

/* As many threads share it as there are now. */
static void divide_reserve(void)
{
    uint32_t each = RESERVE_ALL / (threads.count == 0 ? 1 : threads.count);
    if (!reserve_is_fixed)
        SLAB_SET(heap_tuning.reserve_pages,
                 each > CONFIG_HEAP_RESERVE_PAGES ? each : CONFIG_HEAP_RESERVE_PAGES);
}

/* The lowest that is free: what it has in hand is warm. */
static unsigned take_number(void)
{
    for (unsigned w = 0; w < CONFIG_CPUS_MAX / 64; w++) {
        if (threads.used[w] == ~0ull)
            continue;
        unsigned bit = (unsigned)__builtin_ctzll(~threads.used[w]);
        if (w * 64 + bit == COMMON)
            break;
        threads.used[w] |= 1ull << bit;
        threads.count++;
        threads.most = threads.count > threads.most ? threads.count : threads.most;
        divide_reserve();
        return w * 64 + bit;
    }
    return NO_CPU;
}

static void free_number(unsigned cpu)
{
    threads.used[cpu / 64] &= ~(1ull << cpu % 64);
    threads.count--;
    divide_reserve();
}

static void be(unsigned cpu)
{
    if (pmm.caches[cpu] == NULL) /* there was never a CPU of that number */
        mm_cpu_place(cpu, machine_share(cpu));
    port_self = cpu;
    port_set_mm_cpu(mm_cpu_of(pmm.caches[cpu]));
}

static void be_nobody(void)
{
    port_set_mm_cpu(&mm_cpu_none);
    port_self = NO_CPU;
}

/* What the CPU that we are has in hand becomes everybody's. */
static void give_up(void)
{
    heap_leave_cpu();
    pmm_leave();
}

/* And its number free. */
static void leave(void)
{
    unsigned cpu = port_self;
    be_nobody();
    free_number(cpu);
}

/* --- Threads that go -------------------------------------------------------------------------------- */

/* The destructors of others may call malloc later: on the common CPU. To wait for the last round would be in
 * vain for a thread that has come in a destructor: nobody says which round that was. */
static void thread_ends(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&threads.mutex);
    give_up();
    if (threads.count == 2)
        give_back_left();
    leave();
    state = THREAD_LEFT;
    pthread_mutex_unlock(&threads.mutex);
}

/* --- Threads that come ------------------------------------------------------------------------------ */

/* The caller holds the mutex. */
static void make_key(void)
{
    threads.has_key = threads.has_key || pthread_key_create(&threads.key, thread_ends) == 0;
}

void threads_init(void)
{
    pthread_mutex_lock(&threads.mutex);
    make_key();
    pthread_mutex_unlock(&threads.mutex);
}

static void start(void)
{
    machine_start();
    (void)take_number(); /* 0 */
    make_key();          /* a constructor of another library was faster than ours */
    threads.started = true;
}

/* The thread's end will be known. May call malloc. */
static bool has_an_end(void)
{
    return threads.has_key &&
           pthread_setspecific(threads.key, &threads) == 0; /* anything but NULL */
}

/* False if there is no number left. */
static bool become_cpu(void)
{
    bool first;
    pthread_mutex_lock(&threads.mutex);
    first = !threads.started;
    if (first) {
        start();
    } else {
        unsigned cpu = take_number();
        if (cpu == NO_CPU) {
            pthread_mutex_unlock(&threads.mutex);
            return false;
        }
        be(cpu);
        if (threads.count == 2)
            give_back_begin();
    }
    state = THREAD_CPU;
    pthread_mutex_unlock(&threads.mutex);
    if (first)
        fork_init();
    if (has_an_end() || first) /* the first one is the program's, as a rule */
        return true;
    thread_ends(NULL); /* else the number would be lost */
    return false;
}

bool thread_enter(void)
{
    if (thread_is_cpu() || (state == THREAD_NEW && become_cpu()))
        return false;
    pthread_mutex_lock(&common_mutex);
    be(COMMON);
    return true;
}

void thread_exit(bool common)
{
    if (!common)
        return;
    be_nobody();
    pthread_mutex_unlock(&common_mutex);
}

/* --- Forks ------------------------------------------------------------------------------------------- */

void threads_lock(void)
{
    pthread_mutex_lock(&threads.mutex);
    pthread_mutex_lock(&common_mutex);
}

void threads_unlock(void)
{
    pthread_mutex_unlock(&common_mutex);
    pthread_mutex_unlock(&threads.mutex);
}

void threads_forget_others(void)
{
    unsigned self = port_self;
    for (unsigned w = 0; w < CONFIG_CPUS_MAX / 64; w++)
        for (uint64_t rest = threads.used[w]; rest != 0; rest &= rest - 1) {
            unsigned cpu = w * 64 + (unsigned)__builtin_ctzll(rest);
            if (cpu == self)
                continue;
            be(cpu);
            share_recover(share_self()); /* its thread may have been anywhere in a short way */
            give_up();
            leave();
        }
    if (self != NO_CPU)
        be(self);
}

/* --- Looking ----------------------------------------------------------------------------------------- */

unsigned threads_count(void)
{
    return threads.count;
}

unsigned threads_most(void)
{
    return threads.most;
}
