/* Quicklime's memory manager in a Linux process: a machine made of address space, for programs that
 * measure it, check it or stand on it. `make host` builds libquicklime.so and installs this header
 * as <quicklime/host.h>; it brings the manager's own headers with it.
 *
 * RAM is reserved and not backed until it is touched, so that the machine may be larger than the
 * host. A thread says which CPU it is before it calls the manager, and no two threads are the same
 * CPU at the same time: what is without locks in the kernel relies on it. */
#ifndef QUICKLIME_HOST_H
#define QUICKLIME_HOST_H

#ifndef QL_HOST
#define QL_HOST /* the headers below ask for it */
#endif

#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "mm/heap.h"
#include "mm/hhdm.h"
#include "mm/numa.h"
#include "mm/pmm.h"

#define QL_HOST_RAM_MIN (10ull << 20)

/* Switch a PC on: RAM from 0 to 3 GiB, a hole for devices up to 4 GiB, the rest of RAM above. Of the
 * first MiB only 128 KiB are usable, and above it lies an image of 64 KiB. Memory manager, page
 * tables and heap are ready when it returns, on every CPU; the calling thread is CPU 0.
 * units:   ram_bytes a multiple of 4096, from QL_HOST_RAM_MIN; cpus 1 .. CONFIG_CPUS_MAX; nodes 1 ..
 *          NUMA_NODES_MAX, which share the RAM evenly, node 0 the lowest
 * errors:  -EINVAL, -EBUSY (the machine is on), -ENOMEM, -ENOSYS (no membarrier); a sentence on
 *          stderr says more, and nothing is left behind */
int ql_host_start(size_t ram_bytes, unsigned cpus, unsigned nodes);

/* The calling thread is this CPU from now on; again after each start. Aborts if there is none of
 * that number. A thread that calls the manager without having said so is stopped with a message. */
void ql_host_bind_cpu(unsigned cpu);

/* Switch the machine off: all that was allocated is gone. No other thread may be using it. Without
 * effect if it is off. */
void ql_host_stop(void);

/* The manager's last complaint about a wrong call (a double free, a foreign pointer), NULL if there
 * was none since the start; good until the same thread asks again. The first complaint of each kind
 * is printed to stderr too. */
const char *ql_host_last_misuse(void);

/* How many there were since the start. */
uint64_t ql_host_misuses(void);

/* Nanoseconds that pmm_init took in ql_host_start. A large part of that is the host's: it backs the
 * metadata while it is written. */
uint64_t ql_host_init_ns(void);

/* The same without the host's part: pmm_init once more, over memory that is backed now. Forgets
 * everything that was allocated: only ql_host_stop may follow. */
uint64_t ql_host_init_again_ns(void);

#endif
