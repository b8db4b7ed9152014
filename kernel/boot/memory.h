/* The stage "take over memory": from the boot context to our own tables, frames and heap. */
#ifndef QL_KERNEL_MEMORY_H
#define QL_KERNEL_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#include "mm/addr.h"
#include "mm/region.h"

/* Open the early arena (in .bss), so that the boot context has somewhere to be copied to. */
void memory_open_early(void);

/* What lies at an address of the loader's direct map, which memory_take_over ends. The caller has
 * checked that it can be there. */
const void *memory_of_loader(uint64_t address);

/* Normalise the memory map, take the frames, build our tables and switch to them, audit them, start
 * virtual memory with the framebuffer in it, take the reclaimable frames, open the heap.
 * Panics if the machine cannot go on. Afterwards nothing of the loader's is in use. */
void memory_take_over(void);

/* The normalised map; valid after memory_take_over. */
const struct mem_region *memory_map(size_t *n);

/* Nanoseconds that pmm_init took. */
uint64_t memory_frames_nsec(void);

/* CR3 as the loader had set it, for the self-check. */
paddr_t memory_loader_root(void);

/* A pointer to physical memory that need not be RAM of ours (firmware tables): through a mapping
 * that exists, else through a new one among the devices. NULL (logged) if that fails. */
const void *memory_reach(const char *name, paddr_t pa, uint64_t bytes);

#endif
