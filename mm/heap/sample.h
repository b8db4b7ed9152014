/* Sampled objects: each on a page of its own between pages that cannot be touched, against the end
 * of it or the start, in turn; what is left of the page has a pattern, which is looked at when the
 * object is freed. Then the page cannot be touched either, until it is the one that was freed
 * longest ago. So the access itself faults, and sample_find knows whose object it was. In every
 * build. Internal to mm/heap/.
 *
 * Memory: a page for each object that is live, none for the others; CONFIG_HEAP_SAMPLES * 208
 * bytes, and as many addresses as twice that many pages have.
 * locking: any CPU. Changing a page takes locks of the vmm's, and other CPUs may have to answer, so
 *          it happens only where interrupts are on: nobody holds a lock there, and nobody is a
 *          handler. sample_alloc says no elsewhere; so call it with interrupts as the caller of
 *          the heap had them, and no lock. sample_free leaves the page to the next one. */
#ifndef QL_MM_HEAP_SAMPLE_H
#define QL_MM_HEAP_SAMPLE_H

#include "mm/heap_debug.h"

/* An object with undefined contents, or NULL: not here, not now, or not such a one (1 byte to a
 * page). align: a power of two, or 0. One of a power of two of bytes is naturally aligned. */
void *sample_alloc(size_t bytes, size_t align) MUST_USE;

/* True if the address is in one of our pages or between them; then nobody else has to look at it. */
bool sample_owns(const void *p);

/* For what is ours: free it, or say what is wrong: misuse. False if it is not ours. bytes: as the
 * caller says that were asked for, or SIZE_MAX. */
bool sample_free_sized(void *p, size_t bytes);
static inline bool sample_free(void *p)
{
    return sample_free_sized(p, SIZE_MAX);
}

/* Bytes as they were asked for; 0, with misuse, for what is no object. */
size_t sample_size(const void *p);

/* What is at an address, or beside it; not live is what was freed. errors: MM_NOTFOUND. No lock. */
mm_status_t sample_find(const void *p, struct heap_origin *out) MUST_USE;

/* Visit what is live, until visit returns false, which is returned then. */
typedef bool (*sample_visit_t)(const struct heap_origin *sample, void *argument);
bool sample_walk(sample_visit_t visit, void *argument);

struct sample_stats {
    uint64_t samples; /* objects so far */
    uint64_t live;
};
void sample_get_stats(struct sample_stats *out);

/* Nobody changes anything from the one to the other: around a fork of a host's process. */
void sample_hold(void);
void sample_let(void);

/* Forget everything: in heap_init. */
void sample_init(void);

/* --- The pages: sample_pages.c over the vmm, host/sample_pages.c over mmap --------------- */

/* Addresses that cannot be touched. NULL: there are none. */
void *sample_pages_reserve(uint64_t npages) MUST_USE;

/* Make one of them a page, of any content. False: out of memory. */
bool sample_page_open(void *page) MUST_USE;

/* The opposite; what was in it is gone. False: that could not be done, it is as it was. */
bool sample_page_close(void *page) MUST_USE;

#endif
