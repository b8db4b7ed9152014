/* What the files of libquicklime-malloc.so share: malloc for any Linux program, from the kernel's
 * heap. A machine of frames and heap without page tables; its CPUs are the program's threads.
 *
 * Locks, outer to inner: the registry of threads, the common CPU, then the heap's own. */
#ifndef QL_HOST_MALLOC_H
#define QL_HOST_MALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mm/addr.h"
#include "mm/cpu.h"
#include "mm/hhdm.h"
#include "status.h"

#define EXPORT __attribute__((visibility("default")))
#define COLD   __attribute__((noinline, cold))

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* --- malloc.c ------------------------------------------------------------------------------------ */

/* What malloc and free, which are the heap's kmalloc and kfree, call for core_alloc and core_free. */
struct heap_want;
void *outer_alloc(size_t bytes, const struct heap_want *want);
void outer_free(void *p);

/* --- machine.c ----------------------------------------------------------------------------------- */

/* Reserve the address space, and start frames and heap; the calling thread is CPU 0 then. Aborts with
 * a sentence if Linux has no room for it. */
void machine_start(void);

/* Where RAM begins: above what the frames treat as scarce. */
#define RAM_PA (16ull << 20)

/* The bytes of RAM that the frames know of, and more of it if they are still that many. False: that is
 * all. */
uint64_t machine_known(void);
bool machine_grow(uint64_t known);

/* Room for the share of a CPU, zeroed. */
struct mm_cpu *machine_share(unsigned cpu);

/* Empty slabs and runs that are freed may stay with the threads, so many pages of all of them together,
 * but at least CONFIG_HEAP_RESERVE_PAGES with each: what is given back to the frames, Linux gets back only after
 * a while, and what comes from there may have to come from Linux. Unless the program's user wants it otherwise. */
#define RESERVE_ALL 1024u
extern bool reserve_is_fixed;

/* --- threads.c ----------------------------------------------------------------------------------- */

/* True if the calling thread has a CPU of its own, as nearly always. */
static inline bool thread_is_cpu(void)
{
    return likely(port_mm_cpu() != &mm_cpu_none);
}

/* Be told of threads that end, from now on; else from the first allocation on. */
void threads_init(void);

/* Around what a thread without a CPU does: it gets one, or for so long, if thread_enter returns true,
 * the common one, which thread_exit has to give back. */
bool thread_enter(void);
void thread_exit(bool common);

/* The registry and the common CPU are this thread's until threads_unlock. For fork. */
void threads_lock(void);
void threads_unlock(void);

/* In the child of a fork: what the threads have left behind, that are not there any more, becomes
 * everybody's, and their CPUs free. The caller holds threads_lock. */
void threads_forget_others(void);

unsigned threads_count(void); /* CPUs that threads have at the moment */
unsigned threads_most(void);  /* at any time */

/* --- give_back.c --------------------------------------------------------------------------------- */

/* Give all free memory back to Linux, but for runs of a few frames. Returns the number of frames. The
 * caller holds the registry. */
uint64_t give_back_all(void);

/* Now and then much that is free is given back: called where the heap goes a long way, by a CPU that
 * holds no lock. */
#define GIVE_BACK_CALLS 256u
extern _Thread_local uint32_t give_back_calls;
void give_back_look(void);

/* There are several threads now; the last but one is about to leave, as a CPU that has nothing in hand any
 * more. What is left then goes at once, as perhaps nobody comes by for long; but not if threads come
 * and go all the time, who would want it back. The caller holds the registry. */
void give_back_begin(void);
void give_back_left(void);

static inline void give_back_pass(void)
{
    if (unlikely(++give_back_calls % GIVE_BACK_CALLS == 0))
        give_back_look();
}

/* --- recycle.c ----------------------------------------------------------------------------------- */

/* As core_alloc and core_free, by way of ranges that are kept. */
struct heap_want;
void *recycle_alloc(size_t bytes, const struct heap_want *want);
void recycle_free(void *p);

/* Misuse if p is kept: for the calls that look into what the heap takes for live. */
void recycle_look(const char *call, const void *p);
static inline void recycle_check(const char *call, const void *p)
{
    if (unlikely(!hhdm_contains(p)))
        recycle_look(call, p);
}

/* True if realloc may leave p as it is for so many bytes, as it was given more than was asked for. */
bool recycle_stays(const void *p, size_t bytes);

void recycle_end(void);     /* free them all */
size_t recycle_bytes(void); /* that are kept */
void recycle_lock(void);    /* for fork; behind threads_lock */
void recycle_unlock(void);

/* --- give_back.c, for the heap --------------------------------------------------------------------- */

/* What the heap calls for pmm_alloc_frames, pmm_try_mark_used and pmm_free_frames. */
struct pmm_limits;
mm_status_t frames_alloc(uint64_t nframes, const struct pmm_limits *limits, paddr_t *out);
mm_status_t frames_grow(paddr_t base, uint64_t nframes);
mm_status_t frames_free(paddr_t base, uint64_t nframes);

/* --- fork.c -------------------------------------------------------------------------------------- */

/* Have every fork wait until the heap is at rest. What others have asked for before, comes to pass while
 * it may not be called: so this is to be early. The second time nothing happens. */
void fork_init(void);

/* --- port.c -------------------------------------------------------------------------------------- */

/* Print a line to stderr, without malloc. */
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The number of the CPU that the calling thread is; NO_CPU: of none. */
#define NO_CPU UINT32_MAX
extern _Thread_local uint32_t port_self;

/* Ask Linux for the barrier on all threads. Aborts with a sentence if it has none. */
void port_init(void);

#endif
