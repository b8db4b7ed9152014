/* Owns: which thread is which CPU, from its first call to its end.
 * Relies on: the key of POSIX threads whose destructor says that a thread ends.
 *
 * A thread gets the lowest free number with its first call, and gives it back when its destructors run.
 * What is called after that, and by threads for whom there is no number left, happens on the common
 * CPU, one at a time. */
#include "config.h"
#include "parts.h"

#include <pthread.h>

#include "mm/heap.h"
#include "mm/pmm.h"
#include "mm/port.h"

#define COMMON (CONFIG_CPUS_MAX - 1) /* the number of the common CPU */

enum thread_state {
    THREAD_NEW,  /* has not called yet, or found no number */
    THREAD_CPU,  /* has a CPU */
    THREAD_LEFT, /* had one */
};
static _Thread_local enum thread_state state;

static struct {
    pthread_mutex_t mutex; /* of the rest; held while a thread comes or goes */
    uint64_t used[CONFIG_CPUS_MAX / 64];
    struct mm_cpu *shares[CONFIG_CPUS_MAX]; /* NULL: there was never a CPU of that number */
    unsigned count, most;
    bool started;
    pthread_key_t key;
} threads = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static pthread_mutex_t common_mutex = PTHREAD_MUTEX_INITIALIZER;

/* --- Numbers --------------------------------------------------------------------------------------- */

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
        return w * 64 + bit;
    }
    return NO_CPU;
}

static void free_number(unsigned cpu)
{
    threads.used[cpu / 64] &= ~(1ull << cpu % 64);
    threads.count--;
}

static void be(unsigned cpu)
{
    if (threads.shares[cpu] == NULL) {
        threads.shares[cpu] = machine_share(cpu);
        mm_cpu_place(cpu, threads.shares[cpu]);
    }
    port_self = cpu;
    port_set_mm_cpu(threads.shares[cpu]);
}

static void be_nobody(void)
{
    port_set_mm_cpu(&mm_cpu_none);
    port_self = NO_CPU;
}

/* What the CPU that we are has in hand becomes everybody's, and its number free. */
static void leave(void)
{
    unsigned cpu = port_self;
    heap_leave_cpu();
    pmm_leave();
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
    leave();
    state = THREAD_LEFT;
    pthread_mutex_unlock(&threads.mutex);
}

/* --- Threads that come ------------------------------------------------------------------------------ */

static void start(void)
{
    machine_start();
    threads.shares[take_number()] = port_mm_cpu();
    pthread_key_create(&threads.key, thread_ends);
    threads.started = true;
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
    }
    state = THREAD_CPU;
    pthread_mutex_unlock(&threads.mutex);
    if (first)
        fork_init();
    pthread_setspecific(threads.key, &threads); /* anything but NULL; may call malloc */
    return true;
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
    for (unsigned cpu = 0; cpu < CONFIG_CPUS_MAX; cpu++) {
        if (cpu == self || !(threads.used[cpu / 64] >> cpu % 64 & 1))
            continue;
        be(cpu);
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
