/* Page runs that a CPU has freed and keeps for itself: the short ways of runs. There is a stack for
 * each length that short runs have, eight lengths to a doubling. Internal to mm/heap/.
 *
 * locking: the CPU itself changes its stacks without a lock, interrupts off, by a biased lock as in
 *          mm/pmm/cache.h: it is busy meanwhile, and goes another way if it has been stopped. Who
 *          else wants the runs holds the share's lock and stops the CPU first. */
#ifndef QL_MM_HEAP_KEPT_H
#define QL_MM_HEAP_KEPT_H

#include "share.h"

/* The length of a run that is to have so many pages. Short ones have lengths like size classes, eight to
 * a doubling, so that one that was freed fits the next that is wanted. */
uint64_t kept_length(uint64_t pages);

/* The stack for runs of exactly so many pages; KEPT_STACKS: there is none. */
uint16_t kept_stack_of(uint64_t pages);

/* A run that is kept and has room for bytes bytes; NULL: there is none, or it is no such size. */
void *kept_take(size_t bytes);

/* Keep the run that begins at p. False: it is not live, not this CPU's, not of such a length, or
 * enough is kept. */
bool kept_put(struct slab *run, const void *p);

/* Keep a run that was taken away from whoever had it, and make room for it. False: enough of them are kept, or it
 * is of no such length. The lock is held, and s is this CPU's. */
bool kept_add(struct share *s, struct slab *run);

/* Give one of them back, of each length in turn; there is one. The lock is held, and s is this CPU's. */
void kept_drop(struct share *s);

/* Give all of another CPU's back. The lock is held. */
void kept_drop_all(struct share *s);

/* The CPU is not in its short ways, nor comes in, between kept_halt, port_barrier_all and kept_wait and
 * kept_go. The lock is held. */
void kept_halt(struct share *s);
void kept_wait(const struct share *s);
void kept_go(struct share *s);

/* True if the stacks and the runs in them agree. */
bool kept_is_sound(const struct share *s);

#endif
