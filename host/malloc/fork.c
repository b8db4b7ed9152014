/* Owns: nothing; what happens around a fork.
 * Relies on: heap_lock_all: all calls into the frames are made with a lock of the heap held.
 *
 * The thread that forks takes all locks, so that the child finds everything at rest. Others go on in
 * the heap's short ways, which change it with single stores. */
#include <pthread.h>

#include "../../mm/heap/sample.h"
#include "parts.h"
#include "../../mm/heap/share.h"

static void prepare(void)
{
    threads_lock();
    recycle_lock();
    heap_lock_all();
    sample_hold();
}

static void parent(void)
{
    sample_let();
    heap_unlock_all();
    recycle_unlock();
    threads_unlock();
}

static void child(void)
{
    sample_let();
    heap_unlock_all();
    recycle_unlock();
    threads_forget_others();
    threads_unlock();
}

void fork_init(void)
{
    pthread_atfork(prepare, parent, child);
}
