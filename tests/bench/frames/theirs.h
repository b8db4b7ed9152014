/* What another frame allocator has to offer to be compared: a shared object with these functions,
 * given as THEIRS=/path/to/lib.so. Compile it with -Ibuild/host/include. RAM is frames from address
 * 0 on without holes, all free; its contents are never touched. The functions with limits may refuse
 * any that are not NULL. */
#ifndef THEIRS_H
#define THEIRS_H

#include <quicklime/mm/pmm.h>

/* 0, or -1 on failure. A second call without a stop: begin anew in the same metadata. */
int theirs_start(uint64_t ram_bytes, unsigned cpus);
void theirs_stop(void);
void theirs_bind_cpu(unsigned cpu); /* that is what the calling thread is */
uint64_t theirs_metadata_bytes(void);
mm_status_t theirs_alloc_frame(paddr_t *out);
mm_status_t theirs_free_frame(paddr_t frame);
mm_status_t theirs_alloc_order(unsigned order, const struct pmm_limits *limits, paddr_t *out);
mm_status_t theirs_free_order(paddr_t base, unsigned order);
/* May be missing: the bench then rounds up to a power of two. */
mm_status_t theirs_alloc_frames(uint64_t n, const struct pmm_limits *limits, paddr_t *out);
mm_status_t theirs_free_frames(paddr_t base, uint64_t n);

#endif
